"""What callers of the Python API can get wrong: always an EmojaxError, one line that names the value."""

import io
import math
import pickle
import re
import subprocess
import sys
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import tiny
from PIL import Image

import emojax
from emojax.errors import EmojaxError, InputError
from emojax.images import Photo
from emojax.options import StylizeOptions
from emojax.pipeline import Model
from emojax.pipeline.inputs import as_pictures
from emojax.weights.style_file import StyleFile

PHOTO = np.zeros((20, 24, 3), np.uint8)


@pytest.fixture(autouse=True)
def as_users_have_it():
    """Without the checks of annotations, which would come first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def model():
    params = {"classifier": tiny.classifier_variables(), "stylizer": tiny.stylizer_params()}
    return Model(tiny.FACES, tiny.STYLES, params)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"strenght": 1}, r"unknown option 'strenght' \(did you mean 'strength'\?\)"),
        ({"style_scale": "2"}, "style_scale"),
        ({"style_scale": math.inf}, "style_scale"),
        ({"style_scale": None}, "style_scale"),
        ({"strength": "1"}, "strength"),
        ({"strength": [1]}, "strength"),
        ({"strength": math.nan}, "strength"),
        ({"face_strength": True}, "face_strength"),
        ({"colors": ["photo"]}, "colors"),
        ({"mix": ["dominant"]}, "mix"),
        ({"mix": np.array(["a", "b"])}, "mix"),
        ({"no_face": 3}, "no_face"),
        ({"face": 1.0}, "face"),
        ({"face": -1}, "face"),
        ({"face": "9" * 30}, "face"),
        ({"face": True}, "face"),
        ({"face": np.arange(3)}, "face"),
        ({"per_face": "no"}, "per_face"),
        ({"faces_only": "no"}, "faces_only"),
        ({"background_only": np.array([1, 2])}, "background_only"),
        ({"strength": 10**400}, "strength"),
        ({"style_scale": 10**400}, "style_scale"),
        ({"emotion": 3}, "emotion 3"),
        ({"emotion": ["happy"]}, "emotion"),
        ({"emotion": {"happy": "1"}}, "weight of 'happy'"),
        ({"emotion": {"happy": np.ones(2)}}, "weight of 'happy'"),
        ({"emotion": {3: 1}}, "unknown emotion 3"),
        ({"emotion": {}}, "sum to zero"),
    ],
)
def test_options(model, options, part):
    with pytest.raises(InputError, match=part) as error:
        model(PHOTO, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "photo", [None, 3, [], [[0]], object(), {"a": 1}, PHOTO.tolist(), np.zeros((4, 4)), "", "\0", b""]
)
@pytest.mark.parametrize("method", ["__call__", "find_faces", "stylize", "paint"])
def test_photos(model, photo, method):
    more = {"stylize": ("happy",), "paint": (PHOTO,)}.get(method, ())
    with pytest.raises(EmojaxError) as error:
        getattr(model, method)(photo, *more)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("crops", "margin", "part"),
    [
        (PHOTO, 0.0, r"crops are uint8 \[20, 24, 3\]"),
        (np.zeros((2, 4, 4, 3)), 0.0, "float64"),
        (np.zeros((2, 0, 4, 3), np.uint8), 0.0, "crops are"),
        (Image.new("RGB", (4, 4)), 0.0, "crops are a Image"),
        ("a.png", 0.0, "crops are a str"),
        (None, 0.0, "crops are a NoneType"),
        ([PHOTO, 3], 0.0, "crop 1 is a int"),
        (PHOTO[None], math.inf, "margin"),
        (PHOTO[None], -1, "margin"),
        (PHOTO[None], "0", "margin"),
        (PHOTO[None], None, "margin"),
    ],
)
def test_crops(model, crops, margin, part):
    with pytest.raises(EmojaxError, match=part):
        model.classify(crops, margin)


def test_crops_of_every_kind_are_alike():
    jnp = pytest.importorskip("jax.numpy")
    picture = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    for crops in (picture[None], [picture], [Image.fromarray(picture)], jnp.asarray(picture[None])):
        (found,) = as_pictures(crops)
        np.testing.assert_array_equal(found, picture)


@pytest.mark.parametrize(
    "options", [{"size": "512"}, {"size": 3}, {"seconds": 0}, {"seconds": math.nan}, {"seed": -1}, {"seed": 0.5}]
)
def test_options_of_the_optimization(model, options):
    with pytest.raises(InputError, match=next(iter(options))):
        model.paint(PHOTO, PHOTO, **options)


@pytest.mark.parametrize(
    "photos",
    [
        *("a.png", b"a", bytearray(b"a"), memoryview(b"a"), io.BytesIO(b"a"), Path("a.png"), 3, None),
        *(Image.new("RGB", (4, 4)), PHOTO, PHOTO[0], np.uint8(3), Photo(PHOTO)),
    ],
    ids=lambda photos: type(photos).__name__,
)
def test_one_photo_where_many_are_wanted(model, photos):
    with pytest.raises(InputError, match=f"photos is one {type(photos).__name__}: give a list"):
        model.stylize_many(photos)  # at once, not when the first result is wanted


class BrokenPath:
    """A path of another library, whose connection is lost."""

    def __fspath__(self):
        raise ConnectionError("no\nconnection")


class NoPath:
    def __fspath__(self):
        return 3


class BytesPath:
    """A path as `os.scandir(b"folder")` gives it."""

    def __fspath__(self):
        return b"missing.jpg"


@pytest.mark.parametrize(
    ("item", "part"),
    [
        (BytesPath(), "missing.jpg does not exist|cannot read missing.jpg|missing.jpg: "),
        (BrokenPath(), "a BrokenPath that gives no path: no connection"),
        (NoPath(), "a NoPath that gives no path"),
        (None, "a NoneType: give a path"),
        (PHOTO[0], r"uint8 \[24, 3\]"),
    ],
)
def test_an_item_that_is_no_photo_does_not_stop_the_others(model, item, part):
    options = {"no_face": "skip"}  # nothing is compiled
    first, second, third = model.stylize_many([PHOTO, item, PHOTO], **options)
    assert first.error is None and third.error is None
    assert re.search(part, second.error) and "\n" not in second.error
    with pytest.raises(InputError, match=part):
        model(item, **options)


def test_an_array_of_photos_is_many(model):
    assert [result.error for result in model.stylize_many(np.stack([PHOTO] * 3), no_face="skip")] == [None] * 3
    different = np.array([PHOTO, None], object)
    different[1] = PHOTO[:, :-8]
    assert [result.error for result in model.stylize_many(different, no_face="skip")] == [None] * 2
    (result,) = model.stylize_many(np.array(["missing.jpg"]))
    assert "missing.jpg" in result.error


@pytest.mark.parametrize(
    ("pixels", "alpha", "part"),
    [
        (None, None, "the photo is a NoneType: give uint8"),
        (PHOTO.astype(float), None, r"the photo is float64 \[20, 24, 3\]"),
        (PHOTO[0], None, r"uint8 \[24, 3\]"),
        (PHOTO[:0], None, r"uint8 \[0, 24, 3\]"),
        (PHOTO, PHOTO[1:, :, 0], r"`alpha` is uint8 \[19, 24\]: give uint8 \[20, 24\]"),
        (PHOTO, "opaque", "`alpha` is a str"),
    ],
)
def test_a_malformed_photo(pixels, alpha, part):
    with pytest.raises(InputError, match=part):
        Photo(pixels, alpha)


@pytest.mark.parametrize("painting", [None, PHOTO])
@pytest.mark.parametrize(
    ("misspelt", "meant"), [("strenght", "strength"), ("second", "seconds"), ("emotoin", "emotion"), ("seeed", "seed")]
)
def test_a_misspelt_option_of_the_optimization(model, painting, misspelt, meant):
    with pytest.raises(InputError, match=rf"unknown option '{misspelt}' \(did you mean '{meant}'\?\): choose from "):
        model.paint(PHOTO, painting, **{misspelt: 1})


def test_an_option_that_a_painting_replaces(model):
    with pytest.raises(InputError, match="emotion chooses among the emotions' styles"):
        model.paint(PHOTO, PHOTO, emotion="sad")


@pytest.mark.parametrize("given", ["a.pack", 3, None, [3], ["missing.pack"], [b"x"]])
def test_style_files(model, given):
    with pytest.raises(EmojaxError):
        model.with_style_files(given)


@pytest.mark.parametrize("given", [3, object(), b"x", ["a"]])
def test_what_is_no_checkpoint(given):
    with pytest.raises(InputError, match="give a name or a path"):
        emojax.load(given)
    with pytest.raises(InputError, match="give a name or a path"):
        emojax.load(None, given)


@pytest.mark.parametrize("given", ["missing", "\0", "x" * 5000])
def test_a_checkpoint_that_is_not_there(given):
    with pytest.raises(EmojaxError, match="does not exist"):
        emojax.load(given)


def test_models_and_style_files_print_in_a_line(model):
    code = {"down0": {"scale": np.ones(4000, np.float32), "shift": np.ones(4000, np.float32)}}
    for thing in (model, StyleFile("joy", "0" * 64, code, bytes(5000)), StylizeOptions()):
        assert len(repr(thing)) < 400 and "\n" not in repr(thing)


def test_errors_travel_between_processes():
    """multiprocessing pickles them."""
    for kind in (EmojaxError, InputError, emojax.CheckpointError, emojax.NoFaceError, emojax.ResourceError):
        again = pickle.loads(pickle.dumps(kind("words")))
        assert type(again) is kind and str(again) == "words"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork()")
def test_a_model_in_a_forked_process():
    """An error at once, where it once hung; in a process of its own, because pytest has threads."""
    code = (
        "import os, sys, warnings; warnings.simplefilter('ignore')\n"
        "import numpy as np, emojax\n"
        "model = emojax.load()\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    try: model(np.zeros((16, 16, 3), np.uint8), emotion='sad')\n"
        "    except emojax.ResourceError as error: os._exit(7 if 'spawn' in str(error) else 8)\n"
        "    os._exit(9)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=300, check=False).returncode == 7
