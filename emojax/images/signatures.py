"""Recognizes files by their first bytes: readable, readable with a plugin, or refused with a reason.

Only headers are read here; no pixel is touched. A file's name does not matter, except that a TIFF with the suffix of a
camera's RAW format counts as RAW.
"""

from __future__ import annotations

import struct
from pathlib import PurePath

from emojax.images import isobmff
from emojax.images.formats import RAW_SUFFIXES
from emojax.images.isobmff import SeekableFile

HEIF, JXL = "HEIF", "JXL"
"""the kinds that need a plugin, by the names that Pillow's plugins register"""

_HEAD = 4096
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_HEIF_CONTAINERS = frozenset({b"mif1", b"mif2", b"msf1"})
_JXL_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"

_RAW = "a camera's RAW file holds no finished picture: develop it and save it as JPEG or TIFF"
_DOCUMENT = "not a photo, but {}: save the picture as PNG or JPEG"
_OTHER_PICTURE = "{} is not read: save the picture as PNG, JPEG or TIFF"

_MAGIC: tuple[tuple[bytes, int, str], ...] = (
    (b"FUJIFILMCCD-RAW", 0, _RAW),  # RAF
    (b"IIU\0", 0, _RAW),  # RW2, RWL
    (b"IIRO", 0, _RAW),  # ORF
    (b"IIRS", 0, _RAW),
    (b"MMOR", 0, _RAW),
    (b"FOVb", 0, _RAW),  # X3F
    (b"\0MRM", 0, _RAW),  # MRW
    (b"HEAPCCDR", 6, _RAW),  # CRW
    (b"%PDF", 0, _DOCUMENT.format("a PDF document")),
    (b"%!PS", 0, _DOCUMENT.format("a PostScript document (EPS)")),
    (b"\xc5\xd0\xd3\xc6", 0, _DOCUMENT.format("a PostScript document (EPS)")),
    (b"\xd7\xcd\xc6\x9a", 0, _DOCUMENT.format("a Windows metafile")),
    (b" EMF", 40, _DOCUMENT.format("a Windows metafile")),
    (b"AT&TFORM", 0, _DOCUMENT.format("a DjVu document")),
    (b"SIMPLE  =", 0, _DOCUMENT.format("FITS data")),
    (b"\x1aE\xdf\xa3", 0, _DOCUMENT.format("a video (Matroska or WebM)")),
    (b"AVI ", 8, _DOCUMENT.format("a video (AVI)")),
    (b"v/1\x01", 0, _OTHER_PICTURE.format("OpenEXR")),
    (b"#?RADIANCE", 0, _OTHER_PICTURE.format("Radiance HDR")),
    (b"II\xbc", 0, _OTHER_PICTURE.format("JPEG XR")),
    (b"BPG\xfb", 0, _OTHER_PICTURE.format("BPG")),
    (b"FLIF", 0, _OTHER_PICTURE.format("FLIF")),
    (b"gimp xcf", 0, _OTHER_PICTURE.format("GIMP's XCF")),
    (b"8BPS\0\x02", 0, _OTHER_PICTURE.format("Photoshop's large format PSB")),
)
"""(bytes, their offset, the reason to refuse the file)"""

_KNOWN = (
    (b"\xff\xd8", "a JPEG"),
    (b"\x89PNG", "a PNG"),
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"8BPS", "a PSD"),
)


def needed_plugin(file: SeekableFile) -> str | None:
    """Returns `HEIF` or `JXL` for a file that Pillow opens only with a plugin."""
    head = _head(file)
    if head.startswith((b"\xff\x0a", _JXL_CONTAINER)):
        return JXL
    brands = isobmff.brands(head)
    if brands & {b"avif", b"avis"}:
        return None
    if brands & _HEIF_BRANDS or (brands & _HEIF_CONTAINERS and b"av01" not in head):
        return HEIF
    return None


