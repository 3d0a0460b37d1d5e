"""Sound files of every format that emojax opens, and of some that it refuses, small enough to be tried by the thousand."""

import functools
import io
import struct

import numpy as np
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin, features

from emojax.images.opening import require_plugin

SIDE = 20


def _picture(mode="RGB", side=SIDE):
    rng = np.random.default_rng(1)
    smooth = Image.fromarray(rng.integers(0, 256, (5, 5, 4), dtype=np.uint8), "RGBA")
    picture = smooth.resize((side, side - 4), Image.Resampling.BICUBIC)
    return picture if mode == "RGBA" else picture.convert("RGB").convert(mode)


def _encoded(picture, format, **options):
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


def exif():
    """Tags of a photo with a place."""
    tags = Image.Exif()
    tags[ExifTags.Base.Make] = "Camera"
    tags[ExifTags.Base.Orientation] = 6
    tags[ExifTags.Base.Copyright] = "© 2026 Ä"
    tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2026:01:02 03:04:05"
    tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FNumber] = TiffImagePlugin.IFDRational(28, 10)
    tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.BodySerialNumber] = "SERIAL"
    tags.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (48.0, 8.0, 14.0)})
    return tags


@functools.cache
def corpus():
    """Name -> bytes of each sound file."""
    rgb, rgba, grey = _picture(), _picture("RGBA"), _picture("L")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    floats = Image.fromarray(np.asarray(grey).astype(np.float32) / 255)
    frames = [rgb, rgb.rotate(90), rgb.rotate(180)]
    files = {
        "a.jpg": _encoded(rgb, "JPEG"),
        "exif.jpg": _encoded(rgb, "JPEG", exif=exif(), icc_profile=profile, comment=b"words"),
        "progressive.jpg": _encoded(rgb, "JPEG", progressive=True),
        "cmyk.jpg": _encoded(_picture("CMYK"), "JPEG"),
        "grey.jpeg": _encoded(grey, "JPEG"),
        "two.mpo": _encoded(rgb, "MPO", save_all=True, append_images=frames[1:2]),
        "a.png": _encoded(rgb, "PNG", exif=exif(), icc_profile=profile),
        "alpha.png": _encoded(rgba, "PNG"),
        "palette.png": _encoded(_picture("P"), "PNG", transparency=0),
        "bits.png": _encoded(_picture("1"), "PNG"),
        "deep.png": _encoded(deep, "PNG"),
        "moving.apng": _encoded(rgb, "PNG", save_all=True, append_images=frames[1:]),
        "a.webp": _encoded(rgb, "WEBP", exif=exif()),
        "lossless.webp": _encoded(rgba, "WEBP", lossless=True),
        "moving.webp": _encoded(rgb, "WEBP", save_all=True, append_images=frames[1:]),
        "a.gif": _encoded(rgb, "GIF"),
        "moving.gif": _encoded(rgb, "GIF", save_all=True, append_images=frames[1:]),
        "a.tif": _encoded(rgb, "TIFF", exif=exif()),
        "deflate.tiff": _encoded(rgba, "TIFF", compression="tiff_adobe_deflate"),
        "lzw.tif": _encoded(deep, "TIFF", compression="tiff_lzw"),
        "float.tif": _encoded(floats, "TIFF"),
        "a.bmp": _encoded(rgb, "BMP"),
        "palette.bmp": _encoded(_picture("P"), "BMP"),
        "a.dib": _encoded(rgb, "DIB"),
        "a.ppm": _encoded(rgb, "PPM"),
        "a.pgm": _encoded(grey, "PPM"),
        "a.pbm": _encoded(_picture("1"), "PPM"),
        "text.pnm": b"P3 2 2 255 " + b"1 2 3 " * 4,
        "a.pfm": _encoded(floats, "PPM"),
        "a.tga": _encoded(rgba, "TGA", compression="tga_rle"),
        "a.pcx": _encoded(rgb, "PCX"),
        "a.sgi": _encoded(rgb, "SGI"),
        "a.ico": _encoded(rgba, "ICO", sizes=[(16, 16)]),
        "a.icns": _encoded(rgba.resize((16, 16)), "ICNS"),
        "a.dds": _encoded(rgba, "DDS"),
        "a.psd": _psd(),
        "a.qoi": _qoi(),
        "eps.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\nshowpage\n",
        "raw.dng": b"II*\0\x08\0\0\0" + bytes(60),
        "page.jpg": b"<html>not found</html>",
        "film.jpg": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(50),
    }
    return files | _files_of_optional_formats(rgb)


def _files_of_optional_formats(rgb):
    files = {}
    if features.check("avif"):
        files["a.avif"] = _encoded(rgb, "AVIF", exif=exif())
    if features.check("jpg_2000"):
        files["a.jp2"] = _encoded(rgb, "JPEG2000")
    for kind, name in (("HEIF", "a.heic"), ("JXL", "a.jxl")):
        try:
            require_plugin(kind)
            files[name] = _encoded(rgb, kind)
        except OSError:  # no plugin: its first bytes are enough for the hint
            files[name] = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" if kind == "HEIF" else b"\xff\x0a" + bytes(20)
    return files


def _psd():
    """A PSD of 2 x 2 pixels, uncompressed."""
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 2, 2, 8, 3)
    return header + struct.pack(">III", 0, 0, 0) + struct.pack(">H", 0) + bytes(range(12))


def _qoi():
    """A QOI of 4 x 2 pixels: each a whole colour."""
    pixels = b"".join(b"\xfe" + bytes([10 * i, 20, 30]) for i in range(8))
    return b"qoif" + struct.pack(">IIBB", 4, 2, 3, 0) + pixels + bytes(7) + b"\x01"
