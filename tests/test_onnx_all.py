"""The ONNX model of photo to picture against the function that it was written from, in ONNX Runtime."""

import dataclasses
import functools
import json

import numpy as np
import pytest
import tiny
from PIL import Image
from sessions import open_model

from emojax.cli.export import export as main
from emojax.emotions import EMOTIONS, NEUTRAL, PHOTO
from emojax.errors import InputError
from emojax.export import export_onnx_all, onnx_all
from emojax.faces.detector import load_detector
from emojax.faces.exportable import MAX_FACES
from emojax.nets.classifier_config import ClassifierConfig
from emojax.nets.stylizer_config import StylizerConfig
from emojax.pipeline.forward import StylizedPhoto, classify_then_stylize
from emojax.pipeline.regions import MAX_REGIONS
from emojax.util.files import PACKAGED
from emojax.weights.load import find_styles, load_classifier, load_styles

ALIGNED = ClassifierConfig("mobilefacenet", widths=(4, 4, 4), dense=8, size=16, channels=3, aligned=True, domains=2)
SPARING = StylizerConfig(width=4, blocks=2, patch=2, style_names=("happy", "sad", PHOTO, "surprise", "neutral", "fear"))
ONE_STYLE = StylizerConfig(width=4, blocks=1, style_names=("own",))
COARSE = dataclasses.replace(ONE_STYLE, patch=4)  # for a large photo: it has no layers of the photo's size
SIDE = 320  # of most photos: one program
jax_model = tiny.compiled(classify_then_stylize, static_argnums=(0, 1, 2))


@functools.cache
def parameters(classifier, styles):
    variables = tiny.classifier_variables(classifier)
    for name, layer in variables["params"].items():  # else all faces would read alike
        if name.startswith("Dense"):
            layer["kernel"] = (300 if classifier is ALIGNED else 4) * layer["kernel"]
    return {
        "detector": load_detector(),
        "classifier": variables,
        "stylizer": tiny.stylizer_params(styles, apart=0.3),
    }


@functools.cache
def session_of(classifier, styles):
    params = parameters(classifier, styles)
    return open_model(export_onnx_all(classifier, params["classifier"], styles, params["stylizer"]))


def run(session, photo):
    return StylizedPhoto(*session.run(StylizedPhoto._fields, {"photo": np.ascontiguousarray(photo)}))


def astronaut():
    return Image.open("examples/astronaut.jpg").convert("RGB")


def portrait(side=SIDE):
    return astronaut().crop((60, 0, 380, 320)).resize((side, side), Image.Resampling.BICUBIC)


def crowd(count, side, seed=0):
    """count x count faces of different sizes and colours."""
    rng, picture, cell = np.random.default_rng(seed), Image.new("RGB", (side, side)), side // count
    for index in range(count * count):
        face = astronaut().crop((150, 10, 310, 170)).resize((round(cell * rng.uniform(0.8, 1)),) * 2)
        face = Image.fromarray((np.asarray(face) * rng.uniform(0.6, 1, (1, 1, 3))).astype(np.uint8))
        picture.paste(face, (index % count * cell, index // count * cell))
    return picture


PHOTOS = {
    "upright": (portrait, 1),
    "turned by 90": (lambda: np.rot90(portrait(), -1), 1),
    "turned by 180": (lambda: np.rot90(portrait(), 2), 1),
    "turned by 270": (lambda: np.rot90(portrait()), 1),
    "tilted": (lambda: portrait().rotate(35), 1),
    "at the edge": (lambda: np.roll(portrait(), (-50, -60), axis=(0, 1)), 1),
    "nine faces": (lambda: crowd(3, SIDE), 9),
    "no face": (lambda: tiny.blocks(np.random.default_rng(0), SIDE), 0),
}


def assert_same(found, expected):
    n = int(expected.number)
    assert found.number == n
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.5)
    np.testing.assert_allclose(found.landmarks[:n], expected.landmarks[:n], atol=0.5)
    np.testing.assert_allclose(found.probabilities[:n], expected.probabilities[:n], atol=1e-3)
    np.testing.assert_array_equal(found.style, expected.style)
    assert found.picture.shape == expected.picture.shape and found.picture.dtype == np.uint8
    difference = np.abs(found.picture.astype(int) - expected.picture)
    assert (difference <= 1).mean() >= 0.999 and difference.max() <= 4


@pytest.mark.parametrize("photo", PHOTOS)
@pytest.mark.parametrize(
    ("classifier", "styles"), [(ALIGNED, SPARING), (tiny.FACES, ONE_STYLE)], ids=["aligned", "by the box"]
)
def test_it_equals_jax(classifier, styles, photo):
    make, count = PHOTOS[photo]
    photo = np.array(make())
    found = run(session_of(classifier, styles), photo)
    assert found.number == count
    assert_same(found, jax_model(classifier, styles, "dominant", parameters(classifier, styles), photo))
    assert found.picture.std() > 5  # a picture, in which a difference would be seen
    assert not found.boxes[count:].any()
    for rows in (found.boxes, found.landmarks, found.probabilities):
        assert len(rows) == MAX_FACES and rows[:count].any(axis=-1).all()


def test_only_the_largest_faces_are_spared(monkeypatch):
    photo = np.array(crowd(5, SIDE, seed=9))  # the 16th is clearly larger than the 17th
    found = run(session_of(ALIGNED, SPARING), photo)
    areas = found.boxes[:, 2:].prod(axis=1)
    assert found.number == 25 > MAX_REGIONS and areas[MAX_REGIONS - 1] > 1.1 * areas[MAX_REGIONS]
    assert_same(found, jax_model(ALIGNED, SPARING, "dominant", parameters(ALIGNED, SPARING), photo))
    monkeypatch.setattr(onnx_all, "MAX_REGIONS", MAX_FACES)
    params = parameters(ALIGNED, SPARING)
    every = run(open_model(export_onnx_all(ALIGNED, params["classifier"], SPARING, params["stylizer"])), photo)
    x, y, width, height = found.boxes[MAX_REGIONS].round().astype(int)
    change = np.abs(every.picture.astype(int) - found.picture).mean(axis=-1)
    assert change[y : y + height, x : x + width].mean() > 2


def test_it_names_its_outputs_like_the_python_function():
    session = session_of(ALIGNED, SPARING)
    assert [output.name for output in session.get_outputs()] == [*StylizedPhoto._fields]
    assert [(end.name, end.shape) for end in session.get_inputs()] == [("photo", ["height", "width", 3])]
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["emotions"]) == [*EMOTIONS] and json.loads(metadata["styles"]) == [*SPARING.style_names]


