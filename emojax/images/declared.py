"""The colour space that a file declares by other means than an ICC profile that Pillow finds.

Only headers and tags are read here; no pixel is touched. If declarations contradict each other, the format's standard decides.
The order is cICP, ICC, sRGB, gAMA with cHRM in a PNG; ICC, nclx in AVIF and HEIF; and ICC, EXIF in other formats.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from PIL import ExifTags, Image

from emojax.images import isobmff, spaces
from emojax.images.isobmff import SeekableFile
from emojax.images.opening import exif_of, stream_of
from emojax.images.spaces import ADOBE_PRIMARIES, SRGB, ColourSpace, Primaries

_ADOBE_RGB = ColourSpace(ADOBE_PRIMARIES, 563 / 256)
_JPEG2000_SPACES = {12: "CMYK", 16: "sRGB", 17: "grey", 18: "sYCC"}
"""the numbers of colour spaces that Pillow's decoder knows"""


@dataclass(frozen=True)
class Declared:
    """What a file declares about its colours."""

    space: ColourSpace | None = None
    profile: bytes | None = None
    """an ICC profile that Pillow does not find"""
    note: str | None = None
    """which declaration cannot be used, in words for the user"""


_NOTHING = Declared()


def declared_in_file(image: Image.Image) -> Declared:
    """Returns what the file of an opened image declares. Call it before the image is loaded."""
    find = _FINDERS.get(image.format or "")
    stream = stream_of(image)
    found = _NOTHING
    if find is not None and stream is not None:
        try:
            position = stream.tell()
            try:
                found = find(image, stream)
            finally:
                stream.seek(position)
        except (OSError, ValueError, struct.error):  # a damaged header, or a stream that is not seekable
            found = _NOTHING
    return _from_info(image) if found == _NOTHING else found


def declared_in_exif(image: Image.Image) -> ColourSpace | None:
    """Returns Adobe RGB if a photo's EXIF says so; some cameras write that instead of a profile."""
    exif = exif_of(image)
    try:
        space = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace)
        if space == 2:
            return _ADOBE_RGB  # before the next line, which raises in Pillow 12 if the tag is missing
        interoperability = exif.get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex)
    except Exception:  # as in `exif_of`
        return None
    text = interoperability.decode("ascii", "replace") if isinstance(interoperability, bytes) else interoperability
    adobe = space != 1 and isinstance(text, str) and text.startswith("R03")
    return _ADOBE_RGB if adobe else None


def _from_info(image: Image.Image) -> Declared:
    """Returns what Pillow or a plugin kept in the image's `info`, the only source once the image is loaded."""
    nclx = image.info.get("nclx_profile")
    if isinstance(nclx, dict) and not image.info.get("icc_profile"):
        return _from_cicp(int(nclx.get("color_primaries", 2)), int(nclx.get("transfer_characteristics", 2)))
    if image.format == "PNG":
        return _from_png_gamma(image)
    if image.format == "TIFF":
        return _from_tiff(image)
    return _NOTHING


def _from_cicp(primaries: int, transfer: int, full_range: bool = True) -> Declared:
    space = spaces.from_cicp(primaries, transfer, full_range)
    if space is None:
        return Declared(note=f"its colour space (CICP {primaries}/{transfer}) is not known and was ignored")
    return Declared(space) if (primaries, transfer) != (2, 2) else _NOTHING


# --- PNG ----------------------------------------------------------------------------------------------------------


def _in_png(image: Image.Image, stream: SeekableFile) -> Declared:
    stream.seek(8)
    while len(head := stream.read(8)) == 8 and head[4:] != b"IDAT":
        length = int.from_bytes(head[:4], "big")
        if head[4:] != b"cICP":
            stream.seek(length + 4, 1)
            continue
        body, checksum = stream.read(length), stream.read(4)
        if length == 4 and checksum == struct.pack(">I", zlib.crc32(b"cICP" + body)):
            primaries, transfer, matrix, full_range = body
            if matrix:
                return Declared(note=f"its colours (cICP matrix {matrix}) are not RGB, which was ignored")
            return _from_cicp(primaries, transfer, full_range=bool(full_range))
    return _NOTHING


