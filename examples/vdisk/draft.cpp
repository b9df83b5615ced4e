// SPDX-License-Identifier: BSL-1.0
#include "draft.hpp"

#include <filesystem>

namespace tool {

using namespace vdisk;

namespace {

Draft::Writer open_writer(const std::string& path, const std::string& format, Storage file,
                          DraftFile::Order order) {
    if (const Status sound = chain::recover(format, file); !sound)
        throw failure(path, sound.error());
    // Tables of 32 GiB of data in clusters of 64 KiB.
    auto writer = Draft::Writer::open(format, DraftFile(std::move(file), order),
                                      {.cache = {.page_bits = 12, .count_bits = 10}});
    if (!writer) throw failure(path, writer.error());
    return *std::move(writer);
}

}  // namespace

Draft::Draft(Output& output, const NewImage& image)
    : path_(output.path()),
      is_new_(true),
      writer_(open_writer(path_, image.format(), output.storage(), DraftFile::Order::free)) {
    FolderGate gate(std::filesystem::path(path_).parent_path().string(), {.anywhere = true});
    attach_data_file(gate, {path_, {}}, DraftFile::Order::free);
}

Draft::Draft(Top& top)
    : path_(top.file.origin.path),
      is_new_(false),
      writer_(open_writer(path_, top.format, top.file.storage, DraftFile::Order::kept)) {
    attach_data_file(top.gate, top.file.origin, DraftFile::Order::kept);
}

void Draft::attach_data_file(FolderGate& gate, const Origin& origin, DraftFile::Order order) {
    if (!writer_.needs_data_file()) return;
    has_data_file_ = true;
    std::array<char, chain::max_name> buffer{};
    const auto name = chain::name_of(writer_, writer_.data_file(), buffer);
    if (!name) throw failure(path_, name.error());
    auto file = gate.open({Reference::Role::data_file, *name, Reference::Use::write}, origin);
    if (!file) throw failure(std::string(*name), file.error());
    const Status attached = writer_.attach_data_file(DraftFile(std::move(file->storage), order));
    if (!attached) throw failure(path_, attached.error());
}

uint64_t Draft::unit() const {
    return writer_.visit([](const auto& image) -> uint64_t {
        if constexpr (requires { image.layout().has_data_file; }) {
            return image.layout().cluster_size();
        } else if constexpr (requires { image.pack_unit(); }) {
            return image.pack_unit();
        } else {
            return 512;
        }
    });
}

void Draft::finish() {
    const Status flushed = writer_.flush();
    if (!flushed) throw failure(path_, flushed.error());
}

}  // namespace tool
