// SPDX-License-Identifier: BSL-1.0
// vdisk resize: makes the disk of an image larger or smaller.
#include <cstdio>
#include <memory>

#include <fcntl.h>

#include <vdisk/allocation/heap.hpp>
#include <vdisk/format/qcow2/create.hpp>
#include <vdisk/format/qcow2/punch.hpp>
#include <vdisk/format/qcow2/resize.hpp>
#include <vdisk/storage/zeros.hpp>

#include "closed.hpp"
#include "interrupt.hpp"
#include "operations.hpp"

namespace tool {

using namespace vdisk;
using vdisk::qcow2::Preallocation;

namespace {

struct ResizeOptions {
    Input input;
    std::string size;
    std::string preallocation = "off";
    bool shrink = false;
    bool quiet = false;
};

/// Keeps room for [at, end), which reads as zeros.
vdisk::Status fill(const Storage& storage, uint64_t at, uint64_t end, Preallocation preallocation) {
    InterruptibleFile file(storage);
    if (preallocation == Preallocation::falloc)
        return at < end ? file.reserve(at, end - at) : vdisk::Status{};
    if (preallocation == Preallocation::full) {
        return at < end ? store_zeros(file, at, end - at) : vdisk::Status{};
    }
    return {};
}

void resize_raw(Top& top, uint64_t size, Preallocation preallocation) {
    if (preallocation == Preallocation::metadata) {
        throw Failure{top.file.origin.path + ": Unsupported preallocation mode: metadata"};
    }
    Storage& file = top.file.storage;
    const uint64_t old = file.size();
    vdisk::Status done = file.resize(size);
    if (done) done = fill(file, old, size, preallocation);
    if (done) done = file.flush();
    if (!done && file.size() > old) static_cast<void>(file.resize(old));
    if (!done) check_interrupt();
    expect(top, done);
}

/// The external data file of an image, open to be written.
std::optional<File> data_file_of(Top& top, const qcow2::Layout& layout) {
    if (!layout.has_data_file) return std::nullopt;
    const std::string name = text_in(top, layout.data_file);
    auto file =
        top.gate.open({Reference::Role::data_file, name, Reference::Use::write}, top.file.origin);
    if (file) return *std::move(file);
    const std::string& path = top.gate.last();
    Failure out = failure(path, file.error());
    out.message.replace(0, path.size(), top.gate.reference());
    throw out;
}

/// A disk that becomes longer, and what has to grow with it.
class Growth {
public:
    Growth(Top& top, const Input& input, const qcow2::Layout& layout, Preallocation preallocation)
        : top_(top),
          layout_(layout),
          preallocation_(preallocation),
          chain_(open_layers(top, input, {})),
          data_(data_file_of(top, layout)),
          data_size_(data_ ? data_->storage.size() : 0) {}

    void run(uint64_t size) {
        vdisk::Status done = grow(size);
        if (!done) undo();
        if (!done) check_interrupt();
        expect(top_, done);
    }

private:
    vdisk::Status grow(uint64_t size) {
        if (data_ && data_size_ < size) {
            vdisk::Status longer = data_->storage.resize(size);
            if (longer) longer = data_->storage.flush();
            if (!longer) return longer;
        }
        const auto layers = chain_.layers();
        const uint64_t below_size = layers.size() > 1 ? layers[1].image.size() : 0;
        const auto guest = [this](uint64_t at, MutBytes out) { return read(chain_, at, out); };
        const auto grown = qcow2::grow(top_.file.storage, size, below_size, Heap{}, guest);
        if (!grown || preallocation_ == Preallocation::off) return grown;
        // Bitmaps stay, though coarser, when a writer changes the image.
        if (auto kept = chain::keep_bitmaps(Qcow2::name, top_.file.storage); !kept) return kept;
        auto writer = Writer::open(Qcow2::name, top_.file.storage);
        if (!writer) return writer.error();
        if (data_) {
            if (auto attached = writer->attach_data_file(data_->storage); !attached) {
                return attached;
            }
        }
        const vdisk::Status placed = place_all(*writer);
        top_.file.storage = writer->file();  // it knows the size
        return placed;
    }

    /// Gives all clusters behind the old end a place.
    vdisk::Status place_all(Writer& writer) {
        const uint64_t end = writer.size();
        const unsigned bits = layout_.cluster_bits;
        for (uint64_t at = blocks(layout_.size, bits) << bits; at < end;) {
            if (interrupted() != 0) return fail(Errc::io, "interrupted");
            const auto place = writer.place(at, end - at);
            if (!place) return place.error();
            if (place->fresh) {
                if (auto cleared = clear(writer.storage(), *place); !cleared) return cleared;
            }
            if (auto linked = writer.commit(at, *place); !linked) return linked;
            at += place->length;
        }
        return writer.flush();
    }

    vdisk::Status clear(Storage& storage, const Placement& place) {
        const uint64_t from = place.at - place.head;
        const uint64_t end = place.at + place.length + place.tail;
        // What a data file was longer than the disk is not known to be zeros.
        const uint64_t known = place.blank ? from : data_ ? data_size_ : end;
        if (known > from) {
            const uint64_t rest = known < end ? known : end;
            const auto zeros = store_zeros(storage, from, rest - from);
            if (!zeros) return zeros;
        }
        return fill(storage, from, end, preallocation_);
    }

