import json

import jax
import numpy as np
import pytest
import tiny
from PIL import Image
from tiny import FACES

from emojax import pipeline
from emojax.cli import stylize as command
from emojax.emotions import EMOTIONS, PHOTO
from emojax.errors import InputError
from emojax.faces.find import Face
from emojax.images import read_mask, resize_mask
from emojax.nets.stylizer_config import StylizerConfig
from emojax.options import StylizeOptions
from emojax.pipeline import Model, tiles
from emojax.pipeline.regions import paint_mask, soft_faces

STYLES = StylizerConfig(width=4, blocks=1, style_names=(*EMOTIONS, PHOTO))
SIZE = (48, 64)
TWO_FACES = [Face(6, 8, 16, 16, 0.9), Face(44, 20, 12, 12, 0.8)]


@pytest.fixture(scope="module")
def model():
    params = {"classifier": tiny.classifier_variables(), "stylizer": tiny.stylizer_params(STYLES, apart=0.5)}
    return Model(FACES, STYLES, jax.device_put(params))


@pytest.fixture(autouse=True)
def faces(monkeypatch):
    monkeypatch.setattr(pipeline.model, "find_faces", lambda detector, photo: list(TWO_FACES))


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)


def left_half(size=SIZE):
    """Black on the left, white on the right, soft between."""
    return np.broadcast_to(np.clip(np.linspace(-1, 2, size[1]), 0, 1), size).astype(np.float32)


def apart(a, b):
    return np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int))


# --- what a mask is


def test_the_values_of_a_mask():
    half = read_mask(np.full(SIZE, 128, np.uint8), SIZE)
    np.testing.assert_allclose(half, 128 / 255, rtol=1e-6)
    assert read_mask(np.ones(SIZE, bool), SIZE).all() and read_mask(np.ones(SIZE, int), SIZE).all()
    for value, word in ((np.nan, "nan"), (np.inf, "inf"), (1.5, "1.5"), (-0.1, "-0.1"), (255, "255"), ("a", "<U1")):
        with pytest.raises(InputError, match=word):
            read_mask(np.full(SIZE, value), SIZE)
    with pytest.raises(InputError, match="datetime64"):
        read_mask(np.zeros(SIZE, "datetime64[s]"), SIZE)


def test_a_mask_is_read_from_a_file_of_any_size(tmp_path):
    Image.fromarray((left_half((24, 32)) * 255).astype(np.uint8)).save(tmp_path / "mask.png")
    found = read_mask(tmp_path / "mask.png", SIZE)
    assert found.shape == SIZE and found.dtype == np.float32
    np.testing.assert_allclose(found, left_half(), atol=0.05)
    np.testing.assert_array_equal(read_mask(left_half(), SIZE), left_half())
    assert resize_mask(np.full((3, 4), 9, np.uint8), SIZE).shape == SIZE


def test_faces_and_background_share_the_picture():
    only = {
        name: paint_mask(StylizeOptions(**{name: True}), TWO_FACES, SIZE) for name in ("faces_only", "background_only")
    }
    np.testing.assert_array_equal(only["faces_only"].astype(int) + only["background_only"], 255)
    assert only["faces_only"][16, 14] == only["faces_only"][26, 50] == 255 and only["faces_only"][45, 30] == 0
    assert apart(only["faces_only"][:, 1:], only["faces_only"][:, :-1]).max() < 90  # soft, without a seam


def test_soft_faces_are_those_of_the_network():
    """One face is masked as `spread_over_faces` does it, also where it reaches beyond the picture."""
    box = (-5.0, 30.0, 30.0, 30.0)
    spread = tiny.compiled(pipeline.regions.spread_over_faces, static_argnums=(2, 3, 4))
    expected = spread(np.array([[box]], np.float32), np.ones((1, 1), np.float32), *SIZE, 1)[0, ..., 0]
    assert np.abs(soft_faces([Face(*box, 0.9)], SIZE) / 255 - expected).max() < 0.005


def test_a_mask_and_faces_meet():
    options = StylizeOptions(mask=left_half(), faces_only=True)
    found = paint_mask(options, TWO_FACES, SIZE)
    assert found[16, 14] == 0 and found[26, 50] == 255 and found[2, 60] == 0
    assert paint_mask(StylizeOptions(), TWO_FACES, SIZE) is None
    assert soft_faces(TWO_FACES, SIZE, [0.0, 1.0])[16, 14] == 0


