// SPDX-License-Identifier: BSL-1.0
#include "draft.hpp"

#include <algorithm>

namespace tool {

using namespace vdisk;

namespace {

Draft::Writer open_writer(const std::string& path, const std::string& format, Storage file,
                          DraftFile::Order order) {
    if (const Status sound = chain::recover(format, file); !sound)
        throw failure(path, sound.error());
    if (const Status kept = chain::keep_bitmaps(format, file); !kept)
        throw failure(path, kept.error());
    // Tables of 32 GiB of data in clusters of 64 KiB.
    auto writer = Draft::Writer::open(format, DraftFile(std::move(file), order),
                                      {.cache = {.page_bits = 12, .count_bits = 10}});
    if (!writer) throw failure(path, writer.error());
    return *std::move(writer);
}

}  // namespace

Draft::Draft(Output& output, NewImage& image)
    : path_(output.path()),
      is_new_(true),
      writer_(open_writer(path_, image.format(), output.storage(), DraftFile::Order::free)) {
    if (!writer_.needs_data_file()) return;
    has_data_file_ = true;
    const Status attached =
        writer_.attach_data_file(DraftFile(image.data_storage(), DraftFile::Order::free));
    if (!attached) throw failure(path_, attached.error());
}

Draft::Draft(Top& top)
    : path_(top.file.origin.path),
      is_new_(false),
      writer_(open_writer(path_, top.format, top.file.storage, DraftFile::Order::kept)),
      data_origin_(top.file.origin) {
    attach_data_file(top);
}

void Draft::attach_data_file(Top& top) {
    if (!writer_.needs_data_file()) return;
    has_data_file_ = true;
    std::array<char, chain::max_name> buffer{};
    const auto name = chain::name_of(writer_, writer_.data_file(), buffer);
    if (!name) throw failure(path_, name.error());
    auto file =
        top.gate.open({Reference::Role::data_file, *name, Reference::Use::write}, top.file.origin);
    if (!file) throw failure(std::string(*name), file.error());
    data_origin_ = file->origin;
    const Status attached =
        writer_.attach_data_file(DraftFile(std::move(file->storage), DraftFile::Order::kept));
    if (!attached) throw failure(path_, attached.error());
}

uint64_t Draft::unit() const {
    return writer_.visit([](const auto& image) -> uint64_t {
        if constexpr (requires { image.layout().has_data_file; }) {
            return image.layout().cluster_size();
        } else if constexpr (requires { image.layout().is_fixed(); }) {
            // Blocks are large, and take what is less in pieces.
            const uint64_t block = image.layout().is_fixed() ? 65536 : image.layout().block_size();
            return std::min<uint64_t>(block, 65536);
        } else if constexpr (requires { image.layout().leaves_allocated; }) {
            return 65536;
        } else if constexpr (requires { image.pack_unit(); }) {
            return image.pack_unit();
        } else {
            return 512;
        }
    });
}

void Draft::finish() {
    const Status flushed = writer_.close();
    if (!flushed) throw failure(path_, flushed.error());
}

}  // namespace tool