    /// As good as it can be done: something failed already.
    void undo() {
        const auto now = qcow2::open_closed(top_.file.storage, Heap{});
        if (now && now->layout.size > layout_.size) {  // otherwise it was refused
            static_cast<void>(qcow2::shrink(top_.file.storage, layout_.size, Heap{}));
            static_cast<void>(qcow2::punch_free(top_.file.storage, Heap{}));
        }
        if (data_ && data_->storage.size() > data_size_) {
            static_cast<void>(data_->storage.resize(data_size_));
        }
    }

    Top& top_;
    const qcow2::Layout& layout_;
    Preallocation preallocation_;
    Disk chain_;
    std::optional<File> data_;
    uint64_t data_size_;
};

void shrink_qcow2(Top& top, const qcow2::Layout& layout, uint64_t size) {
    auto data = data_file_of(top, layout);
    // Only a compressed cluster in which the disk is going to end is read.
    const auto image = AnyImage::open(Qcow2::name, top.file.storage);
    const auto guest = [&](uint64_t at, MutBytes out) {
        return image ? read(*image, at, out) : vdisk::Status(image.error());
    };
    expect(top, qcow2::shrink(top.file.storage, size, Heap{}, guest));
    // It is smaller already; that free clusters keep their room is no failure.
    static_cast<void>(qcow2::punch_free(top.file.storage, Heap{}));
    if (!data || data->storage.size() <= size) return;
    vdisk::Status shorter = data->storage.resize(size);
    if (shorter) shorter = data->storage.flush();
    if (!shorter) throw failure(data->origin.path, shorter.error());
}

uint64_t wanted_size(const ResizeOptions& options, uint64_t current) {
    const bool is_longer = options.size.starts_with('+');
    const bool is_shorter = options.size.starts_with('-');
    const uint64_t size =
        size_of(is_longer || is_shorter ? options.size.substr(1) : options.size, "size");
    if (!is_longer && !is_shorter) return size;
    if (is_shorter) return size < current ? current - size : 0;
    return current + size;  // both are below 2^63
}

int resize(const ResizeOptions& options) {
    const Preallocation preallocation = preallocation_of(options.preallocation);
    static_cast<void>(wanted_size(options, 0));
    Top top = open_closed_for_writing(options.input);
    const std::string& name = options.input.file;
    if (top.format == Qcow::name) {
        throw Failure{name + ": Image format driver does not support resize"};
    }
    const uint64_t current = size_of_image(top);
    const uint64_t size = wanted_size(options, current);
    if (size == 0) throw Failure{name + ": New image size must be positive"};
    if (size >> 63 != 0) throw Failure{name + ": New image size is too large"};
    if (size <= current && preallocation != Preallocation::off) {
        throw Failure{name + ": Preallocation can only be used for growing images"};
    }
    if (size < current && !options.shrink) {
        throw Failure{name +
                      ": Use the --shrink option to perform a shrink operation (data beyond the "
                      "new end is lost)"};
    }
    catch_interrupts();
    resize_image(top, options.input, size, preallocation);
    if (!options.quiet) std::puts("Image resized.");
    return 0;
}

}  // namespace

Preallocation preallocation_of(const std::string& name) {
    using enum Preallocation;
    if (name == "off") return off;
    if (name == "metadata") return metadata;
    if (name == "falloc") return falloc;
    if (name == "full") return full;
    throw Failure{"Invalid preallocation mode '" + name + "'"};
}

void resize_image(Top& top, const Input& input, uint64_t size, Preallocation preallocation) {
    if (const Operations* const operations = operations_of(top)) {
        return resize_with(top, *operations, input, size, preallocation);
    }
    if (!is_qcow2(top)) return resize_raw(top, size, preallocation);
    const qcow2::Layout layout = layout_of(top);
    if (size == layout.size) return;
    if (size < layout.size) return shrink_qcow2(top, layout, size);
    const bool raw_outside = (layout.autoclear & qcow2::autoclear::data_file_raw) != 0;
    if (raw_outside && preallocation == Preallocation::off) {
        preallocation = Preallocation::metadata;
    }
    Growth(top, input, layout, preallocation).run(size);
}

void add_resize(CLI::App& app, Command& run) {
    auto options = std::make_shared<ResizeOptions>();
    CLI::App* cmd = app.add_subcommand(
        "resize", "Makes the disk of a raw, qcow2, VHD or VHDX image larger or smaller.");
    cmd->add_option("FILE", options->input.file, "the image")->required();
    cmd->add_option("SIZE", options->size, "the new size; +SIZE or -SIZE: by so much")->required();
    options->input.add_to(*cmd, false);
    cmd->add_option(
           "--preallocation", options->preallocation,
           "what of the new part gets its place at once: off (default), metadata, falloc,\n"
           "full")
        ->type_name("MODE");
    cmd->add_flag("--shrink", options->shrink, "allow a smaller size");
    cmd->add_flag("-q", options->quiet, "show nothing but errors");
    cmd->footer(
        "What is new reads as zeros, also where a backing file is longer. What is behind a "
        "smaller\n"
        "size is lost; file systems inside have to be made smaller before. A qcow2, VHDX or\n"
        "dynamic VHD image changes in one step: a power cut leaves the old size or the new one.\n\n"
        "Examples:\n"
        "  vdisk resize disk.qcow2 +10G\n"
        "  vdisk resize --shrink -f raw disk.raw 512M\n\n"
        "Exit codes: 0 done, 1 failed, 128 + N ended by signal N.");
    cmd->callback([options, &run] { run = [options] { return resize(*options); }; });
}

}  // namespace tool
