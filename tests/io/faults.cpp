// SPDX-License-Identifier: BSL-1.0
// Every call that an image makes to its storage fails once: a clear error, and the next try works.
#include <vdisk/storage/faulty.hpp>

#include "catch.hpp"
#include "support/refusals.hpp"
#include "support/storages.hpp"
#include "support/subjects.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

// Opens and reads everything, in pieces that end inside clusters; again after a failure.
template <class S>
struct FaultyReader {
    using Image = SystemImage<FaultyStorage<S>>;

    S storage;
    const Subject& subject;
    Fault fault = {};
    int failures = 0;
    bool clean = true;

    void note(const Error& error) {
        ++failures;
        clean &= error.code == Errc::io && std::string_view(error.what).starts_with("faulty:");
    }

    bool read_all() {
        const auto attempt = [&] {
            return Image::open(subject.format, FaultyStorage<S>(storage, fault),
                               {.cache = tiny_cache});
        };
        auto image = attempt();
        if (!image) {
            note(image.error());
            image = attempt();
        }
        if (!image) return false;
        File out(image->size(), byte{0xEE});
        const size_t step = out.size() / 7 + 1;
        for (size_t at = 0; at < out.size(); at += step) {
            const MutBytes piece = MutBytes(out).subspan(at, std::min(step, out.size() - at));
            const Status first = read(*image, at, piece);
            if (first) continue;
            note(first.error());
            if (!read(*image, at, piece)) return false;
        }
        return out == subject.image.guest.bytes;
    }
};

template <class S>
void walk_the_errors(const Subject& subject, Remains remains) {
    const File& file = subject.image.file;
    uint64_t faults = 0;
    for (uint64_t n = 1 + first_of_share();; n += share()) {
        FaultyReader<S> reader{S(file), subject};
        reader.fault = {.countdown = n, .remains = remains};
        const bool right = reader.read_all();
        CAPTURE(n);
        REQUIRE(right);
        REQUIRE(reader.clean);
        if (!reader.fault.fired) break;
        ++faults;
        REQUIRE(reader.failures <= 1);  // none: where a run of extents may simply end earlier
    }
    tell_faults("I/O, " + std::string(subject.format) + " reader", faults);
    CHECK((faults > 6 || share() > 1));
}

}  // namespace

TEST_CASE("faults: every call fails once, tables in place", "[faults][fault]") {
    for (const Subject& s : subjects()) {
        DYNAMIC_SECTION(s.name) { walk_the_errors<MemoryStorage>(s, Remains::nothing); }
    }
}

TEST_CASE("faults: every call fails once, tables in one page", "[faults][fault]") {
    for (const Subject& s : subjects()) {
        DYNAMIC_SECTION(s.name) { walk_the_errors<PagedMemory>(s, Remains::torn); }
    }
}
