// SPDX-License-Identifier: BSL-1.0
// How dumps are shown: sections of rows, as tables for people or as JSON for programs.
#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <vdisk/text/json.hpp>

#include "tool.hpp"

namespace tool {

/// One value of a row: text, or a number, which `text` shows to people.
struct Cell {
    std::string_view name;  ///< of the JSON member
    std::string text;
    std::optional<uint64_t> number = {};
    int width = 0;  ///< of the column; negative: to the left
};

Cell number_cell(std::string_view name, uint64_t value, int width);
Cell hex_cell(std::string_view name, uint64_t value, int width);
Cell text_cell(std::string_view name, std::string text, int width = 0);

/// Writes the dump of one file. Sections appear only if they have rows.
class Report {
public:
    explicit Report(bool is_json) : json_(stdout), is_json_(is_json) {
        if (is_json_) json_.open('{');
    }

    /// A fact about the whole file.
    void fact(std::string_view name, const std::string& text);
    void fact(std::string_view name, uint64_t number);

    /// Starts a section; its rows follow.
    void section(std::string_view name) {
        close_section();
        pending_ = name;
    }
    void row(std::initializer_list<Cell> cells);

    /// Notes that something is wrong; the first error counts.
    void error(const vdisk::Error& error) {
        if (!error_) error_ = error;
    }

    /// Ends the output and returns the first error.
    std::optional<vdisk::Error> end();

private:
    void close_section();
    void head(std::span<const Cell> cells);

    vdisk::text::Json json_;
    bool is_json_;
    bool is_open_ = false;
    std::string_view pending_;
    std::optional<vdisk::Error> error_;
};

/// Everything a qcow2 file says about itself, however wrong it is.
void dump_qcow2(const Storage& file, Report& report);

/// Both footers, the header and its locators, and the paths they lead to.
void dump_vhd(const Storage& file, Report& report);

/// Headers, and what lies behind the log: region table, metadata, how many blocks are there; what
/// the log says.
void dump_vhdx(const Storage& file, Report& report);
void dump_vhdx_log(const Storage& file, Report& report);

/// Calls `row(name, at, size, value)` for every field that `each_field(header, visit)` visits.
template <class Header, class Row>
void each_row(const Header& header, Row row) {
    each_field(header, [&](std::string_view name, const auto& field) {
        const auto at = static_cast<uint64_t>(reinterpret_cast<const vdisk::byte*>(&field) -
                                              reinterpret_cast<const vdisk::byte*>(&header));
        if constexpr (requires { field.value(); }) {
            row(name, at, sizeof field, uint64_t{field.value()});
        } else {
            row(name, at, sizeof field, uint64_t{field});
        }
    });
}

/// Adds a header field to the section.
void field_row(Report& report, std::string_view name, uint64_t at, uint64_t size, uint64_t value,
               std::string meaning);
/// One that is no number: its text stands where the meaning does.
void text_row(Report& report, std::string_view name, uint64_t at, uint64_t size, std::string text);

}  // namespace tool
