import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emojax.errors import EmojaxError
from emojax.images import finish as finishing
from emojax.images.finish import check_finish, finish, from_oklab, to_oklab, with_photo_colors


def noise(seed, shape=(24, 40, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def test_oklab_of_known_colours():
    colors = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0]]], np.uint8)
    lab = to_oklab(colors)
    # Ottosson's own values for sRGB's red
    np.testing.assert_allclose(lab[0], [[1, 0, 0], [0, 0, 0], [0.62796, 0.22486, 0.12585]], atol=2e-4)


def test_every_colour_comes_back():
    pixels = noise(0, (64, 64, 3))
    np.testing.assert_array_equal(from_oklab(to_oklab(pixels)), pixels)


def test_what_srgb_cannot_show_loses_chroma_but_neither_lightness_nor_hue():
    lab = np.array([[[0.6, 0.4, 0.2]]], np.float32)
    shown = to_oklab(from_oklab(lab))[0, 0]
    assert abs(shown[0] - 0.6) < 0.01
    assert abs(np.arctan2(shown[2], shown[1]) - np.arctan2(0.2, 0.4)) < 0.05
    assert 0.1 < np.hypot(*shown[1:]) < np.hypot(0.4, 0.2)


def test_strength_is_the_photo_at_0_and_the_picture_at_1_to_the_pixel():
    photo, picture = noise(1), noise(2)
    np.testing.assert_array_equal(finish(photo, picture, 0.0, "photo"), photo)
    np.testing.assert_array_equal(finish(photo, picture, 1.0), picture)


@given(st.floats(0, 1))
def test_a_cross_fade_lies_between(amount):
    photo, picture = noise(1), noise(2)
    expected = photo * (1 - amount) + picture * amount
    assert np.abs(finish(photo, picture, amount) - expected).max() <= 0.51


def test_the_photos_colours_of_a_grey_photo_are_grey():
    grey = np.repeat(noise(3, (24, 40, 1)), 3, axis=2)
    found = with_photo_colors(grey, noise(4)).astype(int)
    assert np.ptp(found, axis=2).max() <= 2


def test_lightness_is_the_pictures_and_chroma_the_photos():
    photo = np.full((64, 64, 3), (150, 110, 90), np.uint8)
    picture = np.full((64, 64, 3), (60, 90, 140), np.uint8)
    found, of_photo, of_picture = (to_oklab(x)[32, 32] for x in (with_photo_colors(photo, picture), photo, picture))
    np.testing.assert_allclose(found[0], of_picture[0], atol=0.01)
    np.testing.assert_allclose(found[1:], of_photo[1:], atol=0.01)


def test_colours_follow_the_painted_edge():
    """The photo turns from red to blue at column 32, the picture from dark to light at column 36: no fringe in between."""
    photo, picture = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 60, np.uint8)
    photo[:, :32], photo[:, 32:] = (200, 60, 60), (60, 60, 200)
    picture[:, 36:] = 190
    lab = to_oklab(with_photo_colors(photo, picture))
    between = lab[32, 33:36]  # painted dark, so it belongs to the red side
    assert (between[:, 1] > 0.5 * lab[32, 10, 1]).all()


def test_a_large_picture_in_strips_is_as_one(monkeypatch):
    photo, picture = noise(5, (70, 30, 3)), noise(6, (70, 30, 3))
    whole = finish(photo, picture, 0.5, "photo")
    monkeypatch.setattr(finishing, "_STRIP", 16)
    np.testing.assert_array_equal(finish(photo, picture, 0.5, "photo"), whole)


@pytest.mark.parametrize(
    ("strength", "colors"), [(1.5, "photo"), (-0.1, "photo"), ("1", "photo"), (float("nan"), "photo"), (1, "x")]
)
def test_mistakes(strength, colors):
    with pytest.raises(EmojaxError, match=r"strength|colors"):
        check_finish(strength, colors)
