# SPDX-License-Identifier: BSL-1.0
"""VHD images for the seeds."""
import struct

FREE = 0xFFFFFFFF


def sealed(data, field):
    data = bytearray(data)
    data[field:field + 4] = bytes(4)
    struct.pack_into(">I", data, field, ~sum(data) & FREE)
    return bytes(data)


def footer(kind, size, header=512, ident=1, creator=b"seed", geometry=(65535, 16, 255), saved=0):
    offset = FREE << 32 | FREE if kind == 2 else header
    version = 0x10003 if creator == b"tap\0" else 0x10000  # of tools that keep a map
    head = struct.pack(">8sIIQI4sI4sQQHBBII16sB", b"conectix", 2, 0x10000, offset, 1, creator,
                       version, b"Wi2k", size, size, *geometry, kind, 0, bytes([ident]) * 16, saved)
    return sealed(head.ljust(512, b"\0"), 64)


class Vhd:
    """A dynamic (3) or differencing (4) image; blocks come in the order of the calls."""

    def __init__(self, size=64 << 10, bits=12, kind=3, locators=(), name="", **more):
        self.size, self.bits, self.kind, self.more = size, bits, kind, more
        self.entries = -(-size // (1 << bits))
        self.locators, self.name, self.blocks = locators, name, []

    def block(self, index, data, bitmap=b"\xff"):
        sectors = 1 << self.bits - 9
        used = -(-sectors // 8)
        bitmap = (bitmap * used)[:used]
        self.blocks.append((index, bitmap.ljust(-(-used // 512) * 512, b"\0") +
                            data.ljust(1 << self.bits, b"\0")))
        return self

    def finish(self, end=512):
        table_bytes = -(-4 * self.entries // 512) * 512
        table, at = [FREE] * (table_bytes // 4), 1536 + table_bytes
        slots, body = b"", b""
        for code, path in self.locators:
            slots += struct.pack(">4sIIIQ", code, 512, len(path), 0, at + len(body))
            body += path.ljust(-(-len(path) // 512) * 512, b"\0")
        for index, data in self.blocks:
            table[index] = (at + len(body)) // 512
            body += data
        header = struct.pack(">8sQQIIII16sII512s192s256s", b"cxsparse", FREE << 32 | FREE, 1536,
                             0x10000, self.entries, 1 << self.bits, 0,
                             bytes([2] * 16 if self.kind == 4 else 16), 0, 0,
                             self.name.encode("utf-16-be"), slots, b"")
        foot = footer(self.kind, self.size, **self.more)
        return (foot + sealed(header, 36) + struct.pack(f">{len(table)}I", *table) + body +
                foot[:end])
