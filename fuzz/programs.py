# SPDX-License-Identifier: BSL-1.0
"""Steps behind the seeds: what is written to an image, what is done to it. See program.hpp."""
import struct

WRITE, WRITE_BYTES, ZERO_OUT, DISCARD, FLUSH = 3, 4, 0, 1, 2


def write_step(what, sector, length, size=0, into=0):
    """`length` + 1 units of 1, 2, 4, 16, 32, 128, 256 or 1024 bytes (`size`), `into` a sector."""
    first = next(w for w in range(size << 5, size + 1 << 5) if w % 5 == what)
    return struct.pack("<BIB", first, into << 23 | sector, length)


def with_writes(seeds):
    """Behind each image twelve steps: in a cluster, over some, up to 256 KiB, at odd places."""
    steps = b"".join(write_step(*step) for step in (
        (WRITE, 1, 255), (WRITE_BYTES, 9, 17, 0, 100), (WRITE, 40, 255, 3), (FLUSH, 0, 0),
        (DISCARD, 3, 255, 3), (WRITE_BYTES, 5, 99, 5, 77), (ZERO_OUT, 33, 200, 2, 9),
        (WRITE, 2, 30, 7), (ZERO_OUT, 64, 255, 7), (WRITE_BYTES, 127, 255, 4, 1),
        (DISCARD, 16, 255, 7), (WRITE, 16, 7, 6)))
    for name, data in seeds():
        yield name, data + steps


def with_operations(seeds, programs):
    """Behind each image one of the programs in turn: (operation, number, length)."""
    for i, (name, data) in enumerate(seeds()):
        program = programs[i % len(programs)]
        yield name, data + b"".join(struct.pack("<BIB", *step) for step in program)


# Of qcow2: 0 takes, 1 applies, 2 deletes a snapshot, 3 resizes, 4 is of bitmaps, 6 of the header;
# which of these, the upper four bits say. Names are "1", "first", "2", "bitmap0".
QCOW2_PROGRAMS = (
    ((0, 0, 1), (3, 30, 0), (4, 0x1000, 0), (0x46, 0, 0), (1, 0, 1), (2, 0, 1)),
    ((3, 90, 2), (0x06, 0, 0), (0x44, 0, 3), (0x34, 0x10000, 3), (0x14, 0, 3), (3, 1, 0)),
    ((0x16, 0, 0), (0x06, 0, 0), (0x66, 0, 0), (0, 0, 1), (0, 0, 2), (2, 0, 0)),
    ((0x26, 0, 0), (0x26, 0, 1), (0x66, 0, 255), (3, 200, 9), (0x56, 0, 0), (0x54, 0, 0)))
# Of VHD: 0 compacts, 1 drops as well, 2 resizes, 3 to 6 change ids, geometry and parent, 7 repairs.
VHD_PROGRAMS = (
    ((0, 0, 0), (2, 200, 0), (2, 3, 0), (1, 0, 0), (3, 0, 0), (7, 0, 0)),
    ((2, 20, 0), (0, 0, 0), (6, 30, 9), (5, 0, 0), (4, 0x1104, 3), (2, 300, 0)),
    ((1, 0, 0), (6, 255, 200), (6, 1, 1), (2, 100, 0), (0, 0, 0), (2, 0x7F0000, 0)))
