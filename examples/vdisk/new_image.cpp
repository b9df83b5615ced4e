// SPDX-License-Identifier: BSL-1.0
#include "new_image.hpp"

#include <linux/fs.h>
#include <sys/ioctl.h>

#include <vdisk/format/qcow/create.hpp>

#include "interrupt.hpp"
#include "opening.hpp"

namespace tool {

using namespace vdisk;

namespace {

/// Only btrfs does anything about it, and only for an empty file; no failure.
void turn_off_copy_on_write(const Storage& file) {
    int flags = 0;
    if (::ioctl(file.descriptor(), FS_IOC_GETFLAGS, &flags) != 0) return;
    flags |= FS_NOCOW_FL;
    static_cast<void>(::ioctl(file.descriptor(), FS_IOC_SETFLAGS, &flags));
}

}  // namespace

NewImage::NewImage(const std::string& path, const std::string& format, const Creation& options)
    : path_(path), format_(format), kind_(new_kind(format)) {
    for (const char* name : {"encryption", "encrypt.format", "encrypt.key-secret"}) {
        if (options.has(name)) throw Failure{path_ + ": encryption is not supported"};
    }
    options.refuse_others_than(creation_options(format_));
    if (options.has("size")) size = options.number("size", "");
    backing_file = options.text("backing_file");
    backing_format = options.text("backing_fmt");
    if (!backing_format.empty()) settle_format_name(backing_format);
    no_cow_ = options.flag("nocow");
    read_preallocation(options);
    if (format_ == Qcow2::name) qcow2_.read(options, path_);
    if (kind_) kind_->read(options, path_);
}

void NewImage::read_preallocation(const Creation& options) {
    preallocation_ = options.text("preallocation");
    using enum qcow2::Preallocation;
    if (preallocation_.empty() || preallocation_ == "off") mode_ = off;
    else if (preallocation_ == "metadata" && format_ == Qcow2::name) mode_ = metadata;
    else if (preallocation_ == "falloc") mode_ = falloc;
    else if (preallocation_ == "full") mode_ = full;
    else {
        throw Failure{path_ + ": Parameter 'preallocation' does not accept value '" +
                      preallocation_ + "'"};
    }
    qcow2_.set_preallocation(mode_);
}

bool NewImage::needs_parent() const { return kind_ && !backing_file.empty(); }

void NewImage::set_parent(const AnyImage& parent) {
    if (needs_parent()) kind_->set_parent(parent, path_, backing_file);
}

void NewImage::place(const Output& output) {
    if (!backing_file.empty()) {
        if (format_ == Raw::name) {
            throw Failure{path_ + ": Backing file not supported for file format 'raw'"};
        }
        const std::string own = path_ + ": cannot be its own backing file";
        if (!has_protocol(backing_file) || backing_file.starts_with("file:")) {
            if (output.is_at(resolve(local_path(backing_file), output.path()))) throw Failure{own};
        }
    }
    if (data_file().empty()) return;
    const std::string name = resolve(local_path(data_file()), output.path());
    data_ = std::make_unique<Output>(name, OutputOptions{.durable = output.options().durable});
    if (data_->is_same_as(output)) throw Failure{path_ + ": cannot be its own data file"};
    if (!backing_file.empty() && !has_protocol(backing_file) &&
        data_->is_at(resolve(backing_file, output.path()))) {
        throw Failure{data_->path() + ": cannot be the backing file and the data file"};
    }
}

void NewImage::refuse_if_read_by(const Disk& disk) const {
    if (data_) data_->refuse_if_read_by(disk);
}

void NewImage::check() {
    if (!size) throw Failure{path_ + ": Image creation needs a size parameter"};
    if (backing_file.empty() && !backing_format.empty()) {
        throw Failure{path_ + ": Backing format cannot be used without backing file"};
    }
    if (!backing_file.empty() && backing_format.empty()) {
        throw Failure{path_ + ": Backing file specified without backing format"};
    }
    if (format_ == Qcow::name && *size == 0) {
        throw Failure{path_ + ": Image size is too small, cannot be zero length"};
    }
    if (*size > (uint64_t{1} << 63) - 512) throw Failure{path_ + ": Image size is too large"};
    if (kind_) {
        kind_->check(path_, *size, !backing_file.empty());
        if (!preallocation_.empty() && preallocation_ != "off" && !kind_->is_fixed()) {
            throw Failure{path_ + ": preallocation=" + preallocation_ + " needs subformat=fixed"};
        }
    }
    if (format_ == Qcow2::name) qcow2_.check(path_, *size, backing_file, backing_format);
}

std::string NewImage::describe() const {
    std::string line = "Formatting '" + path_ + "', fmt=" + format_;
    const auto add = [&](const char* name, const std::string& value) {
        if (!value.empty()) line += std::string(" ") + name + "=" + value;
    };
    const bool v2 = format_ == Qcow2::name;
    if (v2) {
        line += qcow2_.describe_clusters();
        add("preallocation", preallocation_);
        line += qcow2_.describe_packing();
    }
    add("size", std::to_string(*size));
    if (v2) line += qcow2_.describe_level();
    add("backing_file", backing_file);
    add("backing_fmt", backing_format);
    if (v2) line += qcow2_.describe_rest();
    if (kind_) line += kind_->describe();
    if (!v2) add("preallocation", preallocation_);
    if (no_cow_) add("nocow", "on");
    return line;
}

void NewImage::create_raw(Storage& storage) const {
    const uint64_t end = blocks(*size, 9) << 9;
    Status made = storage.resize(end);
    InterruptibleFile file(storage);
    if (made) made = qcow2::create_parts::room(file, 0, end, mode_);
    check_interrupt();
    if (!made) throw failure(path_, made.error());
}

void NewImage::create_kind(Storage& storage) const {
    InterruptibleFile file(storage);
    const Status made = kind_->create(file, mode_);
    storage = file;  // it knows the size
    check_interrupt();
    if (!made) throw failure(path_, made.error());
}

void NewImage::create_data_file() {
    if (!data_) return;
    data_->open(0);
    InterruptibleFile file(data_->storage());
    const Status made = qcow2::create_data_file(file, qcow2_.options());
    data_->storage() = file;  // it knows the size
    check_interrupt();
    if (!made) throw failure(data_->path(), made.error());
}

void NewImage::commit(Output& output) {
    if (data_) data_->commit();
    if (kind_) {
        const Status finished = kind_->finish(output.storage());
        if (!finished) throw failure(path_, finished.error());
    }
    output.commit();
}

void NewImage::create(Output& output) {
    if (no_cow_) turn_off_copy_on_write(output.storage());
    if (output.in_place()) {
        // A device keeps its size, and a raw image on it is there already.
        if (format_ == Raw::name) return;
        throw Failure{path_ + ": only raw images are made on a device"};
    }
    if (format_ == Raw::name) {
        create_raw(output.storage());
    } else if (kind_) {
        create_kind(output.storage());
    } else if (format_ == Qcow::name) {
        const Status made =
            qcow::create(output.storage(), {.size = *size, .backing_file = backing_file});
        if (!made) throw failure(path_, made.error());
    } else {
        create_data_file();
        InterruptibleFile file(output.storage());
        const Status made = qcow2::create(file, qcow2_.options());
        output.storage() = file;  // it knows the size
        check_interrupt();
        if (!made) throw failure(path_, made.error());
    }
}

}  // namespace tool
