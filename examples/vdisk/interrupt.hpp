// SPDX-License-Identifier: BSL-1.0
// Ctrl-C and its kin: the work stops at the next stripe, and what was begun is removed.
#pragma once

namespace tool {

/// From here on SIGINT, SIGTERM, SIGHUP and SIGPIPE only set a flag. Those that whoever started
/// the tool has set to "ignore" stay ignored.
void catch_interrupts();

/// The signal that came, or 0. May be asked in any thread.
int interrupted();

/// Throws Failure (exit code 128 + signal, as a shell would say it) if a signal came.
void check_interrupt();

}  // namespace tool
