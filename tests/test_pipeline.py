import dataclasses
import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import goldens
import jax
import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny import FACES, STYLES

import emojax
from benchmarks import job
from emojax import pipeline
from emojax.emotions import EMOTIONS, PHOTO, as_dict
from emojax.errors import EmojaxError, InputError
from emojax.faces.find import Face, cut_crop
from emojax.nets.style_code import StylizerConfig
from emojax.options import StylizeOptions
from emojax.pipeline import Model, NoFaceError, forward, load, tiles
from emojax.pipeline import sizes as planning
from emojax.pipeline.forward import READ_AT_ONCE
from emojax.pipeline.model import MAX_REGIONS
from emojax.pipeline.regions import Regions
from emojax.pipeline.sizes import Buckets, bucket_side, pad_to_bucket, plan_buckets
from emojax.pipeline.tiles import network_side
from emojax.weights.load import find_styles, load_styles
from emojax.weights.store import save_checkpoint
from emojax.weights.style_file import StyleFile, network_fingerprint

style_choice = tiny.compiled(forward.style_choice, static_argnums=(0, 2))
stylize = tiny.compiled(forward.stylize_photos, static_argnums=0)
classify = tiny.compiled(emojax.nets.classifier.classify, static_argnums=0)
read_styles = tiny.compiled(forward.read_styles, static_argnums=(0, 1, 2))


def random_styles(config):
    """Parameters whose styles are far apart."""
    return tiny.stylizer_params(config, apart=0.5)


@pytest.fixture(scope="module")
def model():
    params = {"classifier": tiny.classifier_variables(), "stylizer": random_styles(STYLES)}
    return Model(FACES, STYLES, jax.device_put(params))


def photo(h=40, w=50, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3)).astype(np.uint8)


TWO_FACES = [Face(4, 4, 30, 30, 0.9), Face(36, 20, 10, 10, 0.8)]


@pytest.fixture
def faces(monkeypatch):
    monkeypatch.setattr(pipeline.model, "find_faces", lambda detector, photo: list(TWO_FACES))


@pytest.fixture
def no_faces(monkeypatch):
    monkeypatch.setattr(pipeline.model, "find_faces", lambda detector, photo: [])


def apart(a, b):
    return np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int))


# --- the pure part


def test_dominant_is_one_hot_and_probabilities_blend():
    reading = np.array([0.1, 0.0, 0.0, 0.5, 0.4, 0.0, 0.0], np.float32)
    np.testing.assert_array_equal(style_choice(EMOTIONS, reading, "dominant"), np.eye(7)[3])
    np.testing.assert_allclose(style_choice(EMOTIONS, reading, "probabilities"), reading)


def test_emotions_without_a_style_are_left_out_and_one_style_serves_all():
    reading = np.array([0.1, 0.0, 0.0, 0.5, 0.4, 0.0, 0.0], np.float32)
    np.testing.assert_array_equal(style_choice(("sad", "angry"), reading, "dominant"), [1, 0])
    np.testing.assert_allclose(style_choice(("sad", "angry"), reading, "probabilities"), [0.8, 0.2], rtol=1e-6)
    np.testing.assert_array_equal(style_choice(("fear",), reading, "probabilities"), [1])


@pytest.mark.parametrize("mix", ["dominant", "probabilities"])
def test_what_is_read_chooses_the_style(model, mix):
    crops = photo(16, 16 * MAX_REGIONS).reshape(16, MAX_REGIONS, 16, 3).transpose(1, 0, 2, 3)
    weights, fallback = np.zeros(MAX_REGIONS, np.float32), np.eye(7, dtype=np.float32)[6]
    weights[:2] = 0.75, 0.25

    def run(count, weights):
        return read_styles(FACES, EMOTIONS, mix, model.params["classifier"], crops, np.int32(count), weights, fallback)

    reading = run(5, weights)
    probabilities = reading.probabilities
    read = classify(FACES, model.params["classifier"], crops)
    np.testing.assert_allclose(probabilities[:5], read[:5], atol=1e-6)
    assert np.all(probabilities[2 * READ_AT_ONCE :] == 0)  # filling is not read
    choice = style_choice(EMOTIONS, 0.75 * read[0] + 0.25 * read[1], mix)
    np.testing.assert_allclose(reading.style, choice, atol=1e-6)
    np.testing.assert_array_equal(run(0, 0 * weights).style, fallback)


