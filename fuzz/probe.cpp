// SPDX-License-Identifier: BSL-1.0
// Fuzz target: which format is it, and what does it stand on? Every file that an image names is a
// piece of the input itself, chosen by the first byte of the name: chains of any shape arise.
#include <vdisk/disk/open.hpp>

#include "support.hpp"

using namespace vdisk;

template <class S>
struct Pieces {
    using Origin = unsigned;  // which file it was: never the same one again
    Bytes input;
    unsigned opened = 0;

    Result<Opened<S, Origin>> open(const Reference& reference, const Origin& /*from*/) {
        fuzz::require(!reference.name.empty(), "a file without a name");
        const auto first = static_cast<unsigned char>(reference.name.front());
        if (first == '!') return fail(Errc::denied, "gate: no");
        const size_t skip = std::min(input.size(), size_t{first % 8u} * 4096);
        return Opened<S, Origin>{S{MemoryStorage(input.subspan(skip))}, ++opened};
    }
};

template <class S>
static auto open(Bytes input) {
    using Image = AnyImage<AllFormats, S, fuzz::Rationed, SystemCodecs>;
    Pieces<S> gate{input};
    return open_chain<Image>(
        Opened<S, unsigned>{S{MemoryStorage(input)}, 0}, gate,
        {.raw_fallback = true, .max_depth = 8, .open = fuzz::Both<Raw>::options(Purpose::data)});
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const Bytes input = fuzz::bytes_of(data, size);
    const auto memory = open<MemoryStorage>(input);
    const auto file = open<fuzz::FileLike>(input);
    if (fuzz::agree(memory, file)) fuzz::Walk(*memory, *file);
    return 0;
}
