// SPDX-License-Identifier: BSL-1.0
// vdisk check: is an image sound, and can it be made so?
#include <cinttypes>
#include <cstdio>
#include <memory>
#include <unordered_map>

#include <vdisk/format/qcow2/repair.hpp>
#include <vdisk/format/vhd/repair.hpp>
#include <vdisk/format/vhdx/repair.hpp>
#include <vdisk/text/json.hpp>

#include "closed.hpp"

namespace tool {

using namespace vdisk;

namespace {

constexpr int not_completed = 1, has_corruptions = 2, has_leaks = 3, has_no_checks = 63;

struct CheckOptions {
    Input input;
    std::string output = "human";
    std::string repair;  ///< "leaks", "all", or empty
    std::string cache;
    bool quiet = false;
};

/// A line on standard error, where JSON is not disturbed.
void print(const Problem& problem) {
    std::string_view what = problem.what;
    what.remove_prefix(what.find(": ") == what.npos ? 0 : what.find(": ") + 2);
    const char* kind = problem.flaw == Flaw::leak         ? "leak: "
                       : problem.flaw == Flaw::corruption ? "corruption: "
                                                          : "not checked: ";
    std::string line = kind + std::string(what);
    std::string where;
    const auto add = [&where](const char* name, uint64_t value) {
        if (value == Error::none) return;
        where += (where.empty() ? "" : ", ") + std::string(name) + text::hex(value);
    };
    add("value ", problem.value);
    add("should be ", problem.wanted);
    add("at offset ", problem.at);
    if (!where.empty()) line += " (" + where + ")";
    if (problem.times > 1) line += ", counts " + std::to_string(problem.times) + " times";
    std::fprintf(stderr, "%s\n", line.c_str());
}

/// Tells everything, and counts the copied flags that are wrong only because a refcount is: with it
/// they are right again, and nobody mends them.
class Teller {
public:
    void tell(const Problem& problem) {
        print(problem);
        if (problem.wanted == Error::none || problem.value == Error::none) return;
        if (const auto known = wanted_.find(host_of(problem)); known != wanted_.end()) {
            const bool copied = (problem.value & qcow2::entry::copied) != 0;
            if (copied == (known->second == 1)) ++followers_;
        } else if (!is_flag(problem)) {
            wanted_.emplace(problem.at, problem.wanted);
        }
    }
    [[nodiscard]] uint64_t followers() const { return followers_; }

private:
    static bool is_flag(const Problem& problem) {
        return (problem.value ^ problem.wanted) == qcow2::entry::copied;
    }
    static uint64_t host_of(const Problem& problem) {
        return is_flag(problem) ? problem.value & qcow2::entry::offset_mask : Error::none;
    }

    std::unordered_map<uint64_t, uint64_t> wanted_;  ///< refcounts, by the offset of the cluster
    uint64_t followers_ = 0;
};

/// What is told of an image, whatever its format.
struct Figures {
    uint64_t corruptions = 0, leaks = 0, check_errors = 0;
    uint64_t image_end = 0;
    uint64_t total = 0, allocated = 0, fragmented = 0, compressed = 0;  ///< of its units
    const char* units = "clusters";