def test_a_picture_of_one_colour_gets_no_pattern(optimized):
    """The CPU's convolutions round unevenly, which the norms must not amplify."""
    model = load()
    out = model.stylize(np.full((90, 90, 3), 128, np.uint8), "happy")
    assert (out.max((0, 1)).astype(int) - out.min((0, 1))).max() <= 1


# --- sizes


def test_sides():
    assert [network_side(n) for n in (1, 16, 17, 20, 21)] == [16, 16, 20, 20, 24]
    for side in range(16, 5000, 4):
        assert side <= bucket_side(side) <= max(128, 1.25 * side) and bucket_side(side) % 4 == 0
    assert len({bucket_side(side) for side in range(128, 4097)}) == 21  # four an octave


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


def test_programs_are_shared_and_waste_no_more_than_their_compilation():
    rng, buckets, owners = np.random.default_rng(0), Buckets(), set()
    for h, w in rng.integers(75, 300, (60, 2)) * 4:
        own = bucket_side(int(h)), bucket_side(int(w))
        height, width = buckets.choose(int(h), int(w))
        assert height >= h and width >= w and height * width <= 2 * own[0] * own[1]
        owners.add(own)
    assert len(buckets.compiled) <= 15 < 30 < len(owners)


def test_five_hundred_sizes_need_few_programs():
    rng, buckets = np.random.default_rng(0), Buckets()
    for side, ratio in zip(
        rng.integers(600, 1600, 500), rng.choice([1, 4 / 3, 3 / 2, 16 / 9, 3 / 4, 2 / 3], 500), strict=True
    ):
        buckets.choose(network_side(int(side)), network_side(int(side * ratio)))
    assert len(buckets.compiled) <= 40


def test_a_size_that_keeps_coming_gets_its_own_program():
    buckets = Buckets()
    assert buckets.choose(500, 700) == (512, 768)
    patience = Buckets.PATIENCE
    assert [buckets.choose(420, 630) for _ in range(patience + 2)] == [(512, 768)] * patience + [(448, 640)] * 2
    assert buckets.choose(100, 100) == (128, 128)  # a far larger program is not used


SIZES = st.lists(st.tuples(st.integers(4, 1000), st.integers(4, 1000)), min_size=2, max_size=80)


