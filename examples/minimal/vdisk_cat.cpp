// SPDX-License-Identifier: BSL-1.0
// vdisk-cat FILE: the disk inside an image, to standard output.
#include <string.h>

#include <vdisk/io/read.hpp>

#include "images.hpp"

using namespace vdisk;

namespace {

std::byte buffer[65536];

Status put(Bytes bytes) {
    while (!bytes.empty()) {
        const ssize_t done = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
        if (done <= 0) return fail(Errc::io, "the output takes no more");
        bytes = bytes.subspan(static_cast<size_t>(done));
    }
    return {};
}

template <class I>
Status cat(const I& image) {
    for (uint64_t at = 0; at < image.size(); at += sizeof buffer) {
        const uint64_t rest = image.size() - at;
        const MutBytes piece(buffer, rest < sizeof buffer ? size_t(rest) : sizeof buffer);
        if (Status got = read(image, at, piece); !got) return got;
        if (Status written = put(piece); !written) return written;
    }
    return {};
}

int tell(const char* path, const Error& error) {
    for (const char* text : {"vdisk-cat: ", path, ": ", error.what, "\n"}) {
        static_cast<void>(!::write(STDERR_FILENO, text, ::strlen(text)));
    }
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return tell("usage", invalid("vdisk-cat FILE"));
    const auto file = File::open(argv[1]);
    if (!file) return tell(argv[1], file.error());
    const Status done = images::visit(*file, [](const char*, const auto& i) { return cat(i); });
    return done ? 0 : tell(argv[1], done.error());
}
