// SPDX-License-Identifier: BSL-1.0
// Fuzz target: a VHD image and the names of its parent, as it is and with its checksums made right.
#include "vhd.hpp"

using namespace vdisk;

static void explore(Bytes input, const OpenOptions& options) {
    fuzz::Both<Vhd> image(input, options);
    if (!image) return;
    fuzz::Walk(*image.memory, *image.file);
    for (unsigned choice = 0; choice < 10; ++choice) {
        std::array<char, 300> name{}, same{};
        const auto left = image.memory->parent_name(choice, name);
        const auto right = image.file->parent_name(choice, same);
        if (fuzz::agree(left, right)) fuzz::require(*left == *right, "names differ");
    }
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const Bytes input = fuzz::bytes_of(data, size);
    fuzz::agree(Vhd::detect(MemoryStorage(input)),
                Vhd::detect(fuzz::FileLike{MemoryStorage(input)}));
    OpenOptions options = fuzz::Both<Vhd>::options(Purpose::data);
    const std::vector<byte> right = fuzz::sealed(input);
    explore(right, options);
    options.checksums = Checksums::ignored;
    options.size_rule = SizeRule::creator;
    explore(input, options);
    return 0;
}
