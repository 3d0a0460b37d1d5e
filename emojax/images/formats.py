"""File formats: which suffixes are photos, which formats are opened, and which are written.

Only names and tables live here; no pixel is touched.
"""

from __future__ import annotations

import os
from pathlib import Path

from emojax.errors import InputError

# Pillow also knows documents, video and scientific data; these are not photos.
IMAGE_SUFFIXES = frozenset(
    """
    .apng .avif .avifs .bmp .bw .dds .dib .gif .icb .icns .ico .j2c .j2k .jfif .jp2 .jpc .jpe .jpeg .jpf .jpg .jps .jpx
    .mpo .pbm .pcx .pfm .pgm .pjp .pjpeg .png .pnm .ppm .psd .qoi .rgb .rgba .sgi .tga .tif .tiff .vda .vst .webp
    """.split()  # noqa: SIM905  a list would take a line each
)
"""suffixes of the photos that Pillow reads, in lower case"""

PLUGIN_SUFFIXES = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif", ".jxl"})
"""suffixes of the photos that a plugin of Pillow reads (`pip install 'emojax[formats]'`)"""

RAW_SUFFIXES = frozenset(
    """
    .3fr .ari .arw .bay .cap .cr2 .cr3 .crw .dcr .dcs .dng .erf .fff .gpr .iiq .k25 .kdc .mdc .mef .mos .mrw .nef .nrw
    .orf .pef .ptx .raf .raw .rw2 .rwl .rwz .sr2 .srf .srw .x3f
    """.split()  # noqa: SIM905
)
"""suffixes of cameras' RAW files; photos with them are refused with an explanation"""

OTHER_PICTURE_SUFFIXES = frozenset({".bpg", ".exr", ".flif", ".hdp", ".hdr", ".jxr", ".psb", ".wdp", ".xcf"})
"""suffixes of other pictures that are refused with an explanation"""

PHOTO_SUFFIXES = IMAGE_SUFFIXES | PLUGIN_SUFFIXES | RAW_SUFFIXES | OTHER_PICTURE_SUFFIXES
"""suffixes of the files in a folder that are photos: each file is painted, or reported with the reason"""

OPENED = (
    "JPEG",  # and MPO
    "PNG",
    "WEBP",
    "AVIF",
    "GIF",
    "TIFF",
    "BMP",
    "DIB",
    "JPEG2000",
    "PPM",
    "PSD",
    "ICO",
    "ICNS",
    "DDS",
    "QOI",
    "SGI",
    "PCX",
    "TGA",  # last, because it has no signature
)
"""Pillow's names of the formats that are opened, in this order; no other decoder is started"""

FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".apng": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".avif": "AVIF",
    ".jp2": "JPEG2000",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".ppm": "PPM",
    ".tga": "TGA",
}
"""suffix -> Pillow's name of the format that is written for it"""

UNMARKED = frozenset({"BMP", "PPM", "TGA"})
"""written formats that cannot store the mark: `is_ours` does not recognize these files"""

ALPHA_FORMATS = frozenset({"PNG", "WEBP", "TIFF", "AVIF", "JPEG2000"})
"""written formats that keep transparency"""


def format_of(path: str | os.PathLike) -> str:
    """Returns Pillow's name of the format for a path's suffix.

    Raises:
        InputError: a suffix of a format that is not written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise InputError(f"cannot write {path}: the suffix {suffix!r} is none of {' '.join(FORMATS)}")
    return FORMATS[suffix]
