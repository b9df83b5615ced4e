// SPDX-License-Identifier: BSL-1.0
// Packing and unpacking blocks of 64 KiB, per codec and level. The baseline is the library by
// itself: a state made once and the bare call.
#include <cmath>
#include <memory>

#include <vdisk/codec/system.hpp>

#include "support.hpp"

namespace {

using namespace bench;

constexpr size_t block_size = 64_KiB;

/// What disks hold, made up: program code, text, tables, and a little that cannot be packed.
class Contents {
public:
    Contents() {
        for (auto& word : words_) word = random_word("etaoinshrdlucmfwypvbgkqxjz", 2 + below(9));
        for (auto& opcode : opcodes_) {
            opcode.resize(1 + below(4));
            for (char& c : opcode) c = static_cast<char>(any_());
        }
    }

    std::vector<byte> make(size_t size) {
        std::string bytes;
        bytes.reserve(size + block_size);
        while (bytes.size() < size) {
            switch (below(16)) {
                case 0:
                    fill(bytes, [&] { return std::string(1, static_cast<char>(any_())); });
                    break;
                case 1:
                case 2:
                case 3: fill(bytes, [&] { return record(); }); break;
                case 4:
                case 5:
                case 6:
                case 7:
                    fill(bytes, [&] { return words_[often_first(words_.size())] + " "; });
                    break;
                default: fill(bytes, [&] { return instruction(); });
            }
        }
        const auto all = std::as_bytes(std::span(bytes)).first(size);
        return {all.begin(), all.end()};
    }

private:
    template <class Next>
    static void fill(std::string& bytes, Next next) {
        const size_t end = bytes.size() + block_size;
        while (bytes.size() < end) bytes += next();
        bytes.resize(end);
    }

    uint32_t below(uint32_t count) { return static_cast<uint32_t>(any_() % count); }

    // Low numbers come more often, as words and instructions do (Zipf).
    size_t often_first(size_t count) {
        const double u = static_cast<double>(any_()) / 4294967296.0;
        return static_cast<size_t>(std::pow(static_cast<double>(count), u)) % count;
    }

    std::string random_word(std::string_view letters, size_t length) {
        std::string word(length, ' ');
        for (char& c : word) c = letters[often_first(letters.size())];
        return word;
    }

    std::string instruction() {
        std::string code = opcodes_[often_first(opcodes_.size())];
        switch (below(4)) {
            case 0: code += static_cast<char>(below(32) * 8); break;
            case 1: {
                const uint32_t target = 0xFFFF'0000 + below(60000);
                code.append(reinterpret_cast<const char*>(&target), 4);
                break;
            }
            default: break;
        }
        return code;
    }

    std::string record() {
        const uint32_t fields[] = {++id_, below(7), 0, 0x08040000 + below(4096) * 16, 0, id_ / 9};
        return {reinterpret_cast<const char*>(fields), sizeof fields};
    }

    std::mt19937 any_{3};
    std::vector<std::string> words_ = std::vector<std::string>(20000);
    std::vector<std::string> opcodes_ = std::vector<std::string>(8000);
    uint32_t id_ = 0;
};

const std::vector<byte>& disk() {
    static const std::vector<byte> bytes = Contents().make(16_MiB);
    return bytes;
}

// --- the libraries by themselves: bytes written, 0 for failure ---------

struct BareZlib {
    explicit BareZlib(int level) {
        deflateInit2(&stream, level, Z_DEFLATED, -12, 9, 0);
        inflateInit2(&unpacker, -12);
    }
    BareZlib(const BareZlib&) = delete;
    BareZlib& operator=(const BareZlib&) = delete;
    ~BareZlib() {
        deflateEnd(&stream);
        inflateEnd(&unpacker);
    }
    size_t pack(Bytes in, MutBytes out) {
        deflateReset(&stream);
        aim(stream, in, out);
        return deflate(&stream, Z_FINISH) == Z_STREAM_END ? stream.total_out : 0;
    }
    size_t unpack(Bytes in, MutBytes out) {
        inflateReset(&unpacker);
        aim(unpacker, in, out);
        return inflate(&unpacker, Z_FINISH) == Z_STREAM_END ? unpacker.total_out : 0;
    }
    static void aim(z_stream& stream, Bytes in, MutBytes out) {
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<byte*>(in.data()));
        stream.avail_in = static_cast<uInt>(in.size());
        stream.next_out = reinterpret_cast<Bytef*>(out.data());
        stream.avail_out = static_cast<uInt>(out.size());
    }
    z_stream stream{}, unpacker{};
};

#if __has_include(<libdeflate.h>) && !defined(VDISK_WITHOUT_LIBDEFLATE)
struct BareLibdeflate {
    explicit BareLibdeflate(int level) : state(libdeflate_alloc_compressor(level)) {}
    BareLibdeflate(const BareLibdeflate&) = delete;
    BareLibdeflate& operator=(const BareLibdeflate&) = delete;
    ~BareLibdeflate() {
        libdeflate_free_compressor(state);
        libdeflate_free_decompressor(unpacker);
    }
    size_t pack(Bytes in, MutBytes out) {
        return libdeflate_deflate_compress(state, in.data(), in.size(), out.data(), out.size());
    }
    size_t unpack(Bytes in, MutBytes out) {
        size_t got = 0;
        libdeflate_deflate_decompress(unpacker, in.data(), in.size(), out.data(), out.size(), &got);
        return got;
    }
    libdeflate_compressor* state;
    libdeflate_decompressor* unpacker = libdeflate_alloc_decompressor();
};
#endif

