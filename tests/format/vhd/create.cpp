// SPDX-License-Identifier: BSL-1.0
// New VHD images, and what may be changed of them later.
#include <vdisk/format/vhd/change.hpp>
#include <vdisk/format/vhd/resize.hpp>

#include "catch.hpp"
#include "support/vhd_work.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

vhd::Layout layout_of(const File& file) { return value_of(vhd::load_layout(MemoryStorage(file))); }

std::vector<std::string> names_of(const File& file) {
    std::vector<std::string> names;
    const auto image = value_of(VhdReader::open(MemoryStorage(file)));
    for (unsigned choice = 0;; ++choice) {
        std::array<char, 256> buffer{};
        const auto name = image.parent_name(choice, buffer);
        if (!name) return names;
        names.emplace_back(*name);
    }
}

constexpr vhd::ParentLink parent_link{.unique_id = guid(2),
                                      .time_stamp = 77,
                                      .relative_path = "base/p\xC3\xA4rent.vhd",
                                      .absolute_path = "/disks/base/p\xC3\xA4rent.vhd"};

}  // namespace

TEST_CASE("vhd: a new image is as small as it can be", "[vhd][create]") {
    // 100 MiB in blocks of 2 MiB: footer, header, table of 50 entries, footer.
    CHECK(new_vhd(vhd_options(100_MiB, 21)).size() == 512 + 1024 + 512 + 512);
    CHECK(new_vhd(vhd_options(3_MiB, 21, vhd::Type::fixed)).size() == 3_MiB + 512);
}

TEST_CASE("vhd: every program takes the size in bytes of what is made here", "[vhd][create]") {
    const auto creator = [](uint64_t size, vhd::Geometry geometry = {}) {
        auto options = vhd_options(size, 21);
        options.geometry = geometry;
        const auto letters = layout_of(new_vhd(options)).creator_application;
        return std::string(letters.data(), letters.size());
    };
    CHECK(creator(100_MiB) == "win ");
    CHECK(creator(vhd::size_by_geometry(100_MiB)) == "vdsk");
    CHECK(creator(100_MiB, vhd::largest_geometry) == "vdsk");
    CHECK(creator(1_TiB) == "vdsk");
}

TEST_CASE("vhd: images that cannot be made", "[vhd][create]") {
    GrowableMemory memory;
    const auto refused = [&](vhd::CreateOptions options) {
        const Status made = vhd::create(memory, options);
        return made ? std::string() : std::string(made.error().what);
    };
    CHECK(refused(vhd_options(0, 21)) == "vhd: size is 0 or beyond 2040 GiB");
    CHECK(refused(vhd_options(vhd::max_size + 1, 21)) == "vhd: size is 0 or beyond 2040 GiB");
    CHECK(refused(vhd_options(512, 8)) == "vhd: block size is not between 512 bytes and 256 MiB");
    CHECK(refused(vhd_options(512, 29)) == "vhd: block size is not between 512 bytes and 256 MiB");
    CHECK(refused({.size = 512}) == "vhd: a new image needs a unique id");
    CHECK(refused({.size = 512, .type = vhd::Type::differencing, .unique_id = guid(1)}) ==
          "vhd: the parent has no unique id");
    CHECK(refused({.size = 512,
                   .type = vhd::Type::differencing,
                   .unique_id = guid(1),
                   .parent = {.unique_id = guid(2)}}) ==
          "vhd: a differencing image needs the path of its parent");
}

TEST_CASE("vhd: a child names its parent in all the ways there are", "[vhd][create]") {
    auto options = vhd_options(100_MiB, 21, vhd::Type::differencing);
    options.parent = parent_link;
    const File file = new_vhd(options);
    CHECK(layout_of(file).parent_unique_id == guid(2));
    CHECK(layout_of(file).parent_time_stamp == 77);
    CHECK(names_of(file) == std::vector<std::string>{std::string(parent_link.relative_path),
                                                     std::string(parent_link.absolute_path),
                                                     "p\xC3\xA4rent.vhd"});
    // As Windows writes it: with backslashes, from ".\" on.
    const auto header = load<vhd::DynamicHeader>(Bytes(file).subspan(512));
    CHECK(header.parent_locators[0].platform_code.value() == vhd::platform::w2ku);
    CHECK(header.parent_locators[1].platform_code.value() == vhd::platform::w2ru);
    const uint64_t at = header.parent_locators[1].platform_data_offset.value();
    CHECK(utf16::load(&file[at], ByteOrder::little) == '.');
    CHECK(utf16::load(&file[at + 2], ByteOrder::little) == '\\');
    CHECK(utf16::load(&file[at + 12], ByteOrder::little) == '\\');
}

