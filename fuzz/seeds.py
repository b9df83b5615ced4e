#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""seeds.py OUTDIR: writes small valid images, one per feature, as OUTDIR/TARGET/NAME."""
import struct
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # the source folder stays as it is
from programs import QCOW2_PROGRAMS, VHD_PROGRAMS, with_operations, with_writes
from qcow2_image import COPIED, QFI, ZERO, Qcow2, deflate, extension, noise, padded, text
from vhd_image import Vhd, footer
from vhdx_image import MIB, Vhdx


def mixed(image):
    """Data out of order, zeros with and without a home, holes, a second L2 table."""
    size = image.cluster
    image.data(3, noise(size))
    image.data(2, text(size))
    image.data(4, noise(size, 2))
    if image.version == 3:
        image.mark(5, ZERO if image.entry == 8 else 0, 0xFFFFFFFF << 32)
        if image.entry == 8:
            image.data(6, noise(size, 3), COPIED | ZERO)
    last = image.size // size - 1
    image.data(last, noise(size, 4))
    return image


def qcow2_seeds():
    for version in 2, 3:
        yield f"v{version}-512", mixed(Qcow2(version)).finish()
        yield f"v{version}-4k", mixed(Qcow2(version, 12, 65536)).finish()
    for order in range(7):
        yield f"refcount-order-{order}", mixed(Qcow2(refcount_order=order)).finish()
    yield "empty", Qcow2(size=0).finish()
    yield "huge", Qcow2(bits=16, size=1 << 40).finish()
    image = mixed(Qcow2())
    yield "short-last-cluster", image.finish()[:-300]

    for bits in 9, 12, 14:
        image = Qcow2(bits=bits, size=32 << bits)
        size = image.cluster
        image.packed([(i, text(size)) for i in (1, 2, 7)] + [(3, bytes(size))])
        image.data(4, noise(size))
        yield f"deflate-{size}", image.finish()
    image = Qcow2(size=8192)  # one raw block per zstd frame: no compressor needed
    image.features, image.compression = 8, 1
    image.packed([(i, text(512)) for i in (0, 1, 5)],
                 lambda data: bytes.fromhex("28b52ffd60") + struct.pack("<H", len(data) - 256) +
                 (len(data) << 3 | 1).to_bytes(3, "little") + data)
    yield "zstd", image.finish()

    image = Qcow2(bits=14, size=1 << 20, extended=True)
    image.data(0, noise(1 << 14), bitmap=0x0F0F00FF)
    image.data(1, text(1 << 14), bitmap=0xFFFF << 48 | 0x0000FFFF)
    image.mark(2, 0, 0x00FF00FF << 32)
    image.packed([(3, text(1 << 14))])
    yield "extended-l2", image.finish()

    image = mixed(Qcow2())
    image.snapshot(1, b"first")
    image.snapshot(22, b"second")
    image.forget_table(0)
    image.data(9, text(512))
    yield "snapshots", image.finish()

    image = mixed(Qcow2(bits=10))
    rows = (0, 0, b"dirty bit"), (0, 63, b"from the future"), (1, 0, b"lazy refcounts")
    image.extensions = extension(0x6803F857, b"".join(struct.pack(">BB46s", *row) for row in rows))
    image.extensions += extension(0x12345678, b"unknown to all")
    yield "feature-names", image.finish()
    image.features = 1 << 63
    yield "unknown-feature", image.finish()

    image = mixed(Qcow2(bits=12, size=65536))
    image.bitmap(b"bitmap0")
    yield "bitmap", image.finish()

    image = mixed(Qcow2())
    image.extensions = extension(0xE2792ACA, b"qcow2")
    image.backing = b"base.qcow2"
    yield "backing", image.finish()

    image = Qcow2(size=16384)
    image.features, image.autoclear = 4, 2
    image.extensions = extension(0x44415441, b"data.raw")
    for i in 0, 1, 5:
        image.mark(i, i * 512 | COPIED)
    image.mark(6, ZERO)
    yield "data-file", image.finish()


