// SPDX-License-Identifier: BSL-1.0
#include "new_kind.hpp"

#include <filesystem>

#include "new_vhd.hpp"
#include "new_vhdx.hpp"
#include "opening.hpp"

namespace tool {

using namespace vdisk;

ParentPaths::ParentPaths(const std::string& path, const std::string& name) {
    namespace fs = std::filesystem;
    const std::string found = resolve(local_path(name), path);
    absolute = fs::absolute(found).lexically_normal().string();
    const fs::path folder = fs::absolute(path).lexically_normal().parent_path();
    relative = fs::path(absolute).lexically_relative(folder).string();
}

vdisk::Status NewKind::finish(Storage& /*file*/) const { return {}; }

std::unique_ptr<NewKind> new_kind(const std::string& format) {
    if (format == Vhd::name) return std::make_unique<NewVhd>();
    if (format == Vhdx::name) return std::make_unique<NewVhdx>();
    return nullptr;
}

Subformat subformat_of(const Creation& options, const std::string& path) {
    const std::string name = options.text("subformat");
    using enum Subformat;
    if (name.empty()) return unsaid;
    if (name == "dynamic") return dynamic;
    if (name == "fixed") return fixed;
    if (name == "differencing") return differencing;
    throw Failure{path + ": Parameter 'subformat' does not accept value '" + name + "'"};
}

bool is_differencing(Subformat subformat, bool has_backing, uint64_t size, uint64_t parent_size,
                     const std::string& path) {
    using enum Subformat;
    if (!has_backing) {
        if (subformat != differencing) return false;
        throw Failure{path + ": subformat=differencing needs a backing file"};
    }
    if (subformat == dynamic || subformat == fixed) {
        const char* const name = subformat == fixed ? "fixed" : "dynamic";
        throw Failure{path + ": subformat=" + name + " has no backing file"};
    }
    if (size < parent_size) {
        throw Failure{path + ": a differencing image is not smaller than its parent"};
    }
    return true;
}

}  // namespace tool
