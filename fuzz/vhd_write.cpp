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
    const auto program = fuzz::program_of(fuzz::bytes_of(data, size), fuzz::writes);
    if (!program) return 0;
    fuzz::Sheet& file = fuzz::paper(fuzz::sealed(program->image));
    File storage(file);
    static_cast<void>(vhd::recover(storage, fuzz::Rationed{}));
    const fuzz::Trust trust = fuzz::trust_in(vhd::check_image(storage, fuzz::Rationed{}));
    std::optional<fuzz::Model> model;
    bool flushed = false;
    {
        auto image = Writer::open(storage, {.cache = fuzz::one_small_page});
        if (!image || image->size() == 0) return 0;
        model.emplace(*image, trust);
        flushed = bool(fuzz::take_all(*image, program->steps, *model));
    }
    const auto disk = Reader::open(MemoryStorage(file.bytes()));
    fuzz::require(bool(disk), "the image does not open again");
    const auto again = Writer::open(storage, {.cache = fuzz::one_small_page});
    fuzz::require(!flushed || again, "the image cannot be written again");
    if (!model->was_sound() || !flushed) return 0;
    fuzz::require(fuzz::is_sound(vhd::check_image(storage, fuzz::Rationed{})),
                  "writing has damaged the image");
    model->compare(*disk);
    return 0;
}
