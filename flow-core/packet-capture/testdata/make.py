#!/usr/bin/env python3
"""Writes the capture files of this folder and the table of them in README.md, byte by byte from the format
specifications and with no code of the crate, so that the two can disagree. Needs the zstd program."""

import gzip
import pathlib
import struct
import subprocess

HERE = pathlib.Path(__file__).parent
FRAME = bytes.fromhex("020000000002" "020000000001" "0800" "4500001c0001000040112667" "0a000001" "0a000002" "303900350008b0f1")
IP = FRAME[14:]
SECONDS, NANOSECONDS = 1_700_000_000, 123_456_789
rows = []


def file(name, why, content):
    (HERE / name).write_bytes(content)
    rows.append((name, why))


def pcap(order="<", magic=0xA1B2C3D4, link=1, minor=4, packets=None, upper=0):
    out = struct.pack(order + "IHHiIII", magic, 2, minor, 0, 0, 262144, link | upper << 16)
    fraction = NANOSECONDS if magic == 0xA1B23C4D else NANOSECONDS // 1000
    for number, (data, original) in enumerate(packets or [(FRAME, len(FRAME)), (FRAME[:20], len(FRAME))]):
        lengths = (len(data), original) if minor > 2 else (original, len(data))
        out += struct.pack(order + "IIII", SECONDS + number, fraction, *lengths)
        if magic == 0xA1B2CD34:
            out += struct.pack(order + "IHBB", 2, 0x0800, 0, 0)
        out += data
    return out


def block(order, kind, body):
    length = 12 + len(body)
    return struct.pack(order + "II", kind, length) + body + struct.pack(order + "I", length)


def padded(data):
    return data + bytes(-len(data) % 4)


def options(order, *pairs):
    out = b"".join(struct.pack(order + "HH", code, len(value)) + padded(value) for code, value in pairs)
    return out + struct.pack(order + "HH", 0, 0) if pairs else b""


def section(order, major=1, minor=0, magic=0x1A2B3C4D):
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", magic, major, minor, -1) + options(order, (4, b"hand")))


def interface(order, link=1, snap=0, *pairs):
    return block(order, 1, struct.pack(order + "HHI", link, 0, snap) + options(order, *pairs))


def enhanced(order, number, units, data, original=None, *pairs):
    head = struct.pack(order + "IIIII", number, units >> 32, units & 0xFFFFFFFF, len(data), original or len(data))
    return block(order, 6, head + padded(data) + options(order, *pairs))


def obsolete(order, number, units, data):
    head = struct.pack(order + "HHIIII", number, 0, units >> 32, units & 0xFFFFFFFF, len(data), len(data))
    return block(order, 2, head + padded(data))


def simple(order, data, original=None):
    return block(order, 3, struct.pack(order + "I", original or len(data)) + padded(data))


def zstd(data, *flags):
    return subprocess.run(["zstd", "-qc", *flags], input=data, stdout=subprocess.PIPE, check=True).stdout


MICROSECONDS = SECONDS * 1_000_000 + NANOSECONDS // 1000
small = pcap()
ng = section("<") + interface("<") + enhanced("<", 0, MICROSECONDS, FRAME)

# pcap
file("little-endian-microseconds.pcap", "the commonest kind; the second packet is cut by the snap length", small)
file("big-endian-microseconds.pcap", "the other byte order", pcap(">"))
file("little-endian-nanoseconds.pcap", "the other magic number", pcap("<", 0xA1B23C4D))
file("big-endian-nanoseconds.pcap", "both", pcap(">", 0xA1B23C4D))
file("kuznetsov.pcap", "record headers of 24 bytes, as old Red Hat kernels' tcpdump wrote them", pcap("<", 0xA1B2CD34))
file("lengths-swapped.pcap", "version 2.2 has the original length before the captured one", pcap(minor=2))
file("frame-check-sequence.pcap", "the upper half of the link type says that four bytes of check sequence follow", pcap(upper=0x4400))
file("original-shorter-than-captured.pcap", "a writer that says 0 for the original length", pcap(packets=[(FRAME, 0)]))
for link, name in [(0, "null"), (12, "raw-bsd"), (14, "raw-openbsd"), (101, "raw"), (108, "loop"), (113, "cooked"), (147, "private"),
                   (228, "ipv4"), (229, "ipv6"), (276, "cooked-v2")]:
    data = {0: b"\2\0\0\0" + IP, 108: b"\0\0\0\2" + IP, 113: bytes.fromhex("0000000100060200000000010000" "0800") + IP,
            276: bytes.fromhex("0800" "0000" "00000002" "0001" "00" "06" "0200000000010000") + IP,
            229: bytes.fromhex("60000000" "00083b40") + bytes(15) + b"\1" + bytes(15) + b"\1"}.get(link, IP)
    file(f"link-{link}-{name}.pcap", f"link type {link}", pcap(link=link, packets=[(data, len(data))]))
