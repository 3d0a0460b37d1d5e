"""How long a file should be, by its headers: TIFF, JPEG 2000 and SGI. No pixel is touched.

The functions take the bytes of an encoded file. They return where its picture ends, in bytes; or the reason why a file that is
cut off cannot be completed; or None if they cannot tell.
"""

from __future__ import annotations

import struct

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""signatures of a TIFF and of its variant for large files"""
SGI = b"\x01\xda"
JPEG2000 = (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n")
"""signatures of JPEG 2000, bare and in a container"""
END_OF_JPEG2000 = b"\xff\xd9"

_TIFF_WIDTHS = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""type of a TIFF's value -> bytes of one; others have 1"""
_TIFF_CODES = {3: "H", 4: "I", 16: "Q"}
_INCOMPLETE = "the file is truncated or damaged: its directory is incomplete"
_MOST = 1 << 18  # parts of a file that are looked at; a file of a stranger may claim any number
_STRIPS, _TILES = (273, 279), (324, 325)  # the tags of their offsets and lengths
_CHANNELS, _PLANES = 277, 284  # the number of colours; 2: each is on its own
_READ = (*_STRIPS, *_TILES, _CHANNELS, _PLANES)


def tiff_end(data: bytes) -> int | str:
    """Where a TIFF's first picture and its directory end. Without a complete directory, the colours would be wrong."""
    if (directory := _tiff_directory(data)) is None:
        return _INCOMPLETE
    end, found = directory
    for offsets, sizes in (_STRIPS, _TILES):
        end = max([end, *map(sum, zip(found.get(offsets, ()), found.get(sizes, ()), strict=False))])
    return end


def tiff_planes(data: bytes) -> int:
    """In how many parts a TIFF has its pixels, one after the other: 1, or one for each colour."""
    _, found = _tiff_directory(data) or (0, {})
    return max(1, *found.get(_CHANNELS, ())) if found.get(_PLANES) == (2,) else 1


def _tiff_directory(data: bytes) -> tuple[int, dict[int, tuple[int, ...]]] | None:
    """Where a TIFF's first directory and its values end, and the values of `_READ`; None for an incomplete directory."""
    order, large = "<" if data[:2] == b"II" else ">", b"+" in data[2:4]
    count, number = (order + "Q", order + "Q") if large else (order + "H", order + "I")
    room, found = struct.calcsize(number), dict[int, tuple[int, ...]]()
    end = 0
    try:
        (at,) = struct.unpack_from(number, data, room)
        (entries,) = struct.unpack_from(count, data, at)
        at += struct.calcsize(count)
        if entries > _MOST or at + entries * (4 + 2 * room) > len(data):
            return None
        for entry in range(at, at + entries * (4 + 2 * room), 4 + 2 * room):
            tag, kind = struct.unpack_from(order + "HH", data, entry)
            (amount,) = struct.unpack_from(number, data, entry + 4)
            place, length = entry + 4 + room, amount * _TIFF_WIDTHS.get(kind, 1)
            if length > room:
                (place,) = struct.unpack_from(number, data, place)
            # The last byte of a number is 0 in nearly every file that begins with II, so one may be missing.
            if place + length > len(data) + (order == "<" and kind in _TIFF_CODES):
                return None
            end = max(end, place + length)
            if tag in _READ and tag not in found and kind in _TIFF_CODES and amount <= _MOST:
                found[tag] = struct.unpack_from(f"{order}{amount}{_TIFF_CODES[kind]}", data + b"\0", place)
    except (struct.error, OverflowError):
        return None
    return max(end, at + entries * (4 + 2 * room) + room), found  # the offset of the next directory follows


def jpeg2000_end(data: bytes) -> int | str | None:
    """Where the last tile-part and the end marker after it would end, if one of them is cut off.

    ISO/IEC 15444-1, annex A: segments up to the first tile-part, and tile-parts that begin with their length.
    """
    start = data.find(JPEG2000[0])
    at, tiles, seen, last = start + 2, 0, set[int](), True
    for _ in range(_MOST):
        if start < 0 or at + 12 > len(data):
            break
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == 0xFF51 and at + 38 <= len(data):  # the sizes and places of picture and tiles
            right, bottom, _, _, width, height, x, y = struct.unpack_from(">8I", data, at + 6)
            if not width or not height:
                return None
            tiles = -((x - right) // width) * -((y - bottom) // height)
        elif marker == 0xFF90:  # the start of a tile-part
            tile, part, index, parts = struct.unpack_from(">HIBB", data, at + 4)
            if part < 12:  # it is damaged, or reaches up to the end marker
                return None
            seen.add(tile)
            last, length = index + 1 >= parts, part - 2
        elif marker < 0xFF00 or marker == 0xFFD9:
            return None
        at += 2 + length
    if start < 0 or at + 12 <= len(data) or data[at : at + 2] == END_OF_JPEG2000:
        return None
    whole = len(seen) == tiles and last and len(data) < at + 2
    return at + 2 if whole else "the file is truncated: parts of the picture are missing"


def sgi_end(data: bytes) -> int | None:
    """Where an SGI picture without compression ends; None for a compressed one, or a header that is cut off."""
    if len(data) < 512 or data[2] != 0:
        return None
    width, height, channels = struct.unpack_from(">HHH", data, 6)
    return 512 + width * height * max(1, channels) * int(data[3])
