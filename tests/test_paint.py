import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from safetensors.numpy import save_file

from emojax.errors import EmojaxError
from emojax.faces.find import Face
from emojax.losses.objective import PAINTING_POSITIONS, mix_samples
from emojax.losses.terms import CONTENT_LAYER, hypercolumns, interior, palette_loss
from emojax.nets.vgg16 import vgg16_features
from emojax.paint import painter as paint
from emojax.paint.config import PaintConfig
from emojax.paint.descent import from_pyramid, laplacian_pyramid
from emojax.paint.painter import Painter, Region, enlarge_with_detail, face_map, fit, paint_loss
from emojax.paint.sums import feature_sums
from emojax.weights.vgg16_file import load_vgg16

CONFIG = PaintConfig(steps=(6, 6), positions=32, learning_rate=0.03)


@pytest.fixture(scope="module")
def painter(tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg16") / "vgg16.safetensors"
    save_file(tiny.vgg16_tensors(), path)
    return Painter(load_vgg16(path), CONFIG)


@pytest.fixture(scope="module")
def photo():
    return np.asarray(tiny.blocks(np.random.default_rng(0), 32))


@pytest.fixture(scope="module")
def red():
    """A painting in reds."""
    levels = np.asarray(tiny.blocks(np.random.default_rng(1), 32)) // 4
    return levels + np.array([180, 10, 10], np.uint8)


def painted(painter, photo, regions, **options):
    return list(painter.paint(photo, regions, size=64, **options))


@pytest.fixture(scope="module")
def course(painter, photo, red):
    """All that a picture in reds goes through."""
    return painted(painter, photo, [Region((red,))])


def test_the_pyramid_is_exact():
    picture = jnp.asarray(np.random.default_rng(0).uniform(size=(1, 24, 40, 3)).astype(np.float32))
    there_and_back = jax.jit(lambda x: from_pyramid(laplacian_pyramid(x, 2)))
    np.testing.assert_allclose(there_and_back(picture), picture, atol=1e-6)


def test_scales_halve_and_end_at_the_size():
    assert PaintConfig().scales(512, 384) == [(64, 48), (128, 96), (256, 192), (512, 384)]
    assert PaintConfig().scales(1, 1) == [(16, 16)]
    assert all(side % 8 == 0 for scale in PaintConfig().scales(777, 333) for side in scale)


def test_positions_follow_the_size():
    assert [PaintConfig().at(side, side).positions for side in (64, 192, 1024)] == [256, 576, 1024]


def test_a_picture_takes_the_paintings_colours(course, photo, red):
    before, after = (
        np.abs(x.astype(float).mean((0, 1)) - red.mean((0, 1))).mean() for x in (photo, course[-1].picture())
    )
    assert after < before / 3


def test_progress_rises_to_1_and_scales_end_once(course):
    fractions = [progress.fraction for progress in course]
    assert fractions == sorted(fractions) and fractions[-1] == 1
    assert [progress.scale for progress in course if progress.finished_scale] == [(32, 32)]
    assert all(progress.picture().shape == (32, 32, 3) for progress in course[-1:])


def test_the_seed_decides(painter, course, photo, red):
    same, other = (painted(painter, photo, [Region((red,))], seed=seed)[-1].picture() for seed in (0, 1))
    np.testing.assert_array_equal(same, course[-1].picture())
    assert (other != same).any()


def test_masks_choose_the_painting(painter, photo, red):
    # Gram matrices of random features say nothing about colours; masks of Gram matrices: see below.
    painter = Painter(painter.vgg, dataclasses.replace(CONFIG, style=0.0, content=0.0))
    left = np.zeros((32, 32), np.float32)
    left[:, :16] = 1
    blue = np.ascontiguousarray(red[..., ::-1])
    picture = (
        painted(painter, photo, [Region((red,), mask=left), Region((blue,), mask=1 - left)])[-1].picture().astype(int)
    )
    redness = (picture[..., 0] - picture[..., 2]).mean(0)
    assert redness[:12].mean() > redness[20:].mean() + 20


def test_gram_matrices_are_those_of_the_masked_part(painter, photo, red):
    """The term "style" does not see what is painted elsewhere, and is 0 for the painting itself."""
    config = dataclasses.replace(CONFIG, style_layers=("relu1_2",), style_layer_weights=(1.0,), margin=0.0)
    painter, left = Painter(painter.vgg, config), np.zeros((1, 8, 8), np.float32)
    left[..., :2] = 1  # the first 8 of 32 columns; the features of this layer look 2 pixels around
    other = np.concatenate([red[:, :24], photo[:, 24:]], axis=1)
    samples = painter.samples([Region((red,)), Region((red,))], photo.shape[:2])

    features = painter.features(jnp.asarray(photo[None], jnp.float32) / 255)

    @jax.jit
    def style(picture, masks):
        unit, faces = picture[None] / 255.0, jnp.zeros((1, 8, 8))
        targets = (features, samples, masks, faces, jax.random.PRNGKey(0))
        return paint_loss(config, painter.vgg, unit, *targets)["style"]

    whole = np.ones((2, 8, 8), np.float32)
    masked = np.concatenate([left, 0 * left])
    red, photo, other = (x.astype(np.float32) for x in (red, photo, other))
    assert style(red, whole) < 1e-6 < style(other, whole) < style(photo, whole)
    assert style(other, masked) == pytest.approx(float(style(red, masked)), rel=1e-4) != style(photo, masked)


@pytest.mark.parametrize("strip", [700, 2**24])
def test_sums_of_features_are_those_of_whole_maps(painter, strip):
    """Hypercolumns, Gram matrices of a part, and the error of the content, in strips of rows and at once."""
    rng = np.random.default_rng(5)
    photo, picture = rng.uniform(size=(2, 1, 40, 32, 3)).astype(np.float32)
    positions, left = rng.uniform(size=(1, 50, 2)).astype(np.float32), np.zeros((1, 10, 8), np.float32)
    left[..., :3] = 1

    @jax.jit
    def both(photo, picture, positions, left):
        target, features = (vgg16_features(painter.vgg, 255 * x, CONFIG.layers) for x in (photo, picture))
        content = target[CONTENT_LAYER]
        sums = feature_sums(CONFIG, painter.vgg, picture, positions, [None, left], content, strip)
        columns = hypercolumns([features[layer] for layer in CONFIG.columns], positions)
        parts = {}
        for layer in CONFIG.style_layers:
            mask = jax.image.resize(left[..., None], (1, *features[layer].shape[1:3], 1), "linear")
            parts[layer] = interior(features[layer]), interior(mask)
        return sums, columns, parts, jnp.square(features[CONTENT_LAYER] - content).sum()

    sums, columns, parts, error = jax.device_get(both(photo, picture, positions, left))
    np.testing.assert_allclose(sums["columns"], columns, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(sums["content"], error, rtol=1e-4)
    for layer, (inner, mask) in parts.items():
        for found, weights in zip(sums["grams"], (np.ones_like(mask), mask), strict=True):
            expected = np.einsum("nhwi,nhwc,nhwd->ncd", weights / weights.sum(), inner, inner)
            np.testing.assert_allclose(found[layer], expected, rtol=1e-3, atol=1e-4 * expected.max())


def test_every_region_starts_from_its_paintings_colour(painter):
    grey, masks = jnp.full((1, 32, 32, 3), 0.5), np.zeros((2, 8, 8), np.float32)
    masks[0, :, :3] = masks[1, :, 5:] = 1
    samples = [{"colors": jnp.full((4, 3), color)} for color in (0.2, 0.8)]
    row = np.asarray(painter.start(grey, samples, jnp.asarray(masks)))[0, 0, :, 0]
    np.testing.assert_allclose(row[[0, 8, 23, 31]], [0.2, 0.2, 0.8, 0.8], rtol=1e-6)  # the gap has the first one's


@pytest.mark.parametrize(
    ("style_scale", "own", "fitted"),
    [(1.0, 48, 64), (1.5, 48, 64), (1.5, 80, 80), (1.5, 200, 96), (0.5, 48, 32)],
)
def test_larger_strokes_need_a_larger_painting(style_scale, own, fitted):
    """A painting is enlarged to the picture's size, but not beyond."""
    painting = np.zeros((own, own // 2, 3), np.uint8)
    assert fit(painting, 64, PaintConfig(style_scale=style_scale, margin=0.0)).shape[0] == fitted


def test_a_paintings_frame_is_ignored():
    painting = np.full((100, 50, 3), 200, np.uint8)
    painting[5:-5, 3:-3] = 10
    assert (fit(painting, 64, PaintConfig(margin=0.06)) == 10).all()
    assert (fit(painting, 64, PaintConfig(margin=0.0)) == 200).any()


def test_faces_change_the_picture(painter, photo, red):
    """The term of the faces has weight only where there is one."""
    face = Face(4, 4, 20, 20, 0.9)
    plain, kept = (painted(painter, photo, [Region((red,))], faces=faces)[-1].picture() for faces in ((), (face,)))
    assert (plain != kept).any()


def test_time_is_a_budget(painter, photo, red, monkeypatch):
    now = iter(range(0, 10_000, 3))
    monkeypatch.setattr(paint.time, "monotonic", lambda: float(next(now)))
    course = painted(painter, photo, [Region((red,))], seconds=7)
    assert 1 <= len(course) < 6 and course[-1].fraction == 1


def test_the_start_is_where_it_begins(painter, photo, red):
    first = next(painter.paint(photo, [Region((red,))], size=64, start=photo)).picture()
    assert (
        np.abs(first.astype(int) - photo).max() <= 255 * 4 * CONFIG.learning_rate
    )  # one step on each level of the pyramid


def test_mixed_paintings_give_their_shares():
    ones = {
        "columns": np.ones((PAINTING_POSITIONS, 2), np.float32),
        "colors": np.ones((PAINTING_POSITIONS, 3), np.float32),
    }
    zeros = {name: 0 * leaf for name, leaf in ones.items()}
    mixed = mix_samples([ones, zeros], [3, 1])
    np.testing.assert_allclose(mixed["mean"], [0.75, 0.75], atol=1e-3)
    np.testing.assert_allclose(mixed["covariance"], np.full((2, 2), 0.1875), atol=1e-3)
    assert mixed["colors"].shape == (PAINTING_POSITIONS, 3)


def test_mixed_paintings_average_their_gram_matrices():
    rows = np.zeros((PAINTING_POSITIONS, 2), np.float32)
    samples = [{"columns": rows, "colors": rows, "grams": {"relu1_2": value * np.eye(2)}} for value in (1, 5)]
    np.testing.assert_allclose(mix_samples(samples, [3, 1])["grams"]["relu1_2"], 2 * np.eye(2), rtol=1e-6)


def test_the_palette_term_asks_for_every_colour_of_the_painting():
    palette = tiny.compiled(palette_loss)
    two = np.array([[[1, 0, 0], [0, 0, 1]]], np.float32)
    np.testing.assert_allclose(palette(two, two[:, ::-1]), [0], atol=1e-3)
    np.testing.assert_allclose(palette(two[:, [0, 0]], two), [np.sqrt(2) / 2], rtol=1e-3)  # the blue is missing


def test_faces_on_the_grid():
    found = face_map((64, 32), [Face(8, 16, 16, 16, 0.9)], (128, 64))
    assert found.shape == (32, 16) and found[12, 8] == 3 and found[8, 4] == 1 and found[0, 0] == 0
    assert found.sum(0).nonzero()[0].tolist() == list(range(4, 12))


def test_carried_up_paint_keeps_the_colours_and_the_photos_edges():
    photo = np.full((96, 96, 3), 90, np.uint8)
    photo[:, 48:] = 200
    small = np.full((24, 24, 3), (40, 120, 60), np.uint8)
    large = enlarge_with_detail(small, photo).astype(int)
    assert large.shape == photo.shape
    np.testing.assert_array_equal(large[:, :20], np.broadcast_to((40, 120, 60), (96, 20, 3)))
    assert large[50, 48, 1] > large[50, 47, 1]  # the edge is there, and where it was
    np.testing.assert_array_equal(enlarge_with_detail(photo, photo), photo)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 8}, "`size` 8"),
        ({"size": 9999}, "`size` 9999"),
        ({"seconds": 0}, "`seconds` 0"),
        ({"seed": -1}, "`seed` -1"),
        ({"regions": []}, "no painting"),
    ],
)
def test_mistakes(painter, photo, red, options, message):
    arguments = {"regions": [Region((red,))], "size": 64} | options
    with pytest.raises(EmojaxError, match=message):
        next(painter.paint(photo, **arguments))
    with pytest.raises(EmojaxError, match="one each"):
        Region((red,), (0.0,))
    with pytest.raises(EmojaxError, match="`steps` is empty"):
        PaintConfig(steps=())
    with pytest.raises(EmojaxError, match="`coarsest` 0: it is a whole number, at least 1"):
        PaintConfig(coarsest=0)
    with pytest.raises(EmojaxError, match="`tv` -1.0: it is a number, at least 0"):
        PaintConfig(tv=-1.0)
    with pytest.raises(EmojaxError, match="give one for each of the 4 style layers"):
        PaintConfig(style_layer_weights=(1.0, 1.0, 1.0))
    with pytest.raises(EmojaxError, match="layer 'relu9_9'"):
        PaintConfig(columns=("relu9_9",))
