// SPDX-License-Identifier: BSL-1.0
// No decompression at all: for readers that must be small. Compressed blocks give a clear error.
#pragma once

#include <vdisk/codec/concepts.hpp>

namespace vdisk {

struct NoCodec {
    Status unpack(Packing /*packing*/, Bytes /*in*/, MutBytes /*out*/) {
        return unsupported("codec: compressed blocks cannot be read by this build");
    }
};

static_assert(Codec<NoCodec>);

}  // namespace vdisk
