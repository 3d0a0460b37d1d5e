"""Large photos: windows that cover the photo once, join without a seam and equal the whole where the statistics do."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emojax import tiles
from emojax.classifier import ClassifierConfig, init_classifier
from emojax.pipeline import Model, estimate_statistics, measure, stylize, stylize_in_tiles
from emojax.regions import Regions
from emojax.stylizer import StylizerConfig, init_stylizer

CONFIG = StylizerConfig(width=4, blocks=1, styles=("sad", "happy"))
WEIGHTS = np.array([1, 0], np.float32)


def photo(height, width, seed=0):
    """Smooth noise."""
    noise = np.random.default_rng(seed).random((height // 8 + 2, width // 8 + 2, 3))
    large = noise.repeat(8, 0).repeat(8, 1)[:height, :width]
    return (255 * (0.7 * large + 0.3 * np.random.default_rng(1).random(large.shape))).astype(np.uint8)


@pytest.fixture(scope="module")
def params():
    made = init_stylizer(CONFIG, jax.random.PRNGKey(0))
    noisy = jax.tree.map(lambda x: x + 0.3 * jax.random.normal(jax.random.PRNGKey(x.size), x.shape), made["styles"])
    return {"network": made["network"], "styles": noisy}


@given(length=st.integers(1, 5000), halo=st.integers(0, 30).map(lambda n: 4 * n), most=st.integers(1, 17))
def test_windows_keep_every_pixel_once_and_show_the_halo(length, halo, most):
    side, windows = tiles.spans(length, halo, tiles.STEP * most)
    assert side % tiles.STEP == 0
    kept = np.concatenate([np.arange(window.first, window.last) for window in windows])
    np.testing.assert_array_equal(kept, np.arange(length))
    for window in windows:
        assert window.start % 4 == 0
        assert window.start == 0 or window.first - window.start >= halo
        assert window.start + side >= length or window.start + side - window.last >= halo


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_tiles_equal_the_whole_picture_where_its_statistics_are_known(params, patch):
    """Small enough for `whole`, so that the statistics are the picture's own: no seam and no other difference."""
    config = dataclasses.replace(CONFIG, patch=patch)
    if patch > 1:
        params = init_stylizer(config, jax.random.PRNGKey(0))
    picture = photo(198, 260)
    tiled = stylize_in_tiles(config, params, picture, WEIGHTS, most=128)
    padded, size = tiles.pad(picture, 200, 260)
    whole = np.asarray(
        stylize(config, params, jnp.asarray(padded[None]), jnp.asarray(WEIGHTS)[None], jnp.asarray(size))
    )[0, :198, :260]
    assert len(tiles.spans(260, 24, 128)[1]) > 1 and whole.std() > 5
    assert np.abs(tiled.astype(int) - whole).max() <= 1


def test_a_style_per_face_goes_over_the_borders_of_tiles(params):
    regions = Regions(jnp.array([[90.0, 60, 70, 70]]), jnp.array([[0.0, 1]]))
    picture = photo(200, 260)
    tiled = stylize_in_tiles(CONFIG, params, picture, WEIGHTS, regions, most=128)
    size = np.array(picture.shape[:2], np.int32)
    arguments = (CONFIG, params, jnp.asarray(picture[None]), jnp.asarray(WEIGHTS)[None], jnp.asarray(size))
    whole, plain = (np.asarray(stylize(*arguments, regions=r))[0].astype(int) for r in (regions, None))
    assert np.abs(tiled - whole).max() <= 1 < np.abs(whole - plain).max()


def test_statistics_of_a_halved_photo_are_near_its_own(params):
    picture = photo(400, 600)
    size = np.array(picture.shape[:2], np.int32)
    own = measure(CONFIG, params, jnp.asarray(picture[None]), jnp.asarray(WEIGHTS), jnp.asarray(size))
    estimated = estimate_statistics(CONFIG, params, picture, WEIGHTS, whole=100_000)
    assert own.keys() == estimated.keys()
    for name, layer in own.items():
        deviation = np.sqrt(np.asarray(layer["variance"]))
        assert np.abs(np.asarray(estimated[name]["mean"]) - layer["mean"]).mean() < 0.2 * deviation.mean(), name
        ratio = np.sqrt(np.asarray(estimated[name]["variance"])) / np.maximum(deviation, 1e-6)
        assert 0.7 < np.median(ratio) < 1.4, name


def test_corrections_of_a_sample_that_is_the_photo_give_the_change_itself():
    before, after = (
        {"up1": {"mean": jnp.full((1, 1, 1, 2), mean), "variance": jnp.full((1, 1, 1, 2), variance)}}
        for mean, variance in ((0.5, 2.0), (0.7, 3.0))
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), tiles.corrected(before, before, after), after
    )


def test_the_model_takes_large_photos(params, monkeypatch):
    """With and without reading faces, whole and in tiles the same but for the estimate of the statistics."""
    faces = ClassifierConfig(widths=(4,), dense=8, size=16)
    variables = init_classifier(faces, jax.random.PRNGKey(0))
    model = Model(
        faces, dataclasses.replace(CONFIG, styles=("sad", "neutral")), {"classifier": variables, "styles": params}
    )
    picture = photo(300, 420)
    whole = model(picture, emotion="sad").image, model(picture).image
    monkeypatch.setattr(tiles, "fits", lambda photo, whole=50_000: photo.shape[0] * photo.shape[1] <= whole)
    tiled = model(picture, emotion="sad").image, model(picture).image
    for one, other in zip(whole, tiled, strict=True):
        assert other.size == (420, 300)
        assert np.abs(np.asarray(one).astype(int) - np.asarray(other)).mean() < 12
