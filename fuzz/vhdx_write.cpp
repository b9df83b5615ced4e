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
    if (size < fuzz::step_bytes) return 0;
    const Bytes input = fuzz::bytes_of(data, size);
    File storage(fuzz::vhdx_file(input.first(size - fuzz::step_bytes), fuzz::Use::change));
    static_cast<void>(vhdx::replay(storage, fuzz::Rationed{}, SeededIds(1)));
    const auto before = vhdx::check_image(storage, fuzz::Rationed{});
    fuzz::Model model;
    bool closed = false;
    {
        auto image =
            Writer::open(storage, {.cache = fuzz::one_small_page}, fuzz::Rationed{}, SeededIds(2));
        if (!image) return 0;
        closed = fuzz::take_all(*image, input, model) && image->close();
    }
    const auto after = vhdx::check_image(storage, fuzz::Rationed{});
    fuzz::require(bool(after), "the image does not open again");
    fuzz::require(!before || after->corruptions <= before->corruptions || !closed,
                  "writing has damaged the image");
    if (!fuzz::is_sound(before) || !closed) return 0;
    const auto disk = vhdx::Image<File, fuzz::Rationed>::open(storage, {}, fuzz::Rationed{});
    fuzz::require(bool(disk), "the image does not open again");
    model.compare(*disk);
    return 0;
}