def _from_png_gamma(image: Image.Image) -> Declared:
    info = image.info
    if info.get("icc_profile"):
        return _NOTHING
    if "srgb" in info:
        return Declared(SRGB)
    gamma, chromaticity = info.get("gamma"), info.get("chromaticity")
    if gamma is None and chromaticity is None:
        return _NOTHING
    primaries: Primaries | None = None
    if chromaticity is not None and len(chromaticity) == 8:
        white, colours = tuple(chromaticity[:2]), tuple(chromaticity[2:])
        primaries = (*colours, *white)
    space = spaces.from_gamma(gamma, primaries)
    if space is None:
        return Declared(note="its gamma or primaries are impossible and were ignored")
    return Declared(space)


# --- other formats ------------------------------------------------------------------------------------------------


def _in_boxes(image: Image.Image, stream: SeekableFile) -> Declared:
    """Reads the `nclx` colours of AVIF and HEIF."""
    meta = None if image.info.get("icc_profile") else isobmff.top_box(stream, b"meta")
    cicp = None if meta is None else isobmff.declared_cicp(meta)
    # The decoder has already converted to full range.
    return _NOTHING if cicp is None else _from_cicp(cicp[0], cicp[1])


def _in_jpeg2000(image: Image.Image, stream: SeekableFile) -> Declared:
    header = isobmff.top_box(stream, b"jp2h")
    colour = None if header is None else isobmff.jpeg2000_colour(header)
    if isinstance(colour, bytes):
        return Declared(profile=colour)
    if colour is None or colour in _JPEG2000_SPACES:
        return _NOTHING
    return Declared(note=f"its colour space (JPEG 2000 number {colour}) is not known and was ignored")


def _in_bmp(image: Image.Image, stream: SeekableFile) -> Declared:
    """Reads the colour space from a BMP header of version 4 or 5."""
    stream.seek(0)
    head = stream.read(14 + 124)
    if len(head) < 14 + 108 or struct.unpack_from("<I", head, 14)[0] < 108:
        return _NOTHING
    kind = head[14 + 56 : 14 + 60]
    if kind == b"DEBM" and len(head) >= 14 + 120:  # an embedded profile
        offset, size = struct.unpack_from("<II", head, 14 + 112)
        stream.seek(14 + offset)
        return Declared(profile=stream.read(min(size, 1 << 24)))
    if kind == b"KNIL":
        return Declared(note="its colour profile is in another file and was ignored")
    ends, gammas = struct.unpack_from("<9i", head, 14 + 60), struct.unpack_from("<3I", head, 14 + 96)
    if kind != b"\0\0\0\0" or not any(ends):
        return _NOTHING
    xyz = [[value / 2**30 for value in ends[at : at + 3]] for at in (0, 3, 6)]
    white = [sum(values) for values in zip(*xyz, strict=True)]
    sums = [sum(values) for values in (*xyz, white)]
    if not all(sums) or not all(gammas):
        return Declared(note="its primaries are impossible and were ignored")
    points = [value / total for values, total in zip((*xyz, white), sums, strict=True) for value in values[:2]]
    primaries: Primaries = tuple(points)  # four times x, y
    space = spaces.from_gamma(3 * 65536 / sum(gammas), primaries)
    return Declared(space) if space else Declared(note="its gamma or primaries are impossible and were ignored")


def _in_qoi(image: Image.Image, stream: SeekableFile) -> Declared:
    stream.seek(13)
    return Declared(ColourSpace(transfer=1.0)) if stream.read(1) == b"\1" else _NOTHING


def _from_tiff(image: Image.Image) -> Declared:
    tags = getattr(image, "tag_v2", {})
    if image.info.get("icc_profile") or not tags:
        return _NOTHING
    if 301 in tags:  # TransferFunction
        return Declared(note="its transfer function is not an ICC profile and was ignored")
    white, colours = tags.get(318), tags.get(319)
    if colours is None or len(colours) != 6:
        return _NOTHING
    white = white if white is not None and len(white) == 2 else (0.3127, 0.3290)
    primaries: Primaries = tuple(map(float, (*colours, *white)))  # type: ignore[assignment]  # eight numbers
    space = spaces.from_gamma(None, primaries)
    return Declared(space) if space else Declared(note="its primaries are impossible and were ignored")


_FINDERS: dict[str, Callable[[Image.Image, SeekableFile], Declared]] = {
    "PNG": _in_png,
    "AVIF": _in_boxes,
    "HEIF": _in_boxes,
    "JPEG2000": _in_jpeg2000,
    "BMP": _in_bmp,
    "DIB": _in_bmp,
    "QOI": _in_qoi,
}
