// SPDX-License-Identifier: BSL-1.0
// Fuzz target: writing to a VHD image that may be anything, recovered if it has to be. It must open
// again, and to be written if all went well; it must be sound if it was.
#include <vdisk/format/vhd/check.hpp>
#include <vdisk/format/vhd/recover.hpp>

#include "vhd.hpp"
#include "write.hpp"

using namespace vdisk;

using File = Borrowed<fuzz::Sheet>;
using Writer = Vhd::Writer<File, fuzz::Rationed, SystemCodecs>;
using Reader = Vhd::Image<MemoryStorage, fuzz::Rationed, SystemCodecs>;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < fuzz::step_bytes) return 0;
    const Bytes input = fuzz::bytes_of(data, size);
    fuzz::Sheet& file = fuzz::paper(fuzz::sealed(input.first(size - fuzz::step_bytes)));
    File storage(file);
    static_cast<void>(vhd::recover(storage, fuzz::Rationed{}));
    const bool was_sound = fuzz::is_sound(vhd::check_image(storage, fuzz::Rationed{}));
    fuzz::Model model;
    bool flushed = false;
    {
        auto image = Writer::open(storage, {.cache = fuzz::one_small_page});
        if (!image || image->size() == 0) return 0;
        flushed = bool(fuzz::take_all(*image, input, model));
    }
    const auto disk = Reader::open(MemoryStorage(file.bytes()));
    fuzz::require(bool(disk), "the image does not open again");
    const auto again = Writer::open(storage, {.cache = fuzz::one_small_page});
    fuzz::require(!flushed || again, "the image cannot be written again");
    if (!was_sound || !flushed) return 0;
    fuzz::require(fuzz::is_sound(vhd::check_image(storage, fuzz::Rationed{})),
                  "writing has damaged the image");
    model.compare(*disk);
    return 0;
}
