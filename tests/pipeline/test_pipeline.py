"""A model with tiny networks: what it reads, paints and compiles."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest
import tiny
from photos import TWO_FACES, apart, photo
from PIL import Image
from tiny import FACES, STYLES, random_styles

from emojax import pipeline
from emojax.emotions import EMOTIONS, as_dict
from emojax.errors import EmojaxError, InputError
from emojax.faces.find import Face, cut_crop
from emojax.nets.stylizer_config import StylizerConfig
from emojax.pipeline import Model, NoFaceError, forward
from emojax.pipeline.model import MAX_REGIONS
from emojax.pipeline.regions import Regions
from emojax.pipeline.sizes import Buckets, pad_to_bucket
from emojax.weights.style_file import StyleFile, network_fingerprint

stylize = tiny.compiled(forward.stylize_photos, static_argnums=0)


# --- sizes


@pytest.mark.parametrize(("h", "w"), [(1, 1), (5, 3), (16, 16), (37, 50), (129, 200)])
def test_the_result_does_not_depend_on_the_bucket(model, h, w):
    image = photo(h, w)
    out = model.stylize(image, "happy")
    assert out.shape == image.shape and out.dtype == np.uint8
    padded, (ph, pw) = pad_to_bucket(image, Buckets())
    np.testing.assert_array_equal(padded[:h, :w], image)
    weights = np.eye(7, dtype=np.float32)[3:4]
    unbucketed = stylize(STYLES, model.params["stylizer"], padded[None, :ph, :pw], weights)
    assert apart(out, unbucketed[0, :h, :w]).mean() <= 1 / 50 and apart(out, unbucketed[0, :h, :w]).max() <= 1


def test_a_folder_of_mixed_sizes_compiles_a_handful_of_programs(model):
    before, rng = len(model.programs), np.random.default_rng(0)
    for h, w in rng.integers(1, 300, (20, 2)):
        assert model.stylize(photo(h, w), "sad").shape == (h, w, 3)
    assert len(model.programs) - before <= 8


@pytest.fixture
def compilations():
    """The seconds of every compilation, or of reading it from the cache."""
    seen = []

    def listen(event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield seen
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize("read", [True, False])
def test_expected_programs_are_compiled_ahead_and_the_pictures_stay(model, no_faces, compilations, read):
    image, options = photo(150, 90), {} if read else {"emotion": "neutral"}
    plain = model(image, **options).image
    prepare = model.plan_sizes([(300, 180), (40, 50), (296, 178)], read=read, style_scale=2.0)
    assert len(prepare) == 1 + read  # the program that reads, and one that paints
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda step: step(), prepare * 2))
    before = len(compilations)
    scaled = model(np.repeat(np.repeat(image, 2, 0), 2, 1), style_scale=2.0, **options).image
    assert len(compilations) == before
    expected = model(image, **options).image
    np.testing.assert_array_equal(scaled.resize((90, 150), Image.Resampling.NEAREST).size, expected.size)
    assert apart(expected, plain).max() <= 1


# --- the model


def test_reading_a_photo(model, faces):
    image = photo()
    result = model(image)
    crops = np.stack([cut_crop(image, face, FACES.margin, FACES.size) for face in TWO_FACES])
    read = model.classify(crops, margin=FACES.margin)
    reading = 0.9 * read[0] + 0.1 * read[1]  # 30 x 30 and 10 x 10 pixels
    np.testing.assert_allclose(list(result.emotion.values()), reading, atol=1e-5)
    assert result.emotion == as_dict(result.emotion.values()) and result.note is None
    assert [read.face for read in result.faces] == TWO_FACES
    assert result.style == {EMOTIONS[reading.argmax()]: 1.0}
    assert apart(result.image, model.stylize(image, EMOTIONS[reading.argmax()])).max() <= 1


def test_mixing_by_probabilities(model, faces):
    result = model(photo(), mix="probabilities")
    assert result.style == pytest.approx(result.emotion)
    assert apart(result.image, model.stylize(photo(), result.emotion)).max() <= 1


@pytest.mark.parametrize(("choice", "index"), [("largest", 0), (0, 0), (1, 1)])
def test_choosing_a_face(model, faces, choice, index):
    result = model(photo(), face=choice)
    assert result.emotion == pytest.approx(result.faces[index].emotion) and len(result.faces) == 2


@pytest.mark.parametrize("choice", [2, -1, "biggest"])
def test_choosing_a_face_that_is_not_there(model, faces, choice):
    with pytest.raises(EmojaxError, match=str(choice)):
        model(photo(), face=choice)


def test_all_faces_of_a_crowd_are_read(model, monkeypatch):
    many = [Face(i % 20, 0, 20 - i / 10, 20 - i / 10, 0.9) for i in range(MAX_REGIONS + 3)]
    monkeypatch.setattr(pipeline.model, "find_faces", lambda detector, photo: many)
    result = model(photo())
    assert len(result.faces) == 19 and result.note is None
    few = model(photo(), per_face=True)
    assert [read.style is None for read in few.faces] == [False] * MAX_REGIONS + [True] * 3 and "19 faces" in few.note
    last = model.classify(cut_crop(photo(), many[-1], FACES.margin, 64)[None], margin=FACES.margin)
    np.testing.assert_allclose(list(result.faces[-1].emotion.values()), last[0], atol=0.05)


def test_a_given_emotion_skips_the_reading(model, monkeypatch):
    monkeypatch.setattr(pipeline.model, "find_faces", lambda detector, photo: pytest.fail("read"))
    result = model(photo(), emotion={"happy": 3, "sad": 1})
    assert result.style == {"happy": 0.75, "sad": 0.25} and result.faces == [] and result.emotion is None
    assert apart(result.image, model.stylize(photo(), "happy:3,sad:1")).max() == 0


def test_no_face(model, no_faces):
    result = model(photo())
    assert result.style == {"neutral": 1.0} and result.emotion is None and "no face found" in result.note
    assert apart(result.image, model.stylize(photo(), "neutral")).max() == 0
    skipped = model(photo(), no_face="skip")
    assert skipped.image is None and skipped.style is None and "skipped" in skipped.note
    with pytest.raises(NoFaceError, match="no face found"):
        model(photo(), no_face="error")


def test_no_face_runs_the_same_program(model, no_faces, monkeypatch):
    model(photo())
    compiled = len(model.programs)
    monkeypatch.setattr(pipeline.model, "find_faces", lambda detector, photo: list(TWO_FACES))
    assert len(model(photo()).faces) == 2 and len(model.programs) == compiled


@pytest.mark.parametrize("styles", [("fear",), ("sad", "fear")])
def test_no_face_and_no_neutral_style(no_faces, styles):
    config = StylizerConfig(width=4, blocks=0, style_names=styles)
    params = {"classifier": tiny.classifier_variables(), "stylizer": tiny.stylizer_params(config)}
    model = Model(FACES, config, params)
    if len(styles) == 1:  # the paper's network knows one style, and uses it for every emotion
        assert model(photo()).style == {"fear": 1.0}
        assert apart(model(photo()).image, model.stylize(photo(), "fear")).max() == 0
    else:
        with pytest.raises(NoFaceError, match="no neutral style: choose skip for `no_face`"):
            model(photo())


def test_what_a_photo_may_be(model, tmp_path):
    image = photo()
    Image.fromarray(image).save(tmp_path / "photo.png")
    expected = np.asarray(model(image, emotion="sad").image)
    for same in (tmp_path / "photo.png", str(tmp_path / "photo.png"), Image.fromarray(image)):
        np.testing.assert_array_equal(np.asarray(model(same, emotion="sad").image), expected)


def test_alpha_is_kept(model):
    rgba = np.dstack([photo(), np.arange(2000, dtype=np.uint16).reshape(40, 50).astype(np.uint8)])
    out = model(Image.fromarray(rgba), emotion="sad").image
    assert out.mode == "RGBA" and out.size == (50, 40)
    np.testing.assert_array_equal(np.asarray(out)[..., 3], rgba[..., 3])


def test_classify_takes_crops_of_any_size_and_number(model):
    for shape in ((1, 48, 48, 3), (40, 20, 30, 3), (0, 8, 8, 3)):
        crops = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
        rows = model.classify(crops, margin=0.2)
        assert rows.shape == (shape[0], 7) and rows.dtype == np.float32
        np.testing.assert_allclose(rows.sum(1), 1, atol=1e-5)
    one = model.classify(crops := photo(112, 112)[None], margin=0.2)
    np.testing.assert_allclose(model.classify(np.repeat(crops, 40, 0), margin=0.2), np.repeat(one, 40, 0), atol=1e-5)


# --- several styles in one picture


def test_per_face_equal_styles_give_the_plain_picture(model, faces):
    """Both faces and so the picture have the same dominant emotion: random weights read all faces alike.

    To the level, because the blocks of the plain picture are a loop, and those of the other are not.
    """
    plain, varied = model(photo()), model(photo(), per_face=True)
    assert [face.style for face in varied.faces] == [varied.style] * 2
    assert apart(varied.image, plain.image).max() <= 1
    assert plain.faces[0].style is None


def test_per_face_every_region_has_its_own_style():
    """In the middle of a face whose weights are one style's: that style's scales; far away: the picture's."""
    config = dataclasses.replace(STYLES, blocks=1)  # which sees no farther than from the middle to the face's border
    params = random_styles(config)
    pixels = photo(96, 128)[None]
    happy, sad = (np.eye(7, dtype=np.float32)[EMOTIONS.index(name)] for name in ("happy", "sad"))
    boxes = np.array([[64, 32, 32, 32], [0, 0, 0, 0]], np.float32)
    size = np.array([96, 128], np.int32)
    varied = stylize(config, params, pixels, sad[None], size, Regions(boxes, np.stack([happy, happy])))[0]
    plain = {name: stylize(config, params, pixels, w[None], size)[0] for name, w in (("happy", happy), ("sad", sad))}
    # Norm statistics are the whole picture's, so that no part is exactly what it would be alone.
    middle, far = (slice(40, 56), slice(72, 88)), (slice(None), slice(0, 32))
    for part, near, other in ((middle, "happy", "sad"), (far, "sad", "happy")):
        assert apart(varied[part], plain[near][part]).mean() < 0.8 * apart(varied[part], plain[other][part]).mean()


