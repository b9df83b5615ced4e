// SPDX-License-Identifier: BSL-1.0
// Fuzz target: writing to a VHDX image that may be anything, its log replayed. It must open again,
// with an empty log, and its check find nothing that writing has done.
#include <vdisk/format/vhdx/check.hpp>

#include "vhdx.hpp"
#include "write.hpp"

using namespace vdisk;

using File = Borrowed<fuzz::Sheet>;
using Writer = vhdx::Writer<File, fuzz::Rationed, SeededIds>;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto program = fuzz::program_of(fuzz::bytes_of(data, size), fuzz::writes);
    if (!program) return 0;
    File storage(fuzz::vhdx_file(program->image, fuzz::Use::change));
    static_cast<void>(vhdx::replay(storage, fuzz::Rationed{}, SeededIds(1)));
    const auto before = vhdx::check_image(storage, fuzz::Rationed{});
    std::optional<fuzz::Model> model;
    bool closed = false;
    {
        auto image =
            Writer::open(storage, {.cache = fuzz::one_small_page}, fuzz::Rationed{}, SeededIds(2));
        if (!image) return 0;
        model.emplace(*image, fuzz::trust_in(before));
        closed = fuzz::take_all(*image, program->steps, *model) && image->close();
    }
    const auto after = vhdx::check_image(storage, fuzz::Rationed{});
    fuzz::require(bool(after), "the image does not open again");
    fuzz::require(!before || after->corruptions <= before->corruptions || !closed,
                  "writing has damaged the image");
    if (!model->was_sound() || !closed) return 0;
    const auto disk = vhdx::Image<File, fuzz::Rationed>::open(storage, {}, fuzz::Rationed{});
    fuzz::require(bool(disk), "the image does not open again");
    model->compare(*disk);
    return 0;
}