# --- what it does to the picture


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"strength": 0.7},
        {"colors": "photo"},
        {"per_face": True},
        {"face_strength": 1},
        {"emotion": "sad"},
        {"emotion": "sad", "face_strength": 1, "style_scale": 2},
    ],
)
def test_the_photo_stays_where_the_mask_is_black(model, photo, options):
    result = model(photo, mask=left_half(), **options)
    picture, black = np.asarray(result.image), left_half() == 0
    np.testing.assert_array_equal(picture[black], photo[black])
    assert apart(picture, photo)[left_half() == 1].mean() > 5
    assert abs(result.painted_share - left_half().mean()) < 0.01


@pytest.mark.parametrize("options", [{"emotion": "sad"}, {"per_face": True}])
def test_a_white_mask_is_no_mask(model, photo, options):
    white = model(photo, mask=np.ones(SIZE, np.float32), **options)
    assert apart(white.image, model(photo, **options).image).max() <= 1


@pytest.mark.parametrize("strength", [0.25, 0.5, 0.8])
def test_a_grey_mask_is_less_strength(model, photo, strength):
    level = round(255 * strength) / 255
    grey = model(photo, mask=np.full(SIZE, level, np.float32), emotion="sad", face_strength=1)
    assert apart(grey.image, model(photo, strength=level, emotion="sad", face_strength=1).image).max() <= 1


def test_a_network_without_the_photo_cross_fades(photo):
    plain = Model(FACES, tiny.STYLES, {"classifier": {}, "stylizer": tiny.stylizer_params(apart=0.5)})
    mask, painted = left_half(), plain(photo, emotion="sad").image
    expected = photo * (1 - mask[..., None]) + np.asarray(painted) * mask[..., None]
    assert apart(plain(photo, emotion="sad", mask=mask).image, expected.round()).max() <= 2


def test_tiles_have_no_seams(model, monkeypatch):
    size = (150, 200)
    photo = np.random.default_rng(1).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    photo = np.asarray(Image.fromarray(photo).resize(size[::-1], Image.Resampling.BICUBIC))
    options = {"emotion": "sad", "mask": left_half(size), "face_strength": 1}
    whole = np.asarray(model(photo, **options).image)
    monkeypatch.setattr(tiles, "max_pixels", lambda config: size[0] * size[1] - 1)
    tiled = np.asarray(model(photo, **options).image)
    assert apart(whole, tiled).mean() < 4  # the statistics are estimated: see tests/test_tiles.py
    np.testing.assert_array_equal(tiled[:, :60], photo[:, :60])


def test_without_a_face(model, photo, monkeypatch):
    monkeypatch.setattr(pipeline.model, "find_faces", lambda detector, photo: [])
    for options in ({}, {"emotion": "sad"}):
        result = model(photo, faces_only=True, **options)
        assert "nothing is painted" in result.note and result.painted_share == 0
        np.testing.assert_array_equal(np.asarray(result.image), photo)
    assert model(photo, background_only=True).painted_share == 1


def test_programs_are_planned(model):
    before = len(model.programs)
    for compile in model.plan_sizes([SIZE, SIZE], read=False, masked=True):
        compile()
    planned = len(model.programs)
    model(np.zeros((*SIZE, 3), np.uint8), emotion="sad", mask=left_half())
    assert len(model.programs) == planned >= before


# --- mistakes, and the command


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"faces_only": True, "background_only": True}, "`faces_only` and `background_only`"),
        ({"mask": "missing.png"}, "the mask missing.png"),
        ({"mask": np.zeros(SIZE)}, "black"),
        ({"mask": np.ones((3, 3))}, r"\[3, 3\]"),
    ],
)
def test_mistakes(model, photo, options, message):
    with pytest.raises((InputError, pipeline.model.EmojaxError), match=message):
        model(photo, emotion="sad", **options)


def test_the_command(model, photo, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(pipeline, "load", lambda **_: model)
    Image.fromarray(photo).save(tmp_path / "a.png")
    Image.fromarray(photo).save(tmp_path / "b.png")
    Image.fromarray((left_half() * 255).astype(np.uint8)).save(mask := tmp_path / "mask.bmp")
    inputs = [str(tmp_path / name) for name in ("a.png", "b.png")]
    argv = [
        *inputs,
        "--mask",
        str(mask),
        "--background-only",
        "--emotion",
        "sad",
        "--output",
        str(tmp_path / "out"),
        "--json",
    ]
    assert command.main(argv) == 0
    for line in capsys.readouterr().out.splitlines():
        assert 0 < json.loads(line)["painted_share"] < 0.6
    picture = np.asarray(Image.open(tmp_path / "out" / "a.sad.png"))
    np.testing.assert_array_equal(picture[:, :20], photo[:, :20])
    np.testing.assert_array_equal(picture[26, 50], photo[26, 50])
    assert command.main([*inputs, "--faces-only", "--background-only"]) == 2
    assert command.main([*inputs, "--mask", str(tmp_path / "missing.png")]) == 2
