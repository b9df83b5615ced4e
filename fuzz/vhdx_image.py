# SPDX-License-Identifier: BSL-1.0
"""VHDX images for the seeds, without checksums, folded as vhdx.cpp unfolds them."""
import struct
import uuid

MIB = 1 << 20
BAT, METADATA = "2DC27766-F623-4200-9D64-115E9BFD4A08", "8B7CA206-4790-4B9A-B8FE-575F050F886E"
LOCATOR_TYPE = "B04AEFB7-D19E-4A81-B789-25B8E9445913"
ITEMS = {"parameters": "CAA16737-FA36-4D43-B3B6-33F0AA44E76B",
         "size": "2FA54224-CD1B-4876-B211-5DBED83BF4B8",
         "id": "BECA12AB-B2E6-4523-93EF-C309E000C746",
         "logical": "8141BF1D-A96F-4709-BA47-F233A8FAAB5F",
         "physical": "CDA348C7-445D-4471-9CC9-E9885251C556",
         "locator": "A8D35F2D-B30B-454D-ABF7-D3D84834AB0C"}


def guid(text):
    return uuid.UUID(text).bytes_le


def locator(pairs):
    entries, texts = b"", b""
    for key, value in pairs:
        key, value = key.encode("utf-16-le"), value.encode("utf-16-le")
        at = 20 + 12 * len(pairs) + len(texts)
        entries += struct.pack("<IIHH", at, at + len(key), len(key), len(value))
        texts += key + value
    return guid(LOCATOR_TYPE) + struct.pack("<HH", 0, len(pairs)) + entries + texts


class Vhdx:
    """Log, BAT and metadata in 1 MiB each; blocks come in the order of the calls."""

    def __init__(self, size=3 * MIB, bits=20, sector=512, parent=None):
        self.file = bytearray(4 * MIB)
        self.bits, self.ratio, self.bitmap = bits, (sector << 23) >> bits, 0
        self.put(0, b"vhdxfile")
        for at, sequence in (0x10000, 1), (0x20000, 2):
            self.put(at, struct.pack("<4sIQ16s16s16sHHIQ", b"head", 0, sequence, b"f" * 16,
                                     b"\2" * 16, bytes(16), 0, 1, MIB, MIB))
        for at in 0x30000, 0x40000:
            self.put(at, struct.pack("<4sIII16sQII16sQII", b"regi", 0, 2, 0, guid(BAT), 2 * MIB,
                                     MIB, 1, guid(METADATA), 3 * MIB, MIB, 1))
        values = {"size": struct.pack("<Q", size), "physical": struct.pack("<I", 4096),
                  "parameters": struct.pack("<II", 1 << bits, 0 if parent is None else 2),
                  "logical": struct.pack("<I", sector), "id": b"i" * 16}
        if parent is not None:
            values["locator"] = locator(parent)
        self.put(3 * MIB, struct.pack("<8sHH", b"metadata", 0, len(values)))
        offset = 65536
        for i, (name, value) in enumerate(values.items()):
            self.put(3 * MIB + 32 + 32 * i, struct.pack("<16sIII", guid(ITEMS[name]), offset,
                                                        len(value), 4))
            self.put(3 * MIB + offset, value)
            offset += len(value)

    def put(self, at, data):
        self.file[at:at + len(data)] = data

    def mark(self, index, state, place=0):
        at = 2 * MIB + 8 * (index + index // self.ratio)
        self.put(at, struct.pack("<Q", place | state))
        return self

    def block(self, index, data, bits=None):
        if bits is not None and not self.bitmap:
            self.bitmap = len(self.file)
            self.file += bytes(MIB)
            self.put(2 * MIB + 8 * self.ratio, struct.pack("<Q", self.bitmap | 6))
        if bits is not None:
            self.put(self.bitmap + (index << self.bits) // 4096, bits)
        self.mark(index, 6 if bits is None else 7, len(self.file))
        self.file += data.ljust(1 << self.bits, b"\0")
        return self

    def entry(self, at, tail, sequence, updates, last=0):
        """A log entry at a sector; updates are (offset, 4096 bytes or a number of zeros)."""
        descriptors, sectors = b"", b""
        for place, what in updates:
            if isinstance(what, int):
                descriptors += struct.pack("<4sIQQQ", b"zero", 0, what, place, sequence)
                continue
            descriptors += struct.pack("<4s4s8sQQ", b"desc", what[-4:], what[:8], place, sequence)
            sectors += struct.pack("<4sI4084sI", b"data", sequence >> 32, what[8:-4],
                                   sequence & 0xFFFFFFFF)
        length = -(-(64 + len(descriptors)) // 4096) * 4096
        head = struct.pack("<4sIIIQII16sQQ", b"loge", 0, length + len(sectors), tail * 4096,
                           sequence, len(updates), 0, b"g" * 16, len(self.file), last)
        whole = (head + descriptors).ljust(length, b"\0") + sectors
        for i in range(0, len(whole), 4096):
            self.put(MIB + (at * 4096 + i) % MIB, whole[i:i + 4096])
        for header in 0x10000, 0x20000:
            self.put(header + 48, b"g" * 16)
        return at + len(whole) // 4096

    def sector(self, at):
        return bytes(self.file[at:at + 4096])

    def finish(self, more=0):
        """`more` pieces of 512 bytes behind the last MiB."""
        pieces = [i for i in range(len(self.file) // 512)
                  if any(self.file[512 * i:512 * i + 512])]
        assert len(pieces) < 256 and len(self.file) < 12 * MIB
        return (struct.pack(f"<BBB{len(pieces)}H", len(self.file) // MIB, more, len(pieces),
                            *pieces) + b"".join(self.file[512 * i:512 * i + 512] for i in pieces))
