// SPDX-License-Identifier: BSL-1.0
// Rewriting the first cluster: a power cut leaves the old one or the new.
#include <vdisk/storage/faulty.hpp>
#include <vdisk/storage/growable.hpp>

#include "header_subjects.hpp"
#include "support/cut.hpp"
#include "support/refusals.hpp"

using namespace vdisk;
using namespace vdisk::test;
using namespace vdisk::test::headers;

namespace {

struct HeaderTrial {
    bool good = true;
    uint64_t states = 0;
    uint64_t flushes = 0;
    Status done;
};

HeaderTrial cut(const File& before, const HeaderChanges& changes, unsigned forgotten) {
    CutLog log;
    File file = before;
    ForgetfulStorage storage(log, file, forgotten);
    HeaderTrial out;
    out.done = change(storage, changes);
    out.flushes = storage.flushes;
    if (!out.done) {
        CHECK(out.done.error().code == Errc::no_space);
        CHECK(file == before);
        return out;
    }
    const std::string old = said(before), fresh = said(file);
    CHECK(!fresh.empty());
    CutReplay replay(log);
    out.good = static_cast<bool>(replay.run([&](const CutState& state) -> Status {
        const std::string now = said(state.files[0]);
        if (now == old || now == fresh) return {};
        return corrupt("neither the old header nor the new");
    }));
    out.states = replay.states();
    return out;
}

}  // namespace

TEST_CASE("qcow2: a power cut leaves the old header or the new", "[qcow2][header][power_cut]") {
    uint64_t states = 0;
    unsigned done = 0, refused = 0;
    for (const Subject& subject : headers::subjects()) {
        for (const Change& c : all_changes) {
            CAPTURE(subject.name, c.name);
            const HeaderTrial trial = cut(subject.file, c.changes, 0);
            CHECK(trial.good);
            states += trial.states;
            ++(trial.done ? done : refused);
            // 4 KiB have room for all but the longest names.
            const bool is_roomy = subject.name.ends_with("2^16") || subject.name.ends_with("2^21");
            if (is_roomy) CHECK(trial.done);
        }
    }
    CHECK(states > 1500);
    CHECK(done > 250);
    CHECK(refused < done / 4);
}

TEST_CASE("qcow2: every flush of a rewritten header is needed", "[qcow2][header][power_cut]") {
    unsigned caught[5] = {};
    for (const Subject& subject : headers::subjects()) {
        if (!subject.name.ends_with("2^12")) continue;
        for (const Change& c : all_changes) {
            const uint64_t flushes = cut(subject.file, c.changes, 0).flushes;
            if (flushes != 5) continue;  // the long way round
            for (unsigned n = 1; n <= flushes; ++n) {
                caught[n - 1] += !cut(subject.file, c.changes, n).good;
            }
        }
    }
    for (unsigned n = 0; n < 4; ++n) {
        CAPTURE(n);
        CHECK(caught[n] > 0);
    }
}

TEST_CASE("qcow2: an I/O error while the header is rewritten", "[qcow2][header][fault]") {
    for (const Subject& subject : headers::subjects()) {
        if (!subject.name.ends_with("2^12")) continue;
        for (const Remains remains : {Remains::nothing, Remains::torn}) {
            for (uint64_t n = 1;; ++n) {
                CAPTURE(subject.name, n);
                REQUIRE(n < 30);
                GrowableMemory memory(subject.file);
                Fault fault{n, remains};
                FaultyStorage<Borrowed<GrowableMemory>> storage{Borrowed(memory), fault};
                const Status stored = change(storage, all_changes[7].changes);
                if (!fault.fired) {
                    tell_faults("I/O, qcow2 header", n - 1);
                    REQUIRE(stored);
                    break;
                }
                REQUIRE(!stored);
                CHECK(stored.error().code == Errc::io);
                if (remains == Remains::torn) continue;  // finer than sectors
                const File file(memory.bytes().begin(), memory.bytes().end());
                GrowableMemory whole(subject.file);
                REQUIRE(change(whole, all_changes[7].changes));
                const std::string now = said(file);
                const File fresh(whole.bytes().begin(), whole.bytes().end());
                CHECK((now == said(subject.file) || now == said(fresh)));
            }
        }
    }
}
