// SPDX-License-Identifier: BSL-1.0
// Hands out a disk (or two, side by side) to several threads, stripe by stripe.
#pragma once

#include <array>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include <vdisk/io/runs.hpp>

#include "progress.hpp"
#include "salvage.hpp"

namespace tool {

/// A disk of which may be known that all that is looked at is of one kind: then nobody asks its
/// tables, or the file system, again.
class View {
public:
    /// With `salvage`, what cannot be read is zeros.
    View(const Disk& disk, std::optional<vdisk::Kind> kind, Salvage* salvage = nullptr)
        : disk_(disk), kind_(kind), salvage_(salvage) {}

    [[nodiscard]] const Disk& disk() const { return disk_; }
    [[nodiscard]] Salvage* salvage() const { return salvage_; }
    [[nodiscard]] uint64_t size() const { return disk_.size(); }
    [[nodiscard]] vdisk::Result<vdisk::Extent> lookup(uint64_t at, uint64_t length) const {
        if (kind_) return vdisk::Extent{.kind = *kind_, .length = length};
        auto extent = disk_.survey(at, length);
        if (!extent && salvage_ != nullptr) return Salvage::unknown(at, length);
        return extent;
    }

private:
    const Disk& disk_;
    std::optional<vdisk::Kind> kind_;
    Salvage* salvage_;
};

vdisk::Status read(const View& view, uint64_t at, vdisk::MutBytes out);

struct Stripe {
    uint64_t at = 0;
    uint64_t length = 0;
    /// Of each disk: the kind, if all of the stripe is of one.
    std::array<std::optional<vdisk::Kind>, 2> kinds = {};
};

/// The stripes of [at, end), in order, to any number of threads. It looks ahead with disks that
/// nobody else may use.
class Stripes {
public:
    static constexpr uint64_t bytes = uint64_t{4} << 20;  ///< of a stripe: whole blocks

    struct Options {
        bool skip_empty = true;  ///< leave out what is empty on all disks
        Progress* progress = nullptr;
        bool salvage = false;  ///< what cannot be looked at is handed out
    };

    Stripes(const std::vector<const Disk*>& disks, uint64_t at, uint64_t end, Options options);

    /// The next one, or nothing at the end.
    vdisk::Result<std::optional<Stripe>> claim();
    /// Nobody gets another one.
    void stop();

private:
    vdisk::Result<bool> skip();
    vdisk::Result<Stripe> take();

    std::mutex mutex_;
    std::vector<vdisk::Runs<Disk>> runs_;
    uint64_t start_;
    uint64_t end_;
    Options options_;
    bool stopped_ = false;
};

/// Calls `work(worker, stripe)` in `workers` threads until the stripes are used up, one fails or
/// a signal comes. The error is that of the first failure; look at interrupted(), too.
using Work = std::function<vdisk::Status(unsigned worker, const Stripe& stripe)>;
vdisk::Status work_through(Stripes& stripes, unsigned workers, const Work& work);

/// How many threads this machine deserves: its processors, at most 8.
unsigned default_workers();

/// What the disks of one image may take of memory together, about: the tool stays below 32 MiB.
inline constexpr size_t memory_budget = size_t{22} << 20;

/// The image, opened up to `count` times over the same files, so that each thread has its own: as
/// often as `budget` allows, but twice at least.
std::vector<Disk> open_disks(const Input& input, unsigned count, size_t budget = memory_budget);

}  // namespace tool
