// SPDX-License-Identifier: BSL-1.0
// A file of a run that is mostly zeros: memory that is used again and again. Only the pages that a
// run has written are cleared for the next, so that a long file costs what is in it.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include <sys/mman.h>

#include <vdisk/core/math.hpp>
#include <vdisk/storage/concepts.hpp>

#include "require.hpp"

namespace fuzz {

/// A storage in memory that does not grow without end. Not to be copied; lend it with Borrowed.
class Sheet {
public:
    static constexpr size_t capacity = 16_MiB;
    static constexpr size_t page = 4096;

    Sheet() {
        void* all = ::mmap(nullptr, capacity + page, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        require(all != MAP_FAILED, "no memory for a file");
        memory_ = static_cast<byte*>(all);
        require(::mprotect(memory_ + capacity, page, PROT_NONE) == 0, "no guard behind a file");
    }
    Sheet(const Sheet&) = delete;
    Sheet& operator=(const Sheet&) = delete;
    ~Sheet() { ::munmap(memory_, capacity + page); }

    /// A new file of zeros.
    void begin(size_t size) {
        for (const size_t touched : touched_) {
            std::memset(memory_ + touched * page, 0, page);
            is_touched_[touched] = false;
        }
        touched_.clear();
        size_ = size;
        start_ = 0;
    }
    /// The same, of one that does not grow: the byte behind its last one cannot be read.
    void begin_guarded(size_t size) {
        begin(size);
        start_ = capacity - size;
    }

    [[nodiscard]] Bytes bytes() const { return {memory_ + start_, size_}; }
    [[nodiscard]] uint64_t size() const { return size_; }

    Status read(uint64_t at, MutBytes out) const {
        if (!fits(at, out.size(), size_)) return invalid("memory: read past the end");
        if (!out.empty()) std::memcpy(out.data(), bytes().data() + at, out.size());
        return {};
    }

    [[nodiscard]] Result<Bytes> view(uint64_t at, uint64_t length) const {
        if (!fits(at, length, size_)) return invalid("memory: view past the end");
        return bytes().subspan(static_cast<size_t>(at), static_cast<size_t>(length));
    }

    Status write(uint64_t at, Bytes in) {
        if (!fits(at, in.size(), size_)) return invalid("memory: write past the end");
        if (in.empty()) return {};
        const size_t from = start_ + static_cast<size_t>(at);
        for (size_t i = from / page; i <= (from + in.size() - 1) / page; ++i) {
            if (!is_touched_[i]) touched_.push_back(i);
            is_touched_[i] = true;
        }
        std::memcpy(memory_ + from, in.data(), in.size());
        return {};
    }

    Status resize(uint64_t size) {
        if (size > capacity - start_) return fail(Errc::no_space, "fuzz: the file is full");
        const size_t old = std::exchange(size_, static_cast<size_t>(size));
        if (size_ < old) clear(start_ + size_, start_ + old);  // zeros when it comes back
        return {};
    }

    Status flush() { return {}; }

    Status punch(uint64_t at, uint64_t length) {
        if (!fits(at, length, size_)) return invalid("memory: punch past the end");
        const size_t from = start_ + static_cast<size_t>(at);
        clear(from, from + static_cast<size_t>(length));
        return {};
    }

    /// Calls `visit(offset)` for each page of the file that was written.
    template <class Visit>
    void each_written(Visit visit) const {
        for (const size_t touched : touched_) {
            const size_t from = touched * page;
            if (from >= start_ && from - start_ < size_) visit(from - start_);
        }
    }

private:
    void clear(size_t from, size_t end) {
        while (from < end) {
            const size_t next = std::min(end, (from / page + 1) * page);
            if (is_touched_[from / page]) std::memset(memory_ + from, 0, next - from);
            from = next;
        }
    }

    byte* memory_;
    size_t start_ = 0;
    size_t size_ = 0;
    std::array<bool, capacity / page> is_touched_{};
    std::vector<size_t> touched_;
};

static_assert(PunchStorage<Sheet> && ViewableStorage<Sheet>);

/// The file of this run, with these bytes in it; it can grow.
inline Sheet& paper(Bytes bytes) {
    static Sheet sheet;
    sheet.begin(std::min(bytes.size(), Sheet::capacity));
    require(bool(sheet.write(0, bytes.first(sheet.bytes().size()))), "the file takes no bytes");
    return sheet;
}

}  // namespace fuzz
