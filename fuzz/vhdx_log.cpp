// SPDX-License-Identifier: BSL-1.0
// Fuzz target: the log of a VHDX file alone. Read without replaying it, the file must be what the
// replay makes of it.
#include "vhdx_log.hpp"

using namespace vdisk;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static fuzz::Sheet before;
    const Bytes input = fuzz::bytes_of(data, size);
    fuzz::unfold(input, before, fuzz::Use::change);
    fuzz::seal_all(before);
    if (!vhdx::check_identifier(before)) return 0;
    const auto header = vhdx::find_header(before);
    if (!header) return 0;
    const auto log = vhdx::check(*header, before.size());
    if (!log || log->guid.is_nil()) return 0;
    const auto active = vhdx::find_active(before, *log, fuzz::Rationed{});
    vhdx::Overlay overlay(fuzz::Rationed{});
    const bool read = active && overlay.load(Borrowed(before), *log, *active);
    fuzz::Sheet& file = fuzz::vhdx_file(input, fuzz::Use::change);
    const Status replayed = vhdx::replay(file, fuzz::Rationed{}, SeededIds(1));
    const bool is_last = header->header.sequence_number.value() >> 63 != 0;
    const Errc refusal = replayed.error().code;
    fuzz::require(
        !read || replayed || refusal == Errc::no_space || (is_last && refusal == Errc::limit),
        "a log that can be read cannot be replayed");
    if (!read || !replayed) return 0;
    const auto seen = overlay.over(MemoryStorage(before.bytes()));
    fuzz::require(seen.size() == file.size(), "the replay makes a file of another length");
    file.each_written([&](uint64_t at) { fuzz::compare(file, seen, at); });
    return int(!vhdx::each_update(before, *log, *active, [&](const vhdx::Update& update) {
        fuzz::compare(file, seen, update.at);
        return Status{};
    }));
}
