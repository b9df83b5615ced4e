// SPDX-License-Identifier: BSL-1.0
// Whether the power-cut tests see: faults of order, planted one by one, are all found.
#include <iostream>

#include "catch.hpp"
#include "support/cut_vhdx.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

enum class Plant : uint8_t {
    none,
    data_not_flushed,
    size_not_flushed,
    entry_not_flushed,
    in_place_not_flushed,
    first_entry_not_flushed,
    headers_in_one_flush,
    emptied_early,
    bits_in_place,
    reused_early,
    flush_does_nothing,
    second_flush_left_out,
    third_flush_left_out,
    every_other_flush_left_out,
    replay_not_flushed,
    replay_empties_first,
    replay_headers_in_one_flush,
    replay_over_the_current_header,
    sums_not_checked,
};

struct Planted {
    Plant plant;
    const char* what;
};
constexpr Planted plants[] = {
    {Plant::data_not_flushed, "the log does not wait for the data it links"},
    {Plant::size_not_flushed, "the log tells of a file size that is not durable"},
    {Plant::entry_not_flushed, "tables are written in place before the entry is durable"},
    {Plant::in_place_not_flushed, "an entry is given up before its sectors are durable in place"},
    {Plant::first_entry_not_flushed, "headers name a log before it has an entry"},
    {Plant::headers_in_one_flush, "both headers are written in one flush"},
    {Plant::emptied_early, "headers say that the log is empty before all is in place"},
    {Plant::bits_in_place, "sector bitmaps change in place, with the data they claim"},
    {Plant::reused_early, "a freed block is used again at once"},
    {Plant::flush_does_nothing, "the guest's flush does nothing"},
    {Plant::second_flush_left_out, "the second flush of the storage is left out"},
    {Plant::third_flush_left_out, "the third flush of the storage is left out"},
    {Plant::every_other_flush_left_out, "every other flush of the storage is left out"},
};
constexpr Planted replay_plants[] = {
    {Plant::replay_not_flushed, "a replay empties the log before its sectors are durable"},
    {Plant::replay_empties_first, "a replay empties the log before it writes"},
    {Plant::replay_headers_in_one_flush, "a replay writes both headers in one flush"},
    {Plant::replay_over_the_current_header, "a replay writes over the current header"},
    {Plant::sums_not_checked, "torn entries are taken for whole ones"},
};

// Of the case this thread runs.
thread_local Plant planted = Plant::none;

bool is_header(uint64_t at) { return at < vhdx::region_table_places[0]; }

// What a flush is for shows in what was done before it.
struct PlantedStorage : PowerCutStorage {
    struct Done {
        uint64_t flushes = 0, headers = 0;
        bool entry = false, other = false;  ///< since the last flush
        bool in_place = false;              ///< an entry is durable, and its sectors are not yet
        bool named = false;                 ///< the headers name a log
        bool closing = false;
        size_t grown = 0;  ///< this event and one
    };

    PlantedStorage(CutLog& to, std::vector<byte>& bytes)
        : PowerCutStorage(to, bytes), log(&to), done(std::make_shared<Done>()) {}

