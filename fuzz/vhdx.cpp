// SPDX-License-Identifier: BSL-1.0
// Fuzz target: a VHDX image, its log and the names of its parent.
#include "vhdx.hpp"

using namespace vdisk;

namespace {

void explore(Bytes input) {
    fuzz::Both<Vhdx> image(input, Purpose::data);
    if (!image) return;
    fuzz::Walk(*image.memory, *image.file);
    for (unsigned choice = 0; choice < 4; ++choice) {
        std::array<char, 300> name{}, same{};
        const auto left = image.memory->parent_name(choice, name);
        const auto right = image.file->parent_name(choice, same);
        if (fuzz::agree(left, right)) fuzz::require(*left == *right, "names differ");
    }
    Guid id;
    id.bytes.fill(byte{2});
    fuzz::require(image.memory->is_child_of(id) == image.file->is_child_of(id), "links differ");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const Bytes file = fuzz::vhdx_file(fuzz::bytes_of(data, size), fuzz::Use::read).bytes();
    fuzz::agree(Vhdx::detect(MemoryStorage(file)),
                Vhdx::detect(fuzz::FileLike{MemoryStorage(file)}));
    explore(file);
    return 0;
}
