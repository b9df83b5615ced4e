// SPDX-License-Identifier: BSL-1.0
// Operations that run out of memory at each request in turn, or whose storage fails at each call in
// turn: what is left is sound, the old or the new where the operation is one step, nothing leaks,
// and the next try makes it the new.
#pragma once

#include <vdisk/io/write.hpp>
#include <vdisk/io/zero.hpp>
#include <vdisk/storage/faulty.hpp>

#include "support/bytes.hpp"
#include "support/paged_growable.hpp"
#include "support/places.hpp"
#include "support/refusals.hpp"

namespace vdisk::test::everywhere {

/// What an operation does to the file.
enum class Does : uint8_t {
    nothing,
    one_step,    ///< the guest sees the old state or the new one
    many_steps,  ///< each leaves it sound
    mends,       ///< what it was is not sound; when done it is
};

/// Which calls of the storage fail.
enum class IoFaults : uint8_t { none, share, all };

/// How many faults were injected into what works on a format.
struct Injected {
    uint64_t memory = 0, io = 0;

    /// Both kinds, everywhere in an operation.
    template <class Subject, class Operation>
    void everywhere(const File& before, const Operation& operation, Does does, IoFaults which,
                    Need need = Need::all);
    void tell(const std::string& who) const {
        tell_faults("memory, " + who, memory);
        tell_faults("I/O, " + who, io);
    }
};

/// What an operation works on.
using Medium = FaultyStorage<PagedGrowable>;

/// `operation(storage, memory)`, which gives a Status, on a file. What a test knows of a format:
/// `Subject::sound(file)` gives a Status, `Subject::seen(file)` what a guest sees,
/// `Subject::recover(storage)` is what has to be done before a change after one that was cut short.
template <class Subject, class Operation>
class Trial {
public:
    Trial(const File& before, const Operation& operation, Does does)
        : before_(before), operation_(operation), does_(does), file_(before) {
        if (does != Does::mends) old_ = value_of(Subject::seen(before));
        fresh_ = succeed();
    }
    Trial(const Trial&) = delete;

    uint64_t refuse_memory(Need need = Need::all) {
        return refuse_each(
            [&](Failing memory) {
                file_ = GrowableMemory(before_);
                return run(memory);
            },
            [&](const Status& done) { look(done); }, need);
    }

    /// At the call `first`, and every `step` calls after it.
    uint64_t fail_io(uint64_t first, uint64_t step) {
        uint64_t count = 0;
        for (uint64_t n = first;; n += step) {
            CAPTURE(n);
            REQUIRE(n < 20000);
            file_ = GrowableMemory(before_);
            fault_ = {.countdown = n, .remains = n % 3 == 0 ? Remains::torn : Remains::nothing};
            const Status done = run(Heap{});
            INFO(done.error().what);
            if (!fault_.fired) {
                REQUIRE(done);
                return count;
            }
            if (!done) REQUIRE(done.error().code == Errc::io);
            look(done);
            ++count;
        }
    }

private:
    template <class M>
    Status run(M memory) {
        Medium storage(PagedGrowable(file_), fault_);
        return operation_(storage, memory);
    }

    auto succeed() {
        fault_ = {};
        REQUIRE(Subject::recover(file_));
        const Status done = run(Heap{});
        INFO(done.error().what);
        REQUIRE(done);
        REQUIRE(Subject::sound(bytes_of(file_)));
        return value_of(Subject::seen(bytes_of(file_)));
    }

    void look(const Status& done) {
        const File half = bytes_of(file_);
        // What fails after the work is done (giving back what is not used any more), or only looks
        // ahead, may be passed over, if all is as it would be without.
        if (done) {
            REQUIRE(Subject::sound(half));
            const bool same = value_of(Subject::seen(half)) == fresh_;
            REQUIRE(same);
        }
        if (half == before_) return;  // from here it works, as seen above
        REQUIRE(does_ != Does::nothing);
        if (does_ != Does::mends) {
            look_at_sound(half);
            if (does_ == Does::one_step && value_of(Subject::seen(half)) != old_) return;
        }
        const bool same = succeed() == fresh_;
        REQUIRE(same);
    }

    void look_at_sound(const File& half) const {
        const Status sound = Subject::sound(half);
        INFO(sound.error().what);
        REQUIRE(sound);
        const auto seen = value_of(Subject::seen(half));
        const bool whole = seen == old_ || seen == fresh_;
        if (does_ == Does::one_step) REQUIRE(whole);
    }

    using Seen = std::remove_cvref_t<decltype(*Subject::seen(File{}))>;
    const File& before_;
    const Operation& operation_;
    Does does_;
    GrowableMemory file_;
    Fault fault_;
    Seen old_, fresh_;
};

template <class Subject, class Operation>
void Injected::everywhere(const File& before, const Operation& operation, Does does, IoFaults which,
                          Need need) {
    Trial<Subject, Operation> trial(before, operation, does);
    memory += trial.refuse_memory(need);
    if (which == IoFaults::all) io += trial.fail_io(1, 1);
    if (which == IoFaults::share) io += trial.fail_io(1 + first_of_share(), share());
}

/// `create(storage)` with an I/O error at each of its calls: it says so. The number of faults.
template <class Create>
uint64_t fail_creation(const Create& create) {
    uint64_t count = 0;
    for (uint64_t n = 1;; ++n) {
        CAPTURE(n);
        REQUIRE(n < 20000);
        GrowableMemory file;
        Fault fault{.countdown = n, .remains = n % 3 == 0 ? Remains::torn : Remains::nothing};
        Medium storage(PagedGrowable(file), fault);
        const Status done = create(storage);
        INFO(done.error().what);
        REQUIRE(static_cast<bool>(done) != fault.fired);
        if (done) return count;
        REQUIRE(done.error().code == Errc::io);
        ++count;
    }
}

/// What a guest does to a disk of so many bytes.
template <class W>
Status work(W& writer, uint64_t size, uint32_t seed) {
    std::vector<byte> scratch(4096);
    const File bytes = noise(3000, seed);
    for (uint64_t at = seed * 512 % 4096; at + 6000 < size; at += size / 7) {
        if (Status put = write(writer, at + 100, bytes, scratch); !put) return put;
        if (Status put = zero(writer, at + 2000, 900, scratch); !put) return put;
    }
    if (Status gone = discard(writer, 0, size / 9); !gone) return gone;
    return writer.flush();
}

/// Reads all of it; it has to be what `seen` says.
template <class I>
Status read_all(const Result<I>& image, const File& seen) {
    if (!image) return image.error();
    File disk(seen.size());
    if (Status got = read(*image, 0, disk); !got) return got;
    return disk == seen ? Status{} : Status(corrupt("test: other bytes were read"));
}

/// What a check says of an image where no more than space is lost. What it could not look at is
/// an error.
template <class R>
Status found_sound(const R& report) {
    if (!report) return report.error();
    if (report->check_errors != 0) return fail(Errc::io, "test: not all could be looked at");
    if (report->corruptions != 0) return corrupt("test: a corruption was found");
    return {};
}

/// What a repair says that has left no more than that.
template <class R>
Status repaired(const R& report) {
    return report ? found_sound(Result(report->after)) : Status(report.error());
}

/// Sizes of the cache of tables.
inline constexpr CacheShape shapes[] = {{9, 0}, {9, 3}, {12, 1}, {12, 5}};

template <class R>
Status told(const R& report) {
    return report ? Status{} : Status(report.error());
}

}  // namespace vdisk::test::everywhere
