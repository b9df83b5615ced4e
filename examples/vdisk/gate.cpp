// SPDX-License-Identifier: BSL-1.0
#include "gate.hpp"

#include <filesystem>
#include <system_error>

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

Result<File> open_file(const std::string& path) {
    auto storage = PreadStorage::open(path.c_str(), Access::read);
    if (!storage) return storage.error();
    const FileIdentity identity = storage->identity();
    return File{*std::move(storage), {path, identity}};
}

Result<File> FolderGate::open(const Reference& reference, const Origin& from) {
    std::string_view name = reference.name;
    last_ = name;
    // The one protocol that means nothing but a path.
    if (name.starts_with("file:")) name.remove_prefix(5);
    if (has_protocol(name)) {
        return fail(Errc::denied, "gate: the image refers to something that is not a plain file");
    }
    last_ = resolve(name, from.path);
    std::error_code error;
    const fs::path real = fs::canonical(last_, error);
    if (error) return vdisk::detail::os_error(error.value(), "gate: cannot be opened");
    if (!anywhere_) {
        const fs::path folder = fs::canonical(folder_.empty() ? "." : folder_, error);
        const fs::path inside = real.lexically_relative(folder);
        if (error || inside.empty() || *inside.begin() == "..") {
            return fail(Errc::denied,
                        "gate: the file is outside the image's folder (--parents=any admits it)");
        }
    }
    const auto known = opened_.find(real.string());
    if (known != opened_.end()) return known->second;
    auto file = open_file(real.string());
    if (!file) return file;
    file->origin.path = last_;
    opened_.emplace(real.string(), *file);
    return file;
}

}  // namespace tool
