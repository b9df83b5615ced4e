// SPDX-License-Identifier: BSL-1.0
#include "picture.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include <sys/ioctl.h>
#include <unistd.h>

#include <vdisk/text/printable.hpp>

namespace tool {

using namespace vdisk;

namespace {

// What a cell can show: data and compressed data of the top image, data of images below (one kind
// for each depth up to 9, one for all the rest), zeros, nothing.
constexpr size_t of_data = 0, of_compressed = 1, below = 2, deepest = 10;
constexpr size_t of_zeros = below + deepest, of_nothing = of_zeros + 1, kinds = of_nothing + 1;
using Amounts = std::array<uint64_t, kinds>;

constexpr const char* signs[kinds] = {"█", "▓", "1", "2", "3", "4", "5",
                                      "6", "7", "8", "9", "+", "░", "·"};
// Sequences of ECMA-48 (SGR): colours from the 256-colour palette. Below: black on a background.
constexpr const char* colors[kinds] = {"38;5;39",          "38;5;141",         "38;5;16;48;5;114",
                                       "38;5;16;48;5;150", "38;5;16;48;5;186", "38;5;16;48;5;222",
                                       "38;5;16;48;5;216", "38;5;16;48;5;210", "38;5;16;48;5;174",
                                       "38;5;16;48;5;139", "38;5;16;48;5;109", "38;5;16;48;5;145",
                                       "38;5;244",         "38;5;240"};

constexpr unsigned max_rows = 16;
constexpr unsigned margin = 13;  // columns left and right of the cells

size_t kind_of(const BlockStatus& status) {
    if (status.zero) return status.present ? of_zeros : of_nothing;
    if (status.depth > 0) return below + std::min<size_t>(status.depth, deepest) - 1;
    return status.compressed ? of_compressed : of_data;
}

/// What most of a cell is; as long as there is any data in it, a kind of data.
size_t dominating(const Amounts& amounts) {
    const auto first = amounts.begin();
    const auto most_data = std::max_element(first, first + of_zeros);
    if (*most_data > 0) return static_cast<size_t>(most_data - first);
    return amounts[of_zeros] >= amounts[of_nothing] ? of_zeros : of_nothing;
}

unsigned terminal_width() {
    winsize window{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0) {
        return window.ws_col;
    }
    const char* columns = std::getenv("COLUMNS");
    const unsigned long width = columns != nullptr ? std::strtoul(columns, nullptr, 10) : 0;
    return width > 0 && width <= 1000 ? static_cast<unsigned>(width) : 80;
}

/// Cells in a row: a multiple of 8 or 16, so that rows begin at round numbers.
unsigned columns_in(unsigned width) {
    const unsigned room = width > margin + 8 ? width - margin : 8;
    return room & (room < 32 ? ~7u : ~15u);
}

bool wants_color(const std::string& when) {
    if (when != "auto") return when == "always";
    const char* no_color = std::getenv("NO_COLOR");
    if (no_color != nullptr && *no_color != '\0') return false;
    const char* terminal = std::getenv("TERM");
    if (terminal != nullptr && std::string_view(terminal) == "dumb") return false;
    return ::isatty(STDOUT_FILENO) == 1;
}

/// Collects the extents of a disk in order into cells of 2^bits bytes.
class Cells {
public:
    Cells(uint64_t length, unsigned columns) : length_(length) {
        bits_ = 9;
        while (blocks(length, bits_) > uint64_t{columns} * max_rows) ++bits_;
        shown_.reserve(static_cast<size_t>(blocks(length, bits_)));
    }

    void add(uint64_t at, uint64_t length, size_t kind) {
        total_[kind] += length;
        while (length > 0) {
            const uint64_t end = std::min(length_, ((at >> bits_) + 1) << bits_);
            const uint64_t part = std::min(length, end - at);
            cell_[kind] += part;
            at += part;
            length -= part;
            if (at != end) continue;
            shown_.push_back(static_cast<uint8_t>(dominating(cell_)));
            cell_ = {};
        }
    }

