"""Files that lack their end: read with a note, or refused as truncated, never read wrong without a word."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from emojax.errors import EmojaxError
from emojax.images import lengths, mend, read_photo

WIDTH, HEIGHT = 131, 97
OPTIONS = {
    "sgi": {"format": "SGI"},
    "sgi of 16 bits": {"format": "SGI", "bpc": 2},
    "pcx": {"format": "PCX"},
    "tiff": {"format": "TIFF"},
    "tiff, lzw": {"format": "TIFF", "compression": "tiff_lzw"},
    "tiff, deflate": {"format": "TIFF", "compression": "tiff_adobe_deflate"},
    "tiff, packbits": {"format": "TIFF", "compression": "packbits"},
    "tiff, large": {"format": "TIFF", "big_tiff": True},
    "jp2": {"format": "JPEG2000"},
    "jp2, lossy": {"format": "JPEG2000", "quality_mode": "rates", "quality_layers": [8]},
    "jp2, tiles": {"format": "JPEG2000", "tile_size": (64, 64)},
    "j2k": {"format": "JPEG2000", "no_jp2": True},
    "tga": {"format": "TGA"},
    "dds": {"format": "DDS"},
    "qoi": {"format": "QOI"},
    "bmp": {"format": "BMP"},
    "ppm": {"format": "PPM"},
}


def picture(mode="RGB"):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    image = Image.fromarray(np.stack([x * 19 // 10, y * 26 // 10, x + y], -1).astype(np.uint8))
    return image.quantize(200) if mode == "P" else image.convert(mode)


def file_of(mode, options):
    stream = io.BytesIO()
    picture(mode).save(stream, **options)
    return stream.getvalue()


def directory_first(data):
    """A TIFF of one strip as many programs write it, with the strip at the end."""
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    entries = [list(struct.unpack_from("<HHII", data, at + 2 + 12 * entry)) for entry in range(count)]
    values = {tag: value for tag, _, _, value in entries}
    strip = data[values[273] : values[273] + values[279]]
    end = 8 + 2 + 12 * count + 4
    further = b""
    for entry in entries:
        tag, kind, amount, value = entry
        if tag == 273:
            continue
        if (length := amount * {3: 2, 4: 4, 5: 8}.get(kind, 1)) > 4:
            entry[3] = end + len(further)
            further += data[value : value + length]
    next(entry for entry in entries if entry[0] == 273)[3] = end + len(further)
    folder = struct.pack("<H", count) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8) + folder + further + strip


def separate_planes():
    """A TIFF with red, green and blue one after the other, which Pillow reads and does not write."""
    planes = np.asarray(picture()).transpose(2, 0, 1)
    tags = [(256, WIDTH), (257, HEIGHT), (258, (8, 8, 8)), (259, 1), (262, 2), (273, None), (277, 3), (278, HEIGHT)]
    tags += [(279, (WIDTH * HEIGHT,) * 3), (284, 2)]
    end = 8 + 2 + 12 * len(tags) + 4
    start = end + 3 * 12  # three lists of three numbers
    folder, further = struct.pack("<H", len(tags)), b""
    for tag, value in tags:
        value = tuple(start + WIDTH * HEIGHT * plane for plane in range(3)) if value is None else value
        if isinstance(value, tuple):
            folder += struct.pack("<HHII", tag, 3 if tag == 258 else 4, 3, end + len(further))
            further += struct.pack("<3H6x" if tag == 258 else "<3I", *value)
        else:
            folder += struct.pack("<HHII", tag, 4, 1, value)
    return b"II*\0" + struct.pack("<I", 8) + folder + bytes(4) + further + planes.tobytes()


def check(data, cut):
    """A shortened file is refused as truncated, or read with a note, or nothing that is seen is missing."""
    whole = read_photo(data)
    assert whole.notes == ()
    try:
        photo = read_photo(data[:-cut])
    except EmojaxError as error:
        reason = str(error)
    else:
        reason = None
    if reason is not None:
        assert "truncated" in reason and "\n" not in reason
        return None
    assert photo.pixels.shape == whole.pixels.shape
    different = float((photo.pixels != whole.pixels).any(-1).mean())
    assert "truncated" in (photo.note or "") or (not photo.notes and different == 0)
    assert np.abs(photo.pixels.astype(int) - whole.pixels).mean() < 255 * mend.MAY_MISS
    return different


@pytest.mark.parametrize("cut", [1, 2, 7, 64, 400, 770, 3000])
@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
@pytest.mark.parametrize("name", OPTIONS)
def test_any_format(name, mode, cut):
    if mode == "P" and OPTIONS[name]["format"] in ("SGI", "JPEG2000", "DDS", "QOI", "PPM"):
        mode = "RGBA" if OPTIONS[name]["format"] == "SGI" else "L"
    data = file_of("RGB" if OPTIONS[name]["format"] == "QOI" else mode, OPTIONS[name])
    if cut < len(data) - 100:
        check(data, cut)


@pytest.mark.parametrize("name", ["sgi", "tiff, lzw", "tiff, deflate", "jp2", "jp2, lossy", "jp2, tiles", "j2k"])
def test_the_last_byte_alone_does_no_harm(name):
    different = check(file_of("RGB", OPTIONS[name]), 1)
    assert different is not None and different <= 1 / (WIDTH * HEIGHT)


@pytest.mark.parametrize("cut", [1, 2, 7, 64, 400, 3000])
@pytest.mark.parametrize("name", ["tiff, lzw", "tiff, deflate", "tiff, packbits"])
def test_a_compressed_tiff_whose_pixels_are_last(name, cut):
    data = directory_first(file_of("RGB", OPTIONS[name]))
    assert lengths.tiff_end(data) == len(data)
    check(data, cut)


def test_a_tiff_whose_colours_are_one_after_the_other():
    """What is cut off is all blue: a twentieth of the file is more than a tenth of the pixels."""
    data, pixels = separate_planes(), WIDTH * HEIGHT
    np.testing.assert_array_equal(read_photo(data).pixels, np.asarray(picture()))
    assert lengths.tiff_end(data) == len(data)
    assert 0 < check(data, pixels // 12) <= 1 / 12
    assert check(data, pixels // 9) is None
    with pytest.raises(EmojaxError, match="15 % of the picture is missing"):
        read_photo(data[: -pixels * 15 // 100])


def test_a_jpeg_in_a_tiff_that_lost_its_tables_is_not_painted_grey():
    """Its tables stand at the end of the file. With zeros instead, the picture would be another one."""
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, "TIFF", compression="jpeg")
    with pytest.raises(EmojaxError, match="truncated or damaged: its directory is incomplete"):
        read_photo(stream.getvalue()[:-16])


@pytest.mark.parametrize("cut", [1, 100, 768, 769])
def test_the_palette_of_a_pcx(cut):
    """Pillow would take the numbers of the colours for grey values."""
    with pytest.raises(EmojaxError, match="truncated: its palette is missing"):
        read_photo(file_of("P", {"format": "PCX"})[:-cut])


def test_a_grey_pcx_needs_no_palette():
    data = bytearray(file_of("L", {"format": "PCX"}))
    data[68:70] = b"\2\0"  # grey values
    np.testing.assert_array_equal(read_photo(bytes(data[:-769])).pixels, read_photo(bytes(data)).pixels)


def test_tiles_that_are_missing_are_not_painted():
    data = file_of("RGB", OPTIONS["jp2, tiles"])
    starts = [at for at in range(len(data)) if data.startswith(b"\xff\x90\0\x0a", at)]
    assert len(starts) == 6
    for end in (starts[-1], starts[-1] + 1, starts[-1] + 8, starts[-1] - 1, starts[2] + 30):
        with pytest.raises(EmojaxError, match="truncated"):
            read_photo(data[:end])


@pytest.mark.parametrize("name", ["sgi", "jp2", "jp2, tiles", "j2k"])
def test_the_length_is_that_of_the_whole_file(name):
    data = file_of("RGB", OPTIONS[name])
    end = lengths.sgi_end if name == "sgi" else lengths.jpeg2000_end
    assert mend.mend(data) is None
    assert end(data[:-1]) == end(data[:-20]) == len(data)


def test_of_what_a_header_claims_only_so_much_is_looked_at(monkeypatch):
    """A stranger's file may claim any number of parts."""
    entry = struct.pack("<HHII", 273, 4, lengths._MOST, 8)
    directory = b"II*\0" + struct.pack("<IH", 8, 60_000) + entry * 60_000 + bytes(1 << 21)
    codestream = lengths.JPEG2000[0] + struct.pack(">H", 2) + b"\xff\x52\0\2" * (1 << 22)
    read, unpack = [], struct.unpack_from

    def unpack_from(*arguments):
        values = unpack(*arguments)
        read.append(len(values))
        return values

    monkeypatch.setattr(lengths.struct, "unpack_from", unpack_from)
    assert lengths.tiff_end(directory) == 8 + 4 * lengths._MOST
    assert lengths.jpeg2000_end(codestream) is None
    assert sum(read) < 4 * lengths._MOST


@pytest.mark.parametrize("function", [lengths.tiff_end, lengths.jpeg2000_end, lengths.sgi_end])
def test_any_bytes(function):
    starts = (*lengths.TIFF, *lengths.JPEG2000, lengths.SGI, lengths.JPEG2000[0] + b"\0\x29")
    generator = np.random.default_rng(0)
    for start in starts:
        for length in (0, 1, 3, 9, 30, 100, 600):
            for _ in range(20):
                found = function(start + generator.bytes(length))
                assert found is None or isinstance(found, int | str)
