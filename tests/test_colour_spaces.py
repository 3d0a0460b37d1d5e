"""The conversion of colour spaces to sRGB, by known values and properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import COLOURS
from PIL import Image

from emojax.images import spaces
from emojax.images.spaces import SRGB, ColourSpace


def test_srgb_is_srgb():
    assert SRGB.is_srgb and not spaces.from_cicp(12, 13).is_srgb and not spaces.from_cicp(1, 16).is_srgb
    np.testing.assert_allclose(spaces._to_srgb_matrix(spaces.SRGB_PRIMARIES), np.eye(3), atol=1e-9)


@pytest.mark.parametrize("primaries", [*spaces._CICP_PRIMARIES])
def test_white_stays_white(primaries):
    matrix = spaces._to_srgb_matrix(spaces._CICP_PRIMARIES[primaries])
    np.testing.assert_allclose(matrix @ np.ones(3), np.ones(3), atol=1e-6)


def test_known_values_of_the_curves():
    for code, light in ((0.58068888, 1.0), (0.75182709, 1000 / 203), (1.0, 10_000 / 203), (0.0, 0.0)):
        np.testing.assert_allclose(spaces._to_light(np.array([code]), ColourSpace(transfer="pq")), light, rtol=1e-4)
    for code, light in ((0.5, 1 / 12), (1.0, 1.0), (0.0, 0.0), (0.75, 0.26496256)):
        np.testing.assert_allclose(spaces._to_light(np.array([code]), ColourSpace(transfer="hlg")), light, atol=1e-5)
    white = spaces._to_srgb_light(np.full((1, 3), 0.26496256, np.float32), ColourSpace(transfer="hlg"))
    np.testing.assert_allclose(white, 1, rtol=0.01)  # 75 % of HLG is diffuse white


@given(st.floats(1, 50), st.floats(0, 1), st.floats(0, 1))
def test_highlights_are_compressed_in_order_and_below_white(peak, one, other):
    low, high = sorted((one * peak, other * peak))
    light = np.array([[low], [high], [peak]], np.float32)
    out = spaces._compress(light, peak)[:, 0]
    assert out[0] <= out[1] + 1e-6 and out[1] <= out[2] + 1e-6 and out[2] == pytest.approx(1, abs=1e-5)
    assert (out <= light[:, 0] + 1e-6).all() and (low > 0.6 or out[0] == light[0, 0])


def test_strips_make_no_difference(monkeypatch):
    space = spaces.from_cicp(9, 18)
    picture = Image.fromarray(COLOURS)
    whole = np.asarray(spaces.convert(picture, space))
    monkeypatch.setattr(spaces, "_STRIP", 50)
    np.testing.assert_array_equal(np.asarray(spaces.convert(picture, space)), whole)
