// SPDX-License-Identifier: BSL-1.0
// vdisk-info FILE: what an image is.
#include <stdio.h>

#include <vdisk/io/walk.hpp>

#include "images.hpp"

using namespace vdisk;

namespace {

void line(const char* name, uint64_t value) {
    ::printf("%s: %llu\n", name, static_cast<unsigned long long>(value));
}

template <class I>
Status info(const char* format, const I& image) {
    ::printf("file format: %s\n", format);
    line("virtual size", image.size());
    if constexpr (requires { image.layout().cluster_size(); }) {
        line("cluster size", image.layout().cluster_size());
    }
    if constexpr (requires { image.layout().version; }) line("version", image.layout().version);
    if constexpr (requires { image.layout().snapshots; }) {
        line("snapshots", image.layout().snapshots);
    }
    if constexpr (requires { image.layout().block_size(); }) {
        if (image.layout().block_bits != 0) line("block size", image.layout().block_size());
    }
    uint64_t stored = 0;
    const auto add = [&stored](uint64_t /*at*/, const Extent& extent) -> Status {
        if (extent.kind == Kind::data || extent.kind == Kind::compressed) stored += extent.length;
        return {};
    };
    const Status walked = walk(image, 0, image.size(), add);
    if (walked) line("bytes stored", stored);
    return walked;
}

int tell(const char* path, const Error& error) {
    ::fprintf(stderr, "vdisk-info: %s: %s\n", path, error.what);
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return tell("usage", invalid("vdisk-info FILE"));
    const auto file = File::open(argv[1]);
    if (!file) return tell(argv[1], file.error());
    const Status done =
        images::visit(*file, [](const char* format, const auto& i) { return info(format, i); });
    return done ? 0 : tell(argv[1], done.error());
}