    Status write(uint64_t at, Bytes in) {
        const bool entry = at >= 1_MiB && at < 2_MiB;
        done->entry = done->entry || entry;
        done->other = done->other || (!entry && !is_header(at));
        if (is_header(at)) {
            done->named = !is_zero(in.subspan(48, 16));
            ++done->headers;
        }
        return PowerCutStorage::write(at, in);
    }
    Status resize(uint64_t size) {
        const bool grows = size > this->size();
        const Status resized = PowerCutStorage::resize(size);
        if (grows) done->grown = log->events.size();
        return resized;
    }
    Status flush() {
        if (is_left_out()) return {};
        const bool late = planted == Plant::size_not_flushed && done->grown > 0;
        CutEvent growth;
        if (late) {
            const auto at = log->events.begin() + static_cast<std::ptrdiff_t>(done->grown - 1);
            growth = *at;
            log->events.erase(at);
        }
        done->grown = 0;
        const Status flushed = PowerCutStorage::flush();
        if (late) log->events.push_back(growth);
        return flushed;
    }
    CutLog* log;
    std::shared_ptr<Done> done;

private:
    bool is_left_out() {
        const uint64_t n = ++done->flushes;
        const bool entry = std::exchange(done->entry, false);
        const bool other = std::exchange(done->other, false);
        const bool headers = done->headers % 2 != 0;
        const bool in_place = !entry && !headers && std::exchange(done->in_place, false);
        done->in_place = done->in_place || (entry && done->named);
        switch (planted) {
            case Plant::entry_not_flushed: return entry && !other && done->named;
            case Plant::first_entry_not_flushed: return entry && !other && !done->named;
            case Plant::in_place_not_flushed: return in_place && !done->closing;
            case Plant::emptied_early: return in_place && done->closing;
            case Plant::headers_in_one_flush: return headers && !entry && !other;
            case Plant::second_flush_left_out: return n == 2;
            case Plant::third_flush_left_out: return n == 3;
            case Plant::every_other_flush_left_out: return n % 2 == 0;
            default: return false;
        }
    }
};

struct WrongTables : vhdx::LoggedTables<PlantedStorage, Heap> {
    using Right = vhdx::LoggedTables<PlantedStorage, Heap>;

    static Result<WrongTables> make(PlantedStorage storage, CacheShape shape, Heap heap) {
        auto right = Right::make(std::move(storage), shape, heap);
        if (!right) return right.error();
        return WrongTables(*std::move(right));
    }
    void wrote_data() {
        // Or else of a file that has grown.
        const bool of_data = storage().done->grown == 0;
        if (planted != Plant::data_not_flushed || !of_data) Right::wrote_data();
    }
    Status put(uint64_t at, Bytes in) {
        if (planted == Plant::bits_in_place) {
            if (Status done = storage().write(at, in); !done) return done;
        }
        return Right::put(at, in);
    }
    Status flush() { return planted == Plant::flush_does_nothing ? Status{} : Right::flush(); }
    Status finish() {
        storage().done->closing = true;
        const Status done = Right::finish();
        storage().done->closing = false;
        return done;
    }
    [[nodiscard]] uint64_t generation() const {
        return planted == Plant::reused_early ? ++later_ : Right::generation();
    }

private:
    explicit WrongTables(Right right) : Right(std::move(right)) {}

    mutable uint64_t later_ = 0;
};

// What a wrong replay has for a storage, and one that does not look at checksums.
template <class S>
struct Careless {
    S* storage;

    [[nodiscard]] uint64_t size() const { return storage->size(); }
    Status read(uint64_t at, MutBytes out) const {
        if (Status got = storage->read(at, out); !got) return got;
        const bool in_log = at >= 1_MiB && at < 2_MiB && at % vhdx::log_sector == 0;
        if (planted != Plant::sums_not_checked || !in_log || out.size() < 64) return {};
        const auto h = load<vhdx::LogEntryHeader>(Bytes(out));
        if (h.signature == vhdx::entry_signature) store_le32(&out[4], sum(at, h));
        return {};
    }
    Status write(uint64_t at, Bytes in) requires WritableStorage<S> {
        headers += is_header(at) ? 1 : 0;
        others = !is_header(at);
        if (planted == Plant::replay_over_the_current_header && is_header(at)) {
            at = value_of(vhdx::find_header(*storage)).at;
        }
        return storage->write(at, in);
    }
    Status resize(uint64_t size) requires WritableStorage<S> { return storage->resize(size); }
    Status flush() requires WritableStorage<S> {
        if (planted == Plant::replay_not_flushed && others) return {};
        if (planted == Plant::replay_headers_in_one_flush && headers % 2 != 0) return {};
        return storage->flush();
    }
    uint64_t headers = 0;
    bool others = false;

private:
    // That which makes the entry valid, as far as it lies inside the log.
    [[nodiscard]] uint32_t sum(uint64_t at, const vhdx::LogEntryHeader& h) const {
        uint32_t sum = 0;
        std::array<byte, vhdx::log_sector> sector;
        const uint64_t length = std::min<uint64_t>(h.entry_length.value(), 1_MiB);
        for (uint64_t k = 0; k + sector.size() <= length; k += sector.size()) {
            const uint64_t from = at + k < 2_MiB ? at + k : at + k - 1_MiB;
            if (!storage->read(from, sector)) return 0;
            if (k == 0) std::memset(&sector[4], 0, 4);
            sum = crc32c(sector, sum);
        }
        return sum;
    }
};