#if __has_include(<zstd.h>)
struct BareZstd {
    explicit BareZstd(int wanted) : level(wanted), state(ZSTD_createCCtx()) {}
    BareZstd(const BareZstd&) = delete;
    BareZstd& operator=(const BareZstd&) = delete;
    ~BareZstd() {
        ZSTD_freeCCtx(state);
        ZSTD_freeDCtx(unpacker);
    }
    size_t pack(Bytes in, MutBytes out) {
        const size_t size =
            ZSTD_compressCCtx(state, out.data(), out.size(), in.data(), in.size(), level);
        return ZSTD_isError(size) ? 0 : size;
    }
    size_t unpack(Bytes in, MutBytes out) {
        const size_t size =
            ZSTD_decompressDCtx(unpacker, out.data(), out.size(), in.data(), in.size());
        return ZSTD_isError(size) ? 0 : size;
    }
    int level;
    ZSTD_CCtx* state;
    ZSTD_DCtx* unpacker = ZSTD_createDCtx();
};
#endif

// -------------------------------------------------------------------------------------------------

template <class C, class Bare>
void pack(benchmark::State& state, Packing packing, int level) {
    C codec(level);
    Bare bare(level);
    std::vector<byte> out(block_size - 1);
    const auto each = [&](std::span<const uint64_t> batch, auto pack_one) {
        for (const uint64_t at : batch) {
            benchmark::DoNotOptimize(pack_one(Bytes(disk()).subspan(at, block_size)));
        }
    };
    compare(
        state, random_reads(disk().size(), block_size, 16),
        [&](auto batch) {
            each(batch, [&](Bytes in) { return static_cast<bool>(codec.pack(packing, in, out)); });
        },
        [&](auto batch) { each(batch, [&](Bytes in) { return bare.pack(in, out); }); });

    size_t stored = 0;
    for (size_t at = 0; at < disk().size(); at += block_size) {
        const auto size = codec.pack(packing, Bytes(disk()).subspan(at, block_size), out);
        stored += size ? *size : block_size;
    }
    state.counters["MB/s"] = static_cast<double>(block_size) * 1e3 / state.counters["ns"].value;
    state.counters["stored_%"] =
        100.0 * static_cast<double>(stored) / static_cast<double>(disk().size());
}

template <class C, class Bare>
void unpack(benchmark::State& state, Packing packing, int level) {
    C codec(level);
    Bare bare(level);
    std::vector<byte> room(block_size - 1), out(block_size);
    std::vector<std::vector<byte>> packed;
    for (size_t at = 0; at < disk().size(); at += block_size) {
        const auto size = codec.pack(packing, Bytes(disk()).subspan(at, block_size), room);
        if (size) packed.emplace_back(room.begin(), room.begin() + std::ptrdiff_t(*size));
    }
    for (const auto& stream : packed) {
        if (bare.unpack(stream, out) != block_size) return state.SkipWithError("cannot unpack");
    }
    const auto each = [&](std::span<const uint64_t> batch, auto unpack_one) {
        for (const uint64_t i : batch) benchmark::DoNotOptimize(unpack_one(Bytes(packed[i])));
    };
    compare(
        state, random_reads(packed.size(), 1, 16),
        [&](auto batch) {
            each(batch, [&](Bytes in) { return bool(codec.unpack(packing, in, out)); });
        },
        [&](auto batch) { each(batch, [&](Bytes in) { return bare.unpack(in, out); }); });
    state.counters["MB/s"] = static_cast<double>(block_size) * 1e3 / state.counters["ns"].value;
}

template <class C, class Bare>
void add(const char* name, Packing packing, std::initializer_list<int> levels) {
    for (const int level : levels) {
        const std::string how = std::string(name) + "/memory/64k-level-" + std::to_string(level);
        benchmark::RegisterBenchmark(("pack/" + how).c_str(), pack<C, Bare>, packing, level);
        if (level == C::default_level) {
            benchmark::RegisterBenchmark(("unpack/" + how).c_str(), unpack<C, Bare>, packing,
                                         level);
        }
    }
}

const bool registered = [] {
    add<Zlib, BareZlib>("zlib", Packing::deflate, {1, 6, 9});
#if __has_include(<libdeflate.h>) && !defined(VDISK_WITHOUT_LIBDEFLATE)
    add<Libdeflate, BareLibdeflate>("libdeflate", Packing::deflate, {1, 2, 3, 4, 5, 6, 9});
#endif
#if __has_include(<zstd.h>)
    add<Zstd, BareZstd>("zstd", Packing::zstd, {1, 3, 6});
#endif
    return true;
}();

}  // namespace
