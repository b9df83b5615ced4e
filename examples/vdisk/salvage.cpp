// SPDX-License-Identifier: BSL-1.0
#include "salvage.hpp"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>

#include <vdisk/text/error.hpp>

namespace tool {

using namespace vdisk;

Extent Salvage::unknown(uint64_t at, uint64_t length) {
    constexpr uint64_t step = 64_KiB;  // most often a cluster
    return {.kind = Kind::data, .length = std::min(length, step - at % step)};
}

Status Salvage::read(uint64_t at, MutBytes out, const Read& read) {
    uint64_t lost = 0;  // bytes before `at`, for one reason
    Error reason;
    const auto tell = [&] {
        if (lost != 0) warn(at - lost, lost, reason);
        lost = 0;
    };
    while (!out.empty()) {
        const MutBytes sector =
            out.first(std::min<size_t>(out.size(), static_cast<size_t>(512 - at % 512)));
        if (const Status got = read(at, sector); !got) {
            if (got.error().code == Errc::no_memory) return got;
            if (std::strcmp(got.error().what, reason.what) != 0) tell();
            reason = got.error();
            lost += sector.size();
            std::fill(sector.begin(), sector.end(), byte{0});
        } else {
            tell();
        }
        at += sector.size();
        out = out.subspan(sector.size());
    }
    tell();
    return {};
}

void Salvage::warn(uint64_t at, uint64_t length, const Error& error) {
    if (quiet_) return;
    const std::lock_guard lock(mutex_);
    std::fprintf(stderr,
                 "vdisk: warning: error while reading offset %" PRIu64 ", %" PRIu64
                 " bytes are zeros: %s\n",
                 at, length, text::describe(error).c_str());
}

}  // namespace tool
