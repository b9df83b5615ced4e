// SPDX-License-Identifier: BSL-1.0
// Ids from the system's source of chance.
#pragma once

#include <random>

#include <vdisk/core/random.hpp>

namespace vdisk {

/// Random ids; throws what std::random_device throws where there is no source.
struct SystemIds {
    Guid operator()() const {
        std::random_device device;
        std::array<byte, 16> bytes{};
        for (size_t i = 0; i < bytes.size(); i += 4) {
            uint32_t word = device();
            for (size_t k = 0; k < 4; ++k, word >>= 8)
                bytes[i + k] = static_cast<byte>(word & 0xFF);
        }
        return Guid::from_random(bytes);
    }
};

static_assert(IdSource<SystemIds>);

}  // namespace vdisk
