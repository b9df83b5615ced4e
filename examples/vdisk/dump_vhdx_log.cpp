// SPDX-License-Identifier: BSL-1.0
// The dump of a VHDX log: the entries that wait to be replayed, and what they would change.
#include <vdisk/allocation/heap.hpp>
#include <vdisk/format/vhdx/log.hpp>

#include "dump.hpp"

namespace tool {

using namespace vdisk;

namespace {

vdisk::Status dump_entries(const Storage& file, const vhdx::Log& log, const vhdx::ActiveLog& active,
                           Report& report) {
    report.section("log");
    uint64_t at = active.tail;
    for (uint64_t n = 0; n < active.entries; ++n) {
        const auto e = load<vhdx::LogEntryHeader>(file, log.at + at);
        if (!e) return e.error();
        report.row({hex_cell("offset", log.at + at, 9),
                    number_cell("length", e->entry_length.value(), 7),
                    number_cell("sequence_number", e->sequence_number.value(), 20),
                    hex_cell("tail", e->tail.value(), 9),
                    number_cell("descriptors", e->descriptor_count.value(), 11),
                    hex_cell("flushed_file_offset", e->flushed_file_offset.value(), 19),
                    hex_cell("last_file_offset", e->last_file_offset.value(), 16)});
        at += e->entry_length.value();
        if (at >= log.length) at -= log.length;
    }
    return {};
}

vdisk::Status dump_updates(const Storage& file, const vhdx::Log& log, const vhdx::ActiveLog& active,
                           Report& report) {
    report.section("log-updates");
    return vhdx::each_update(file, log, active, [&](const vhdx::Update& update) -> vdisk::Status {
        report.row({hex_cell("offset", update.at, 14), number_cell("length", update.length, 12),
                    text_cell("kind", update.is_zero ? "zeros" : "data")});
        return {};
    });
}

}  // namespace

void dump_vhdx_log(const Storage& file, Report& report) {
    const auto header = vhdx::find_header(file);
    if (!header) return;
    const auto log = vhdx::check(*header, file.size());
    if (!log || log->guid.is_nil()) return;
    const auto active = vhdx::find_active(file, *log, Heap{});
    if (!active) return;
    vdisk::Status done = dump_entries(file, *log, *active, report);
    if (done) done = dump_updates(file, *log, *active, report);
    if (!done) report.error(done.error());
}

}  // namespace tool
