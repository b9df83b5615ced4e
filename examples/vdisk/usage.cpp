// SPDX-License-Identifier: BSL-1.0
#include "usage.hpp"

#include <cstdio>

#include <vdisk/text/printable.hpp>

namespace tool {

namespace {

/// An option of qemu-img that this tool lacks.
struct Missing {
    std::string_view command;  ///< empty: all of them
    const char* option;
    const char* why;
};

constexpr Missing missing[] = {
    {"", "--object", "secrets and other objects are not supported"},
    {"", "--image-opts", "images are given as the name of a file and -f"},
    {"convert", "--target-image-opts", "OUT is given as the name of a file"},
    {"convert", "-r", "the rate cannot be limited"},
    {"commit", "-r", "the rate cannot be limited"},
    {"convert", "-C", "copies are never offloaded to the storage"},
};

std::string problem(const CLI::App& app, const CLI::App* command, const CLI::ParseError& error) {
    if (command == nullptr) {
        const auto words = app.remaining();
        return words.empty() ? "the command is missing" : "unrecognized option '" + words[0] + "'";
    }
    // What is not understood is told before what is missing.
    for (const std::string& word : command->remaining()) {
        if (command->get_allow_extras()) break;
        const bool is_option = word.size() > 1 && word[0] == '-';
        return (is_option ? "unrecognized option '" : "unexpected argument '") + word + "'";
    }
    const std::string_view what = error.what();
    if (const size_t at = what.find(" was given a disallowed flag override"); at != what.npos) {
        return "option '--" + std::string(what.substr(0, at)) + "' takes no value";
    }
    if (const size_t at = what.find(": 1 required"); at != what.npos) {
        return "option '" + std::string(what.substr(0, at)) + "' requires an argument";
    }
    return error.what();
}

}  // namespace

void settle_options(CLI::App& command) {
    for (const Missing& m : missing) {
        if (!m.command.empty() && m.command != command.get_name()) continue;
        command
            .add_option_function<std::string>(
                m.option,
                [&m](const std::string&) {
                    throw Failure{std::string(m.option) + " is not supported: " + m.why};
                })
            ->expected(0, 1)
            ->group("");
    }
    for (CLI::Option* option : command.get_options()) {
        if (option->get_expected_max() == 0) {
            option->disable_flag_override();
        } else if (option->get_multi_option_policy() == CLI::MultiOptionPolicy::Throw) {
            option->take_last();
        }
    }
}

int answer_parse_error(const CLI::App& app, const CLI::App* command, const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    const std::string name = command == nullptr ? "" : command->get_name() + " ";
    std::fprintf(stderr, "vdisk: %s\nTry 'vdisk %s--help'\n",
                 vdisk::text::printable(problem(app, command, error)).c_str(), name.c_str());
    return 1;
}

}  // namespace tool
