// SPDX-License-Identifier: BSL-1.0
// What a guest may find after an operation has failed.
#pragma once

#include "support/workload.hpp"

namespace vdisk::test {

/// What may be on the disk: what was flushed, and everything written since.
class Legal {
public:
    explicit Legal(File disk) : versions_{std::move(disk)} {}

    void flushed() { versions_.erase(versions_.begin(), versions_.end() - 1); }
    void add(File disk) { versions_.push_back(std::move(disk)); }
    /// `op` has failed: it may have been done in part.
    void attempt(const Op& op) {
        File disk = versions_.back();
        const bool zeros = op.kind == Op::Kind::zero || op.kind == Op::Kind::discard;
        for (uint64_t at = op.at; at < op.at + op.length; ++at) {
            disk[at] = zeros ? byte{0} : content(at, op.tag);
        }
        versions_.insert(versions_.end() - 1, std::move(disk));
    }
    [[nodiscard]] bool allows(const File& seen) const {
        for (size_t at = 0; at < seen.size(); ++at) {
            const bool known = std::any_of(versions_.begin(), versions_.end(),
                                           [&](const File& v) { return v[at] == seen[at]; });
            if (!known) return false;
        }
        return true;
    }

private:
    std::vector<File> versions_;
};

/// All kinds of work, without what a failed operation could not be repeated after: a new writer.
inline std::vector<Op> without_reopening(std::vector<Op> ops) {
    for (Op& op : ops) {
        if (op.kind == Op::Kind::reopen) op = Op::flush();
    }
    return ops;
}

}  // namespace vdisk::test
