"""A picture of a page is made small without becoming another picture."""

import struct
import zlib

import pytest

from workshop.palette import SIGNATURE, reduced


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, rows: list[bytes], kind: int = 2, depth: int = 8) -> bytes:
    header = struct.pack(">IIBBBBB", width, len(rows), depth, kind, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b"")
    return SIGNATURE + body


def pixels(small: bytes) -> list[list[bytes]]:
    found, at = {}, len(SIGNATURE)
    while at < len(small):
        length, name = struct.unpack(">I4s", small[at : at + 8])
        found[name] = small[at + 8 : at + 8 + length]
        assert struct.unpack(">I", small[at + 8 + length : at + 12 + length])[0] == zlib.crc32(name + found[name])
        at += 12 + length
    width, height = struct.unpack(">II", found[b"IHDR"][:8])
    raw = zlib.decompress(found[b"IDAT"])
    rows = [raw[row * (width + 1) + 1 : (row + 1) * (width + 1)] for row in range(height)]
    return [[found[b"PLTE"][3 * one : 3 * one + 3] for one in row] for row in rows]


RED, BLUE, GREY = b"\xff\x00\x00", b"\x00\x00\xff", b"\x10\x10\x10"


@pytest.mark.parametrize("alpha", [b"", b"\xff"])
def test_every_filter_is_undone(alpha: bytes) -> None:
    kind, size = (6, 4) if alpha else (2, 3)
    wanted = [[RED, BLUE, GREY], [GREY, GREY, RED], [BLUE, RED, RED], [RED, GREY, BLUE], [BLUE, BLUE, GREY]]
    lines = [b"".join(one + alpha for one in row) for row in wanted]
    rows = []
    for number, line in enumerate(lines):
        above = lines[number - 1] if number else bytes(len(line))
        out = bytearray()
        for at, value in enumerate(line):
            left, corner = (line[at - size], above[at - size]) if at >= size else (0, 0)
            guess = left + above[at] - corner
            paeth = min((left, above[at], corner), key=lambda one: abs(guess - one))
            out.append((value - (0, left, above[at], (left + above[at]) // 2, paeth)[number]) & 255)
        rows.append(bytes([number]) + bytes(out))
    assert pixels(reduced(png(3, rows, kind))) == wanted


def test_a_colour_too_many_becomes_the_nearest() -> None:
    many = [bytes([one, 0, 0]) for one in range(256)]
    row = b"".join(many * 2) + bytes([200, 1, 0])
    assert pixels(reduced(png(513, [b"\0" + row])))[0] == [*many, *many, bytes([200, 0, 0])]


def test_a_picture_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 8 bits"):
        reduced(png(1, [b"\0\0"], kind=0))