def reason_to_refuse(file: SeekableFile, name: str = "") -> str | None:
    """Returns why a file of a known format is refused; None for other files."""
    head = _head(file)
    for magic, offset, reason in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return reason
    brands = isobmff.brands(head)
    if b"crx " in brands or is_raw_tiff(file, name):
        return _RAW
    if brands and not brands & {b"avif", b"avis", *_HEIF_BRANDS, *_HEIF_CONTAINERS}:
        return _DOCUMENT.format("a video (MPEG-4 or QuickTime)")
    start = head[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(b"<svg") or (start.startswith(b"<?xml") and b"<svg" in head.lower()):
        return _DOCUMENT.format("an SVG drawing")
    if start.startswith((b"<!doctype html", b"<html")):
        return "not an image, but a web page"
    return None


def unidentified(head: bytes) -> str:
    """Returns the error text for a file that no decoder opens."""
    for magic, name in _KNOWN:
        if head.startswith(magic):
            return f"{name} that is damaged, or of a kind that Pillow does not know"
    return "not an image, or of a format that Pillow does not know"


# --- RAW files that are TIFFs -------------------------------------------------------------------------------------

_SUBFILE, _COMPRESSION, _PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION = 254, 259, 262, 330, 50706
_SENSOR = frozenset({32803, 34892})  # photometric interpretations: colour filter array, linear sensor values
_RAW_COMPRESSIONS = frozenset({32767, 32769, 32770, 34713, 65000, 65535})  # Sony, Epson, Samsung, Nikon, Kodak, Pentax
_MAX_FOLDERS, _MAX_TAGS = 16, 4096


def is_raw_tiff(file: SeekableFile, name: str = "") -> bool:
    """Tells whether a TIFF holds a camera's sensor values; Pillow would read its thumbnail instead."""
    head = _head(file)
    if head[:4] not in (b"II*\0", b"MM\0*"):
        return False
    if PurePath(name).suffix.lower() in RAW_SUFFIXES or head[8:10] == b"CR" or head[8:12] == b"IIII":
        return True
    order = "<" if head[:2] == b"II" else ">"
    (first,) = struct.unpack(order + "I", head[4:8])
    waiting, seen = [first], set[int]()
    while waiting and len(seen) < _MAX_FOLDERS:
        offset = waiting.pop(0)
        if not offset or offset in seen:
            continue
        seen.add(offset)
        tags, following = _tiff_folder(file, offset, order)
        if _DNG_VERSION in tags or _SENSOR & set(tags.get(_PHOTOMETRIC, ())):
            return True
        if _RAW_COMPRESSIONS & set(tags.get(_COMPRESSION, ())):
            return True
        if offset == first and _SUB_IFDS in tags and tags.get(_SUBFILE, [0])[0] & 1:  # the first picture is a thumbnail
            return True
        waiting += [*tags.get(_SUB_IFDS, ()), following]
    return False


def _tiff_folder(file: SeekableFile, offset: int, order: str) -> tuple[dict[int, list[int]], int]:
    """Returns the relevant tags of a TIFF's image file directory, and the offset of the next directory."""
    try:
        file.seek(offset)
        (count,) = struct.unpack(order + "H", file.read(2))
        table = file.read(12 * min(count, _MAX_TAGS))
        rest = file.read(4)
        following = struct.unpack(order + "I", rest)[0] if len(rest) == 4 else 0
        tags: dict[int, list[int]] = {}
        for at in range(0, len(table) - 11, 12):
            tag, kind, number = struct.unpack_from(order + "HHI", table, at)
            if tag in (_SUBFILE, _COMPRESSION, _PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION):
                tags[tag] = _tiff_values(file, table[at + 8 : at + 12], kind, min(number, _MAX_FOLDERS), order)
        return tags, following
    except (OSError, ValueError, OverflowError, struct.error):
        return {}, 0


def _tiff_values(file: SeekableFile, field: bytes, kind: int, number: int, order: str) -> list[int]:
    code = {1: "B", 3: "H", 4: "I", 13: "I"}.get(kind, "B")  # bytes, shorts, longs, offsets
    size = number * struct.calcsize(code)
    if size > 4:
        file.seek(struct.unpack(order + "I", field)[0])
        field = file.read(size)
    return list(struct.unpack(f"{order}{number}{code}", field[:size]))


def _head(file: SeekableFile) -> bytes:
    file.seek(0)
    return file.read(_HEAD)


def jxl_size(file: SeekableFile) -> tuple[int, int] | None:
    """Returns the (height, width) in a JPEG XL's header, to check the size before the plugin decodes on opening."""
    head = _head(file)
    if head.startswith(_JXL_CONTAINER):
        whole, part = isobmff.top_box(file, b"jxlc"), isobmff.top_box(file, b"jxlp")
        head = whole or (part or b"")[4:]
    if not head.startswith(b"\xff\x0a") or len(head) < 16:
        return None
    bits = int.from_bytes(head[2:16], "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    def length(small: int) -> int:
        return 8 * (1 + take(5)) if small else 1 + take((9, 13, 18, 30)[take(2)])

    small = take(1)
    height = length(small)
    ratio = take(3)
    times, by = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio]
    return height, height * times // by if ratio else length(small)