def test_without_a_face_the_style_is_neutral():
    found = run(session_of(ALIGNED, SPARING), PHOTOS["no face"][0]())
    assert SPARING.style_names[found.style.argmax()] == EMOTIONS[NEUTRAL] and found.style.sum() == 1


@pytest.mark.slow
def test_a_large_photo_is_reduced_and_the_likeliest_faces_are_kept():
    """81 faces in a photo whose view has half the size."""
    photo = np.asarray(crowd(9, 1287))[:, :1281]
    found = run(session_of(tiny.FACES, COARSE), photo)
    assert found.number == MAX_FACES
    areas = found.boxes[:, 2:].prod(axis=1)
    assert (np.diff(areas) <= 0).all() and areas[0] > 1.1 * areas[-1] > 0  # the largest first
    expected = jax_model(tiny.FACES, COARSE, "dominant", parameters(tiny.FACES, COARSE), photo)
    # Of 64 faces, some are so nearly equal that rounding decides which comes first.
    same = np.abs(found.boxes[None] - expected.boxes[:, None]).max(axis=-1).argmin(axis=1)
    assert sorted(same) == [*range(MAX_FACES)]
    rows = {name: getattr(found, name)[same] for name in ("boxes", "landmarks", "probabilities")}
    assert_same(found._replace(**rows), expected)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 300), (250, 19)])
def test_any_shape_of_photo(height, width):
    photo = np.asarray(tiny.blocks(np.random.default_rng(0), 300))[:height, :width]
    found = run(session_of(ALIGNED, SPARING), photo)
    assert found.picture.shape == photo.shape and found.number == 0 and not found.boxes.any()


@pytest.mark.slow
def test_the_packaged_networks_equal_jax():
    (classifier, variables), (styles, params) = load_classifier(PACKAGED / "classifier"), load_styles(find_styles(None))
    session = open_model(export_onnx_all(classifier, variables, styles, params))
    everything = {"detector": load_detector(), "classifier": variables, "stylizer": params}
    for width, height in ((512, 512), (389, 517)):
        photo = np.asarray(astronaut().resize((width, height)))
        found = run(session, photo)
        assert found.number == 1
        assert_same(found, jax_model(classifier, styles, "dominant", everything, photo))
        assert EMOTIONS[found.probabilities[0].argmax()] == styles.style_names[found.style.argmax()] == "happy"


def test_network_sets_are_refused():
    per_style = StylizerConfig(width=4, blocks=1, network_per_style=True)
    with pytest.raises(InputError, match="export each network by itself"):
        export_onnx_all(tiny.FACES, {}, per_style, {})


def test_the_command(tmp_path, capsys):
    path = tmp_path / "all.onnx"
    assert main(["--format", "onnx", "--part", "all", "--styles", "fast", "--output", str(path)]) == 0
    assert "onnx, photo to picture" in capsys.readouterr().err
    assert [output.name for output in open_model(path.read_bytes()).get_outputs()] == [*StylizedPhoto._fields]
