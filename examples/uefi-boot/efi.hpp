// SPDX-License-Identifier: BSL-1.0
// What this program uses of the UEFI specification 2.10, in its names and its order; what is only
// stepped over is an array of pointers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace efi {

using Handle = void*;
using Status = uint64_t;
using Char = char16_t;

inline constexpr Status success = 0;
inline constexpr Status error_bit = uint64_t{1} << 63;
inline constexpr Status invalid_parameter = error_bit | 2;
inline constexpr Status bad_buffer_size = error_bit | 4;
inline constexpr Status device_error = error_bit | 7;
inline constexpr Status write_protected = error_bit | 8;

struct Guid {
    uint32_t a;
    uint16_t b, c;
    uint8_t d[8];
};
inline constexpr Guid block_io_guid = {
    0x964E5B21, 0x6459, 0x11D2, {0x8E, 0x39, 0x00, 0xA0, 0xC9, 0x69, 0x72, 0x3B}};
inline constexpr Guid device_path_guid = {
    0x09576E91, 0x6D3F, 0x11D2, {0x8E, 0x39, 0x00, 0xA0, 0xC9, 0x69, 0x72, 0x3B}};
inline constexpr Guid file_system_guid = {
    0x964E5B22, 0x6459, 0x11D2, {0x8E, 0x39, 0x00, 0xA0, 0xC9, 0x69, 0x72, 0x3B}};

/// 13.9.1
struct BlockIo {
    struct Media {
        uint32_t id;
        bool removable, present, logical_partition, read_only, write_caching;
        uint32_t block_size;
        uint32_t io_align;
        uint64_t last_block;
    };
    uint64_t revision;
    Media* media;
    Status (*reset)(BlockIo*, bool extended);
    Status (*read)(BlockIo*, uint32_t media, uint64_t lba, uint64_t bytes, void* out);
    Status (*write)(BlockIo*, uint32_t media, uint64_t lba, uint64_t bytes, const void* in);
    Status (*flush)(BlockIo*);
};
static_assert(sizeof(BlockIo::Media) == 32);

/// 13.5
struct File {
    uint64_t revision;
    Status (*open)(File*, File** out, const Char* name, uint64_t mode, uint64_t attributes);
    Status (*close)(File*);
    void* remove;
    Status (*read)(File*, uint64_t* bytes, void* out);
};

/// 13.4
struct FileSystem {
    uint64_t revision;
    Status (*open_volume)(FileSystem*, File** out);
};

/// 12.4
struct TextOutput {
    void* reset;
    Status (*print)(TextOutput*, const Char*);
};

/// 7
struct BootServices {
    char header[24];
    void* before_protocols[13];
    Status (*install_protocol)(Handle*, const Guid*, int native, void* interface);
    void* between_protocols[2];
    Status (*handle_protocol)(Handle, const Guid*, void** out);
    void* before_locate[2];
    Status (*locate_handle)(int by_protocol, const Guid*, void* key, uint64_t* bytes, Handle* out);
    void* before_images[2];
    Status (*load_image)(bool boot, Handle parent, void* path, void* bytes, uint64_t size,
                         Handle* out);
    Status (*start_image)(Handle, uint64_t* exit_data_size, Char** exit_data);
    void* before_connect[6];
    Status (*connect_controller)(Handle, Handle* drivers, void* path, bool recursive);
};
static_assert(offsetof(BootServices, install_protocol) == 128);
static_assert(offsetof(BootServices, locate_handle) == 176);
static_assert(offsetof(BootServices, load_image) == 200);
static_assert(offsetof(BootServices, connect_controller) == 264);

/// 8
struct RuntimeServices {
    char header[24];
    void* before_reset[10];
    void (*reset_system)(int type, Status, uint64_t bytes, const void* data);
};
static_assert(offsetof(RuntimeServices, reset_system) == 104);

/// 4.3
struct SystemTable {
    char header[24];
    Char* vendor;
    uint32_t revision;
    void* input[2];
    Handle output_handle;
    TextOutput* output;
    void* errors[2];
    RuntimeServices* runtime;
    BootServices* boot;
};
static_assert(offsetof(SystemTable, boot) == 96);

/// 10.3: one node, and the end of the path.
struct DevicePath {
    uint8_t type = 1, sub_type = 4;  // of a vendor
    uint8_t length[2] = {24, 0};
    Guid vendor = {};
    uint32_t number = 0;
    uint8_t end[4] = {0x7F, 0xFF, 4, 0};
};
static_assert(sizeof(DevicePath) == 28);

}  // namespace efi
