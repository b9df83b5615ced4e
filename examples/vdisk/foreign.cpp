// SPDX-License-Identifier: BSL-1.0
#include "foreign.hpp"

#include <array>
#include <cstring>

namespace tool {

using namespace vdisk;

namespace {

using namespace std::string_view_literals;

struct Signature {
    std::string_view format;
    int64_t at;  ///< negative: before the end of the file
    std::string_view bytes;
};

constexpr Signature signatures[] = {
    {"VMDK", 0, "KDMV"sv},
    {"VMDK", 0, "COWD"sv},
    {"VMDK", 0, "# Disk DescriptorFile"sv},
    {"VDI", 64, "\x7f\x10\xda\xbe"sv},
    {"QED", 0, "QED\0"sv},
    {"Parallels", 0, "WithoutFreeSpace"sv},
    {"Parallels", 0, "WithouFreSpacExt"sv},
    {"LUKS", 0, "LUKS\xba\xbe"sv},
    {"Bochs", 0, "Bochs Virtual HD Image"sv},
    {"cloop", 0, "#!/bin/sh\n#V2.0 Format\n"sv},
    {"DMG", -512, "koly"sv},
    {"EWF", 0, "EVF\t\r\n\xff\0"sv},
};
constexpr Signature begun = {"qcow2", 0, "QFI\xfb"sv};
// Formats of ours whose detectors want more than the signature.
constexpr Signature damaged[] = {
    {"VHD", -512, "conectix"sv}, {"VHD", -511, "conectix"sv},  // early Virtual PC
};

Result<bool> has(const Storage& file, const Signature& signature) {
    const uint64_t back = static_cast<uint64_t>(-signature.at);
    if (signature.at < 0 && back > file.size()) return false;
    const uint64_t at = signature.at < 0 ? file.size() - back : static_cast<uint64_t>(signature.at);
    std::array<byte, 32> found{};
    const size_t length = signature.bytes.size();
    if (!fits(at, length, file.size())) return false;
    const Status got = file.read(at, MutBytes(found).first(length));
    if (!got) return got.error();
    return std::memcmp(found.data(), signature.bytes.data(), length) == 0;
}

}  // namespace

void refuse_foreign(const Storage& file, const std::string& name, const char* hint, int exit_code) {
    const auto check = [&](const Signature& signature, const char* verdict) {
        const auto its = has(file, signature);
        if (!its) throw failure(name, its.error(), exit_code);
        if (!*its) return;
        throw Failure{name + ": looks like a " + std::string(signature.format) + " image, which " +
                          verdict + " (" + hint + " raw reads it as it is)",
                      exit_code};
    };
    for (const Signature& signature : signatures) check(signature, "is not supported");
    check(begun, "is cut short or of an unknown version");
    for (const Signature& signature : damaged) {
        check(signature, "has a wrong checksum: -f vpc --ignore-checksums reads it");
    }
}

}  // namespace tool
