// SPDX-License-Identifier: BSL-1.0
// Fuzz target: what can be done to a closed qcow2 image that may be anything, one after the other.
// A sound one stays so, and shows the guest what it has to.
#include "qcow2_operations.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto program = fuzz::program_of(fuzz::bytes_of(data, size), fuzz::operations);
    if (!program) return 0;
    fuzz::Sheet& file = fuzz::paper(program->image);
    fuzz::operate_on<fuzz::ClosedQcow2>(file, program->steps, fuzz::qcow2_operations::any);
    return 0;
}