file("no-packets.pcap", "a header alone is a capture of nothing", small[:24])

# pcapng
file("little-endian.pcapng", "the commonest kind", ng)
file("big-endian.pcapng", "the other byte order", section(">") + interface(">") + enhanced(">", 0, MICROSECONDS, FRAME))
file("sections-of-both-orders.pcapng", "a new section changes the byte order and forgets the interfaces",
     section(">") + interface(">") + interface(">", 101) + enhanced(">", 1, MICROSECONDS, IP)
     + section("<") + interface("<", 113) + enhanced("<", 0, MICROSECONDS, FRAME))
file("interfaces-differ.pcapng", "each interface has its link type and its clock",
     section("<") + interface("<", 1, 0, (2, b"eth0"), (9, b"\x09")) + interface("<", 101, 0, (9, b"\x03"))
     + enhanced("<", 0, SECONDS * 10**9 + NANOSECONDS, FRAME) + enhanced("<", 1, SECONDS * 1000 + 123, IP))
file("described-late.pcapng", "an interface may be described after packets of another",
     section("<") + interface("<") + enhanced("<", 0, MICROSECONDS, FRAME) + interface("<", 101) + enhanced("<", 1, MICROSECONDS, IP))
file("resolution-binary.pcapng", "time in 2^-20 seconds", section("<") + interface("<", 1, 0, (9, b"\x94"))
     + enhanced("<", 0, SECONDS << 20 | 1 << 19, FRAME))
file("resolution-picoseconds.pcapng", "time in 10^-12 seconds does not reach back to 1970: the offset says from when",
     section("<") + interface("<", 1, 0, (9, b"\x0c"), (14, struct.pack("<q", SECONDS))) + enhanced("<", 0, NANOSECONDS * 1000 + 999, FRAME))
file("resolution-absurd.pcapng", "time in 10^-127 seconds: always 0, and no arithmetic overflows",
     section("<") + interface("<", 1, 0, (9, b"\x7f")) + enhanced("<", 0, 2**64 - 1, FRAME))
file("time-offset-negative.pcapng", "an offset of minus an hour", section(">") + interface(">", 1, 0, (14, struct.pack(">q", -3600)))
     + enhanced(">", 0, MICROSECONDS, FRAME))
file("time-overflows.pcapng", "the latest time that can be said saturates", section("<") + interface("<", 1, 0, (9, b"\x00"))
     + enhanced("<", 0, 2**64 - 1, FRAME))
file("simple-packets.pcapng", "no time, no interface; the captured length follows from the snap length 20",
     section("<") + interface("<", 1, 20) + enhanced("<", 0, MICROSECONDS, FRAME[:20], len(FRAME)) + simple("<", FRAME[:20], len(FRAME))
     + simple("<", FRAME[:16]))
file("obsolete-packets.pcapng", "the Packet Block that came before the Enhanced one", section("<") + interface("<")
     + obsolete("<", 0, MICROSECONDS, FRAME))
file("unknown-blocks.pcapng", "name resolution, statistics, secrets, custom and unheard-of blocks are stepped over",
     section("<") + block("<", 4, struct.pack("<HH", 0, 0))
     + interface("<") + block("<", 5, struct.pack("<III", 0, 0, 0)) + block("<", 10, struct.pack("<II", 0x544C534B, 4) + b"key\n")
     + block("<", 0xBAD, struct.pack("<I", 32473) + b"whatever") + block("<", 0x7FFFFFFF, b"")
     + enhanced("<", 0, MICROSECONDS, FRAME, None, (1, b"a comment"), (2, struct.pack("<I", 1))))

# Compressed: the names do not tell.
file("gzip.pcap", "recognised by content", gzip.compress(small, mtime=0))
file("gzip-two-members.pcapng", "members in a row are one stream; the cut is within a packet",
     gzip.compress(ng[:70], mtime=0) + gzip.compress(ng[70:], mtime=0))
file("zstd.pcapng", "recognised by content", zstd(ng))
file("zstd-frames.pcap", "a frame to be skipped, then two frames; the cut is within a packet",
     struct.pack("<II", 0x184D2A50, 4) + b"skip" + zstd(small[:50]) + zstd(small[50:]))

