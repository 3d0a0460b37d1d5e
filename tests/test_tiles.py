import dataclasses
import functools

import jax
import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from tiny import FACES, STYLES

from emojax import pipeline
from emojax.emotions import EMOTIONS
from emojax.faces.find import Face
from emojax.images import rescale, to_uint8, to_unit
from emojax.nets.style_code import mix_styles, vary_styles
from emojax.nets.stylizer import remove_checkerboard
from emojax.nets.stylizer_config import StylizerConfig
from emojax.nets.transform_net import Stylizer
from emojax.pipeline import Model, tiles
from emojax.pipeline.large import estimate_statistics, stylize_in_tiles
from emojax.pipeline.programs import Programs
from emojax.pipeline.regions import Regions, weight_changes
from emojax.pipeline.tiles import STEP, corrected, network_side, sample_windows, spans

SIDE = 128  # of the tests' largest window
NEAR = 4  # levels, on average: what the statistics' estimate may do to a picture of these networks of random numbers


def styles_params(config):
    return tiny.stylizer_params(config, apart=0.5)


@pytest.fixture(scope="module")
def params():
    return styles_params(STYLES)


def photo(h=150, w=203, seed=0):
    """Blobs of several sizes and colours, so that statistics differ from place to place."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:h, :w]
    waves = [
        np.sin((a * rows + b * columns) / scale + c)[..., None] * colour
        for scale in (3, 9, 40)
        for a, b, c, *colour in rng.uniform(-1, 1, (3, 6))
    ]
    return (127.5 + 40 * sum(waves) + rng.normal(0, 5, (h, w, 3))).clip(0, 255).astype(np.uint8)


def apart(a, b):
    return np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int))


@functools.cache
def at_once(config):
    """A whole photo in one pass, and the norms' statistics in it, or the given ones."""

    def run(params, photo, weights, size, regions, statistics):
        code = mix_styles(params["style_table"], weights[None])
        if regions is not None:
            code = vary_styles(code, params["style_table"], weight_changes(regions, weights, *photo.shape[1:3]))
        network, ends = {"params": remove_checkerboard(config, params["network"])}, (size[0], size[1])
        painted, sown = Stylizer(config).apply(network, to_unit(photo), code, ends, statistics, mutable=["statistics"])
        return to_uint8(painted), statistics or sown["statistics"]["norms"]

    return tiny.compiled(run)


def untiled(config, params, image, weights, regions=None, statistics=None, bucket=(160, 320)):
    """A photo painted at once, in a bucket that serves several, and the statistics of that pass."""
    padded, size = tiles.pad(image, *bucket)
    painted, found = at_once(config)(params, padded[None], weights, size, regions, statistics)
    return painted[0, : image.shape[0], : image.shape[1]], found


# --- the plan