// As replay, and the wrong way round.
template <class S>
Status empty_and_replay(S& storage) {
    auto header = vhdx::find_header(storage);
    if (!header) return header.error();
    const auto log = vhdx::check(*header, storage.size());
    if (!log || log->guid.is_nil()) return {};
    const auto active = vhdx::find_active(storage, *log, Heap{});
    if (!active) return active.error();
    header->header.log_guid = Guid{};
    std::array<byte, vhdx::header_bytes> scratch;
    if (Status put = vhdx::put_header(storage, *header, scratch); !put) return put;
    if (storage.size() < active->last_file_offset) {
        if (Status grown = storage.resize(active->last_file_offset); !grown) return grown;
    }
    const Status done =
        vhdx::each_update(storage, *log, *active, [&](const vhdx::Update& update) -> Status {
            std::array<byte, vhdx::log_sector> bytes{};
            const Status got = vhdx::load_update(storage, *log, update, bytes);
            return got ? storage.write(update.at, bytes) : got;
        });
    return done ? storage.flush() : done;
}

struct WrongReplay : VhdxSubject {
    static constexpr uint64_t goes_on = 64;
    static constexpr uint64_t recoveries = 16;

    static Result<CutFiles::Ids> look(const OverFile& file, ParentDisk below) {
        if (planted != Plant::sums_not_checked) return VhdxSubject::look(file, below);
        using S = Careless<const OverFile>;
        const auto image = vhdx::Image<S, Heap>::open(S{&file}, {.cache = {12, 2}});
        if (!image) return image.error();
        return sector_ids(*image, file, below);
    }
    template <class S>
    static Status recover(S& storage) {
        if (planted == Plant::replay_empties_first) return empty_and_replay(storage);
        Careless<S> careless{&storage};
        return vhdx::replay(careless, Heap{}, SeededIds(4));
    }
};

// How many of the cases find it.
template <class Subject>
size_t seek(const Planted& p, uint64_t seeds) {
    const auto kinds = vhdx_cut_kinds();
    CutTally tally;
    const auto verdicts =
        all_cases(kinds, seeds, [&](const VhdxCutKind&, const ImageCutWork& work) {
            planted = p.plant;
            const Status verdict = cut_image<Subject, PlantedStorage, WrongTables>(work, {&tally});
            planted = Plant::none;
            return verdict;
        });
    size_t found = 0;
    const char *where = "", *how = "";
    for (const auto& [kind, verdict] : verdicts) {
        if (verdict || found++ > 0) continue;
        where = kind->name;
        how = verdict.error().what;
    }
    std::cout << "planted: " << p.what << ": found by " << found << " of " << verdicts.size()
              << " cases; first: " << where << ": " << how << '\n';
    return found;
}

// A few more cases for what few can see.
template <class Subject>
bool is_found(const Planted& p) {
    return seek<Subject>(p, 1) > 0 || seek<Subject>(p, 4) > 0;
}

}  // namespace

TEST_CASE("vhdx: every planted fault of order is found", "[vhdx][write][power_cut]") {
    CHECK(seek<VhdxSubject>({Plant::none, "nothing"}, 1) == 0);
    for (const Planted& p : plants) {
        CAPTURE(p.what);
        CHECK(is_found<VhdxSubject>(p));
    }
}

TEST_CASE("vhdx: every planted fault of replay is found", "[vhdx][write][power_cut]") {
    CHECK(seek<WrongReplay>({Plant::none, "nothing"}, 1) == 0);
    for (const Planted& p : replay_plants) {
        CAPTURE(p.what);
        CHECK(is_found<WrongReplay>(p));
    }
}
