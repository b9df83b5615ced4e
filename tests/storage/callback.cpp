// SPDX-License-Identifier: BSL-1.0
#include <algorithm>
#include <array>
#include <random>
#include <type_traits>

#include <vdisk/storage/callback.hpp>

#include "catch.hpp"
#include "support/bytes.hpp"

using namespace vdisk;

namespace {

// A disk that checks the promises of the storage above it.
struct Disk {
    std::vector<byte> bytes;
    unsigned bits = 9;
    size_t alignment = 1;
    size_t max_transfer = 0;
    uint64_t calls = 0;
    uint64_t fails_at = 0;  // the call that fails; 0: none
    bool broken_rule = false;

    bool transfer(uint64_t lba, Bytes buffer) {
        const size_t sectors = buffer.size() >> bits;
        const bool good = sectors != 0 && sectors << bits == buffer.size() &&
                          (max_transfer == 0 || sectors <= max_transfer) &&
                          reinterpret_cast<uintptr_t>(buffer.data()) % alignment == 0 &&
                          lba + sectors <= bytes.size() >> bits;
        broken_rule |= !good;
        return good && ++calls != fails_at;
    }
};

// `T` is how it reports: bool, or Status with an error of its own.
template <class T>
struct Reader {
    Disk* disk;

    [[nodiscard]] unsigned sector_bits() const { return disk->bits; }
    [[nodiscard]] uint64_t sectors() const { return disk->bytes.size() >> disk->bits; }
    [[nodiscard]] size_t alignment() const { return disk->alignment; }
    [[nodiscard]] size_t max_transfer() const { return disk->max_transfer; }

    T read(uint64_t lba, MutBytes out) const {
        if (!disk->transfer(lba, out)) return failed();
        std::memcpy(out.data(), disk->bytes.data() + (lba << disk->bits), out.size());
        return succeeded();
    }

protected:
    static T succeeded() {
        if constexpr (std::is_same_v<T, bool>) return true;
        else return {};
    }
    static T failed() {
        if constexpr (std::is_same_v<T, bool>) return false;
        else return fail(Errc::no_space, "test: the device's own error");
    }
};

template <class T>
struct Writer : Reader<T> {
    T write(uint64_t lba, Bytes in) {
        Disk& to = *this->disk;
        if (!to.transfer(lba, in)) return Reader<T>::failed();
        std::memcpy(to.bytes.data() + (lba << to.bits), in.data(), in.size());
        return Reader<T>::succeeded();
    }
    T flush() { return Reader<T>::succeeded(); }
};

static_assert(Storage<CallbackStorage<Reader<bool>>>);
static_assert(!WritableStorage<CallbackStorage<Reader<bool>>>);
static_assert(WritableStorage<CallbackStorage<Writer<bool>>>);
static_assert(WritableStorage<CallbackStorage<Writer<Status>>>);

alignas(4096) std::array<byte, 4096> bounce;

}  // namespace

TEST_CASE("callback: any span on any device, against a model", "[callback]") {
    const unsigned bits = GENERATE(0u, 9u, 12u);
    const size_t alignment = GENERATE(size_t{1}, size_t{4}, size_t{4096});
    const size_t max_transfer = GENERATE(size_t{0}, size_t{1}, size_t{3});
    const size_t sectors = bits == 0 ? 500 : 20;
    Disk disk{test::noise(sectors << bits), bits, alignment, max_transfer};
    std::vector<byte> model = disk.bytes;
    auto storage = CallbackStorage<Writer<bool>>::open({{&disk}}, bounce);
    REQUIRE(storage);
    REQUIRE(storage->size() == model.size());

    std::mt19937 random(7);
    std::vector<byte> memory = test::noise(model.size() + 64, 2);
    bool equal = true;
    for (int i = 0; i != 300; ++i) {
        // Every third span is whole sectors, so that direct transfers have their turn.
        const size_t mask = i % 3 == 0 ? ~((size_t{1} << bits) - 1) : ~size_t{0};
        const size_t at = random() % model.size() & mask;
        const size_t length = random() % (model.size() - at + 1) & mask;
        const auto buffer = MutBytes(memory).subspan(random() % 64, length);
        if (random() % 2 == 0) {
            REQUIRE(storage->write(at, buffer));
            std::ranges::copy(buffer, model.begin() + static_cast<std::ptrdiff_t>(at));
        } else {
            REQUIRE(storage->read(at, buffer));
            equal = equal && std::ranges::equal(buffer, Bytes(model).subspan(at, length));
        }
    }
    CHECK(equal);
    CHECK(disk.bytes == model);
    CHECK_FALSE(disk.broken_rule);
}

