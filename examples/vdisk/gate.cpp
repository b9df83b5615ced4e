// SPDX-License-Identifier: BSL-1.0
#include "gate.hpp"

#include <filesystem>
#include <system_error>

#include "locks.hpp"

namespace tool {

namespace fs = std::filesystem;
using namespace vdisk;

bool has_protocol(std::string_view name) {
    const size_t colon = name.find(':');
    return colon != std::string_view::npos && colon < name.find('/');
}

std::string resolve(std::string_view name, const std::string& from) {
    const fs::path path(name);
    if (path.is_absolute()) return path.string();
    return (fs::path(from).parent_path() / path).string();
}

Result<File> open_file(const std::string& path, Access access) {
    auto storage = PreadStorage::open(path.c_str(), access);
    if (!storage) return storage.error();
    if (access != Access::read) {
        if (const Status locked = lock_for_writing(*storage); !locked) return locked.error();
    }
    const FileIdentity identity = storage->identity();
    return File{*std::move(storage), {path, identity}};
}

Result<File> FolderGate::open(const Reference& reference, const Origin& from) {
    std::string_view name = reference.name;
    last_ = name;
    const bool is_backing = reference.role == Reference::Role::backing_file;
    reference_ = from.path + (is_backing ? ": backing file '" : ": data file '") + last_ + "'";
    // The one protocol that means nothing but a path.
    if (name.starts_with("file:")) name.remove_prefix(5);
    if (has_protocol(name)) {
        return fail(Errc::denied, "protocols are not supported");
    }
    last_ = resolve(name, from.path);
    std::error_code error;
    const fs::path real = fs::canonical(last_, error);
    if (error) return vdisk::detail::open_error(error.value());
    if (!options_.anywhere) {
        const fs::path folder = fs::canonical(folder_.empty() ? "." : folder_, error);
        const fs::path inside = real.lexically_relative(folder);
        if (error || inside.empty() || *inside.begin() == "..") {
            return fail(Errc::denied, "it is outside the image's folder (--parents=any admits it)");
        }
    }
    if (reference.use == Reference::Use::write) {
        auto file = open_file(real.string(), Access::write);
        if (file) file->origin.path = last_;
        return file;
    }
    const auto known = opened_.find(real.string());
    if (known != opened_.end()) return known->second;
    auto file = open_file(real.string());
    if (!file) return file;
    if (!options_.shared) {
        const Status unused = check_not_in_use(file->storage, Use::read);
        if (!unused) return unused.error();
    }
    file->origin.path = last_;
    opened_.emplace(real.string(), *file);
    return file;
}

}  // namespace tool
