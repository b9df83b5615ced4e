// SPDX-License-Identifier: BSL-1.0
// The command line as a whole: what is wrong with it is said in one line, with a hint.
#pragma once

#include "tool.hpp"

namespace tool {

/// What holds for the options of all commands: the last of several counts, and flags take no value.
/// Options of qemu-img that are not supported say so.
void settle_options(CLI::App& command);

/// Prints the help that was asked for, or what is wrong; returns the exit code.
int answer_parse_error(const CLI::App& app, const CLI::App* command, const CLI::ParseError& error);

}  // namespace tool
