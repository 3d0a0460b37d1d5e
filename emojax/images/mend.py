"""Repairs damaged files, as browsers do, if only a small part is missing or wrong and most of the picture is intact.

The functions take and return the bytes of encoded files; no pixel is touched. Only `missing_share` takes a decoded picture,
uint8 [H, W] or [H, W, C] in the orientation of the file, and looks for the values that stand for missing pixels.
"""

from __future__ import annotations

import math
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from emojax.images import lengths
from emojax.images.isobmff import SeekableFile

MAY_MISS = 0.1
"""the largest share of a picture that may be missing"""

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_LENGTHS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9, b"cICP": 4}
"""chunks of a fixed length; any other length means damage"""
_ANIMATION = frozenset({b"acTL", b"fcTL", b"fdAT"})
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""the passes of an interlaced PNG: first x, first y, step x, step y"""
_STEP = 256  # at most this many compressed bytes are lost before the place where the data are wrong
_ZEROS = 16  # this many zeros at the end of a JPEG are not pixels, but the rest of a broken download
_BLOCK = 1 << 20
_GREY = (127, 128)
"""the values that a decoder returns for the missing pixels of a JPEG"""
_PADDED = frozenset({b"BM", b"P5", b"P6"})
"""signatures of formats whose pixels may be uncompressed, and whose decoders do not mind further bytes: BMP, PPM"""
_PALETTE = 769  # the bytes of a PCX's palette, which begins with a 12
LAST_BYTES = "the file is truncated, its last bytes are missing"
"""the note on a file whose end was replaced"""


@dataclass(frozen=True)
class Mended:
    """A repaired file, which can be decoded."""

    data: bytes
    notes: tuple[str, ...]
    blanks: tuple[int, ...] = ()
    """the values of missing pixels, from which `missing_share` computes how much of the decoded picture is missing"""
    partial: bool = False
    """whether Pillow has to be told to accept a truncated file"""


def mend(data: bytes, max_pixels: float = math.inf) -> Mended | str | None:
    """Repairs an encoded file; missing pixels are completed only in pictures of at most `max_pixels`.

    Returns:
        The repaired file; or the reason why it cannot be repaired; or None if nothing is wrong, or no repair is known.
    """
    if data.startswith(b"\xff\xd8"):
        return _mend_jpeg(data)
    if data.startswith(_PNG):
        return _mend_png(data, max_pixels)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _mend_webp(data)
    if data.startswith(b"GIF8"):
        return Mended(data, ("the file is truncated, some of its last pixels are missing",), blanks=(0,), partial=True)
    if data[:2] in _PADDED:
        return _pad(data, int(len(data) * MAY_MISS / (1 - MAY_MISS)))
    if data.startswith(lengths.TIFF):
        return _fill(data, lengths.tiff_end(data), planes=lengths.tiff_planes(data))
    if data.startswith(lengths.JPEG2000):
        return _fill(data, lengths.jpeg2000_end(data), lengths.END_OF_JPEG2000)
    if data.startswith(lengths.SGI):
        return _fill(data, lengths.sgi_end(data), planes=max(1, int.from_bytes(data[10:12], "big")))
    return None


def is_mendable(head: bytes) -> bool:
    """Tells whether `mend` may be able to repair a file with these first bytes, at least 12."""
    is_webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    known = (b"\xff\xd8", _PNG, b"GIF8", *_PADDED, *lengths.TIFF, *lengths.JPEG2000, lengths.SGI)
    return is_webp or head.startswith(known)


def is_filled_up(file: SeekableFile) -> bool:
    """Tells whether a JPEG has zeros instead of its last bytes; a decoder would take them for pixels."""
    file.seek(0)
    if file.read(2) != b"\xff\xd8":
        return False
    length = end = file.seek(0, 2)
    while end:  # backwards to the last byte that is not zero
        start = max(0, end - _BLOCK)
        file.seek(start)
        kept = len(file.read(end - start).rstrip(b"\0"))
        end = start + kept
        if kept:
            break
    file.seek(max(0, end - 2))
    return length - end >= _ZEROS and file.read(2) != b"\xff\xd9"


def lacks_palette(file: SeekableFile) -> bool:
    """Tells whether the palette at the end of a PCX is cut off; Pillow would take the colours' numbers for grey values."""
    file.seek(0)
    head = file.read(70)
    # version 3.0, 8 bits, one plane, and not marked as grey
    if len(head) < 70 or head[:2] != b"\x0a\x05" or head[3] != 8 or head[65] != 1 or head[68] == 2:
        return False
    length = file.seek(0, 2)
    file.seek(max(0, length - _PALETTE))
    return file.read(1) != b"\x0c"


