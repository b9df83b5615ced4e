// SPDX-License-Identifier: BSL-1.0
// Ctrl-C and its kin: the work stops at the next stripe, and what was begun is removed.
#pragma once

#include "tool.hpp"

namespace tool {

/// From here on SIGINT, SIGTERM, SIGHUP and SIGPIPE only set a flag. Those that whoever started
/// the tool has set to "ignore" stay ignored.
void catch_interrupts();

/// The signal that came, or 0. May be asked in any thread.
int interrupted();

/// Throws Failure (exit code 128 + signal, as a shell would say it) if a signal came.
void check_interrupt();

/// A file that takes no more once a signal came: long writes end soon.
class InterruptibleFile : public Storage {
public:
    explicit InterruptibleFile(Storage file) : Storage(std::move(file)) {}

    vdisk::Status write(uint64_t at, vdisk::Bytes in) {
        if (interrupted() != 0) return stopped();
        return Storage::write(at, in);
    }
    vdisk::Status reserve(uint64_t at, uint64_t length);

private:
    static vdisk::Status stopped() { return vdisk::fail(vdisk::Errc::io, "interrupted"); }
};

}  // namespace tool
