// SPDX-License-Identifier: BSL-1.0
// Fuzz target: what can be done to a closed VHD image that may be anything, one after the other. A
// sound one stays so, and shows the guest what it has to.
#include "vhd_operations.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto program = fuzz::program_of(fuzz::bytes_of(data, size), fuzz::operations);
    if (!program) return 0;
    fuzz::Sheet& file = fuzz::paper(fuzz::sealed(program->image));
    fuzz::operate_on<fuzz::ClosedVhd>(file, program->steps, fuzz::vhd_operations::any);
    return 0;
}
