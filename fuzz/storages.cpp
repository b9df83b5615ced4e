// SPDX-License-Identifier: BSL-1.0
// Fuzz target: one image in a mapped file, in a file read through a cache of one page, and in
// memory. All must agree in every byte and every error.
#include "storages.hpp"

#include <vdisk/format/qcow2/format.hpp>

#include "vhd.hpp"
#include "vhdx.hpp"

using namespace vdisk;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0 || size > fuzz::Sheet::capacity) return 0;
    const Bytes input = fuzz::bytes_of(data, size - 1);
    const unsigned kind = data[size - 1] % 3;  // the last byte: images begin where they begin
    fuzz::Sheet& file = kind == 0   ? fuzz::paper(input)
                        : kind == 1 ? fuzz::paper(fuzz::sealed(input))
                                    : fuzz::vhdx_file(input, fuzz::Use::change);
    const char* const path = fuzz::file_of(file);
    if (kind == 0) fuzz::compare<Qcow2>(file.bytes(), path);
    else if (kind == 1) fuzz::compare<Vhd>(file.bytes(), path);
    else fuzz::compare<Vhdx>(file.bytes(), path);
    return 0;
}