    [[nodiscard]] unsigned bits() const { return bits_; }
    [[nodiscard]] const std::vector<uint8_t>& shown() const { return shown_; }
    [[nodiscard]] const Amounts& total() const { return total_; }

private:
    uint64_t length_;
    unsigned bits_ = 9;
    std::vector<uint8_t> shown_;  ///< the kind of every finished cell
    Amounts cell_{};              ///< the cell that is being filled
    Amounts total_{};
};

/// Writes cells; changes the colour only where the kind changes.
class Brush {
public:
    explicit Brush(bool colored) : colored_(colored) {}

    void draw(size_t kind) {
        if (colored_ && kind != last_) std::printf("\x1b[0;%sm", colors[kind]);
        last_ = kind;
        std::fputs(signs[kind], stdout);
    }
    void lift() {
        if (colored_ && last_ != kinds) std::fputs("\x1b[0m", stdout);
        last_ = kinds;
    }

private:
    bool colored_;
    size_t last_ = kinds;
};

void line_of(const char* left, const char* right, unsigned columns) {
    std::printf("%*s%s", static_cast<int>(margin) - 3, "", left);
    for (unsigned i = 0; i < columns; ++i) std::fputs("─", stdout);
    std::printf("%s\n", right);
}

void draw_rows(const Cells& cells, uint64_t start, unsigned columns, Brush& brush) {
    const auto& shown = cells.shown();
    line_of("┌", "┐", columns);
    for (size_t row = 0; row < shown.size(); row += columns) {
        const uint64_t at = start + (uint64_t{row} << cells.bits());
        std::printf("%9s │", at == 0 ? "0" : text::human_size(at).c_str());
        const size_t end = std::min<size_t>(row + columns, shown.size());
        for (size_t i = row; i < end; ++i) brush.draw(shown[i]);
        brush.lift();
        std::printf("%*s│\n", static_cast<int>(row + columns - end), "");
    }
    line_of("└", "┘", columns);
}

std::string meaning(size_t kind, const Disk& disk) {
    if (kind == of_data) return "data";
    if (kind == of_compressed) return "compressed data";
    if (kind == of_zeros) return "zeros, holes included";
    if (kind == of_nothing) return "nothing, reads as zeros";
    const size_t depth = kind - below + 1;
    if (depth == deepest) return "data from images further down";
    const std::string& path = disk.layers()[depth].origin.path;
    return "data from " + text::printable(std::filesystem::path(path).filename().string());
}

void draw_legend(const Cells& cells, const Disk& disk, uint64_t length, Brush& brush) {
    for (size_t kind = 0; kind < kinds; ++kind) {
        const uint64_t amount = cells.total()[kind];
        if (amount == 0) continue;
        const double percent = 100.0 * static_cast<double>(amount) / static_cast<double>(length);
        std::printf("%*s", static_cast<int>(margin) - 2, "");
        brush.draw(kind);
        brush.draw(kind);
        brush.lift();
        char share[16];
        std::snprintf(share, sizeof share, percent < 0.05 ? "< 0.1" : "%.1f", percent);
        std::printf("  %9s  %5s %%  %s\n", text::human_size(amount).c_str(), share,
                    meaning(kind, disk).c_str());
    }
}

}  // namespace

void print_picture(const Disk& disk, const PictureOptions& options) {
    const uint64_t length = options.end > options.start ? options.end - options.start : 0;
    const unsigned width = options.width != 0 ? options.width : terminal_width();
    const unsigned columns = columns_in(width);
    Cells cells(length, columns);
    Survey survey(disk);
    const auto walked = survey.walk(options.start, length, [&](uint64_t at, const BlockStatus& s) {
        cells.add(at - options.start, s.length, kind_of(s));
    });
    if (!walked) throw failure(options.title, walked.error());

    Brush brush(wants_color(options.color));
    const std::string cell = text::human_size(uint64_t{1} << cells.bits());
    std::printf("%*s%s: %s%s, one cell is %s\n", static_cast<int>(margin) - 3, "",
                text::printable(options.title).c_str(), text::human_size(length).c_str(),
                length < disk.size() ? " of it" : "", cell.c_str());
    draw_rows(cells, options.start, columns, brush);
    draw_legend(cells, disk, length, brush);
}

}  // namespace tool
