"""The squares that are cut out of photos, and the map of their faces."""

import numpy as np
import pytest
from PIL import Image

from emojax.errors import EmojaxError
from emojax.train.styles.config import PhotoConfig
from emojax.train.styles.crops import Square, center_crop, center_square, random_square


def random_crop(photo, size, rng, *scale):
    return random_square(photo.size, size, rng, *scale).cut(photo, size)


def test_crops_are_inside_the_photo_and_photos_smaller_than_a_crop_are_enlarged():
    ramp = np.zeros((64, 96, 3), np.uint8)
    ramp[..., 0] = np.arange(96)[None]
    photo, rng = Image.fromarray(ramp), np.random.default_rng(0)
    crops = [random_crop(photo, 16, rng) for _ in range(40)]
    slopes = {int(np.sign(int(crop[8, -1, 0]) - int(crop[8, 0, 0]))) for crop in crops}
    assert slopes == {-1, 1}  # some are mirrored, some not
    assert random_crop(Image.new("RGB", (3, 200)), 16, rng).shape == (16, 16, 3)


def test_the_scale_says_how_much_of_the_photo_a_crop_shows():
    """On a ramp of one grey level a pixel the crop's range is the number of pixels that it shows."""
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :, None], (200, 200, 3))
    photo, rng = Image.fromarray(ramp), np.random.default_rng(0)

    def shown(scale):
        crops = [random_crop(photo, 40, rng, scale) for _ in range(30)]
        return [int(np.ptp(crop[20, :, 0].astype(int))) + 1 for crop in crops]

    assert all(abs(width - 40) <= 2 for width in shown((1.0, 1.0)))
    widths = shown((0.5, 2.0))
    assert 18 <= min(widths) < 25 and 65 < max(widths) <= 82
    assert all(abs(width - 200) <= 4 for width in shown((0.01, 0.02)))  # all of it, not more
    assert abs(int(np.ptp(center_crop(photo, 40, 2.0)[20, :, 0])) - 19) <= 2
    assert int(np.ptp(center_crop(photo, 40)[20, :, 0])) > 190


def test_a_square_is_cut_where_it_says_and_mirrored():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    photo = Image.fromarray(pixels)
    np.testing.assert_array_equal(Square(20, 8, 16).cut(photo, 16), pixels[8:24, 20:36])
    np.testing.assert_array_equal(Square(20, 8, 16, mirrored=True).cut(photo, 16), pixels[8:24, 20:36][:, ::-1])
    assert center_square((60, 40), 16, 2.0) == Square(26, 16, 8) and center_square((60, 40), 16) == Square(10, 0, 40)
    rng = np.random.default_rng(0)
    squares = [random_square((60, 40), 16, rng, (0.5, 1.0)) for _ in range(200)]
    assert all(16 <= s.side <= 32 and 0 <= s.left <= 60 - s.side and 0 <= s.top <= 40 - s.side for s in squares)
    assert 0.4 < np.mean([s.mirrored for s in squares]) < 0.6


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_face_map_lies_over_the_squares_faces(mirrored):
    """1 in a face's box, 3 from its brows to its mouth, wherever the square is and however large its map."""
    face = (30, 20, 20, 20)
    whole = Square(0, 0, 80, mirrored).face_map([face], 80)
    whole = whole[:, ::-1] if mirrored else whole
    assert whole.dtype == np.uint8 and set(np.unique(whole)) == {0, 1, 3}
    rows, columns = np.nonzero(whole)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 39, 30, 49) and (whole > 0).sum() == 400
    rows, columns = np.nonzero(whole == 3)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (25, 37, 34, 45)  # 0.25 to 0.88, 0.18 to 0.82
    part = Square(28, 16, 40, mirrored).face_map([face], 10)  # a cell is 4 pixels
    part = part[:, ::-1] if mirrored else part
    rows, columns = np.nonzero(part)
    assert (rows.min(), rows.max()) == (1, 5) and columns.min() in (0, 1) and columns.max() in (4, 5)
    outside = Square(60, 50, 20, mirrored).face_map([face], 10)
    assert not outside.any() and not Square(0, 0, 80).face_map([], 20).any()
    cut_off = Square(40, 0, 40, mirrored).face_map([face], 40)  # its right half is there
    cut_off = cut_off[:, ::-1] if mirrored else cut_off
    assert (cut_off > 0).sum() == 20 * 10 and cut_off[30, 0] == 3
    two = Square(0, 0, 80).face_map([face, (30, 30, 20, 20)], 80)
    assert two[31, 40] == 3  # the second's forehead leaves the first's mouth alone


@pytest.mark.parametrize("scale", [(1.0,), (2.0, 1.0), (0.0, 1.0), (1.0, 99.0)])
def test_a_scale_is_a_range(scale):
    with pytest.raises(EmojaxError, match="two factors"):
        PhotoConfig(scale=scale)
