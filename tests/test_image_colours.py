"""Colours that a file declares otherwise than by an ICC profile: converted to sRGB, or named in a note."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import COLOURS, chunk, file_of
from PIL import ExifTags, Image, ImageCms

from emojax import images
from emojax.images import isobmff, read_photo, spaces
from emojax.images.spaces import ColourSpace

SMOOTH = np.asarray(Image.fromarray(COLOURS[:4, :6]).resize((96, 64), Image.Resampling.BICUBIC))


def coded(pixels, space, depth=8):
    """What sRGB pixels are in a colour space, by the textbook formulas, in the range of integers of a depth."""
    code = pixels / 255
    light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    if pixels.ndim == 3:
        light = light @ np.linalg.inv(spaces._to_srgb_matrix(space.primaries)).T
    light = light.clip(0, None)
    if space.transfer == "pq":
        power = (light * 203 / 10_000) ** 0.1593017578125
        code = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    elif space.transfer == "hlg":
        display = light * 203 / 1000
        weights = spaces._to_xyz(space.primaries)[1]
        luminance = display @ weights if pixels.ndim == 3 else display
        scene = display * np.maximum(luminance, 1e-9).reshape(*luminance.shape, *[1] * (pixels.ndim - 2)) ** (
            1 / 1.2 - 1
        )
        logarithm = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
        code = np.where(scene <= 1 / 12, np.sqrt(3 * scene), logarithm)
    elif space.transfer == "srgb":
        code = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    else:
        code = light ** (1 / space.transfer)
    if not space.full_range:
        code = (code * 219 + 16) / 255
    return (code * (2**depth - 1)).round().astype(np.uint8 if depth == 8 else np.uint16)


def png(pixels, *chunks, **options):
    data = file_of(Image.fromarray(pixels), "PNG", **options)
    return data[:33] + b"".join(chunks) + data[33:]


def cicp(primaries, transfer, matrix=0, full_range=1):
    return chunk(b"cICP", bytes([primaries, transfer, matrix, full_range]))


def error(photo, pixels):
    return np.abs(photo.pixels.astype(int) - pixels).mean()


# --- PNG

CODES = [(12, 13), (9, 16), (9, 18), (12, 16), (9, 14), (1, 8), (1, 4), (9, 1), (5, 5), (11, 13)]


@pytest.mark.parametrize(("primaries", "transfer"), CODES)
@pytest.mark.parametrize("full_range", [0, 1])
def test_a_pngs_cicp_is_converted(primaries, transfer, full_range):
    space = spaces.from_cicp(primaries, transfer, bool(full_range))
    assert space is not None
    photo = read_photo(png(coded(SMOOTH, space), cicp(primaries, transfer, 0, full_range)))
    assert error(photo, SMOOTH) < 2
    assert photo.notes == (("high dynamic range, converted to the standard range",) if transfer > 15 else ())


def test_a_pngs_cicp_counts_more_than_its_profile():
    space = spaces.from_cicp(12, 13)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo = read_photo(png(coded(SMOOTH, space), cicp(12, 13), icc_profile=profile))
    assert error(photo, SMOOTH) < 1


@pytest.mark.parametrize("numbers", [(0, 13), (3, 13), (12, 3), (12, 9), (200, 1), (9, 16, 9)])
def test_a_cicp_that_is_not_known_is_ignored_with_a_note(numbers):
    photo = read_photo(png(COLOURS, cicp(*numbers)))
    assert (photo.pixels == COLOURS).all() and len(photo.notes) == 1 and "ignored" in photo.notes[0]


@pytest.mark.parametrize("numbers", [(1, 13), (2, 2), (1, 1), (1, 6), (2, 13)])
def test_a_cicp_of_srgb_changes_nothing(numbers):
    photo = read_photo(png(COLOURS, cicp(*numbers)))
    assert (photo.pixels == COLOURS).all() and photo.notes == ()


def gama(value):
    return chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def chrm(*values):
    """x, y of white, red, green, blue."""
    return chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in values)))


P3 = (0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
OURS = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)


@pytest.mark.parametrize("gamma", [1.0, 1 / 1.8, 1 / 2.4, 0.7])
def test_a_pngs_gamma_is_converted(gamma):
    photo = read_photo(png(coded(SMOOTH, ColourSpace(transfer=1 / gamma)), gama(gamma)))
    assert error(photo, SMOOTH) < 1.5 and photo.notes == ()


def test_half_the_light_is_188():
    assert (read_photo(png(np.full((2, 2, 3), 128, np.uint8), gama(1))).pixels == 188).all()
    assert (read_photo(png(np.full((2, 2), 128, np.uint8), gama(1))).pixels == 188).all()
    assert (read_photo(png(np.full((2, 2), 32_896, np.uint16), gama(1))).pixels == 188).all()


def test_a_deep_grey_keeps_its_shadows():
    values = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    photo = read_photo(png(values, gama(1)))
    assert len(np.unique(photo.pixels)) > 240  # of 8 bits of light 184 would be left


def test_a_pngs_primaries_are_converted():
    space = ColourSpace((*P3[2:], *P3[:2]))
    assert error(read_photo(png(coded(SMOOTH, space), chrm(*P3))), SMOOTH) < 1
    assert error(read_photo(png(coded(SMOOTH, space), gama(0.45455), chrm(*P3))), SMOOTH) < 1


@pytest.mark.parametrize("chunks", [[gama(0.45455)], [gama(0.45455), chrm(*OURS)], [chrm(*OURS)]])
def test_the_gamma_and_the_primaries_of_srgb_change_nothing(chunks):
    photo = read_photo(png(COLOURS, *chunks))
    assert (photo.pixels == COLOURS).all() and photo.notes == ()


def test_an_srgb_chunk_or_a_profile_counts_more_than_gamma():
    assert (read_photo(png(COLOURS, chunk(b"sRGB", b"\0"), gama(1))).pixels == COLOURS).all()
    assert (read_photo(png(COLOURS, gama(1), icc_profile=images.srgb_profile())).pixels == COLOURS).all()


@pytest.mark.parametrize("chunks", [[gama(0)], [gama(0.0001)], [gama(200)], [chrm(*[0.1] * 8)], [chrm(*[0.0] * 8)]])
def test_an_impossible_gamma_is_ignored_with_a_note(chunks):
    photo = read_photo(png(COLOURS, *chunks))
    assert (photo.pixels == COLOURS).all() and "impossible" in (photo.note or "")


def test_transparency_and_palettes_stay():
    space = ColourSpace(transfer=1.0)
    picture = np.dstack([coded(SMOOTH, space), np.full(SMOOTH.shape[:2], 255, np.uint8)])
    picture[0, 0, 3] = 0
    photo = read_photo(png(picture, gama(1)))
    assert photo.alpha is not None and photo.alpha[0, 0] == 0 and (photo.pixels[0, 0] == 255).all()
    assert error(photo, SMOOTH) < 1.5
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 128, 128, 128])
    data = file_of(palette, "PNG")
    assert (read_photo(data[:33] + gama(1) + data[33:]).pixels == 188).all()


def test_an_image_that_was_opened_by_the_caller():
    data = png(coded(SMOOTH, spaces.from_cicp(12, 13)), cicp(12, 13))
    with Image.open(io.BytesIO(data)) as image:
        assert error(read_photo(image), SMOOTH) < 1
    with Image.open(io.BytesIO(png(coded(SMOOTH, ColourSpace(transfer=1.0)), gama(1)))) as image:
        image.load()  # Pillow keeps the gamma, but not cICP
        assert error(read_photo(image), SMOOTH) < 1.5


def test_a_profile_that_pillow_gives_up_is_noted():
    damaged = chunk(b"iCCP", b"x\0\0" + b"rubbish")
    assert "profile is broken" in (read_photo(png(COLOURS, damaged)).note or "")
    data = file_of(Image.fromarray(COLOURS), "JPEG", icc_profile=images.srgb_profile())
    at = data.index(b"ICC_PROFILE\0\1\1") + 13
    photo = read_photo(data[:at] + b"\2" + data[at + 1 :])  # says that there is a second part
    assert "profile is broken" in (photo.note or "")


# --- AVIF and HEIF


@pytest.mark.parametrize(("primaries", "transfer"), CODES[:6])
def test_an_avifs_nclx_is_converted(primaries, transfer):
    picture = Image.fromarray(coded(SMOOTH, spaces.from_cicp(primaries, transfer)))
    data = bytearray(file_of(picture, "AVIF", quality=100, subsampling="4:4:4"))
    at = data.index(b"nclx") + 4
    data[at : at + 4] = struct.pack(">HH", primaries, transfer)
    photo = read_photo(bytes(data))
    assert error(photo, SMOOTH) < 5
    assert error(photo, SMOOTH) < 0.7 * error(read_photo(np.asarray(picture)), SMOOTH)
    assert bool(photo.notes) == (transfer > 15)


def box(kind, body):
    return struct.pack(">I", 8 + len(body)) + kind + body


def meta(*colours, own):
    """A `meta` box whose primary item, number 7, has the properties with these numbers."""
    nclx = [box(b"colr", b"nclx" + struct.pack(">HHHB", primaries, 13, 0, 128)) for primaries in colours]
    other = b"\0\5\1\x81"
    ipma = bytes(4) + struct.pack(">I", 2) + other + struct.pack(">HB", 7, len(own)) + bytes(own)
    properties = box(b"iprp", box(b"ipco", b"".join(nclx)) + box(b"ipma", ipma))
    return bytes(4) + box(b"hdlr", bytes(20)) + box(b"pitm", bytes(4) + b"\0\7") + properties


def test_the_colour_of_the_primary_picture_counts():
    assert isobmff.declared_cicp(meta(1, 12, own=[2])) == (12, 13, True)
    assert isobmff.declared_cicp(meta(1, 12, own=[0x81])) == (1, 13, True)
    assert isobmff.declared_cicp(meta(9, own=[])) == (9, 13, True)  # a grid, whose tiles have it
    assert isobmff.declared_cicp(meta(own=[1])) is None


@given(st.binary(max_size=200), st.data())
def test_damaged_boxes_give_less_and_nothing_else(junk, data):
    good = meta(1, 12, own=[2])
    at = data.draw(st.integers(0, len(good)))
    isobmff.declared_cicp(good[:at] + junk + good[at + len(junk) :])
    isobmff.jpeg2000_colour(junk)
    isobmff.top_box(io.BytesIO(junk), b"meta")
    isobmff.brands(junk)


# --- other formats


@pytest.mark.parametrize("how", ["colour space", "interoperability"])
@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_adobe_rgb_by_exif(how, format):
    space = ColourSpace(spaces.ADOBE_PRIMARIES, 563 / 256)
    exif = Image.Exif()
    if how == "colour space":
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ColorSpace] = 2
    else:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ColorSpace] = 65535
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = {1: "R03"}
    options = {"lossless": True} if format == "WEBP" else {"quality": 100, "subsampling": 0}
    data = file_of(Image.fromarray(coded(SMOOTH, space)), format, exif=exif, **options)
    assert error(read_photo(data), SMOOTH) < 1.5
    # a profile counts more
    data = file_of(Image.fromarray(SMOOTH), format, exif=exif, icc_profile=images.srgb_profile(), **options)
    assert error(read_photo(data), SMOOTH) < 1.5


@pytest.mark.parametrize("value", [1, 65535])
def test_other_colour_spaces_of_exif_are_srgb(value):
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ColorSpace] = value
    data = file_of(Image.fromarray(SMOOTH), "JPEG", exif=exif, quality=100, subsampling=0)
    assert error(read_photo(data), SMOOTH) < 1


def bmp(pixels, kind, ends=(), gamma=0.0, profile=b""):
    """A BMP with a header of version 5."""
    plain = file_of(Image.fromarray(pixels), "BMP")
    body = plain[54:]
    info = struct.pack("<I", 124) + plain[18:54] + bytes(16) + kind
    info += struct.pack("<9i", *(round(value * 2**30) for value in ends or [0.0] * 9))
    info += struct.pack("<3I", *[round(gamma * 65536)] * 3)
    info += struct.pack("<IIII", 4, 124 + len(body), len(profile), 0)
    offset = 14 + 124
    return b"BM" + struct.pack("<IHHI", offset + len(body) + len(profile), 0, 0, offset) + info + body + profile


def test_a_bmps_colour_space_is_converted():
    matrix = spaces._to_xyz((*P3[2:], *P3[:2]))
    space = ColourSpace((*P3[2:], *P3[:2]), 2.0)
    photo = read_photo(bmp(coded(SMOOTH, space), b"\0\0\0\0", list(matrix.T.ravel()), 2.0))
    assert error(photo, SMOOTH) < 1.5 and photo.notes == ()
    for kind in (b"BGRs", b" niW", b"\0\0\0\0"):  # sRGB, "Windows", and nothing
        photo = read_photo(bmp(SMOOTH, kind))
        assert (photo.pixels == SMOOTH).all() and photo.notes == ()


def test_a_bmps_profile():
    swapped = bytearray(images.srgb_profile())
    count = struct.unpack(">I", swapped[128:132])[0]
    tags = {bytes(swapped[at : at + 4]): at for at in range(132, 132 + 12 * count, 12)}
    red, green = slice(tags[b"rXYZ"] + 4, tags[b"rXYZ"] + 12), slice(tags[b"gXYZ"] + 4, tags[b"gXYZ"] + 12)
    swapped[red], swapped[green] = swapped[green], swapped[red]
    photo = read_photo(bmp(np.full((4, 4, 3), (200, 10, 20), np.uint8), b"DEBM", profile=bytes(swapped)))
    assert np.abs(photo.pixels.astype(int) - (10, 200, 20)).max() <= 3 and photo.notes == ()
    assert "another file" in (read_photo(bmp(SMOOTH, b"KNIL")).note or "")
    assert "broken" in (read_photo(bmp(SMOOTH, b"DEBM", profile=b"rubbish")).note or "")


def test_a_jpeg_2000s_colour_space():
    data = file_of(Image.fromarray(SMOOTH), "JPEG2000")
    assert read_photo(data).notes == ()
    colour = data.index(b"colr")
    assert data[colour + 4] == 1
    unknown = data[: colour + 7] + struct.pack(">I", 21) + data[colour + 11 :]
    photo = read_photo(unknown)
    assert "JPEG 2000 number 21" in (photo.note or "")


def test_a_linear_qoi():
    pixel = b"\xfe\x80\x80\x80"
    data = b"qoif" + struct.pack(">IIBB", 1, 1, 3, 1) + pixel + bytes(7) + b"\1"
    assert (read_photo(data).pixels == 188).all()
    assert (read_photo(data.replace(b"\3\1\xfe", b"\3\0\xfe")).pixels == 128).all()


def test_a_tiffs_primaries():
    image, tags = Image.fromarray(coded(SMOOTH, ColourSpace((*P3[2:], *P3[:2])))), {318: P3[:2], 319: P3[2:]}
    assert error(read_photo(file_of(image, "TIFF", tiffinfo=tags)), SMOOTH) < 1
    photo = read_photo(file_of(Image.fromarray(SMOOTH), "TIFF", tiffinfo={301: tuple(range(256))}))
    assert (photo.pixels == SMOOTH).all() and "transfer function" in (photo.note or "")