# Cut short.
file("cut-in-record-header.pcap", "the last record header is cut", small[:24 + 16 + len(FRAME) + 9])
file("cut-in-packet.pcap", "the last packet is cut", small[:-1])
file("cut-in-block.pcapng", "the last block is cut", (ng + enhanced("<", 0, MICROSECONDS, FRAME))[:-1])
file("cut-gzip.pcap", "compressed and cut: both packets are there, the end mark is not", gzip.compress(small, mtime=0)[:-4])
file("cut-zstd.pcapng", "compressed and cut", zstd(ng + enhanced("<", 0, MICROSECONDS, FRAME), "--no-check")[:-6])
file("cut-in-header.pcap", "not even a header", small[:23])
file("cut-in-section-header.pcapng", "not even a header", ng[:20])

# Damaged inside.
bad = struct.pack("<IIII", SECONDS, 0, 262145, 262145)
file("packet-too-long.pcap", "a packet over the bound, after a good one", small[:24 + 16 + len(FRAME)] + bad + bytes(64))
file("version.pcap", "version 3.0 does not exist", small[:4] + struct.pack("<HH", 3, 0) + small[8:])
file("version.pcapng", "version 2.0 does not exist", section("<", 2))
file("byte-order.pcapng", "a second section with neither byte order", ng + section("<", magic=0x12345678))
file("block-lengths-differ.pcapng", "the length at the end is another", ng + enhanced("<", 0, MICROSECONDS, FRAME)[:-4] + struct.pack("<I", 80))
file("block-length-odd.pcapng", "no multiple of four", ng + struct.pack("<III", 6, 33, 0) + bytes(64))
file("block-length-small.pcapng", "shorter than a packet's fixed part", ng + struct.pack("<III", 6, 28, 0) + bytes(64))
file("block-length-zero.pcapng", "zeros after the last block", ng + bytes(64))
file("block-too-long.pcapng", "a block of 4 GiB", ng + struct.pack("<III", 0x42, 0xFFFFFFFC, 0) + bytes(64))
file("packet-outside-block.pcapng", "the packet is longer than its block", ng + block("<", 6, struct.pack("<IIIII", 0, 0, 0, 5, 5) + bytes(4)))
file("packet-too-long.pcapng", "a packet over the bound", ng + block("<", 6, struct.pack("<IIIII", 0, 0, 0, 262145, 262145) + bytes(4)))
file("interface-unknown.pcapng", "a packet of an interface without description", ng + enhanced("<", 1, MICROSECONDS, FRAME))
file("interface-forgotten.pcapng", "a new section forgets the interfaces", ng + section("<") + simple("<", FRAME))
file("option-outside-block.pcapng", "an option longer than its block", section("<")
     + block("<", 1, struct.pack("<HHI", 1, 0, 0) + struct.pack("<HH", 2, 9) + b"eth0"))
file("option-length.pcapng", "a time resolution of two bytes", section("<") + interface("<", 1, 0, (9, b"\6\0")))
file("gzip-checksum.pcap", "every packet comes, then the checksum is wrong", gzip.compress(small, mtime=0)[:-8] + bytes(8))
file("zstd-checksum.pcapng", "the checksum is wrong", zstd(ng, "--check")[:-4] + bytes(4))
file("zstd-window.pcap", "wants a window of 2 GiB", bytes.fromhex("28b52ffd" "00" "a8" "010000"))

# Something else.
file("empty.pcap", "no byte at all", b"")
file("empty-gzip.pcap", "no byte when uncompressed", gzip.compress(b"", mtime=0))
file("three-bytes.pcap", "too short to recognise anything", b"\xd4\xc3\xb2")
file("text.pcap", "a text", b"this is no capture\n")
file("zeros.pcap", "zeros", bytes(64))
file("gzip-in-gzip.pcap", "compressed twice", gzip.compress(gzip.compress(small, mtime=0), mtime=0))
file("elf.pcap", "a program", b"\x7fELF\x02\x01\x01" + bytes(9))
file("xz.pcap", "compressed in a way that is not read", b"\xfd7zXZ\x00\x00\x04")

(HERE / "README.md").write_text(
    "# Why each of these files exists\n\nWritten by `make.py`, this page too. What the reader makes of them is in `reading.golden`.\n\n"
    "| file | why |\n|---|---|\n" + "".join(f"| {name} | {why} |\n" for name, why in rows))