TEST_CASE("vhd: the parent of a child may move, and become another", "[vhd][change]") {
    auto options = vhd_options(100_MiB, 21, vhd::Type::differencing);
    options.parent = parent_link;
    const File before = new_vhd(options);
    const std::string long_name = std::string(3000, 'x') + ".vhd";
    for (const std::string& name : {std::string("b.vhd"), long_name}) {
        GrowableMemory memory(before);
        const vhd::ParentLink other{
            .unique_id = guid(3), .relative_path = name, .absolute_path = "/b.vhd"};
        REQUIRE(vhd::set_parent(memory, other, Heap{}));
        const File after = bytes_of(memory);
        CHECK(layout_of(after).parent_unique_id == guid(3));
        CHECK(layout_of(after).header_at == 512);
        std::vector<char> buffer(5000);
        const auto image = value_of(VhdReader::open(MemoryStorage(after)));
        CHECK(value_of(image.parent_name(0, buffer)) == name);
        CHECK(value_of(image.parent_name(1, buffer)) == "/b.vhd");
        CHECK(value_of(check_vhd(after)).is_clean());
        // A short path fits where the old one was.
        CHECK((after.size() == before.size()) == (name.size() < 100));
    }
    GrowableMemory base(new_vhd(vhd_options(100_MiB, 21)));
    CHECK(vhd::set_parent(base, parent_link, Heap{}).error().code == Errc::invalid);
}

TEST_CASE("vhd: locators of every kind are updated, those that cannot hold the path go",
          "[vhd][change]") {
    auto options = vhd_options(100_MiB, 21, vhd::Type::differencing);
    options.parent = parent_link;
    File file = new_vhd(options);
    auto header = load<vhd::DynamicHeader>(Bytes(file).subspan(512));
    header.parent_locators[2] = header.parent_locators[0];
    header.parent_locators[2].platform_code = vhd::platform::macx;
    header.parent_locators[2].platform_data_offset = 4_MiB;
    header.parent_locators[3] = header.parent_locators[2];
    header.parent_locators[3].platform_code = vhd::platform::wi2r;
    header.parent_locators[3].platform_data_offset = 4_MiB + 4096;
    vhd::seal(header);
    std::memcpy(&file[512], &header, sizeof header);
    const File footer(file.end() - 512, file.end());
    file.resize(5_MiB);
    file.insert(file.end(), footer.begin(), footer.end());
    GrowableMemory memory(file);
    REQUIRE(vhd::set_parent(memory, parent_link, Heap{}));
    const File after = bytes_of(memory);
    header = load<vhd::DynamicHeader>(Bytes(after).subspan(512));
    CHECK(header.parent_locators[2].platform_code.value() == vhd::platform::macx);
    CHECK(header.parent_locators[3].platform_code.value() == vhd::platform::none);
    CHECK(names_of(after)[2] == parent_link.absolute_path);
}

TEST_CASE("vhd: ids and geometry are changed in both footers", "[vhd][change]") {
    for (const auto type : {vhd::Type::dynamic, vhd::Type::fixed}) {
        GrowableMemory memory(new_vhd(vhd_options(3_MiB, 21, type)));
        REQUIRE(vhd::set_unique_id(memory, guid(9), Heap{}));
        REQUIRE(vhd::set_geometry(memory, {7, 4, 17}, Heap{}));
        const File file = bytes_of(memory);
        CHECK(layout_of(file).unique_id == guid(9));
        CHECK(layout_of(file).geometry == vhd::Geometry{7, 4, 17});
        CHECK(value_of(check_vhd(file)).is_clean());
    }
}

TEST_CASE("vhd: a disk that shrank and grew again shows zeros", "[vhd][resize]") {
    for (const auto type : {vhd::Type::dynamic, vhd::Type::differencing, vhd::Type::fixed}) {
        const ParentDisk below{false};
        GrowableMemory memory(new_vhd(vhd_options(100 * sector, 13, type)));
        auto writer = value_of(VhdWriter<Borrowed<GrowableMemory>>::open(Borrowed(memory)));
        File model(100 * sector);
        REQUIRE(perform(writer, Op::write(0, 100 * sector, 4), model, below));
        REQUIRE(writer.flush());
        REQUIRE(vhd::shrink(memory, 37 * sector, Heap{}));
        model.resize(37 * sector);
        bool same = value_of(read_vhd(bytes_of(memory), below)) == model;
        CHECK(same);
        REQUIRE(vhd::grow(memory, 300 * sector, Heap{}));
        model.resize(300 * sector);
        same = value_of(read_vhd(bytes_of(memory), below)) == model;
        CHECK(same);
        CHECK(layout_of(bytes_of(memory)).current_size == 300 * sector);
    }
}