@given(st.integers(1, 9000), st.integers(1, 30).map(lambda n: 4 * n), st.integers(2, 17).map(lambda n: STEP * n))
def test_windows_cover_every_pixel_once_with_their_halos(length, halo, most):
    side, windows = spans(length, halo, most)
    kept = np.concatenate([np.arange(first, last) for _, first, last in windows])
    np.testing.assert_array_equal(kept, np.arange(length))
    inside = network_side(length)
    assert side % STEP == 0 and side <= max(most, 4 * halo + STEP)
    for start, first, last in windows:
        assert start % 4 == 0 and start >= 0 and start + side <= max(inside, side)
        assert first == 0 or first - start >= halo
        assert last == length or start + side - last >= halo
    fewest = max(1, -(-(inside - 2 * halo) // (max(most, 4 * halo) - 2 * halo)))
    assert len(windows) <= fewest


def test_little_is_painted_twice():
    """The mean over common sizes, and no size takes half as long again, with the halo of the packaged network."""
    sizes = [
        (1200, 1600),
        (1080, 1920),
        (1536, 2048),
        (2048, 2048),
        (2000, 3000),
        (2160, 3840),
        (3000, 4000),
        (8192, 8192),
    ]
    work = []
    for height, width in sizes:
        (h, rows), (w, columns) = spans(height, 56), spans(width, 56)
        work.append(h * w * len(rows) * len(columns) / (height * width))
    assert np.mean(work) < 1.25 and max(work) < 1.5


@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(1000, 10**7))
def test_a_sample_lies_inside_the_photo_and_goes_through_at_once(height, width, whole):
    side, corners = sample_windows(height, width, whole)
    assert len(np.unique(corners, axis=0)) == len(corners) and not (corners % 8).any() and corners.min() >= 0
    for axis, length in enumerate((width, height)):
        along = len(np.unique(corners[:, axis]))
        assert along == 1 if length <= side else along == tiles.SAMPLES or length < 2 * side
    assert (corners[:, 0] + min(side, width)).max() <= width and (corners[:, 1] + min(side, height)).max() <= height
    assert side == tiles.MIN_SAMPLE_SIDE or (side % 8 == 0 and whole / 2 < tiles.SAMPLES**2 * side**2 <= whole)


def test_a_correction_needs_no_variance_to_divide_by():
    def statistics(variance):
        filled = np.full((1, 1, 1, 1), variance, np.float32)
        return {"norm": {"mean": filled, "variance": filled}}

    for whole, before, after, expected in (
        (2.0, 1.0, 3.0, 6.0),
        (2.0, 0.0, 0.0, 2.0),  # what the sample does not have
        (0.0, 0.0, 3.0, 3.0),  # what only the change brings in
        (0.0, 0.0, 0.0, 0.0),
        (0.0, 1.0, 0.0, 0.0),
    ):
        layer = corrected(statistics(whole), statistics(before), statistics(after))["norm"]
        np.testing.assert_allclose(layer["variance"], expected, rtol=1e-4, atol=1e-9)
        np.testing.assert_allclose(layer["mean"], whole + after - before)


# --- the picture


@pytest.mark.parametrize("patch", [1, 2, 4])
@pytest.mark.parametrize(("h", "w"), [(150, 203), (30, 300), (7, 260)])
def test_tiles_with_the_exact_statistics_are_the_untiled_picture(monkeypatch, patch, h, w):
    """So there is no seam; sizes that are no multiples of 4, and sides shorter than a window."""
    config = dataclasses.replace(STYLES, patch=patch)
    params, image, weights = styles_params(config), photo(h, w), np.eye(7, dtype=np.float32)[3]
    expected, exact = untiled(config, params, image, weights)
    monkeypatch.setattr(pipeline.large, "estimate_statistics", lambda *args: exact)
    tiled = stylize_in_tiles(Programs(), config, params, image, weights, max_side=SIDE)
    assert tiled.shape == image.shape and tiled.dtype == np.uint8
    assert apart(tiled, expected).max() <= 1
    assert tiled.std() > 5


def test_a_style_per_face_goes_on_over_the_tiles(monkeypatch, params):
    """A face on the border of two tiles, and one in a corner."""
    image, weights = photo(), np.eye(7, dtype=np.float32)[3]
    boxes = np.array([[90, 60, 40, 40], [0, 0, 30, 30], [0, 0, 0, 0]], np.float32)
    regions = Regions(boxes, np.eye(7, dtype=np.float32)[[0, 5, 1]])
    expected, exact = untiled(STYLES, params, image, weights, regions)
    monkeypatch.setattr(pipeline.large, "estimate_statistics", lambda *args: exact)
    tiled = stylize_in_tiles(Programs(), STYLES, params, image, weights, regions, max_side=SIDE)
    assert apart(tiled, expected).max() <= 1
    assert apart(expected, untiled(STYLES, params, image, weights)[0]).max() > 10


@pytest.mark.parametrize(
    "regions", [None, Regions(np.array([[150.0, 90, 90, 90]], np.float32), np.eye(7, dtype=np.float32)[:1])]
)
def test_the_estimate_is_near_the_exact_statistics(params, regions):
    """Two halvings, and nearer than a photo of half the size is without a sample."""
    image, weights = photo(400, 500), np.eye(7, dtype=np.float32)[3]
    paint = functools.partial(untiled, STYLES, params, weights=weights, bucket=(400, 512))
    expected, _ = paint(image, regions=regions)
    halved = None if regions is None else Regions(regions.boxes / 2, regions.weights)
    _, plain = paint(rescale(image, 0.5), regions=halved)
    estimate = jax.device_get(
        estimate_statistics(Programs(), STYLES, params, image, weights, regions, max_pixels=20_000)
    )
    assert estimate.keys() == plain.keys()
    errors = [apart(paint(image, regions=regions, statistics=s)[0], expected).mean() for s in (estimate, plain)]
    assert errors[0] <= NEAR < errors[1]


def test_a_photo_of_one_colour_stays_one(params):
    image = np.full((150, 203, 3), 128, np.uint8)
    out = stylize_in_tiles(
        Programs(), STYLES, params, image, np.eye(7, dtype=np.float32)[3], max_pixels=8000, max_side=SIDE
    )
    assert (out.max((0, 1)).astype(int) - out.min((0, 1))).max() <= 1


# --- the model


@pytest.fixture
def model(params):
    return Model(FACES, STYLES, {"classifier": tiny.classifier_variables(), "stylizer": params})


@pytest.fixture
def small_tiles(monkeypatch):
    """The whole way in the size of a test: what has more than 20000 pixels is large."""
    paint = tiles.paint
    monkeypatch.setattr(tiles, "max_pixels", lambda config: 20_000)
    monkeypatch.setattr(tiles, "paint", lambda photo, radius, painter, most: paint(photo, radius, painter, SIDE))


FOUND = [Face(4, 4, 60, 60, 0.9), Face(130, 60, 50, 50, 0.8)]


@pytest.mark.parametrize(
    "options", [{"style_scale": 0.8}, {}, {"mix": "probabilities"}, {"per_face": True, "mix": "probabilities"}]
)
def test_every_way_into_the_model(model, monkeypatch, small_tiles, options):
    monkeypatch.setattr(pipeline.model, "find_faces", lambda detector, photo: list(FOUND))
    image = photo()
    large = model(image, **options)
    monkeypatch.setattr(tiles, "max_pixels", lambda config: image.size)
    whole = model(image, **options)
    assert large.style == pytest.approx(whole.style, abs=1e-5)
    assert large.emotion == pytest.approx(whole.emotion, abs=1e-5)
    assert [read.emotion for read in large.faces] == [pytest.approx(read.emotion, abs=1e-5) for read in whole.faces]
    assert large.image.size == whole.image.size
    assert apart(large.image, whole.image).mean() <= NEAR


def test_no_face_and_given_styles(model, monkeypatch, small_tiles):
    monkeypatch.setattr(pipeline.model, "find_faces", lambda detector, photo: [])
    image = photo()
    np.testing.assert_array_equal(model(image).image, model.stylize(image, "neutral"))
    np.testing.assert_array_equal(model(image, emotion="sad").image, model.stylize(image, "sad"))
    assert apart(model.stylize(image, "sad"), model.stylize(image, "happy:0.5,sad:0.5")).mean() > 1


def test_a_bank(small_tiles):
    config = dataclasses.replace(STYLES, style_names=("fear", "neutral"), network_per_style=True)
    made = styles_params(config)
    model, image = Model(FACES, config, {"classifier": None, "stylizer": made}), photo()
    for index, name in enumerate(config.style_names):
        single = jax.tree.map(lambda leaf, i=index: leaf[i : i + 1], made)
        single["network"] = jax.tree.map(lambda leaf: leaf[0], single["network"])
        alone = dataclasses.replace(STYLES, style_names=("one",))
        expected, _ = untiled(alone, single, image, np.ones(1, np.float32))
        assert apart(model.stylize(image, name), expected).mean() <= NEAR


def test_just_above_the_limit(computes_long):
    """The real sizes of tiles, of a photo that they take the largest windows for."""
    config = dataclasses.replace(STYLES, width=32, blocks=0)
    model, image = Model(FACES, config, {"classifier": None, "stylizer": styles_params(config)}), photo(980, 1090)
    assert not tiles.fits(image, tiles.max_pixels(config)) and tiles.fits(image[:974], tiles.max_pixels(config))
    assert model.stylize(image, EMOTIONS[0]).shape == image.shape


def test_a_network_with_smaller_layers_takes_larger_photos_at_once():
    widths = {patch: tiles.max_pixels(StylizerConfig(width=16, patch=patch)) for patch in (1, 2, 4)}
    assert widths[4] == 2 * widths[2] == 4 * widths[1] and widths[2] >= 2048 * 2048