def truncated(share: float) -> str:
    """Returns the reason to refuse a picture, given the share that is missing."""
    return f"the file is truncated: {max(1, round(100 * share))} % of the picture is missing"


def missing_share(pixels: np.ndarray, mended: Mended) -> float:
    """Returns the share of a decoded picture that is missing.

    Rows of blank pixels at the end count as missing, and so do the blank pixels of the row before them if it ends blank. In a
    partial picture, blank rows count anywhere, because it may be interlaced.
    """
    values = pixels.reshape(*pixels.shape[:2], -1)
    blank: np.ndarray = np.all(np.isin(values, mended.blanks), axis=-1)
    rows: np.ndarray = np.all(blank, axis=1)
    if not mended.partial:
        rows = np.logical_and.accumulate(rows[::-1])[::-1]
    missing = int(rows.sum()) * blank.shape[1]
    for row in blank[~rows][::-1]:
        if not row[-1]:
            break
        missing += int(row.sum())
    return missing / blank.size


def _pad(data: bytes, missing: int, planes: int = 1) -> Mended | str:
    share = min(1.0, planes * missing / (len(data) + missing))
    if share > MAY_MISS:
        return truncated(share)
    return Mended(data + bytes(missing), ("the file is truncated, some of its last pixels are missing",))


def _fill(data: bytes, end: int | str | None, last: bytes = b"", planes: int = 1) -> Mended | str | None:
    """Adds zeros up to `end`, which is as in `lengths`; the file then ends with `last`. `planes` follow each other."""
    if not isinstance(end, int) or end <= len(data):
        return end if isinstance(end, str) else None
    padded = _pad(data, end - len(data), planes)
    return padded if isinstance(padded, str) else Mended(padded.data[: end - len(last)] + last, (LAST_BYTES,))


def _mend_webp(data: bytes) -> Mended | str | None:
    """Pads the pixel data if its end is missing, or drops metadata that are cut off."""
    at = 12
    while at + 8 <= len(data):
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        missing = at + 8 + length - len(data)
        if missing <= 0:
            at += 8 + length + length % 2
            continue
        if kind in (b"EXIF", b"XMP "):
            return Mended(_webp(data[12:at]), ("the file is truncated, some of its metadata are missing",))
        padded = _pad(data[at + 8 :], missing)
        if kind not in (b"VP8 ", b"VP8L") or isinstance(padded, str):
            return padded if isinstance(padded, str) else None
        content = padded.data + bytes(1024)  # the decoder may read further than the encoder wrote
        whole = data[12:at] + kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
        return Mended(_webp(whole), padded.notes)
    if int.from_bytes(data[4:8], "little") + 8 <= len(data):
        return None
    if at == len(data) + 1:  # the byte that makes the last chunk's length even
        return Mended(data + b"\0", ("the file is truncated, its last byte is missing",))
    return Mended(_webp(data[12:at]), ("the file is truncated, some of its metadata are missing",))


def _webp(chunks: bytes) -> bytes:
    """Returns a WebP file of chunks from which EXIF and XMP have been removed."""
    if chunks.startswith(b"VP8X") and len(chunks) > 8:
        chunks = chunks[:8] + bytes([chunks[8] & ~0x0C]) + chunks[9:]
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


# --- JPEG ---------------------------------------------------------------------------------------------------------


def _mend_jpeg(data: bytes) -> Mended | str | None:
    """Adds the missing end marker, unless too much of the picture is missing as well."""
    bare = data.rstrip(b"\0")
    if bare.endswith(b"\xff\xd9"):
        return None
    data = bare if len(data) - len(bare) >= _ZEROS else data
    if not _has_light_and_colours(data):
        return "the file is truncated: most of its details are missing"
    return Mended(data.removesuffix(b"\xff") + b"\xff\xd9", (LAST_BYTES,), _GREY)


