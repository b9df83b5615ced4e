# SPDX-License-Identifier: BSL-1.0
"""Builds qcow2 images, byte by byte; for seeds.py."""
import random
import struct
import zlib

COPIED, COMPRESSED, ZERO = 1 << 63, 1 << 62, 1
QFI = b"QFI\xfb"


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


def text(size):
    return (b"A sentence that deflates well. " * (size // 30 + 1))[:size]


def deflate(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -12)
    return packer.compress(data) + packer.flush()


def padded(data, step=8):
    return data + bytes(-len(data) % step)


def extension(kind, data):
    return struct.pack(">II", kind, len(data)) + padded(data)


class Qcow2:
    """Clusters are appended; `refs` counts who uses them. finish() writes refcounts and header."""

    def __init__(self, version=3, bits=9, size=32768, extended=False, refcount_order=4):
        self.version, self.bits, self.size = version, bits, size
        self.order = refcount_order if version == 3 else 4
        self.cluster = 1 << bits
        self.entry = 16 if extended else 8
        self.features = 16 if extended else 0
        self.file = bytearray(self.cluster)
        self.refs = {0: 1}
        self.extensions = b""
        self.backing = b""
        self.compression = 0
        self.autoclear = 0
        self.snapshots = []
        self.l1_entries = -(-size // (self.cluster * (self.cluster // self.entry)))
        self.l1 = self.append(bytes(8 * self.l1_entries))

    def append(self, data):
        at = len(self.file)
        self.file += padded(data, self.cluster)
        for c in range(at >> self.bits, len(self.file) >> self.bits):
            self.refs[c] = 1
        return at

    def put(self, at, form, *values):
        struct.pack_into(form, self.file, at, *values)

    def slot(self, index):
        """Where the L2 entry of a guest cluster stands; makes the L2 table if there is none."""
        per_table = self.cluster // self.entry
        l1_slot = self.l1 + 8 * (index // per_table)
        if not self.file[l1_slot:l1_slot + 8].strip(b"\0"):
            self.put(l1_slot, ">Q", self.append(bytes(self.cluster)) | COPIED)
        table = struct.unpack_from(">Q", self.file, l1_slot)[0] & ~COPIED
        return table + self.entry * (index % per_table)

    def data(self, index, data, flags=COPIED, bitmap=0xFFFFFFFF):
        slot = self.slot(index)
        self.put(slot, ">Q", self.append(data) | flags)
        if self.entry == 16:
            self.put(slot + 8, ">Q", bitmap)

    def mark(self, index, entry, bitmap=0):
        slot = self.slot(index)
        self.put(slot, ">Q", entry)
        if self.entry == 16:
            self.put(slot + 8, ">Q", bitmap)

    def packed(self, blocks, pack=deflate):
        """Compressed clusters, one right after the other, in the middle of sectors."""
        slots = [(self.slot(index), pack(data)) for index, data in blocks]
        at = start = len(self.file)
        self.append(b"".join(data for _, data in slots) + bytes(512))
        for c in range(start >> self.bits, len(self.file) >> self.bits):
            self.refs[c] = 0
        for slot, data in slots:
            sectors = ((at + len(data) - 1) >> 9) - (at >> 9)
            self.put(slot, ">Q", COMPRESSED | sectors << (62 - (self.bits - 8)) | at)
            end = (at & ~511) + 512 * (sectors + 1)
            for c in range(at >> self.bits, (end - 1 >> self.bits) + 1):
                self.refs[c] = self.refs.get(c, 0) + 1
            at += len(data)

    def snapshot(self, number, name):
        """Keeps the present state: the L1 table is copied, and all it leads to is used twice."""
        copy = bytearray(self.file[self.l1:self.l1 + 8 * self.l1_entries])
        for i in range(self.l1_entries):
            table = struct.unpack_from(">Q", copy, 8 * i)[0] & ~COPIED
            if not table:
                continue
            struct.pack_into(">Q", copy, 8 * i, table)
            self.put(self.l1 + 8 * i, ">Q", table)
            self.refs[table >> self.bits] += 1
            for slot in range(table, table + self.cluster, self.entry):
                host = struct.unpack_from(">Q", self.file, slot)[0] & ~COPIED
                self.put(slot, ">Q", host)
                if host >> self.bits:
                    self.refs[host >> self.bits] += 1
        extra = struct.pack(">QQQ", 0, self.size, 0xFFFFFFFFFFFFFFFF)
        head = struct.pack(">QIHHIIQII", self.append(copy), self.l1_entries, len(str(number)),
                           len(name), 1700000000, 5, 7, 0, len(extra))
        self.snapshots.append(padded(head + extra + str(number).encode() + name))

    def forget_table(self, l1_index):
        """The present state lets go of one L2 table, which a snapshot goes on using."""
        table = struct.unpack_from(">Q", self.file, self.l1 + 8 * l1_index)[0] & ~COPIED
        self.put(self.l1 + 8 * l1_index, ">Q", 0)
        self.refs[table >> self.bits] -= 1
        for slot in range(table, table + self.cluster, self.entry):
            host = struct.unpack_from(">Q", self.file, slot)[0] & ~COPIED
            if host >> self.bits:
                self.refs[host >> self.bits] -= 1

    def bitmap(self, name):
        """A dirty bitmap with granularity 64 KiB, all of whose bits are set (table entry 1)."""
        self.autoclear |= 1
        table = self.append(struct.pack(">Q", 1))
        entry = padded(struct.pack(">QIIBBHI", table, 1, 2, 1, 16, len(name), 0) + name)
        self.extensions += extension(0x23852875,
                                     struct.pack(">IIQQ", 1, 0, len(entry), self.append(entry)))

    def finish(self):
        snapshots_at = self.append(b"".join(self.snapshots)) if self.snapshots else 0
        width = 1 << self.order
        table = self.append(bytes(self.cluster))
        per_block = self.cluster * 8 // width
        first = len(self.file) >> self.bits
        count = 1
        while (first + count - 1) // per_block + 1 > count:
            count += 1
        for block in range(count):
            self.put(table + 8 * block, ">Q", self.append(bytes(self.cluster)))
        for c, n in self.refs.items():
            block = struct.unpack_from(">Q", self.file, table + 8 * (c // per_block))[0]
            place = c % per_block
            if width >= 8:
                step = width // 8
                at = block + place * step
                self.file[at:at + step] = n.to_bytes(step, "big")
            else:
                self.file[block + place * width // 8] |= n << (place * width % 8)
        length = 72 if self.version == 2 else 112
        extensions = self.extensions + extension(0, b"")
        backing_at = length + len(extensions) if self.backing else 0
        assert length + len(extensions) + len(self.backing) <= self.cluster
        head = struct.pack(">4sIQIIQIIQQIIQ", QFI, self.version, backing_at, len(self.backing),
                           self.bits, self.size, 0, self.l1_entries, self.l1, table, 1,
                           len(self.snapshots), snapshots_at)
        if self.version == 3:
            head += struct.pack(">QQQIIB7x", self.features, 0, self.autoclear, self.order, length,
                                self.compression)
        head += extensions + self.backing
        self.file[:len(head)] = head
        return bytes(self.file)
