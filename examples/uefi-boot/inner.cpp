// SPDX-License-Identifier: BSL-1.0
// The program inside the image: says that it runs, and ends with a number the other one knows.
#include "debug_port.hpp"
#include "efi.hpp"

extern "C" efi::Status efi_main(efi::Handle /*self*/, efi::SystemTable* /*system*/) {
    debug_port::print("inner: started from inside the image\n");
    return 42;
}
