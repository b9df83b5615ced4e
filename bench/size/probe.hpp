// SPDX-License-Identifier: BSL-1.0
// What size.sh measures: the calls by which a program opens, reads and writes an image.
#pragma once

#include <array>
#include <new>

#include <vdisk/allocation/arena.hpp>
#include <vdisk/allocation/none.hpp>
#include <vdisk/codec/none.hpp>
#include <vdisk/core/random.hpp>
#include <vdisk/io/read.hpp>
#include <vdisk/io/write.hpp>
#include <vdisk/metadata/one_page.hpp>
#include <vdisk/storage/memory.hpp>
#include <vdisk/storage/ref.hpp>

namespace probe {

using namespace vdisk;

using Page = std::array<byte, OnePage::page_size>;

inline constexpr OpenOptions one_page{.cache = {.page_bits = 9, .count_bits = 0}};

template <class T>
bool tell(const Result<T>& result, Error* error) {
    if (!result) *error = result.error();
    return static_cast<bool>(result);
}

/// `more` is what this format's open wants besides storage and options.
template <class I, class S, class... More>
bool open(void* memory, S storage, Error* error, More... more) {
    auto image = I::open(storage, one_page, more...);
    if (image) ::new (memory) I(*std::move(image));
    return tell(image, error);
}

template <class I>
bool read(const I* image, uint64_t at, byte* out, size_t length, Error* error) {
    return tell(vdisk::read(*image, at, MutBytes(out, length)), error);
}

template <class I>
bool write(I* image, uint64_t at, const byte* in, size_t length, MutBytes scratch, Error* error) {
    return tell(vdisk::write(*image, at, Bytes(in, length), scratch), error);
}

template <class I>
bool flush(I* image, Error* error) {
    return tell(image->flush(), error);
}

}  // namespace probe
