// SPDX-License-Identifier: BSL-1.0
// vdisk dump: every field of an image's header and lists, also of images that cannot be opened.
#include "dump.hpp"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include <vdisk/storage/load.hpp>
#include <vdisk/text/printable.hpp>

#include "foreign.hpp"
#include "opening.hpp"

namespace tool {

using namespace vdisk;

Cell number_cell(std::string_view name, uint64_t value, int width) {
    return {name, std::to_string(value), value, width};
}
Cell hex_cell(std::string_view name, uint64_t value, int width) {
    return {name, text::hex(value), value, width};
}
Cell text_cell(std::string_view name, std::string text, int width) {
    return {name, std::move(text), {}, width};
}

void Report::fact(std::string_view name, const std::string& text) {
    if (is_json_) json_.value(name, text);
    else std::printf("%s: %s\n", std::string(name).c_str(), text::printable(text).c_str());
}

void Report::fact(std::string_view name, uint64_t number) {
    if (is_json_) {
        json_.value(name, number);
        return;
    }
    std::printf("%s: %s (%" PRIu64 " bytes)\n", std::string(name).c_str(),
                text::human_size(number).c_str(), number);
}

void Report::head(std::span<const Cell> cells) {
    is_open_ = true;
    if (is_json_) {
        json_.open('[', pending_);
        return;
    }
    std::printf("\n%s\n", std::string(pending_).c_str());
    for (const Cell& cell : cells) {
        std::printf("  %*s", cell.width, std::string(cell.name).c_str());
    }
    std::putchar('\n');
}

void Report::row(std::initializer_list<Cell> cells) {
    if (!is_open_) head(cells);
    if (is_json_) json_.open('{');
    std::string line;
    for (const Cell& cell : cells) {
        if (!is_json_) {
            const std::string text = text::printable(cell.text);
            const auto width = static_cast<size_t>(std::abs(cell.width));
            const std::string space(text.size() < width ? width - text.size() : 0, ' ');
            line += "  " + (cell.width < 0 ? text + space : space + text);
        } else if (cell.number) {
            json_.value(cell.name, *cell.number);
        } else if (!cell.text.empty()) {
            json_.value(cell.name, cell.text);
        }
    }
    if (is_json_) {
        json_.close('}');
        return;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    std::puts(line.c_str());
}

void Report::close_section() {
    if (is_open_ && is_json_) json_.close(']');
    is_open_ = false;
}

std::optional<Error> Report::end() {
    close_section();
    if (is_json_) {
        if (error_) json_.value("error", text::describe(*error_));
        json_.close('}');
    }
    std::fflush(stdout);
    return error_;
}

void field_row(Report& report, std::string_view name, uint64_t at, uint64_t size, uint64_t value,
               std::string meaning) {
    Cell hex = text_cell("hex", text::hex(value), 18);
    report.row({hex_cell("offset", at, 6), number_cell("size", size, 4),
                text_cell("name", std::string(name), -23), std::move(hex),
                number_cell("value", value, 20), text_cell("meaning", std::move(meaning))});
}

void text_row(Report& report, std::string_view name, uint64_t at, uint64_t size, std::string text) {
    report.row({hex_cell("offset", at, 6), number_cell("size", size, 4),
                text_cell("name", std::string(name), -23), text_cell("hex", "", 18),
                text_cell("value", "", 20), text_cell("meaning", std::move(text))});
}

namespace {

struct DumpOptions {
    std::string file;
    std::string format;
    std::string output = "human";
};

void dump_qcow(const Storage& file, Report& report) {
    if (file.size() < sizeof(qcow::Header)) return;
    const auto header = load<qcow::Header>(file, 0);
    if (!header) return report.error(header.error());
    report.section("header");
    each_row(*header, [&](std::string_view name, uint64_t at, uint64_t size, uint64_t value) {
        std::string meaning;
        if (name == "size") meaning = text::human_size(value);
        if (name == "cluster_bits" && value < 64) meaning = text::human_size(uint64_t{1} << value);
        if (name == "l2_bits" && value < 64) {
            meaning = std::to_string(uint64_t{1} << value) + " entries in an L2 table";
        }
        if (name == "crypt_method") meaning = value == 0 ? "none" : value == 1 ? "AES" : "unknown";
        field_row(report, name, at, size, value, meaning);
    });
    const Text name{header->backing_file_offset.value(), header->backing_file_size.value()};
    if (name.at == 0) return;
    std::string text(std::min<uint32_t>(name.length, qcow::max_name_length), '\0');
    const auto read = read_text(file, {name.at, static_cast<uint32_t>(text.size())}, text);
    if (!read) return report.error(read.error());
    report.fact("backing-file", text);
}

/// By the magic alone: a header that lies about the rest is what one wants to see.
std::string_view format_by_magic(const Storage& file) {
    const auto is_vhd = [&](vhd::FooterCopy copy) {
        const auto found = vhd::footer::candidate(file, copy);
        return found &&
               (vhd::has_cookie(found->footer) || found->footer.cookie == vhd::poisoned_cookie);
    };
    using enum vhd::FooterCopy;
    if (is_vhd(front) || is_vhd(end) || is_vhd(short_end)) return Vhd::name;
    std::array<byte, 8> start{};
    if (file.size() < start.size() || !file.read(0, start)) return Raw::name;
    if (std::memcmp(start.data(), vhdx::file_signature.data(), start.size()) == 0) {
        return Vhdx::name;
    }
    if (load_be32(start.data()) != qcow2::magic) return Raw::name;
    return load_be32(start.data() + 4) == 1 ? Qcow::name : Qcow2::name;
}

int dump(const DumpOptions& options) {
    const std::string path = local_path(options.file);
    auto opened = open_file(path);
    if (!opened) throw failure(path, opened.error());
    const Storage& file = opened->storage;
    const std::string format(options.format.empty() ? format_by_magic(file) : options.format);
    if (options.format.empty() && format == Raw::name) refuse_foreign(file, path, "-f");
    Report report(options.output == "json");
    report.fact("filename", path);
    report.fact("format", format);
    report.fact("file-size", file.size());
    const auto image = AnyImage::open(format, file, {.purpose = Purpose::metadata});
    if (!image) report.error(image.error());
    if (format == Qcow::name) dump_qcow(file, report);
    if (format == Qcow2::name) dump_qcow2(file, report);
    if (format == Vhd::name) dump_vhd(file, report);
    if (format == Vhdx::name) dump_vhdx(file, report);
    if (const auto error = report.end()) throw failure(path, *error);
    return 0;
}

}  // namespace

void add_dump(CLI::App& app, Command& run) {
    auto options = std::make_shared<DumpOptions>();
    CLI::App* cmd = app.add_subcommand(
        "dump",
        "Shows every field of an image's header and what its lists hold: extensions, names of\n"
        "features, snapshots, bitmaps; of VHD footers, header and paths of the parent; of VHDX\n"
        "headers, regions, metadata and log. Works on damaged images as far as they can be read.");
    cmd->add_option("FILE", options->file, "the image")->required();
    cmd->add_option("-f", options->format, "read it as this format (default: by its magic)")
        ->transform(format_name())
        ->type_name("FMT");
    add_output(*cmd, options->output);
    cmd->footer(
        "Offsets are bytes from the start of the file. Nothing is checked before it is shown; "
        "what\n"
        "is wrong is said at the end, and in the JSON member \"error\".\n\n"
        "Examples:\n"
        "  vdisk dump broken.qcow2\n"
        "  vdisk dump --output=json disk.qcow2 | jq '.header[] | select(.name == \"size\")'\n\n"
        "Exit codes: 0 the image can be opened, 1 something is wrong with it.");
    cmd->callback([options, &run] { run = [options] { return dump(*options); }; });
}

}  // namespace tool
