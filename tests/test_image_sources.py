"""What a photo may be read from, and how large it may be."""

import io
import os
import struct
import zlib

import jax.numpy as jnp
import numpy as np
import pytest
from pictures import PIXELS, file_of, reason
from PIL import ExifTags, Image

from emojax.errors import EmojaxError
from emojax.images import opening, read_photo, read_size

# --- sources


def test_sources(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(PIXELS).save(path)
    for source in (path, str(path), path.read_bytes(), Image.fromarray(PIXELS), PIXELS):
        photo = read_photo(source)
        np.testing.assert_array_equal(photo.pixels, PIXELS)
        assert photo.alpha is None and photo.note is None


def test_a_pipe(tmp_path):
    read, write = os.pipe()
    with open(write, "wb") as stream:
        stream.write(file_of(Image.fromarray(PIXELS), "PNG"))
    try:
        np.testing.assert_array_equal(read_photo(f"/dev/fd/{read}").pixels, PIXELS)
    finally:
        os.close(read)


@pytest.mark.parametrize("array", [PIXELS[..., :2], PIXELS[0], PIXELS.astype(float), PIXELS[:0]])
def test_other_arrays_are_refused(array):
    with pytest.raises(EmojaxError, match=r"uint8 \[H, W, 3\]"):
        read_photo(array)


def test_everything_that_a_photo_can_be_read_from(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(PIXELS).save(path)
    data = path.read_bytes()
    at_the_end = io.BytesIO()
    at_the_end.write(data)
    read, write = os.pipe()
    with open(write, "wb") as file:
        file.write(data)
    with (
        open(path, "rb") as file,
        open(path, "rb", buffering=0) as raw,
        open(read, "rb") as pipe,
        Image.open(path) as opened,
    ):
        sources = [path, str(path), os.fsencode(path).decode(), data, bytearray(data), memoryview(data)]
        sources += [io.BytesIO(data), at_the_end, file, raw, pipe, opened]
        sources += [PIXELS, PIXELS[::-1][::-1], jnp.asarray(PIXELS)]
        for source in sources:
            photo = read_photo(source)
            np.testing.assert_array_equal(photo.pixels, PIXELS)
            assert isinstance(photo.pixels, np.ndarray) and photo.notes == () and photo.note is None


@pytest.mark.parametrize("source", [[], None, 3, [PIXELS], {"a": 1}, object(), io.StringIO("text")])
def test_everything_else_is_one_error(source):
    with pytest.raises(EmojaxError, match=r"^(the photo|me) is a ") as caught:
        read_photo(source, name="me")
    assert "\n" not in str(caught.value) and ("path" in str(caught.value) or "'rb'" in str(caught.value))


def test_an_array_that_numpy_cannot_read():
    class Elsewhere:
        def __array__(self):
            raise TypeError("on a device\nfar away")

    with pytest.raises(EmojaxError, match="is a Elsewhere that NumPy cannot read: on a device far away"):
        read_photo(Elsewhere())


class CountingFile(io.FileIO):
    """A file that counts the bytes that are read from it, through a buffer, too."""

    count = 0

    def readinto(self, buffer):
        found = super().readinto(buffer)
        self.count += found
        return found

    def readall(self):
        found = super().readall()
        self.count += len(found)
        return found


@pytest.mark.parametrize(("head", "passes"), [(b"junk", 0), (b"\xff\xd8\xff", 2)])
def test_a_large_file_that_is_no_photo_is_not_read_whole(tmp_path, monkeypatch, head, passes):
    """Or twice, if it begins like a JPEG: to see that it ends in zeros, and to mend it."""
    path, opened, size = tmp_path / "a.jpg", [], 1 << 24

    def counting(source, mode):
        opened.append(CountingFile(source, mode))
        return io.BufferedReader(opened[-1])

    with open(path, "wb") as file:
        file.write(head)
        file.truncate(size)  # sparse
    monkeypatch.setattr(opening, "open", counting, raising=False)
    reason(path, "a.jpg")
    assert 0 < sum(file.count for file in opened) < passes * size + (1 << 20)


@pytest.mark.parametrize("source", [b"", bytearray(), io.BytesIO()])
def test_nothing_at_all(source):
    with pytest.raises(EmojaxError, match="the file is empty"):
        read_photo(source)


def test_an_endless_stream_ends(monkeypatch):
    monkeypatch.setattr(opening, "MAX_BYTES", 1 << 20)

    class Endless:
        def read(self, size=-1):
            return b"x" * min(size, 1000)

    with pytest.raises(EmojaxError, match="more than 1 MiB"):
        read_photo(Endless())


# --- limits


def huge_png(width: int, height: int) -> bytes:
    """The header of a PNG of that size, and hardly anything else."""
    data = bytearray(file_of(Image.new("L", (1, 1)), "PNG"))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


@pytest.mark.parametrize("side", [10_001, 20_000, 60_000])  # below and above Pillow's own limits
def test_the_size_is_checked_before_decoding(side):
    with pytest.raises(EmojaxError, match=r"big\.png has .* megapixels, more than 100: allow it with `max_megapixels`"):
        read_photo(huge_png(side, side), name="big.png")


def test_the_limit_can_be_raised_above_that_of_pillow():
    with pytest.raises(EmojaxError, match="cannot read"):  # past the check, and then the data is missing
        read_photo(huge_png(14_000, 14_000), max_megapixels=200)
    assert Image.MAX_IMAGE_PIXELS == 89478485


@pytest.mark.parametrize("source", [PIXELS, Image.fromarray(PIXELS), file_of(Image.fromarray(PIXELS), "BMP")])
def test_the_limit_is_exact(source):
    assert read_photo(source, max_megapixels=35e-6).pixels.shape == PIXELS.shape
    with pytest.raises(EmojaxError, match="megapixels"):
        read_photo(source, max_megapixels=34e-6)


def test_a_large_picture_inside_a_small_icon():
    inner = huge_png(20_000, 20_000)
    icon = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inner), 22) + inner
    with pytest.raises(EmojaxError, match=r"400 megapixels, more than 100"):
        read_photo(icon)


@pytest.mark.parametrize("megapixels", [0, -1, float("nan")])
def test_a_senseless_limit(megapixels):
    with pytest.raises(EmojaxError, match="`max_megapixels`"):
        read_photo(PIXELS, max_megapixels=megapixels)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif", ".gif", ".bmp", ".jp2"])
@pytest.mark.parametrize("orientation", [None, 1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_the_size_in_the_header_is_that_of_the_photo(tmp_path, suffix, orientation):
    exif = Image.Exif()
    if orientation:
        exif[ExifTags.Base.Orientation] = orientation
    Image.new("RGB", (12, 7)).save(tmp_path / f"photo{suffix}", exif=exif)
    assert read_size(tmp_path / f"photo{suffix}") == read_photo(tmp_path / f"photo{suffix}").pixels.shape[:2]


def test_no_size_where_there_is_no_photo(tmp_path):
    (tmp_path / "junk.png").write_bytes(b"junk")
    os.mkfifo(tmp_path / "pipe.png")  # nobody writes into it: opening it would wait for ever
    Image.new("RGB", (200, 100)).save(tmp_path / "large.png")
    for name in ("junk.png", "pipe.png", "missing.png", "a\0b"):
        assert read_size(tmp_path / name) is None
    assert read_size(tmp_path / "large.png", max_megapixels=0.01) is None
    assert read_size(tmp_path / "large.png", max_megapixels=0.02) == (100, 200)