@given(SIZES)
def test_every_expected_photo_fits_its_bucket_and_there_are_few(quarters):
    sizes, buckets = [(4 * h, 4 * w) for h, w in quarters], Buckets()
    planned = buckets.plan(sizes)
    chosen = [buckets.choose(*size) for size in sizes]
    assert all(y >= h and x >= w for (y, x), (h, w) in zip(chosen, sizes, strict=True))
    assert all(y % 32 == x % 32 == 0 for y, x in planned)
    assert len(planned) <= planning.PLANNED
    assert planned == list(dict.fromkeys(chosen)) and buckets.compiled == set(planned)
    assert Buckets().plan(sizes) == planned
    assert len(sizes) == 1 or set(plan_buckets(sizes[::-1])) >= set(planned)
    alone = sum(-(-h // 32) * -(-w // 32) * 32 * 32 for h, w in sizes)
    if len(planned) < planning.PLANNED:  # each merge has padded less than a compilation costs
        assert sum(y * x for y, x in chosen) < alone + len(set(sizes)) * planning.COMPILE_COST


def test_the_benchmarks_folder_is_padded_little_with_few_programs():
    rng, buckets = np.random.default_rng(0), Buckets()
    sizes = [rng.integers(*job.MIXED, 2).tolist()[::-1] for _ in range(50)]
    seen = [(network_side(h), network_side(w)) for h, w in sizes]
    assert len(buckets.plan(seen)) <= 12
    assert sum(math.prod(buckets.choose(h, w)) for h, w in seen) <= 1.3 * sum(h * w for h, w in sizes)


def test_thousands_of_sizes_are_planned_too():
    rng = np.random.default_rng(0)
    sizes = [(int(h), int(w)) for h, w in 4 * rng.integers(75, 1000, (2000, 2))]
    buckets = Buckets()
    planned = buckets.plan(sizes)
    assert len(planned) <= 256
    assert sum(math.prod(buckets.choose(*size)) for size in sizes) <= 1.3 * sum(map(math.prod, sizes))


def test_sizes_that_were_not_expected_are_chosen_as_ever():
    buckets, plain = Buckets(), Buckets()
    assert buckets.plan([]) == [] and buckets.plan([(40, 40), (3000, 3000)]) == [(64, 64), (3008, 3008)]
    assert [buckets.choose(500, 700), buckets.choose(420, 630)] == [plain.choose(500, 700), plain.choose(420, 630)]


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


def test_a_single_planned_photo_has_its_usual_bucket():
    buckets = Buckets()
    assert buckets.plan([(300, 212)]) == [(320, 224)] == [Buckets().choose(300, 212)]
    assert buckets.choose(300, 212) == (320, 224) and buckets.compiled == {(320, 224)}


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


def unchecked(model, *args, **options):
    """Calls the model as outside of tests, where types are not checked."""
    return Model.__call__.__wrapped__(model, *args, **options)


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda m: m.classify(np.zeros((2, 8, 8, 3))), "float64"),
        (lambda m: m.classify(np.zeros((8, 8, 3), np.uint8)), r"\[8, 8, 3\]"),
        (lambda m: m.classify(np.zeros((1, 8, 8, 3), np.uint8), margin=-1), "margin` -1"),
        (lambda m: m.stylize(np.zeros((8, 8), np.uint8), "sad"), r"\[8, 8\]"),
        (lambda m: m.stylize(np.zeros((0, 8, 3), np.uint8), "sad"), r"\[0, 8, 3\]"),
        (lambda m: m.stylize(photo(), "sda"), "did you mean 'sad'"),
        (lambda m: unchecked(m, photo(), mix="average"), "`mix` 'average'"),
        (lambda m: unchecked(m, photo(), no_face="ignore"), "`no_face` 'ignore'"),
        (lambda m: m(photo(), face="biggest"), "`face` 'biggest'"),
        (lambda m: m(photo(), face=-1), "`face` -1"),
        (lambda m: m.find_faces(np.zeros((8, 8), np.uint8)), r"\[8, 8\]"),
        (lambda m: m.find_faces(np.zeros((8, 8, 4), np.uint8)), r"\[8, 8, 4\]"),
        (lambda m: m("no/such/photo.jpg"), "photo.jpg"),
    ],
)
def test_mistakes(model, call, part):
    with pytest.raises(EmojaxError, match=part):
        call(model)


def test_a_network_that_lacks_the_style():
    config = StylizerConfig(width=4, blocks=0, style_names=("sad", "fear"))
    params = {"classifier": tiny.classifier_variables(), "stylizer": tiny.stylizer_params(config)}
    model = Model(FACES, config, params)
    assert model.stylize(photo(), "sad").shape == (40, 50, 3)
    with pytest.raises(EmojaxError, match="no style for 'happy': it has sad, fear"):
        model.stylize(photo(), "happy")


# --- the packaged checkpoints


def test_the_packaged_model_repaints_the_astronaut(optimized):
    model = emojax.load()
    astronaut = np.asarray(Image.open("examples/astronaut.jpg"))
    result = model(astronaut)
    assert len(result.faces) == 1 and result.faces[0].face.confidence > 0.7
    assert max(result.emotion, key=result.emotion.get) == "happy" and result.style == {"happy": 1.0}
    assert result.image.size == (512, 512)
    assert apart(result.image, astronaut).mean() > 10
    pictures = [model.stylize(astronaut[:128, :128], name).astype(int) for name in EMOTIONS]
    for i, one in enumerate(pictures):
        for other in pictures[:i]:
            assert np.abs(one - other).mean() > 8  # seven styles, all different