def qcow(bits=9, l2_bits=6, size=65536, blocks=(), packed=(), backing=b""):
    """A version 1 image; `blocks` and `packed` are (guest cluster, bytes)."""
    cluster = 1 << bits
    entries = -(-size // (cluster << l2_bits))
    head = struct.pack(">4sIQIIQBBHIQ", QFI, 1, 48 if backing else 0, len(backing), 1700000000,
                       size, bits, l2_bits, 0, 0, 48 + -(-len(backing) // 8) * 8)
    file = bytearray(padded(padded(head + backing) + bytes(8 * entries), cluster))
    l1 = struct.unpack_from(">Q", file, 40)[0]

    def enter(index, value):
        slot = l1 + 8 * (index >> l2_bits)
        if not struct.unpack_from(">Q", file, slot)[0]:
            struct.pack_into(">Q", file, slot, len(file))
            file.extend(padded(bytes(8 << l2_bits), cluster))
        table = struct.unpack_from(">Q", file, slot)[0]
        struct.pack_into(">Q", file, table + 8 * (index & ((1 << l2_bits) - 1)), value)

    for index, data in blocks:
        file.extend(bytes(-len(file) % cluster))
        at = len(file)
        file.extend(padded(data, cluster))
        enter(index, at)
    for index, _ in packed:
        enter(index, 0)  # the tables first, the streams without gaps after them
    for index, data in packed:
        stream = deflate(data)
        enter(index, 1 << 63 | len(stream) << (63 - bits) | len(file))
        file.extend(stream)
    return bytes(file)


def qcow_seeds():
    for bits, l2_bits in (9, 6), (12, 9), (16, 6):
        size = 1 << bits
        blocks = [(3, noise(size)), (2, text(size)), (4, noise(size, 2)), (70, text(size))]
        packed = [(5, text(size)), (6, bytes(size)), (9, text(size))]
        if bits < 16:
            yield f"plain-{size}", qcow(bits, l2_bits, 100 * size, blocks)
        yield f"deflate-{size}", qcow(bits, l2_bits, 100 * size, blocks[:1], packed)
    yield "empty", qcow(size=512)
    yield "odd-size", qcow(size=12345, blocks=[(24, noise(512))])
    yield "backing", qcow(blocks=[(1, noise(512))], backing=b"base.raw")


def vhd_seeds():
    yield "fixed", text(5120) + footer(2, 5120)
    yield "fixed-511", text(5120) + footer(2, 5120)[:511]
    yield "empty", Vhd(size=0).finish()
    for bits in 9, 12, 14, 22:
        image = Vhd(5 << bits if bits < 20 else 7 << 20, bits)
        for index in (3, 0, 4) if bits < 14 else (1,) if bits < 20 else ():
            image.block(index, noise(1 << bits, index), b"\xff\x0f"[index % 2:])
        yield f"blocks-{1 << bits}", image.finish()
    image = Vhd().block(5, noise(4096)).block(2, text(4096), b"\x35")
    yield "no-end", image.finish(0)
    yield "no-front", bytes(512) + image.finish()[512:]
    yield "short-last-block", image.finish(0)[:-300]
    for creator in b"win ", b"tap\0", b"vpc ":
        yield f"by-{creator[:3].decode()}", Vhd(creator=creator, geometry=(3, 4, 10)).finish()
    yield "saved", Vhd(saved=1).block(1, text(4096)).finish()
    map_of_full = (b"tdbatmap" + struct.pack(">QIII", 2560, 1, 0x10002, 2**32 - 1 - 0x20)).ljust(
        512, b"\0") + b"\x20".ljust(512, b"\0")
    image = Vhd(creator=b"tap\0", locators=[(b"\0\0\0\0", map_of_full)])
    yield "batmap", image.block(5, noise(4096), b"\x35").block(2, text(4096)).finish()
    wide = "sub\\b\u00e4se\U0001f4be.vhd"
    paths = [(b"W2ru", ".\\base.vhd".encode("utf-16-le")), (b"W2ku", wide.encode("utf-16-le")),
             (b"MacX", b"file:///a%20b/%C3%A4.vhd"), (b"Wi2r", b"..\\base.vhd"),
             (b"Wi2k", b"C:\\base.vhd\0\0"), (b"Mac ", b"\0\1\2"),
             (b"W2ku", ("x" * 200 + wide).encode("utf-16-le"))]
    image = Vhd(kind=4, locators=paths, name="b\u00e4se.vhd")
    yield "child", image.block(7, noise(4096), b"\xa5").block(3, text(4096), b"\0").finish()
    yield "child-by-name", Vhd(kind=4, name="C:\\base.vhd").finish()


def vhdx_seeds():
    yield "empty", Vhdx().finish()
    image = Vhdx(5 * MIB - 512).block(3, noise(700)).block(0, text(600)).mark(1, 2)
    yield "blocks", image.mark(2, 3, 9 * MIB).mark(4, 1).finish()
    yield "blocks-2m", Vhdx(7 * MIB, 21).block(2, noise(512)).block(1, text(512)).finish(3)
    yield "sectors-4k", Vhdx(2 * MIB, sector=4096).block(1, noise(512)).finish()
    yield "huge", Vhdx(100 << 30, 25, 4096).mark(200, 2).finish()
    parent = [("parent_linkage", "{02020202-0202-0202-0202-020202020202}"),
              ("relative_path", ".\\..\\b\u00e4se\U0001f4be.vhdx"),
              ("volume_path", "\\\\?\\Volume{1}\\base.vhdx"),
              ("absolute_win32_path", "\\\\?\\C:\\" + "x" * 150 + "\\base.vhdx"),
              ("parent_linkage2", "{03030303-0303-0303-0303-030303030303}")]
    for sector in 512, 4096:
        image = Vhdx(3 * MIB, sector=sector, parent=parent).block(1, noise(512), b"\xf0\x0f\xff\x35")
        yield f"child-{sector}", image.block(0, text(900)).finish()
        at = image.entry(254, 254, 7, [(2 * MIB, image.sector(2 * MIB)), (4 * MIB, bytes(4096))])
        image.entry(at % 256, 254, 8, [(4 * MIB, b"\x55" * 4096), (5 * MIB, 8192)])
        yield f"child-log-{sector}", image.finish()

    image = Vhdx().block(0, noise(512))
    updates = [(at, image.sector(at)) for at in (0x30000, 2 * MIB, 3 * MIB)]
    at = image.entry(5, 5, 1, updates + [(4 * MIB, 4096)])
    at = image.entry(at, 5, 2, [(6 * MIB, text(4096))], 7 * MIB)
    yield "log", image.finish(1)
    image.entry(100, 100, 1 << 33, [(2 * MIB + 4096, 4096)], 9 * MIB)
    yield "log-two-runs", image.finish()
    image.entry(at, 6, 3, [])
    yield "log-lost-tail", image.finish()


def extension_seeds():
    """What follows a header, in an image whose clusters 1 and 2 are zeros."""
    rows = (0, 0, b"dirty bit"), (0, 63, b"from the future"), (1, 1, b"lazy refcounts")
    names = extension(0x6803F857, b"".join(struct.pack(">BB46s", *row) for row in rows))
    end = extension(0, b"")
    yield "names", names + end
    yield "unknown", extension(0x12345678, b"unknown to all") + names + end
    yield "backing-format", extension(0xE2792ACA, b"qcow2") + end + b"\0" * 5
    yield "data-file", extension(0x44415441, b"data.raw") + end + b"\0"  # an odd length has one
    entry = padded(struct.pack(">QIIBBHI", 0x2000, 1, 2, 1, 16, 7, 0) + b"bitmap0")
    more = padded(struct.pack(">QIIBBHI", 0x2000, 4, 4, 1, 9, 3, 5) + b"extra" + b"two")
    head = extension(0x23852875, struct.pack(">IIQQ", 2, 0, len(entry + more), 0x1000)) + end
    yield "bitmaps", head.ljust(4096 - 112, b"\0") + entry + more


def storages_seeds():
    for kind, seeds in enumerate((qcow2_seeds, vhd_seeds, vhdx_seeds)):
        for name, data in seeds():
            yield f"{('qcow2', 'vhd', 'vhdx')[kind]}-{name}", data + bytes([kind])


def probe_seeds():
    """The first byte of a name, modulo 8, is the page of the input where that file begins."""
    def chain(*files):
        out = b""
        for page, file in enumerate(files):
            assert len(file) <= 4096 or page + 1 == len(files)
            out += file if page + 1 == len(files) else file.ljust(4096, b"\0")
        return out

    def overlay(name, kind):
        image = Qcow2(size=4096)
        image.data(1, noise(512, 5), COPIED)
        image.extensions = extension(0xE2792ACA, kind)
        image.backing = name
        return image.finish()

    base = Qcow2(size=2048)
    base.data(0, text(512))
    yield "two", chain(overlay(b"1", b"qcow2"), base.finish())
    yield "three", chain(overlay(b"1", b"qcow2"), overlay(b"2", b"qcow"), qcow(
        size=3000, blocks=[(2, noise(512))]))
    yield "qcow-over-raw", chain(qcow(blocks=[(1, noise(512))], backing=b"1"), text(5000))
    # Without an end each image goes by the footer at its front.
    child = Vhd(size=4096, bits=9, kind=4, name="1").block(1, noise(512))
    yield "vhd-two", chain(child.finish(0), Vhd(ident=2).block(0, text(4096)).finish(0))
    yield "vhd-itself", Vhd(kind=4, name="0", ident=2).finish()
    yield "vhd-fixed", text(4096) + footer(2, 4096)
    yield "itself", overlay(b"0", b"qcow2")
    yield "refused", overlay(b"!", b"raw")
    image = Qcow2(size=4096)
    image.features, image.autoclear = 4, 2
    image.extensions = extension(0x44415441, b"1")
    image.mark(1, 512 | COPIED)
    yield "data-file", chain(image.finish(), noise(4096))
    yield "raw", text(1000)


def text_seeds():
    lines = "10G", "1.5M", "0x200", "4096", "64k", 'a "quoted" \\ name\n', "\u00fc\U0001f4be"
    for i, line in enumerate(lines):
        yield str(i), line.encode()


def main(out):
    targets = {"qcow": qcow_seeds, "qcow2": qcow2_seeds, "vhd": vhd_seeds, "vhdx": vhdx_seeds}
    for name in list(targets):
        targets[name + "_write"] = lambda seeds=targets[name]: with_writes(seeds)
        if name != "qcow":
            targets[name + "_repair"] = targets[name]
    targets.update(vhdx_log=lambda: (s for s in vhdx_seeds() if "log" in s[0]), probe=probe_seeds,
                   text=text_seeds, storages=storages_seeds, qcow2_extensions=extension_seeds,
                   qcow2_operations=lambda: with_operations(qcow2_seeds, QCOW2_PROGRAMS),
                   vhd_operations=lambda: with_operations(vhd_seeds, VHD_PROGRAMS))
    for target, seeds in targets.items():
        folder = Path(out) / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in seeds():
            (folder / name).write_bytes(data)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    main(sys.argv[1])
