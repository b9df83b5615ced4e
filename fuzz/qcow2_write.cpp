// SPDX-License-Identifier: BSL-1.0
// Fuzz target: writing to a qcow2 image that may be anything. The last bytes of the input say what
// is written where. What was written must be there at once, and the image must open again.
#include <vdisk/format/qcow2/format.hpp>
#include <vdisk/io/zero.hpp>
#include <vdisk/storage/borrowed.hpp>
#include <vdisk/storage/growable.hpp>

#include "support.hpp"

using namespace vdisk;

namespace {

/// A file that does not grow without end.
struct Bounded : GrowableMemory {
    using GrowableMemory::GrowableMemory;
    Status resize(uint64_t size) {
        if (size > 16_MiB) return fail(Errc::no_space, "fuzz: the file is full");
        return GrowableMemory::resize(size);
    }
};

using Writer = Qcow2::Writer<Borrowed<Bounded>, fuzz::Rationed, SystemCodecs>;

struct Step {
    uint8_t what;
    uint8_t at[4];
    uint8_t length;
};

Status take(Writer& image, const Step& step) {
    const uint64_t seed = load_le32(reinterpret_cast<const byte*>(step.at));
    const uint64_t at = seed * 512 % image.size();
    uint64_t length = (uint64_t{step.length} + 1) << (step.what >> 5);
    if (length > image.size() - at) length = image.size() - at;
    std::array<byte, 4096> scratch;
    std::array<byte, 512> data;
    data.fill(byte{step.length});
    switch (step.what % 5) {
        case 0: return zero(image, at, length, scratch);
        case 1: return discard(image, at, length);
        case 2: return image.flush();
        default: break;
    }
    const Bytes in = Bytes(data).first(std::min<uint64_t>(length, data.size()));
    if (Status put = write(image, at, in, scratch); !put) return put;
    std::array<byte, 512> seen;
    const MutBytes out = MutBytes(seen).first(in.size());
    if (Status got = read(image, at, out); !got) return got;
    fuzz::require(std::ranges::equal(in, out), "what was written is not there");
    return {};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    constexpr size_t steps = 12;
    if (size < steps * sizeof(Step)) return 0;
    const Bytes input = fuzz::bytes_of(data, size);
    Bounded file(std::vector<byte>(input.begin(), input.end()));
    {
        auto image = Writer::open(Borrowed(file), {.cache = fuzz::one_small_page});
        if (!image || image->size() == 0 || image->layout().has_data_file) return 0;
        for (size_t i = 0; i < steps; ++i) {
            Step step;
            std::memcpy(&step, data + size - (steps - i) * sizeof(Step), sizeof(Step));
            if (!take(*image, step)) break;
        }
        static_cast<void>(image->flush());
    }
    using Reader = Qcow2::Image<MemoryStorage, fuzz::Rationed, SystemCodecs>;
    fuzz::require(bool(Reader::open(MemoryStorage(file.bytes()))), "the image does not open again");
    return 0;
}