def _has_light_and_colours(data: bytes) -> bool:
    """Tells whether a JPEG has data of each component and, if progressive, all 64 coefficients of the luma component.

    A progressive scan's coefficients count if another segment follows the scan.
    """
    progressive, components, begun = False, b"", set[int]()
    coefficients, coming = set[int](), set[int]()
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        coefficients |= coming
        coming = set()
        segment = data[at + 4 : at + 2 + length]
        at += 2 + length
        if marker in (0xC0, 0xC1, 0xC2, 0xC9, 0xCA) and len(segment) > 6:  # the frame
            progressive, components = marker in (0xC2, 0xCA), segment[6::3]
        elif marker == 0xDA and len(segment) > 3:  # a scan
            scanned = segment[1 : 1 + 2 * segment[0] : 2]
            begun |= set(scanned)
            if components[:1] and components[0] in scanned:
                coming = set(range(segment[-3], segment[-2] + 1))
            following = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]").search(data, at)
            at = following.start() if following else len(data)
    return begun >= set(components) and (not progressive or coefficients >= set(range(64)))


# --- PNG ----------------------------------------------------------------------------------------------------------


def _mend_png(data: bytes, max_pixels: float) -> Mended | str | None:
    """Drops damaged chunks that are not essential, and completes the pixels."""
    before: list[bytes] = []
    after: list[bytes] = []
    pixels: list[bytes] = []
    notes: dict[str, None] = {}
    header, damaged = b"", False
    for kind, body, sound in _png_chunks(data):
        if kind == b"IDAT":
            pixels.append(body)
            damaged |= not sound
        elif kind in _ANIMATION:  # what is left of it would not play
            notes["its animation is ignored"] = None
        elif sound and _is_whole(kind, body, header):
            header = header or (body if kind == b"IHDR" else b"")
            (after if pixels else before).append(_chunk(kind, body))
        elif kind in (b"IHDR", b"PLTE"):
            return f"a PNG whose {kind.decode()} chunk is damaged"
        elif kind.isalpha():
            notes[f"its {kind.decode()} chunk is damaged and was ignored"] = None
    if len(header) != 13:
        return None
    packed, share = b"".join(pixels), 0.0
    width, height = struct.unpack(">II", header[:8])
    if width * height <= max_pixels:  # larger pictures are refused when they are opened
        packed, share = _complete_pixels(header, packed)
    if share > MAY_MISS:
        return truncated(share)
    if share:
        notes[f"the file is truncated, {max(1, round(100 * share))} % of the picture is missing"] = None
    elif damaged:
        notes["the checksum of its pixels is wrong"] = None
    chunks = [*before, _chunk(b"IDAT", packed), *after, _chunk(b"IEND", b"")]
    return Mended(_PNG + b"".join(chunks), tuple(notes))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Yields (type, content, whether the chunk is intact) for the chunks before the end; the last may be cut off."""
    at = len(_PNG)
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body, checksum = data[at + 8 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        if kind == b"IEND" or (len(body) < length and kind != b"IDAT"):
            return
        right_length = _PNG_LENGTHS.get(kind, length) == length
        yield kind, body, right_length and checksum == struct.pack(">I", zlib.crc32(kind + body))
        at += 12 + length


def _is_whole(kind: bytes, body: bytes, header: bytes) -> bool:
    """Whether the content of a chunk is what its kind needs."""
    if kind == b"tRNS" and len(header) == 13:
        colour = header[9]
        return 1 <= len(body) <= 1 << header[8] if colour == 3 else len(body) == {0: 2, 2: 6}.get(colour)
    if kind in (b"iCCP", b"zTXt"):  # a name, a zero, the method, and compressed data
        name, zero, rest = body.partition(b"\0")
        try:
            return bool(name and zero and rest[:1] == b"\0" and zlib.decompressobj().decompress(rest[1:], _BLOCK))
        except zlib.error:
            return False
    return True


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _complete_pixels(header: bytes, packed: bytes) -> tuple[bytes, float]:
    """Completes the compressed pixels of a PNG with zeros; returns the pixels and the share that was missing."""
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", header)
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 0)
    expected = 0
    for x, y, step_x, step_y in _ADAM7 if interlace else ((0, 0, 1, 1),):
        columns, rows = math.ceil((width - x) / step_x), math.ceil((height - y) / step_y)
        if columns > 0 and rows > 0:
            expected += rows * (1 + math.ceil(columns * depth * channels / 8))
    if not expected:
        return packed, 1.0
    found, unpacker = bytearray(), zlib.decompressobj()
    try:
        for start in range(0, len(packed), _STEP):
            found += unpacker.decompress(packed[start : start + _STEP], expected - len(found))
            if len(found) >= expected:
                break
    except zlib.error:  # what was decompressed before the error is kept
        pass
    share = max(0.0, 1 - len(found) / expected)
    return zlib.compress(bytes(found.ljust(expected, b"\0")), 1) if share <= MAY_MISS else packed, share