TEST_CASE("callback: an aligned span is as few transfers as allowed", "[callback]") {
    alignas(512) static std::array<byte, 4096> out;
    Disk disk{test::noise(8192), 9, 512, 0};
    const auto storage = CallbackStorage<Reader<bool>>::open({&disk}, bounce);
    REQUIRE(storage->read(512, out));
    CHECK(disk.calls == 1);
    disk.max_transfer = 3;
    REQUIRE(storage->read(1536, MutBytes(out).first(8 * 512)));
    CHECK(disk.calls == 1 + 3);
}

TEST_CASE("callback: every failure of the device arrives", "[callback]") {
    Disk disk{test::noise(4096), 9, 1, 1};
    auto by_bool = CallbackStorage<Writer<bool>>::open({{&disk}}, bounce);
    auto by_status = CallbackStorage<Writer<Status>>::open({{&disk}}, bounce);
    std::vector<byte> buffer(1024);
    // Head, middle and tail: 3 reads; or read + write, write, read + write.
    for (uint64_t n = 1; n <= 3; ++n) {
        disk.calls = 0;
        disk.fails_at = n;
        const Status status = by_bool->read(100, buffer);
        REQUIRE_FALSE(status);
        CHECK(status.error().code == Errc::io);
    }
    for (uint64_t n = 1; n <= 5; ++n) {
        disk.calls = 0;
        disk.fails_at = n;
        CHECK(by_status->write(100, buffer).error().code == Errc::no_space);
    }
    disk.calls = 0;
    disk.fails_at = 6;
    CHECK(by_status->write(100, buffer));
}

TEST_CASE("callback: ranges and sizes are checked", "[callback]") {
    Disk disk{test::noise(4096)};
    auto storage = CallbackStorage<Writer<bool>>::open({{&disk}}, bounce);
    std::vector<byte> buffer(100);
    CHECK(storage->read(3997, buffer).error().code == Errc::invalid);
    CHECK(storage->write(~uint64_t{0}, buffer).error().code == Errc::invalid);
    CHECK(disk.calls == 0);
    CHECK(storage->resize(4096));
    CHECK(storage->resize(4608).error().code == Errc::unsupported);
    CHECK(storage->flush());
}

TEST_CASE("callback: a bounce buffer that does not do is refused", "[callback]") {
    using Storage = CallbackStorage<Reader<bool>>;
    Disk disk{test::noise(4096), 9, 512};
    CHECK_FALSE(Storage::open({&disk}, MutBytes(bounce).first(511)));
    CHECK_FALSE(Storage::open({&disk}, MutBytes(bounce).subspan(256)));
    CHECK(Storage::open({&disk}, MutBytes(bounce).first(512)));
    disk.bits = 64;
    CHECK_FALSE(Storage::open({&disk}, bounce));
}

namespace {
struct Endless {
    [[nodiscard]] unsigned sector_bits() const { return 9; }
    [[nodiscard]] uint64_t sectors() const { return uint64_t{1} << 55; }
    [[nodiscard]] size_t alignment() const { return 1; }
    [[nodiscard]] size_t max_transfer() const { return 0; }
    bool read(uint64_t /*lba*/, MutBytes /*out*/) const { return true; }
};
}  // namespace

TEST_CASE("callback: a device of more than 2^64 bytes is refused", "[callback]") {
    CHECK(CallbackStorage<Endless>::open({}, bounce).error().code == Errc::unsupported);
}
