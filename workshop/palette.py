"""A picture of a page made small: a PNG of true colours into one of at most 256, with the standard library alone.

Reference: https://www.w3.org/TR/png-3/
"""

import struct
import zlib
from collections import Counter
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST = 256


def reduced(png: bytes) -> bytes:
    """The same picture with its 256 most frequent colours; any other becomes the nearest of them.

    Takes what Chromium makes: 8 bits a channel, RGB or RGBA, not interlaced. Raises ValueError for anything else.
    """
    chunks = list(_chunks(png))
    width, height, depth, kind, _compression, _filter, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    if depth != 8 or kind not in (2, 6) or interlaced:
        raise ValueError(f"got a PNG of depth {depth} and colour type {kind}, expected 8 bits of RGB or RGBA")
    size = 3 if kind == 2 else 4
    raw = zlib.decompress(b"".join(data for name, data in chunks if name == b"IDAT"))
    rows = [[row[at : at + 3] for at in range(0, len(row), size)] for row in _rows(raw, width * size, size, height)]
    palette = [colour for colour, _ in Counter(one for row in rows for one in row).most_common(MOST)]
    number = {colour: place for place, colour in enumerate(palette)}
    for row in rows:
        for colour in row:
            if colour not in number:
                number[colour] = min(range(len(palette)), key=lambda at: _distance(palette[at], colour))
    packed = b"".join(b"\0" + bytes(number[colour] for colour in row) for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    body = (b"IHDR", header), (b"PLTE", b"".join(palette)), (b"IDAT", zlib.compress(packed, 9)), (b"IEND", b"")
    return SIGNATURE + b"".join(_chunk(name, data) for name, data in body)


def _distance(one: bytes, other: bytes) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at < len(png):
        length, name = struct.unpack(">I4s", png[at : at + 8])
        yield name, png[at + 8 : at + 8 + length]
        at += 12 + length


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _rows(raw: bytes, length: int, size: int, height: int) -> Iterator[bytes]:
    """The rows with their filters undone."""
    above = bytes(length)
    for number in range(height):
        start = number * (length + 1)
        kind, row = raw[start], bytearray(raw[start + 1 : start + 1 + length])
        for at in range(length if kind else 0):
            left = row[at - size] if at >= size else 0
            corner = above[at - size] if at >= size else 0
            row[at] = (row[at] + _foretold(kind, left, above[at], corner)) & 255
        above = bytes(row)
        yield above


def _foretold(kind: int, left: int, above: int, corner: int) -> int:
    if kind < 3:
        return (0, left, above)[kind]
    if kind == 3:
        return (left + above) // 2
    guess = left + above - corner
    return min((left, above, corner), key=lambda one: abs(guess - one))