@pytest.mark.parametrize("network", [None, "fast"])
def test_the_packaged_styles_are_those_that_were_packed(optimized, network):
    """Roughly, so that no compiler matters: a few levels, and each style is nearest to what it was itself."""
    expected = json.loads(goldens.FILE.read_text())[network or "default"]
    found = goldens.found(network)
    assert found.keys() == expected.keys()
    for name, cells in found.items():
        distances = {other: apart(cells, golden).mean() for other, golden in expected.items()}
        assert distances[name] < 3 and min(distances, key=distances.get) == name, (
            f"the packaged style {name!r} paints otherwise than it did ({distances[name]:.1f} levels). If its weights were "
            "replaced on purpose, run python tests/goldens.py and commit tests/goldens.json with them; else this is a bug"
        )


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


def test_per_face_reads_faces():
    with pytest.raises(EmojaxError, match="leave out"):
        Model(FACES, STYLES, {})(photo(), per_face=True, emotion="sad")


def test_a_mood_at_an_emotions_point_is_its_style(model):
    by_mood, by_name = model(photo(), mood=(0.81, 0.51)), model(photo(), emotion="happy")
    np.testing.assert_array_equal(np.asarray(by_mood.image), np.asarray(by_name.image))
    assert by_mood.style == {"happy": 1.0}
    assert len(model(photo(), mood=(0.3, -0.3)).style) == 7
    for options in ({"emotion": "sad"}, {"per_face": True}):
        with pytest.raises(EmojaxError, match="mood"):
            model(photo(), mood=(0, 0), **options)


# --- less strength in faces


WITH_PHOTO = dataclasses.replace(STYLES, blocks=1, style_names=(*EMOTIONS, PHOTO))


@pytest.fixture(scope="module")
def sparing():
    """A model that has the style "photo"."""
    params = {"classifier": tiny.classifier_variables(), "stylizer": random_styles(WITH_PHOTO)}
    return Model(FACES, WITH_PHOTO, jax.device_put(params))


def test_faces_are_painted_with_less_strength(sparing, monkeypatch):
    """Faces change, the more the less strength they have, whether they are read or named; what is far from them hardly does."""
    monkeypatch.setattr(pipeline.model, "find_faces", lambda detector, photo: [Face(84, 32, 32, 32, 0.9)])
    pixels = photo(96, 128)
    middle, far = (slice(40, 56), slice(92, 108)), (slice(None), slice(0, 32))
    read = sparing(pixels, face_strength=0.0)
    (style,) = read.style
    none, some, full = (sparing(pixels, emotion=style, face_strength=share).image for share in (0.0, 0.5, 1.0))
    assert apart(read.image, none).max() <= 1
    changes = [apart(full, picture) for picture in (some, none)]
    assert changes[1][middle].mean() > 1.2 * changes[0][middle].mean() > 1
    assert all(change[middle].mean() > 3 * change[far].mean() for change in changes)
    own = sparing(pixels, face_strength=1.0, per_face=True).image
    assert apart(sparing(pixels, face_strength=0.0, per_face=True).image, own)[middle].mean() > 1


def test_a_photo_without_faces_has_the_whole_strength(sparing, no_faces):
    pictures = [sparing(photo(), emotion="sad", face_strength=share).image for share in (0.2, 1.0)]
    assert apart(*pictures).max() <= 1


