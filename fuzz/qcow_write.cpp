// SPDX-License-Identifier: BSL-1.0
// Fuzz target: writing to a qcow (version 1) image that may be anything. The image must open again.
#include <vdisk/format/qcow/format.hpp>

#include "write.hpp"

using namespace vdisk;

using Writer = Qcow::Writer<Borrowed<fuzz::Sheet>, fuzz::Rationed, SystemCodecs>;
using Reader = Qcow::Image<MemoryStorage, fuzz::Rationed, SystemCodecs>;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < fuzz::step_bytes) return 0;
    const Bytes input = fuzz::bytes_of(data, size);
    fuzz::Sheet& file = fuzz::paper(input.first(size - fuzz::step_bytes));
    {
        auto image = Writer::open(Borrowed(file), {.cache = fuzz::one_small_page});
        if (!image || image->size() == 0) return 0;
        static_cast<void>(fuzz::take_all(*image, input));
    }
    fuzz::require(bool(Reader::open(MemoryStorage(file.bytes()))), "the image does not open again");
    return 0;
}