def test_per_face_names_each_faces_style(model, faces, monkeypatch):
    """The faces are read as one would read them alone."""
    result = model(photo(), per_face=True, mix="probabilities")
    for face in result.faces:
        assert face.style == pytest.approx(face.emotion)


def test_a_mood_at_an_emotions_point_is_its_style(model):
    by_mood, by_name = model(photo(), mood=(0.81, 0.51)), model(photo(), emotion="happy")
    np.testing.assert_array_equal(np.asarray(by_mood.image), np.asarray(by_name.image))
    assert by_mood.style == {"happy": 1.0}
    assert len(model(photo(), mood=(0.3, -0.3)).style) == 7
    for options in ({"emotion": "sad"}, {"per_face": True}):
        with pytest.raises(EmojaxError, match="mood"):
            model(photo(), mood=(0, 0), **options)


# --- the size of the strokes


@pytest.mark.parametrize("scale", [0.5, 2])
def test_style_scale_shows_the_network_another_size(model, scale):
    pixels = photo(40, 48)
    out = model(pixels, emotion="sad", style_scale=scale).image
    assert out.size == (48, 40)
    seen = np.asarray(Image.fromarray(pixels).resize((int(48 / scale), int(40 / scale)), Image.Resampling.LANCZOS))
    expected = Image.fromarray(model.stylize(seen, "sad")).resize((48, 40), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(out, expected)


def test_style_scale_one_is_the_default_and_faces_scale_along(model, faces):
    np.testing.assert_array_equal(model(photo(), style_scale=1.0).image, model(photo()).image)
    result = model(photo(), style_scale=2, per_face=True)
    assert result.image.size == (50, 40) and result.faces[0].face == TWO_FACES[0]


# --- style files


def test_a_pack_is_one_more_style(model):
    table, params = model.params["stylizer"]["style_table"], model.params["stylizer"]
    row = jax.tree.map(lambda rows: np.asarray(rows[4]), table)  # that of sad
    style_file = StyleFile("joy", network_fingerprint(params["network"]), row, b"")
    more = model.with_style_files([style_file])
    assert more.detector is model.detector
    assert more.stylizer.style_names == (*EMOTIONS, "joy")
    np.testing.assert_array_equal(more.stylize(photo(), "joy"), model.stylize(photo(), "sad"))
    mixed = more(photo(), emotion={"joy": 1.0, "sad": 1.0})
    assert mixed.style == {"sad": 0.5, "joy": 0.5}
    assert apart(mixed.image, model.stylize(photo(), "sad")).max() <= 1
    with pytest.raises(EmojaxError, match="two styles 'joy'"):
        more.with_style_files([style_file])
    with pytest.raises(EmojaxError, match="another network"):
        model.with_style_files([StyleFile("joy", "0" * 64, row, b"")])


def test_faces_are_read_with_a_pack_too(model, faces):
    row = jax.tree.map(lambda rows: np.asarray(rows[4]), model.params["stylizer"]["style_table"])
    more = model.with_style_files(
        [StyleFile("joy", network_fingerprint(model.params["stylizer"]["network"]), row, b"")]
    )
    np.testing.assert_array_equal(more(photo()).image, model(photo()).image)


# --- many photos, and what a model tells of itself


def test_many_photos_and_one_that_cannot_be_read(model, faces):
    results = list(model.stylize_many([photo(), "missing.jpg", photo(seed=1)], emotion="sad"))
    assert [result.error is None for result in results] == [True, False, True] and "missing.jpg" in results[1].error
    np.testing.assert_array_equal(results[2].image, model(photo(seed=1), emotion="sad").image)
    with pytest.raises(InputError, match="strength"):
        next(model.stylize_many([photo()], strength=3))
    with pytest.raises(InputError, match="unknown emotion 'joy'"):
        next(model.stylize_many([photo()], emotion="joy"))
    separate = dataclasses.replace(model, stylizer=dataclasses.replace(model.stylizer, network_per_style=True))
    for options in ({"per_face": True}, {"mix": "probabilities"}, {"emotion": {"sad": 1, "happy": 1}}):
        with pytest.raises(InputError, match="cannot mix"):
            next(separate.stylize_many([photo()], **options))


def test_a_result_says_what_is_strongest(model, faces):
    result = model(photo())
    assert result.dominant == max(result.probabilities, key=result.probabilities.get)
    face = result.faces[0]
    assert (face.x, face.y, face.w, face.h) == (4, 4, 30, 30) and face.dominant in EMOTIONS
    assert model(photo(), emotion="sad").dominant is None


def test_a_model_is_told_in_a_line(model):
    assert len(repr(model)) < 100 and "7 styles" in repr(model)