@pytest.mark.parametrize("emotion", [None, "sad"])
def test_faces_in_tiles_have_less_strength_too(sparing, faces, monkeypatch, emotion):
    whole = sparing(photo(), emotion=emotion, face_strength=0.3).image
    full = sparing(photo(), emotion=emotion, face_strength=1.0).image
    monkeypatch.setattr(tiles, "max_pixels", lambda config: 40 * 49)
    found = sparing(photo(), emotion=emotion, face_strength=0.3).image
    assert apart(found, whole).mean() < 0.5 * apart(found, full).mean()


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_what_is_no_strength_in_faces(share):
    with pytest.raises(EmojaxError, match="face_strength"):
        StylizeOptions(face_strength=share)


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


@pytest.mark.parametrize("scale", [0.2, 5, float("nan")])
def test_style_scale_has_limits(model, scale):
    with pytest.raises(EmojaxError, match="0.25 to 4"):
        model(photo(), style_scale=scale)


# --- a set of networks with one style each


@pytest.fixture(scope="module")
def network_set(tmp_path_factory):
    """A folder with a tiny network for each of two emotions, and those networks."""
    root, singles = tmp_path_factory.mktemp("set"), {}
    for index, name in enumerate(("fear", "neutral")):
        config = StylizerConfig(width=4, blocks=2, style_names=(name,))
        params = tiny.stylizer_params(config, index)
        save_checkpoint(root / name, "styles", config, params)
        singles[name] = (config, params)
    return root, singles


def test_a_network_set_paints_with_the_network_of_the_emotion(network_set, model):
    root, singles = network_set
    config, params = load_styles(root)
    assert config.network_per_style and config.style_names == ("fear", "neutral")
    banked = Model(FACES, config, {**model.params, "stylizer": params})
    for name, (single, own) in singles.items():
        alone = Model(FACES, single, {**model.params, "stylizer": own}).stylize(photo(), name)
        assert apart(banked.stylize(photo(), name), alone).max() <= 1
    two = stylize(config, params, np.stack([photo(40, 48)] * 2), np.eye(2, dtype=np.float32))
    assert apart(two[0], two[1]).mean() > 1


def test_a_network_set_reads_faces_like_any_network(network_set, model, no_faces):
    config, params = load_styles(network_set[0])
    banked = Model(FACES, config, {**model.params, "stylizer": params})
    result = banked(photo())
    assert result.style == {"neutral": 1.0}
    np.testing.assert_array_equal(result.image, banked.stylize(photo(), "neutral"))


def test_a_network_set_does_not_mix(network_set, model):
    config, params = load_styles(network_set[0])
    banked = Model(FACES, config, {**model.params, "stylizer": params})
    for options in ({"emotion": "fear:0.5,neutral:0.5"}, {"mix": "probabilities"}, {"per_face": True}):
        with pytest.raises(EmojaxError, match="cannot mix"):
            banked(photo(), **options)
    with pytest.raises(EmojaxError, match="no style for 'sad'"):
        banked(photo(), emotion="sad")


def test_the_networks_of_a_set_are_alike(network_set, tmp_path):
    save_checkpoint(tmp_path / "fear", "styles", *network_set[1]["fear"])
    save_checkpoint(tmp_path / "sad", "styles", *network_set[1]["neutral"])
    with pytest.raises(EmojaxError, match="the one style 'sad' there"):
        load_styles(tmp_path)


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


@pytest.mark.parametrize(("name", "patch"), [(None, 2), ("fast", 4)])
def test_two_networks_travel_in_the_package(optimized, name, patch):
    """They have all styles, and paint; a path is what it says."""
    assert find_styles(Path("fast")) == find_styles("./fast") == Path("fast")
    config, params = load_styles(find_styles(name))
    assert config == StylizerConfig(width=16, patch=patch, blocks=config.blocks, style_names=(*EMOTIONS, PHOTO))
    model = Model(FACES, config, {"classifier": None, "stylizer": params})
    picture = model.stylize(photo(), "happy")
    assert picture.shape == photo().shape and np.abs(picture.astype(int) - model.stylize(photo(), "sad")).mean() > 5


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


def test_the_packaged_models_have_names():
    assert emojax.available_models() == ["default", "fast"]
    assert find_styles("default") == find_styles(None)