TEST_CASE("vhd: an image with a block where none can be is not resized", "[vhd][resize]") {
    const File good = [] {
        GrowableMemory memory(new_vhd(vhd_options(15 * 8 * sector + sector, 12)));
        auto writer = value_of(VhdWriter<Borrowed<GrowableMemory>>::open(Borrowed(memory)));
        File model(15 * 8 * sector + sector);
        REQUIRE(perform(writer, Op::write(0, sector, 4), model, {}));
        REQUIRE(writer.flush());
        return bytes_of(memory);
    }();
    for (const uint32_t last : {0u, 1u, load_be32(&good[1536])}) {
        CAPTURE(last);
        File file = good;
        store_be32(&file[1536 + 15 * 4], last);
        GrowableMemory memory(file);
        CHECK(vhd::grow(memory, 16 * 8 * sector, Heap{}).error().code == Errc::corrupt);
        CHECK(vhd::shrink(memory, 8 * sector, Heap{}).error().code == Errc::corrupt);
        const bool same = bytes_of(memory) == file;
        CHECK(same);
    }
}

TEST_CASE("vhd: a fixed disk grows over what was between it and its footer", "[vhd][resize]") {
    File file = new_vhd(vhd_options(20 * sector, 12, vhd::Type::fixed));
    file.insert(file.end() - sector, 10 * sector, byte{0xEE});
    GrowableMemory memory(file);
    REQUIRE(vhd::grow(memory, 60 * sector, Heap{}));
    const File disk = value_of(read_vhd(bytes_of(memory), {}));
    CHECK(is_zero(Bytes(disk).subspan(20 * sector)));
}

TEST_CASE("vhd: a path that cannot be written changes nothing", "[vhd][change]") {
    auto options = vhd_options(100_MiB, 21, vhd::Type::differencing);
    options.parent = parent_link;
    const File before = new_vhd(options);
    for (const char* path : {"d\xff/x.vhd", "a\\b.vhd"}) {
        GrowableMemory memory(before);
        CHECK_FALSE(vhd::set_parent(memory, {.unique_id = guid(3), .relative_path = path}, Heap{}));
        const bool same = bytes_of(memory) == before;
        CHECK(same);
    }
    GrowableMemory memory(before);
    const std::string long_path(100000, 'n');
    CHECK(vhd::set_parent(memory, {.unique_id = guid(3)}, Heap{}).error().code == Errc::invalid);
    CHECK_FALSE(
        vhd::set_parent(memory, {.unique_id = guid(3), .relative_path = long_path}, Heap{}));
    memory = GrowableMemory(new_vhd(vhd_options(1_MiB, 21)));
    CHECK(vhd::set_parent(memory, {.unique_id = guid(3), .relative_path = "x"}, Heap{})
              .error()
              .code == Errc::invalid);
    CHECK(vhd::set_parent_id(memory, guid(3), 0, Heap{}).error().code == Errc::invalid);
}

TEST_CASE("vhd: no table is made that would not be read", "[vhd][create]") {
    GrowableMemory memory;
    CHECK(vhd::create(memory, vhd_options(40_GiB, 9)).error().code == Errc::limit);
    memory = GrowableMemory(new_vhd(vhd_options(1_MiB, 9)));
    CHECK(vhd::grow(memory, 40_GiB, Heap{}).error().code == Errc::limit);
}

TEST_CASE("vhd: sizes that a disk cannot get", "[vhd][resize]") {
    GrowableMemory memory(new_vhd(vhd_options(100 * sector, 12)));
    CHECK(vhd::grow(memory, 99 * sector, Heap{}).error().code == Errc::invalid);
    CHECK(vhd::grow(memory, vhd::max_size + 512, Heap{}).error().code == Errc::invalid);
    CHECK(vhd::shrink(memory, 101 * sector, Heap{}).error().code == Errc::invalid);
    CHECK(vhd::shrink(memory, 0, Heap{}).error().code == Errc::invalid);
    const File before = bytes_of(memory);
    CHECK(vhd::grow(memory, 100 * sector, Heap{}));
    CHECK(vhd::shrink(memory, 100 * sector, Heap{}));
    CHECK(bytes_of(memory) == before);
    CHECK(vhd::grow(memory, 100 * sector + 1, Heap{}).error().code == Errc::invalid);
}