    [[nodiscard]] bool is_clean() const { return corruptions + leaks + check_errors == 0; }
};

Figures figures_of(const qcow2::CheckReport& r) {
    return {r.corruptions,         r.leaks,
            r.check_errors,        r.image_end,
            r.total_clusters,      r.allocated_clusters,
            r.fragmented_clusters, r.compressed_clusters};
}
Figures figures_of(const BlockReport& r) {
    return {r.corruptions,
            r.leaks,
            r.check_errors,
            r.image_end,
            r.total_blocks,
            r.allocated_blocks,
            r.fragmented_blocks,
            0,
            "blocks"};
}

/// The answer, and what was mended before.
struct Outcome {
    std::string format;
    Figures figures;
    uint64_t leaks_fixed = 0;
    uint64_t corruptions_fixed = 0;
};

/// `check(storage, visit)` and `repair(storage, what, visit)` are those of the format.
template <class Check, class Repairs>
Outcome look(const CheckOptions& options, Top& top, Check check, Repairs repair) {
    if (options.repair.empty()) {
        const auto report = check(top.file.storage, print);
        if (!report) throw failure(top.file.origin.path, report.error(), not_completed);
        return {.format = top.format, .figures = figures_of(*report)};
    }
    const auto what = options.repair == "all" ? Repair::all : Repair::leaks;
    Teller teller;
    const auto visit = [&teller](const Problem& problem) { teller.tell(problem); };
    const auto report = repair(top.file.storage, what, visit);
    if (!report) throw failure(top.file.origin.path, report.error(), not_completed);
    const uint64_t fixed = report->corruptions_fixed();
    const uint64_t followers = fixed == 0 ? 0 : teller.followers();
    return {top.format, figures_of(report->after), report->leaks_fixed(),
            fixed > followers ? fixed - followers : fixed};
}

Outcome look_qcow2(const CheckOptions& options, Top& top) {
    return look(
        options, top, [](auto& s, auto visit) { return qcow2::check_image(s, Heap{}, visit); },
        [](auto& s, Repair what, auto visit) { return qcow2::repair(s, what, Heap{}, visit); });
}
Outcome look_vhd(const CheckOptions& options, Top& top) {
    return look(
        options, top, [](auto& s, auto visit) { return vhd::check_image(s, Heap{}, visit); },
        [](auto& s, Repair what, auto visit) { return vhd::repair(s, what, Heap{}, visit); });
}
Outcome look_vhdx(const CheckOptions& options, Top& top) {
    return look(
        options, top, [](auto& s, auto visit) { return vhdx::check_image(s, Heap{}, visit); },
        [](auto& s, Repair what, auto visit) {
            return vhdx::repair(s, what, Heap{}, SystemIds{}, visit);
        });
}

struct Checker {
    std::string_view format;
    Outcome (*look)(const CheckOptions& options, Top& top);
};
constexpr Checker checkers[] = {
    {Qcow2::name, look_qcow2}, {Vhd::name, look_vhd}, {Vhdx::name, look_vhdx}};

Outcome look(const CheckOptions& options) {
    Top top =
        options.repair.empty() ? open_top(options.input) : open_top_for_writing(options.input);
    for (const Checker& checker : checkers) {
        if (checker.format == top.format) return checker.look(options, top);
    }
    throw Failure{options.input.file + ": This image format does not support checks",
                  has_no_checks};
}

// Members that are 0 are left out, and in which order the others stand is as in qemu-img 7.2.
void print_json(const CheckOptions& options, const Outcome& found) {
    text::Json json(stdout);
    const auto value = [&json](const char* name, uint64_t number) {
        if (number != 0) json.value(name, number);
    };
    const Figures& report = found.figures;
    json.open('{');
    value("image-end-offset", report.image_end);
    value("compressed-clusters", report.compressed);
    value("total-clusters", report.total);
    json.value("check-errors", report.check_errors);
    value("corruptions", report.corruptions);
    value("leaks", report.leaks);
    value("fragmented-clusters", report.fragmented);
    value("allocated-clusters", report.allocated);
    json.value("filename", options.input.file);
    json.value("format", found.format);
    value("leaks-fixed", found.leaks_fixed);
    value("corruptions-fixed", found.corruptions_fixed);
    json.close('}');
}

void print_repaired(const Outcome& found) {
    if (found.leaks_fixed + found.corruptions_fixed == 0) return;
    std::puts("The following inconsistencies were found and repaired:\n");
    if (found.leaks_fixed != 0)
        std::printf("    %" PRIu64 " leaked %s\n", found.leaks_fixed, found.figures.units);
    if (found.corruptions_fixed != 0)
        std::printf("    %" PRIu64 " corruptions\n", found.corruptions_fixed);
    std::puts("\nDouble checking the fixed image now...");
}

void print_human(const Outcome& found) {
    const Figures& report = found.figures;
    print_repaired(found);
    if (report.is_clean()) std::puts("No errors were found on the image.");
    if (report.corruptions != 0)
        std::printf("\n%" PRIu64
                    " errors were found on the image.\nData may be corrupted, or further writes "
                    "to the image may corrupt it.\n",
                    report.corruptions);
    if (report.leaks != 0)
        std::printf("\n%" PRIu64
                    " leaked %s were found on the image.\nThis means waste of disk space, "
                    "but no harm to data.\n",
                    report.leaks, report.units);
    if (report.check_errors != 0)
        std::printf("\n%" PRIu64 " internal errors have occurred during the check.\n",
                    report.check_errors);
    if (report.allocated != 0) {
        const auto percent = [](uint64_t part, uint64_t whole) {
            return whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole);
        };
        const uint64_t allocated = report.allocated;
        std::printf("%" PRIu64 "/%" PRIu64
                    " = %.2f%% allocated, %.2f%% fragmented, %.2f%% compressed %s\n",
                    allocated, report.total, percent(allocated, report.total),
                    percent(report.fragmented, allocated), percent(report.compressed, allocated),
                    report.units);
    }
    if (report.image_end != 0) std::printf("Image end offset: %" PRIu64 "\n", report.image_end);
}

int check_file(const CheckOptions& options) {
    const Outcome found = look(options);
    if (!options.quiet) {
        if (options.output == "json") print_json(options, found);
        else print_human(found);
    }
    if (found.figures.check_errors != 0) {
        throw Failure{options.input.file + ": Check failed", not_completed};
    }
    if (found.figures.corruptions != 0) return has_corruptions;
    return found.figures.leaks != 0 ? has_leaks : 0;
}

}  // namespace

void add_check(CLI::App& app, Command& run) {
    auto options = std::make_shared<CheckOptions>();
    CLI::App* cmd = app.add_subcommand(
        "check",
        "Tells whether a qcow2, VHD or VHDX image is sound: every pointer, every refcount, every\n"
        "block; and repairs it.\n"
        "Opens that one file only.");
    add_closed(*cmd, options->input);
    cmd->add_flag("-U,--force-share", options->input.shared,
                  "check the image although another process writes to it");
    cmd->add_flag_callback(
        "--ignore-checksums", [] {}, "accepted: wrong checksums are told, and hinder nothing");
    add_output(*cmd, options->output);
    cmd->add_option("-r", options->repair,
                    "repair: leaks (space that nothing uses), or all that is wrong")
        ->check(CLI::IsMember({"leaks", "all"}))
        ->type_name("WHAT");
    cmd->add_option("-T", options->cache, "accepted and ignored")->type_name("CACHE");
    cmd->add_flag("-q", options->quiet, "show nothing but what is wrong");
    cmd->footer(
        "What is wrong is told line by line on standard error. A leak is harmless. A corruption "
        "is\n"
        "not: guest data is lost, or the next write may destroy some. A VHDX log that waits is a\n"
        "corruption that any -r helps: it is replayed. -r all never invents data: what cannot be\n"
        "read any more becomes zeros, so copy the file before. A repair that was interrupted is\n"
        "simply done again.\n\n"
        "Examples:\n"
        "  vdisk check disk.qcow2\n"
        "  vdisk check -r leaks disk.qcow2\n\n"
        "Exit codes: 0 sound, 1 the check could not be completed, 2 corruptions, 3 leaks only, 63\n"
        "this format has no checks.");
    cmd->callback([options, &run] { run = [options] { return check_file(*options); }; });
}

}  // namespace tool
