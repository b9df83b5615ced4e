// SPDX-License-Identifier: BSL-1.0
// convert --salvage: what cannot be read is zeros in the copy, and told.
#pragma once

#include <functional>
#include <mutex>

#include "tool.hpp"

namespace tool {

/// Any number of threads at a time.
class Salvage {
public:
    explicit Salvage(bool quiet) : quiet_(quiet) {}

    /// In place of an answer that could not be had: somebody has to try to read there.
    static vdisk::Extent unknown(uint64_t at, uint64_t length);

    using Read = std::function<vdisk::Status(uint64_t at, vdisk::MutBytes out)>;
    /// Fills `out` with what `read` can get sector by sector, as it failed for all; the rest is
    /// zeros. Fails for want of memory only.
    vdisk::Status read(uint64_t at, vdisk::MutBytes out, const Read& read);

private:
    void warn(uint64_t at, uint64_t length, const vdisk::Error& error);

    bool quiet_;
    std::mutex mutex_;
};

}  // namespace tool
