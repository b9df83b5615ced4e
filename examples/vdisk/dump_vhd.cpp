// SPDX-License-Identifier: BSL-1.0
// The dump of a VHD file: nothing from it is trusted, so every read is bounded by the file.
#include <vdisk/format/vhd/locators.hpp>
#include <vdisk/storage/load.hpp>

#include "dump.hpp"
#include "ids.hpp"

namespace tool {

using namespace vdisk;

namespace {

std::string letters(std::span<const char> text) {
    std::string out(text.data(), text.size());
    while (!out.empty() && (out.back() == '\0' || out.back() == ' ')) out.pop_back();
    return out;
}

std::string letters_of(uint32_t code) {
    std::string out;
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(code >> shift & 0xFF);
    return letters(out);
}

std::string unicode(std::span<const byte> units, ByteOrder order) {
    std::string out(units.size() * 2, '\0');
    const auto text = utf8_from_utf16(units, order, out);
    return text ? std::string(*text) : "not UTF-16";
}

std::string type_name(uint64_t type) {
    constexpr const char* names[] = {"none", "reserved", "fixed", "dynamic", "differencing"};
    return type < 5 ? names[type] : "unknown";
}

template <class T>
std::string meaning(const T& structure, std::string_view name, uint64_t value) {
    if (name == "disk_type") return type_name(value);
    if (name == "current_size" || name == "original_size" || name == "block_size") {
        return text::human_size(value);
    }
    if (name == "data_offset" && value == vhd::no_offset) return "none";
    if (name == "platform_code") return letters_of(static_cast<uint32_t>(value));
    if constexpr (requires { structure.checksum; }) {
        if (name == "checksum") {
            const uint32_t right = vhd::checksum(structure);
            return right == value ? "right" : "wrong, not " + text::hex(right);
        }
    }
    return {};
}

/// All fields of what was found at `at` of the file, in a section of this name.
template <class T>
void section(Report& report, std::string_view name, const T& structure, uint64_t at) {
    report.section(name);
    each_field(structure, [&]<class F>(std::string_view field, const F& value) {
        const auto offset = at + static_cast<uint64_t>(reinterpret_cast<const byte*>(&value) -
                                                       reinterpret_cast<const byte*>(&structure));
        if constexpr (std::same_as<F, Guid>) {
            text_row(report, field, offset, sizeof value, text_of(value));
        } else if constexpr (requires { value.value(); }) {
            field_row(report, field, offset, sizeof value, value.value(),
                      meaning(structure, field, value.value()));
        } else if constexpr (std::integral<F>) {
            field_row(report, field, offset, sizeof value, value, "");
        } else if constexpr (std::same_as<typename F::value_type, char>) {
            text_row(report, field, offset, sizeof value, letters(value));
        } else {
            text_row(report, field, offset, sizeof value, unicode(value, ByteOrder::big));
        }
    });
}

/// The footer there; nothing if there is none.
std::optional<vhd::Footer> footer(const Storage& file, Report& report, std::string_view name,
                                  vhd::FooterCopy copy) {
    const auto found = vhd::footer::candidate(file, copy);
    if (!found) report.error(found.error());
    if (!found ||
        !(vhd::has_cookie(found->footer) || found->footer.cookie == vhd::poisoned_cookie)) {
        return std::nullopt;
    }
    section(report, name, found->footer, found->at);
    return found->footer;
}

void paths(const Storage& file, const vhd::DynamicHeader& header, Report& report) {
    report.section("parent-paths");
    for (const vhd::ParentLocator& locator : header.parent_locators) {
        const uint32_t code = locator.platform_code.value();
        const uint64_t at = locator.platform_data_offset.value();
        const uint32_t length = locator.platform_data_length.value();
        if (code == vhd::platform::none) continue;
        std::string text = "not in the file";
        if (length <= vhd::max_locator_bytes && fits(at, length, file.size())) {
            std::string raw(length, '\0');
            const MutBytes bytes = std::as_writable_bytes(std::span(raw));
            if (const vdisk::Status read = file.read(at, bytes); !read) report.error(read.error());
            const bool wide = code == vhd::platform::w2ru || code == vhd::platform::w2ku;
            text = wide ? unicode(bytes, ByteOrder::little) : letters(raw);
        }
        report.row({hex_cell("offset", at, 12), text_cell("kind", letters_of(code), -4),
                    text_cell("path", std::move(text))});
    }
}

}  // namespace

void dump_vhd(const Storage& file, Report& report) {
    using enum vhd::FooterCopy;
    auto used = footer(file, report, "footer", end);
    if (!used) used = footer(file, report, "short-footer", short_end);
    const auto copy = footer(file, report, "footer-copy", front);
    if (!used) used = copy;
    if (!used || vhd::is_fixed(*used)) return;
    const uint64_t at = used->data_offset.value();
    if (!fits(at, sizeof(vhd::DynamicHeader), file.size())) return;
    const auto header = load<vhd::DynamicHeader>(file, at);
    if (!header) return report.error(header.error());
    section(report, "header", *header, at);
    constexpr std::string_view names[] = {"locator-1", "locator-2", "locator-3", "locator-4",
                                          "locator-5", "locator-6", "locator-7", "locator-8"};
    for (size_t i = 0; i < header->parent_locators.size(); ++i) {
        const vhd::ParentLocator& locator = header->parent_locators[i];
        if (locator.platform_code.value() == vhd::platform::none) continue;
        section(report, names[i], locator, at + 576 + i * sizeof locator);
    }
    paths(file, *header, report);
}

}  // namespace tool
