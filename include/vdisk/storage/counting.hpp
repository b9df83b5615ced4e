// SPDX-License-Identifier: BSL-1.0
// Counts what reaches a storage: so that a test can say "one read" and mean it.
#pragma once

#include <utility>

#include <vdisk/storage/concepts.hpp>

namespace vdisk {

/// Calls so far, failed ones included. A view is no read: nothing is copied.
struct Counters {
    uint64_t reads = 0;
    uint64_t read_bytes = 0;
    uint64_t views = 0;
    uint64_t writes = 0;
    uint64_t written_bytes = 0;
    uint64_t resizes = 0;
    uint64_t flushes = 0;
    uint64_t punches = 0;
    uint64_t punched_bytes = 0;
    friend bool operator==(const Counters&, const Counters&) = default;
};

/// An S held by value that counts into `counters`, which outlives it; copies count together. One
/// thread at a time.
template <Storage S>
class CountingStorage {
public:
    CountingStorage(S storage, Counters& counters)
        : storage_(std::move(storage)), counters_(&counters) {}

    [[nodiscard]] uint64_t size() const { return storage_.size(); }

    Status read(uint64_t at, MutBytes out) const {
        ++counters_->reads;
        counters_->read_bytes += out.size();
        return storage_.read(at, out);
    }

    [[nodiscard]] Result<Bytes> view(uint64_t at,
                                     uint64_t length) const requires ViewableStorage<S> {
        ++counters_->views;
        return storage_.view(at, length);
    }

    Status write(uint64_t at, Bytes in) requires WritableStorage<S> {
        ++counters_->writes;
        counters_->written_bytes += in.size();
        return storage_.write(at, in);
    }

    Status resize(uint64_t size) requires WritableStorage<S> {
        ++counters_->resizes;
        return storage_.resize(size);
    }

    Status flush() requires WritableStorage<S> {
        ++counters_->flushes;
        return storage_.flush();
    }

    Status punch(uint64_t at, uint64_t length) requires PunchStorage<S> {
        ++counters_->punches;
        counters_->punched_bytes += length;
        return storage_.punch(at, length);
    }

    [[nodiscard]] Result<Hole> hole(uint64_t at, uint64_t length) const requires SparseStorage<S> {
        return storage_.hole(at, length);
    }

private:
    S storage_;
    Counters* counters_;
};

}  // namespace vdisk
