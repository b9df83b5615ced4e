// SPDX-License-Identifier: BSL-1.0
#include <algorithm>

#include "convert.hpp"

namespace tool {

using namespace vdisk;

std::string find_snapshot_id(const Input& input, std::string_view wanted) {
    std::optional<std::string> id;
    std::optional<std::string> name;
    while (!wanted.empty()) {
        const std::string_view part = wanted.substr(0, wanted.find(','));
        if (part.starts_with("snapshot.id=")) id = part.substr(12);
        else if (part.starts_with("snapshot.name=")) name = part.substr(14);
        else throw Failure{"Invalid snapshot option: " + std::string(part)};
        wanted.remove_prefix(std::min(part.size() + 1, wanted.size()));
    }
    std::optional<std::string> found;
    const AnyImage image = open_image(input);
    const Status walked = image.visit([&](const auto& i) -> Status {
        if constexpr (requires { i.layout().snapshots; }) {
            return qcow2::each_snapshot(i.file(), i.layout(), [&](const qcow2::Snapshot& s) {
                const std::string its_id = text_in(image, s.id);
                const bool fits =
                    (!id || *id == its_id) && (!name || *name == text_in(image, s.name));
                if (fits && !found) found = its_id;
                return Status{};
            });
        } else {
            return fail(Errc::not_found, "open: this format has no internal snapshots");
        }
    });
    if (!walked) throw failure(input.file, walked.error());
    if (!found) throw failure(input.file, fail(Errc::not_found, "qcow2: no such snapshot"));
    return *found;
}

}  // namespace tool
