import json
import signal

import jax
import numpy as np
import pytest
import tiny
from PIL import ExifTags, Image
from safetensors.numpy import save_file

from emojax import pipeline
from emojax.cli import stylize as program
from emojax.emotions import EMOTIONS, PHOTO
from emojax.errors import EmojaxError
from emojax.faces.find import Face
from emojax.nets.stylizer_config import StylizerConfig
from emojax.paint.config import PaintConfig
from emojax.pipeline import Model
from emojax.pipeline import painting as best

CONFIG = PaintConfig(steps=(2,), positions=16)


@pytest.fixture(scope="module", autouse=True)
def narrow_vgg16(tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg16") / "vgg16.safetensors"
    save_file(tiny.vgg16_tensors(), path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMOJAX_VGG16", str(path))
        yield


@pytest.fixture(scope="module")
def model():
    styles = StylizerConfig(width=4, blocks=2, style_names=(*EMOTIONS, PHOTO))
    params = {"classifier": tiny.classifier_variables(), "stylizer": tiny.stylizer_params(styles, apart=0.5)}
    return Model(tiny.FACES, styles, jax.device_put(params))


@pytest.fixture(autouse=True)
def faces(monkeypatch):
    found = [Face(4, 4, 20, 20, 0.9)]
    monkeypatch.setattr(pipeline.model, "find_faces", lambda detector, photo: list(found))
    monkeypatch.setattr(best, "find_faces", lambda detector, photo: list(found))


def picture(seed, size=32):
    return np.asarray(tiny.blocks(np.random.default_rng(seed), size))


@pytest.fixture
def paintings(tmp_path):
    for index, emotion in enumerate(EMOTIONS):
        Image.fromarray(picture(10 + index)).save(tmp_path / f"{emotion}.png")
    return tmp_path


def test_any_painting(model, tmp_path):
    Image.fromarray(picture(1)).save(tmp_path / "any.png")
    result = model.paint(picture(0), tmp_path / "any.png", config=CONFIG, seed=3)
    assert result.image.size == (32, 32) and result.style == {"any": 1.0} and result.emotion is None
    assert result.painted["seed"] == 3 and result.painted["paintings"] == ["any"] and not result.interrupted
    assert "32 x 32" in result.note  # few strokes


def test_the_emotions_own_painting(model, paintings):
    result = model.paint(picture(0), paintings=paintings, config=CONFIG)
    assert result.emotion and list(result.style) == result.painted["paintings"]
    assert len(result.faces) == 1


def test_faces_have_regions_of_their_own(model, paintings):
    result = model(picture(0), per_face=True)
    regions = best.emotion_regions(result, (32, 32), paintings)
    assert len(regions) == 2
    np.testing.assert_array_equal(regions[0].mask + regions[1].mask, np.ones((32, 32)))
    assert regions[1].mask[14, 14] == 1 and regions[1].mask[31, 31] == 0


def test_a_mask_leaves_the_rest_as_it_is(model):
    mask = np.zeros((32, 32), np.float32)
    mask[:, :16] = 1
    result = model.paint(picture(0), picture(1), mask=mask, config=CONFIG)
    np.testing.assert_array_equal(np.asarray(result.image)[:, 16:], picture(0)[:, 16:])
    assert (np.asarray(result.image)[:, :16] != picture(0)[:, :16]).any()


def test_strength_0_is_the_photo(model):
    result = model.paint(picture(0), picture(1), strength=0, config=CONFIG)
    np.testing.assert_array_equal(np.asarray(result.image), picture(0))


def test_weaker_styles_ask_for_more_content():
    half = best.softened(PaintConfig(), 0.5)
    assert half.similarity == 2 * PaintConfig().similarity and half.transport == PaintConfig().transport
    assert best.softened(PaintConfig(), 1) == PaintConfig()


@pytest.fixture
def flag(monkeypatch):
    """The flag that Ctrl-C raises, without a signal: workers of the tests may not run in the main thread."""
    flag = best.InterruptFlag()
    monkeypatch.setattr(best, "InterruptFlag", lambda: flag)
    return flag


def test_ctrl_c_gives_the_best_so_far(model, flag):
    result = model.paint(
        picture(0), picture(1), config=CONFIG, on_progress=lambda _: flag._remember(signal.SIGINT, None)
    )
    assert result.interrupted and result.image is not None and "50% was done" in result.note


def test_a_second_ctrl_c_is_obeyed_at_once():
    flag = best.InterruptFlag()
    flag._remember(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        flag._remember(signal.SIGINT, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"painting": "missing.jpg"}, "the painting missing.jpg"),
        ({"painting": picture(1), "emotion": "sad"}, "emotion"),
        ({"painting": picture(1), "mask": np.zeros((3, 3))}, r"\[3, 3\]"),
        ({"painting": picture(1), "mask": np.zeros((32, 32))}, "black"),
        ({"painting": picture(1), "strength": 2}, "`strength` 2"),
        ({"painting": picture(1), "size": 20}, "size` 20"),
        ({"paintings": "nowhere"}, "no painting for"),
    ],
)
def test_mistakes(model, options, message):
    with pytest.raises(EmojaxError, match=message):
        model.paint(picture(0), config=CONFIG, **options)


