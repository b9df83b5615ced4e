// SPDX-License-Identifier: BSL-1.0
#include "medium.hpp"

#include <vdisk/text/error.hpp>

namespace tool {

using namespace vdisk;

template <class Act>
Status Medium::change(const Act& act) {
    auto* const disk = std::get_if<WritableDisk>(&disk_);
    if (disk == nullptr) return fail(Errc::read_only, "the image is open read-only");
    const uint64_t unit = disk->top().pack_unit();
    const auto scratch =
        scratch_.reserve(static_cast<size_t>(2 * std::max(unit, uint64_t{64_KiB})));
    if (!scratch) return scratch.error();
    return act(*disk, *scratch);
}

Status Medium::read(uint64_t at, MutBytes out) const {
    return std::visit([&](const auto& disk) { return vdisk::read(disk, at, out); }, disk_);
}

Status Medium::write(uint64_t at, Bytes in) {
    return change(
        [&](WritableDisk& disk, MutBytes scratch) { return vdisk::write(disk, at, in, scratch); });
}

Status Medium::write_compressed(uint64_t at, Bytes in) {
    return change([&](WritableDisk& disk, MutBytes scratch) -> Status {
        const uint64_t unit = disk.top().pack_unit();
        if (unit == 0) return unsupported("the image holds no compressed blocks");
        const bool ends_whole = in.size() % unit == 0 || at + in.size() == disk.size();
        if (at % unit != 0 || !ends_whole) return invalid("Invalid argument");
        const PackOptions options{.below_is_zero = !disk.parents()};
        while (!in.empty()) {
            const Bytes block = in.first(std::min<size_t>(in.size(), static_cast<size_t>(unit)));
            const Status put = write_block(disk.top(), codec_, at, block, scratch, options);
            if (!put) return put;
            at += block.size();
            in = in.subspan(block.size());
        }
        return {};
    });
}

Status Medium::zero(uint64_t at, uint64_t length) {
    return change([&](WritableDisk& disk, MutBytes scratch) {
        return vdisk::zero(disk, at, length, scratch);
    });
}

Status Medium::discard(uint64_t at, uint64_t length) {
    return change(
        [&](WritableDisk& disk, MutBytes) { return vdisk::discard(disk.top(), at, length); });
}

std::string Medium::truncate(uint64_t size) {
    auto* const disk = std::get_if<WritableDisk>(&disk_);
    if (disk == nullptr) return "the image is open read-only";
    const bool is_raw = disk->top().format() == Raw::name;
    if (disk->top().format() == Qcow::name) {
        return "Image format driver does not support resize";
    }
    const Status done = is_raw ? disk->top().storage().resize(size) : disk->top().close();
    if (!done) return text::describe(done.error());
    std::string why;
    if (!is_raw) disk_.emplace<WritableDisk>(resize_(std::move(*disk), size, why));
    return why;
}

Status Medium::flush() {
    return change([](WritableDisk& disk, MutBytes) { return disk.top().flush(); });
}

Status Medium::close() {
    return change([](WritableDisk& disk, MutBytes) { return disk.top().close(); });
}

}  // namespace tool
