// SPDX-License-Identifier: BSL-1.0
// Writing VHDX to storages that fail: at any call, or because the medium is full. What was flushed
// stays, the error is told, and once the storage works again, so does the image.
#include <iostream>

#include <vdisk/storage/faulty.hpp>

#include "catch.hpp"
#include "support/cut_vhdx.hpp"
#include "support/legal.hpp"
#include "support/refusals.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

using Disk = CutFiles::Ids;

// A workload, and what is to be known of it only once.
struct FaultCase {
    ImageCutWork work;
    CutFiles::Ids ids = CutFiles::ids_of(work.start);
    File disk = value_of(VhdxSubject::read(work.start, work.below));
    Disk disk_ids = CutFiles::ids_of(disk);
};

// In pieces of two sectors, so that one that is torn is torn between them.
FaultCase make_case(VhdxCutKind kind, uint64_t seed) {
    kind.mix.align = std::max<uint64_t>(kind.mix.align, 2 * sector);
    kind.ops = 10;
    ImageCutWork work = make_cut(kind, seed);
    work.ops = without_reopening(work.ops);
    return {std::move(work)};
}

// What may be on the disk: what was flushed, and everything written since.
class LegalDisk {
public:
    explicit LegalDisk(Disk disk) : versions_{std::move(disk)} {}

    [[nodiscard]] const Disk& now() const { return versions_.back(); }

    void flushed() { versions_.erase(versions_.begin(), versions_.end() - 1); }
    void add(const Op& op, const File& model) {
        versions_.push_back(versions_.back());
        for (uint64_t s = op.at / sector; s * sector < op.at + op.length; ++s) {
            versions_.back()[s] = CutFiles::id_of(Bytes(model).subspan(s * sector, sector));
        }
    }
    /// `op` has failed: it may have been done in part.
    void attempt(const Op& op) {
        Disk disk = versions_.back();
        const bool zeros = op.kind == Op::Kind::zero || op.kind == Op::Kind::discard;
        for (uint64_t at = op.at; at < op.at + op.length; at += sector) {
            disk[at / sector] = zeros ? 0 : CutFiles::id_of(contents(at, sector, op.tag));
        }
        versions_.insert(versions_.end() - 1, std::move(disk));
    }
    [[nodiscard]] bool allows(const Disk& seen) const {
        for (size_t i = 0; i < seen.size(); ++i) {
            const bool known = std::any_of(versions_.begin(), versions_.end(),
                                           [&](const Disk& v) { return v[i] == seen[i]; });
            if (!known) return false;
        }
        return seen.size() == versions_.back().size();
    }

private:
    std::vector<Disk> versions_;
};

// What a guest sees after the power has gone. The same before and after the log is replayed.
Disk sound(const FaultCase& c, OverFile file) {
    const auto seen = value_of(VhdxSubject::look(file, c.work.below));
    REQUIRE(VhdxSubject::recover(file));
    const bool same = value_of(VhdxSubject::judge(file, c.work.below)) == seen;
    REQUIRE(same);
    return seen;
}

// Works until something fails, looks at what is left, heals the storage and works on. `wrap` makes
// the storage of a good one, `arm` makes it fail, `heal` mends it. The error, if there was one.
template <class S, class Wrap, class Arm, class Heal>
Status fail_and_go_on(const FaultCase& c, const Wrap& wrap, const Arm& arm, const Heal& heal) {
    const ImageCutWork& work = c.work;
    OverFile file(work.start, c.ids);
    File model = c.disk;
    LegalDisk legal(c.disk_ids);
    Status failed;
    {
        auto writer = VhdxSubject::open<S>(wrap(Borrowed<OverFile>(file)), work.cache);
        REQUIRE(writer);
        arm();
        for (const Op& op : work.ops) {
            Status done = perform(*writer, op, model, work.below);
            if (!done) {
                REQUIRE(failed);  // it worked again
                failed = done;
                legal.attempt(op);
                REQUIRE(legal.allows(sound(c, file)));
                heal();
                REQUIRE(writer->flush());
                REQUIRE(legal.allows(sound(c, file)));
                REQUIRE(perform(*writer, op, model, work.below));
            }
            legal.add(op, model);
            if (op.kind == Op::Kind::flush) legal.flushed();
        }
        bool same = sound(c, file) == legal.now();
        REQUIRE(same);
    }
    bool same = sound(c, file) == legal.now();
    REQUIRE(same);
    REQUIRE(VhdxSubject::check(file));
    return failed;
}

}  // namespace

TEST_CASE("vhdx: an I/O error at any call of any work loses nothing that was flushed",
          "[vhdx][write][fault]") {
    uint64_t faults = 0;
    for (const VhdxCutKind& kind : vhdx_cut_kinds()) {
        for (uint64_t seed = 1; seed <= 2; ++seed) {
            const FaultCase c = make_case(kind, seed);
            bool fired = true;
            for (uint64_t n = 1 + first_of_share(); fired; n += share()) {
                CAPTURE(kind.name, seed, n);
                REQUIRE(n < 5000);
                Fault fault;
                using S = FaultyStorage<Borrowed<OverFile>>;
                const Status failed = fail_and_go_on<S>(
                    c, [&](Borrowed<OverFile> good) { return S(good, fault); },
                    [&] { fault = {.countdown = n, .remains = remains_of(seed, n)}; }, [] {});
                fired = fault.fired;
                if (failed) continue;
                CHECK(failed.error().code == Errc::io);
                ++faults;
            }
        }
    }
    tell_faults("I/O, vhdx writer", faults);
    CHECK(faults > 500 / share());
}

TEST_CASE("vhdx: a full disk loses nothing that was flushed", "[vhdx][write][fault]") {
    uint64_t full = 0;
    for (const VhdxCutKind& kind : vhdx_cut_kinds()) {
        if (kind.options.fixed) continue;
        for (uint64_t seed = 1; seed <= 8; ++seed) {
            const FaultCase c = make_case(kind, seed);
            bool failed = true;
            for (uint64_t room = first_of_share() * 1_MiB; failed; room += share() * 1_MiB) {
                CAPTURE(kind.name, seed, room);
                REQUIRE(room < 20_MiB);
                using S = FullStorage<Borrowed<OverFile>>;
                uint64_t limit = c.work.start.size() + room;
                const Status done = fail_and_go_on<S>(
                    c, [&](Borrowed<OverFile> good) { return S(good, limit); }, [] {},
                    [&] { limit = ~uint64_t{0}; });
                failed = !done;
                if (!failed) continue;
                CHECK(done.error().code == Errc::no_space);
                ++full;
            }
        }
    }
    std::cout << "vhdx writer: " << full << " times full\n";
    CHECK(full > 100 / share());
}
