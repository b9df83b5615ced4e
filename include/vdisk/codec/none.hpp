// SPDX-License-Identifier: BSL-1.0
// No compression at all: for readers that must be small. Compressed blocks give a clear error.
#pragma once

#include <vdisk/codec/concepts.hpp>

namespace vdisk {

struct NoCodec {
    Status unpack(Packing /*packing*/, Bytes /*in*/, MutBytes /*out*/) {
        return unsupported("codec: compressed blocks cannot be read by this build");
    }
    Result<size_t> pack(Packing /*packing*/, Bytes /*in*/, MutBytes /*out*/) {
        return unsupported("codec: this build cannot compress blocks");
    }
};

static_assert(PackingCodec<NoCodec>);

}  // namespace vdisk
