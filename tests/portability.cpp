// SPDX-License-Identifier: BSL-1.0
// Writes one image of each kind into a folder, always with the same work, ids and times:
// portability.sh compares what comes out on different processors byte by byte.
#include <cstdio>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <vdisk/allocation/heap.hpp>
#include <vdisk/codec/none.hpp>
#include <vdisk/core/random.hpp>
#include <vdisk/format/qcow/create.hpp>
#include <vdisk/format/qcow/format.hpp>
#include <vdisk/format/qcow2/create.hpp>
#include <vdisk/format/qcow2/format.hpp>
#include <vdisk/format/vhd/create.hpp>
#include <vdisk/format/vhd/format.hpp>
#include <vdisk/format/vhdx/create.hpp>
#include <vdisk/format/vhdx/format.hpp>
#include <vdisk/io/zero.hpp>
#include <vdisk/storage/pread.hpp>

namespace {

using namespace vdisk;

constexpr uint64_t disk_size = 9_MiB + 5 * 512;

template <class T>
T must(Result<T> result) {
    if (!result) std::fprintf(stderr, "%s\n", result.error().what), std::exit(1);
    return *std::move(result);
}
void must(Status done) {
    if (!done) std::fprintf(stderr, "%s\n", done.error().what), std::exit(1);
}

// Writes, zeros, discards and flushes, here and there; `model` is what the guest has to see then.
template <class W>
void work(W& writer, std::vector<byte>& model) {
    std::mt19937_64 random(7);
    std::vector<byte> scratch(65536);
    for (int step = 0; step < 160; ++step) {
        const uint64_t at = random() % model.size();
        const uint64_t most = random() % 4 == 0 ? 400000 : 6000;
        const auto length = static_cast<size_t>(std::min(model.size() - at, random() % most + 1));
        const MutBytes there = MutBytes(model).subspan(static_cast<size_t>(at), length);
        switch (random() % 8) {
            case 0: must(writer.flush()); break;
            case 1:
                std::ranges::fill(there, byte{0});
                must(zero(writer, at, length, scratch));
                break;
            case 2:
                must(discard(writer, at, length));
                must(read(writer, at, there));
                break;
            default:
                for (byte& b : there) b = static_cast<byte>(random());
                must(write(writer, at, there, scratch));
        }
    }
    must(writer.flush());
    if constexpr (requires { writer.close(); }) must(writer.close());
    std::vector<byte> seen(model.size());
    must(read(writer, 0, seen));
    if (seen != model) std::fprintf(stderr, "read other bytes than written\n"), std::exit(1);
}

template <class Create>
PreadStorage made(const std::string& path, Create create) {
    auto file = must(PreadStorage::open(path.c_str(), Access::create));
    must(create(file));
    std::puts(path.c_str());
    return file;
}

template <class Format, class Options>
void image(const std::string& path, const Options& options) {
    auto file = made(path, [&](auto& storage) { return create(storage, options); });
    auto writer = must(Format::open_writer(std::move(file), OpenOptions{}, Heap{}, NoCodec{}));
    std::vector<byte> model(static_cast<size_t>(writer.size()));
    work(writer, model);
}

void vhdx_image(const std::string& path, const vhdx::CreateOptions& options) {
    auto file = made(path, [&](auto& storage) { return create(storage, options, SeededIds(1)); });
    using Writer = vhdx::Writer<PreadStorage, Heap, SeededIds>;
    auto writer = must(Writer::open(std::move(file), OpenOptions{}, Heap{}, SeededIds(2)));
    std::vector<byte> model(static_cast<size_t>(writer.size()));
    work(writer, model);
}

void all_images(const std::string& folder) {
    image<Qcow>(folder + "plain.qcow", qcow::CreateOptions{.size = disk_size});
    image<Qcow>(folder + "large.qcow",
                qcow::CreateOptions{.size = disk_size, .cluster_bits = 16, .l2_bits = 6});

    using qcow2::Preallocation;
    const std::map<std::string, qcow2::CreateOptions> qcow2_images = {
        {"plain", {.size = disk_size}},
        {"version-2", {.size = disk_size, .cluster_bits = 12, .version = 2}},
        {"small", {.size = disk_size, .cluster_bits = 9, .refcount_order = 6}},
        {"bits", {.size = disk_size, .cluster_bits = 12, .refcount_order = 0}},
        {"lazy", {.size = disk_size, .lazy_refcounts = true}},
        {"extended", {.size = disk_size, .cluster_bits = 14, .extended_l2 = true}},
        {"allocated", {.size = disk_size, .preallocation = Preallocation::metadata}},
    };
    for (const auto& [name, options] : qcow2_images) {
        image<Qcow2>(folder + name + ".qcow2", options);
    }

    const Guid id = Guid::from_random({byte{1}, byte{2}, byte{3}, byte{4}});
    const uint32_t then = 700000000;
    const std::map<std::string, vhd::CreateOptions> vhd_images = {
        {"dynamic", {.size = disk_size, .unique_id = id, .time_stamp = then}},
        {"small", {.size = disk_size, .block_bits = 12, .unique_id = id, .time_stamp = then}},
        {"fixed",
         {.size = disk_size, .type = vhd::Type::fixed, .unique_id = id, .time_stamp = then}},
    };
    for (const auto& [name, options] : vhd_images) {
        image<Vhd>(folder + name + ".vhd", options);
    }

    vhdx_image(folder + "dynamic.vhdx", {.size = disk_size});
    vhdx_image(folder + "small.vhdx", {.size = disk_size, .block_bits = 20});
    vhdx_image(folder + "native.vhdx", {.size = disk_size, .block_bits = 20, .sector_bits = 12});
    vhdx_image(folder + "fixed.vhdx", {.size = disk_size, .block_bits = 20, .fixed = true});
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return std::fprintf(stderr, "usage: portability FOLDER\n"), 2;
    all_images(std::string(argv[1]) + "/");
}