def test_several_paintings_of_an_emotion_are_not_guessed_at(tmp_path):
    (tmp_path / "sad").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(picture(1)).save(tmp_path / "sad" / name)
    with pytest.raises(EmojaxError, match=r"several.*a\.png, b\.png"):
        best.find_painting("sad", tmp_path)


def test_notes_on_paintings():
    assert "single colour" in best.note_on(np.full((80, 80, 3), 7, np.uint8))[0]
    assert best.note_on(np.random.default_rng(0).integers(0, 255, (80, 80, 3)).astype(np.uint8)) == []


@pytest.mark.parametrize("strength", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_the_networks_strength(model, strength):
    """From 1 to a half the code alone goes towards the photo's row; 0 is the photo to the pixel."""
    photo = picture(0)
    found = np.asarray(model(photo, emotion="sad", strength=strength).image).astype(int)
    mixed = model.stylize(photo, {"sad": strength, PHOTO: 1 - strength}) if strength else photo
    amount = min(1, 2 * strength)
    assert np.abs(found - (photo * (1 - amount) + mixed * amount)).max() <= 1


def test_strength_in_the_whole_program(model):
    photo = picture(0)
    whole, half = (np.asarray(model(photo, strength=strength).image) for strength in (1.0, 0.5))
    style = model(photo).style
    np.testing.assert_array_equal(whole, np.asarray(model(photo, emotion=style).image))
    expected = np.asarray(model(photo, emotion=style, strength=0.5).image).astype(int)
    assert np.abs(half - expected).max() <= 1


# --- the command


@pytest.fixture
def command(model, monkeypatch, tmp_path):
    """Runs the program with the tiny model and few steps in a folder with photo.png and any.png."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture(0)).save("photo.png")
    Image.fromarray(picture(1)).save("any.png")
    monkeypatch.setattr(pipeline, "load", lambda **_: model)
    monkeypatch.setattr(best, "PaintConfig", lambda: CONFIG)
    return lambda *argv: program.main(["--input", "photo.png", *argv])


def test_the_command_paints_and_tells(command, capsys, tmp_path):
    assert command("--painting", "any.png", "--seed", "5", "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert row["output"] == "photo.any.png" and row["style"] == {"any": 1.0} and row["painted"]["seed"] == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "any.png",
        "photo.any.png",
        "photo.png",
    ]  # no preview left
    with Image.open("photo.any.png") as image:
        assert json.loads(image.text["Description"]) == row["painted"]


@pytest.mark.parametrize("suffix", ["jpg", "tif", "webp"])
def test_the_picture_says_how_it_was_made(command, suffix):
    assert command("--painting", "any.png", "--seed", "5", "--output", f"out.{suffix}", "-q") == 0
    with Image.open(f"out.{suffix}") as image:
        settings = json.loads(image.getexif()[ExifTags.Base.ImageDescription])
    assert settings["seed"] == 5 and settings["paintings"] == ["any"]


def test_ctrl_c_writes_what_there_is(command, monkeypatch, flag, tmp_path):
    paint = Model.paint

    def interrupted(self, photo, **options):
        return paint(self, photo, **(options | {"on_progress": lambda _: flag._remember(signal.SIGINT, None)}))

    monkeypatch.setattr(Model, "paint", interrupted)
    assert command("--painting", "any.png") == 130
    assert (tmp_path / "photo.any.png").exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--painting", "any.png", "--emotion", "sad"], "--painting and --emotion"),
        (["--painting", "any.png", "--per-face"], "--painting and --per-face"),
        (["--painting", "missing.png"], "missing.png"),
        (["--painting", "any.png", "--minutes", "0"], "--minutes 0"),
        (["--painting", "any.png", "--size", "9"], "--size 9"),
        (["--mask", "missing.png"], "missing.png"),
        (["--painting", "any.png", "--faces-only", "--background-only"], "--faces-only"),
        (["--minutes", "3"], "--minutes is for"),
        (["--strength", "7"], "strength 7"),
        (["--painting", "any.png", "--style-scale", "9"], "--style-scale 9"),
    ],
)
def test_mistakes_in_the_command(command, capsys, argv, message):
    assert command(*argv) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
