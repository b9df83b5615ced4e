// SPDX-License-Identifier: BSL-1.0
#include <algorithm>
#include <array>

#include <vdisk/storage/borrowed.hpp>
#include <vdisk/storage/growable.hpp>
#include <vdisk/storage/memory.hpp>
#include <vdisk/storage/pread.hpp>
#include <vdisk/storage/window.hpp>

#include "catch.hpp"
#include "support/bytes.hpp"

using namespace vdisk;

namespace {
static_assert(ViewableStorage<WindowStorage<MemoryStorage>>);
static_assert(!WritableStorage<WindowStorage<MemoryStorage>>);
static_assert(WritableStorage<WindowStorage<PreadStorage>>);
static_assert(SparseStorage<WindowStorage<PreadStorage>>);
static_assert(!ViewableStorage<WindowStorage<PreadStorage>>);
}  // namespace

TEST_CASE("window: must lie inside the storage", "[window]") {
    const std::vector<byte> data = test::noise(100);
    const MemoryStorage file(data);
    using Window = WindowStorage<MemoryStorage>;
    CHECK(Window::open(file, 0, 100));
    CHECK(Window::open(file, 100, 0));
    CHECK(Window::open(file, 60, 41).error().code == Errc::invalid);
    CHECK(Window::open(file, ~uint64_t{0}, 2).error().code == Errc::invalid);
}

TEST_CASE("window: nothing outside can be reached", "[window]") {
    GrowableMemory file(test::noise(100));
    auto window = WindowStorage<Borrowed<GrowableMemory>>::open(Borrowed(file), 40, 20);
    REQUIRE(window);
    CHECK(window->size() == 20);

    std::array<byte, 10> out = {};
    REQUIRE(window->read(10, out));
    CHECK(std::ranges::equal(out, file.bytes().subspan(50, 10)));
    CHECK(window->view(10, 10)->data() == file.bytes().data() + 50);
    REQUIRE(window->write(0, out));
    CHECK(std::ranges::equal(out, file.bytes().subspan(40, 10)));

    CHECK(window->read(11, out).error().code == Errc::invalid);
    CHECK(window->view(11, 10).error().code == Errc::invalid);
    CHECK(window->write(11, out).error().code == Errc::invalid);
    CHECK(window->read(~uint64_t{0} - 39, out).error().code == Errc::invalid);  // 40 + it wraps
    CHECK(window->resize(20));
    CHECK(window->resize(19).error().code == Errc::unsupported);
    CHECK(file.size() == 100);
    CHECK(window->flush());
}
