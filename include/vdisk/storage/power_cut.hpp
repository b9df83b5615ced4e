// SPDX-License-Identifier: BSL-1.0
// Records what a workload does to its files, for power_cut_replay.hpp.
#pragma once

#include <cstring>
#include <vector>

#include <vdisk/core/math.hpp>
#include <vdisk/storage/concepts.hpp>

namespace vdisk {

/// One thing that was done to a file.
struct CutEvent {
    enum class Kind : uint8_t { write, resize, flush };
    Kind kind = Kind::write;
    uint32_t file = 0;
    uint64_t at = 0;         ///< write: where; resize: the new size
    std::vector<byte> data;  ///< write: what
};

/// What happened to all files of a workload, in order, and what they held before.
struct CutLog {
    std::vector<std::vector<byte>> before;  ///< a file per index
    std::vector<CutEvent> events;
};

/// A file in memory that records. Copies are handles of the same file: log and bytes belong to the
/// caller, who keeps them alive.
class PowerCutStorage {
public:
    /// Takes part in `log` as a new file that begins as `bytes` is now.
    PowerCutStorage(CutLog& log, std::vector<byte>& bytes)
        : log_(&log), bytes_(&bytes), file_(static_cast<uint32_t>(log.before.size())) {
        log.before.push_back(bytes);
    }

    [[nodiscard]] uint64_t size() const { return bytes_->size(); }

    Status read(uint64_t at, MutBytes out) const {
        if (!fits(at, out.size(), size())) return invalid("power cut: read past the end");
        if (!out.empty()) std::memcpy(out.data(), bytes_->data() + at, out.size());
        return {};
    }
    Status write(uint64_t at, Bytes in) {
        if (!fits(at, in.size(), size())) return invalid("power cut: write past the end");
        if (in.empty()) return {};
        std::memcpy(bytes_->data() + at, in.data(), in.size());
        log_->events.push_back(
            {CutEvent::Kind::write, file_, at, std::vector<byte>(in.begin(), in.end())});
        return {};
    }
    Status resize(uint64_t size) {
        if (size == this->size()) return {};
        bytes_->resize(static_cast<size_t>(size));
        log_->events.push_back({CutEvent::Kind::resize, file_, size, {}});
        return {};
    }
    /// As a write of zeros.
    Status punch(uint64_t at, uint64_t length) {
        return write(at, std::vector<byte>(static_cast<size_t>(length)));
    }
    Status flush() {
        log_->events.push_back({CutEvent::Kind::flush, file_, 0, {}});
        return {};
    }

private:
    CutLog* log_;
    std::vector<byte>* bytes_;
    uint32_t file_;
};

static_assert(PunchStorage<PowerCutStorage>);

}  // namespace vdisk
