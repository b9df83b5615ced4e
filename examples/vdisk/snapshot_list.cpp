// SPDX-License-Identifier: BSL-1.0
#include "snapshot_list.hpp"

#include <cinttypes>
#include <cstdio>
#include <ctime>

#include <vdisk/text/printable.hpp>
#include <vdisk/text/size.hpp>

namespace tool {

using namespace vdisk;

namespace {

std::string local_time(uint32_t date_sec) {
    const std::time_t date = date_sec;
    std::tm fields{};
    char line[32] = "";
    if (::localtime_r(&date, &fields) != nullptr) {
        std::strftime(line, sizeof line, "%Y-%m-%d %H:%M:%S", &fields);
    }
    return line;
}

}  // namespace

void print_snapshot_heading() {
    std::printf("Snapshot list:\n%-10s%-17s%8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE",
                "VM CLOCK", "ICOUNT");
}

void print_snapshot(const qcow2::Snapshot& s, const std::string& id, const std::string& name) {
    const uint64_t msec = s.vm_clock_nsec / 1'000'000;
    char clock[48];
    std::snprintf(clock, sizeof clock, "%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 ".%03" PRIu64,
                  msec / 3'600'000, msec / 60'000 % 60, msec / 1000 % 60, msec % 1000);
    const std::string icount = s.icount == ~uint64_t{0} ? "" : std::to_string(s.icount);
    std::printf("%-9s %-16s %8s%20s%13s%11s\n", text::printable(id).c_str(),
                text::printable(name).c_str(), text::human_size(s.vm_state_size).c_str(),
                local_time(s.date_sec).c_str(), clock, icount.c_str());
}

}  // namespace tool
