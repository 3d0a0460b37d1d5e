"""`emojax evaluate styles`: what it reads, prints and writes."""

import contextlib
import io
import json
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny
from PIL import Image

from emojax.errors import EmojaxError
from emojax.faces.find import Face
from emojax.images import to_unit
from emojax.nets.stylizer_config import StylizerConfig
from emojax.train.styles import evaluate as evaluate_styles
from emojax.train.styles import scoring
from emojax.train.styles.config import PhotoConfig
from emojax.train.styles.metrics import style_scores as eager_measure
from emojax.train.styles.scoring import score_photos
from emojax.train.styles.targets import painting_grams
from emojax.weights.load import load_styles
from emojax.weights.store import save_checkpoint
from emojax.weights.style_file import StyleFile, network_fingerprint, write_style_file
from emojax.weights.vgg16_file import load_vgg16

CONFIG = StylizerConfig(width=4, blocks=1, style_names=("sad", "happy"))
style_scores = tiny.compiled(eager_measure)


@pytest.fixture(scope="module")
def flags(tiny_style_data, tmp_path_factory):
    root = tmp_path_factory.mktemp("checkpoints")
    save_checkpoint(root / "styles", "styles", CONFIG, tiny.stylizer_params(CONFIG))
    save_checkpoint(root / "faces", "classifier", tiny.FACES, tiny.classifier_variables())
    found = dict(zip(tiny_style_data[::2], tiny_style_data[1::2], strict=True))
    return [
        *("--checkpoint", str(root / "styles"), "--classifier", str(root / "faces"), "--size", "64", "--limit", "2"),
        *("--photos", found["--data.photos"], "--paintings", found["--data.paintings"], "--vgg16", found["--vgg16"]),
    ]


@pytest.fixture(scope="module")
def scored(flags, tmp_path_factory):
    """The metrics of a run at style scale 0.25 where there are no faces, and its messages."""
    output, messages = tmp_path_factory.mktemp("scored"), io.StringIO()

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(messages):
        patch.setattr(scoring, "find_faces", lambda detector, photo: [])
        assert evaluate_styles.main([*flags, "--style-scale", "0.25", "--output", str(output)]) == 0
    return json.loads((output / "metrics.json").read_text()), messages.getvalue()


def test_the_command(flags, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(evaluate_styles, "OPTIMUM_SIDE", 64)
    monkeypatch.setattr(scoring, "find_faces", lambda detector, photo: [Face(4, 4, 40, 40, 0.9), Face(0, 0, 9, 9, 0.9)])
    more = ["--output", str(tmp_path), "--style-scale", "0.25", "--optimum", "1", "--iterations", "1"]
    assert evaluate_styles.main([*flags, *more]) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert [Path(name).name for name in metrics["photos"]] == ["0.png", "8.png"]  # at even distances
    assert list(metrics["scores"]) == ["sad", "happy"] and metrics["faces"] == 2  # one is too small, in each
    for row in metrics["scores"].values():
        assert set(row) == set(evaluate_styles.COLUMNS)
        np.testing.assert_allclose(row["objective"], row["content"] + 3 * row["style"], rtol=1e-5)
        assert -1 < row["ssim"] < 1
    assert [row["style"] for row in metrics["optimum"]] == ["sad", "happy"]
    assert all(len(row["curve"]) == 1 + (row["steps"] != 0) for row in metrics["optimum"])
    assert set(metrics["optimum_steps"]) == {"sad", "happy", "mean"}
    with Image.open(tmp_path / "sheet.png") as sheet:
        side = evaluate_styles.THUMBNAIL
        assert sheet.size == (3 * side, 2 * side)
    printed = capsys.readouterr().out
    assert "2 photos at 64 x 64, style scale 0.25, 2 faces" in printed and "| mean " in printed
    assert "\nhappy: " in printed
    sad, happy = (metrics["scores"][name]["style_ratio"] for name in ("sad", "happy"))
    np.testing.assert_allclose(metrics["strengths"], [2 * sad / (sad + happy), 2 * happy / (sad + happy)], atol=0.006)


def test_the_style_scale_is_that_of_the_paintings(flags, scored, tmp_path):
    assert evaluate_styles.main([*flags, "--style-scale", "0.5", "--output", str(tmp_path)]) == 0
    half = json.loads((tmp_path / "metrics.json").read_text())["scores"]["sad"]
    quarter = scored[0]["scores"]["sad"]
    assert quarter["content"] == half["content"] and quarter["style"] != half["style"]


def test_no_photo_is_replaced(flags, tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "sheet.png")
    with pytest.raises(EmojaxError, match=r"holds the photo sheet\.png"):
        evaluate_styles.main([*flags, "--photos", str(tmp_path), "--output", str(tmp_path)])


def test_every_style_is_compared_with_its_own_painting(flags):
    found = dict(zip(flags[::2], flags[1::2], strict=True))
    vgg = load_vgg16(found["--vgg16"])
    paintings = PhotoConfig(paintings=(found["--paintings"],), painting_size=32)
    grams = painting_grams(vgg, paintings, CONFIG.style_names)
    params = tiny.stylizer_params(CONFIG)
    photo = scoring.read_photos([found["--photos"]], 64, 1)
    seen = []
    scores = score_photos(CONFIG, params, vgg, grams, photo, lambda photo, pictures: seen.append(pictures))
    (pixels,) = photo.values()
    unit = to_unit(pixels)[None]
    before = style_scores(vgg, grams, unit, unit)["style"]
    for index, style in enumerate(CONFIG.style_names):
        code = tiny.code_of(params["style_table"], np.eye(2)[index : index + 1])
        stylized = tiny.stylize_with_code(CONFIG, params["network"], unit, code)
        expected = style_scores(vgg, grams, unit, stylized)
        np.testing.assert_allclose(scores[style]["style"], expected["style"][index], rtol=1e-3)
        np.testing.assert_allclose(scores[style]["style_ratio"], expected["style"][index] / before[index], rtol=1e-3)
        np.testing.assert_allclose(scores[style]["content"], expected["content"], rtol=1e-3)
        assert np.abs(seen[0][index] - stylized[0] * 255).max() < 1
    assert scores["sad"]["style"] != scores["happy"]["style"]


def test_steps_that_were_not_enough_count_in_full():
    rows = [{"style": style, "steps": n} for style, n in (("sad", 20), ("sad", None), ("happy", 100))]
    assert scoring.optimum_summary(rows, 150) == {"sad": 85, "happy": 100, "mean": 92.5}
    none = [{"style": "sad", "steps": 0}]  # a network that is no better than the photo
    assert scoring.optimum_summary(none, 150) == {"sad": 0, "mean": 0}


def test_the_sheet_shows_photo_and_styles_in_order():
    sheet = evaluate_styles.Sheet(side=4)
    for value in (10, 20):
        photo = np.full((8, 8, 3), value, np.uint8)
        sheet.add(photo, np.stack([photo + 100, photo + 200]))
    with Image.open(io.BytesIO(sheet.png())) as picture:
        assert np.asarray(picture)[2::4, 2::4, 0].tolist() == [[10, 110, 210], [20, 120, 220]]


def test_emotions_are_compared_face_by_face(flags, monkeypatch):
    """Unchanged photos keep all emotions; faces that are too small do not count."""
    retention = scoring.Retention(Path(flags[3]), 2)
    photos = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    monkeypatch.setattr(scoring, "find_faces", lambda detector, photo: [Face(4, 4, 20, 20, 0.9)])
    retention.add(photos[0], photos)
    assert retention.faces == 0
    monkeypatch.setattr(
        scoring, "find_faces", lambda detector, photo: [Face(4, 4, 40, 40, 0.9), Face(20, 20, 40, 40, 0.9)]
    )
    for photo in photos:
        retention.add(photo, np.stack([photo, photo]))
    assert retention.faces == 4 and retention.same.tolist() == [4, 4]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (["--size", "66"], "--size 66: give a multiple of 4"),
        (["--style-scale", "0"], "`style_scale` 0.0"),
        (["--sheet-side", "0"], "--sheet-side 0"),
        (["--limit", "0"], "--limit 0"),
        (["--optimum", "-1"], "--optimum -1: it is not negative"),
        (["--photos", "missing"], "missing"),
        (["--vgg16", "missing"], "`vgg16` names missing"),
        (["--output", "/dev/null"], "cannot write into /dev/null"),
        (["--stylescale", "1"], "did you mean '--style-scale'"),
    ],
)
def test_bad_input(flags, change, part, tmp_path):
    with pytest.raises(EmojaxError, match=part):
        evaluate_styles.main([*flags, "--output", str(tmp_path), *change])


def test_packs_are_scored_instead_of_the_networks_styles(flags, scored, tmp_path):
    found = dict(zip(flags[::2], flags[1::2], strict=True))
    _, params = load_styles(found["--checkpoint"])
    row = jax.tree.map(lambda table: table[0], params["style_table"])  # sad's
    write_style_file(tmp_path / "joy.pack", StyleFile("joy", network_fingerprint(params["network"]), row, b""))
    painting = Path(found["--paintings"]) / "sad" / "painting.png"
    shared = [*flags, "--output", str(tmp_path / "out"), "--style-scale", "0.25"]
    assert evaluate_styles.main([*shared, "--packs", str(tmp_path / "joy.pack"), "--paintings", f"joy={painting}"]) == 0
    joy = json.loads((tmp_path / "out" / "metrics.json").read_text())["scores"]
    sad = scored[0]["scores"]["sad"]
    assert joy.keys() == {"joy"} and "nearest_painting" not in joy["joy"]
    np.testing.assert_allclose(joy["joy"]["objective"], sad["objective"], rtol=1e-4)
    np.testing.assert_allclose(joy["joy"]["objective_ratio"], sad["objective_ratio"], rtol=1e-4)


def test_a_bank_is_scored_like_a_shared_network(flags, tmp_path):
    for index, name in enumerate(("sad", "happy")):
        single = StylizerConfig(width=4, blocks=1, style_names=(name,))
        save_checkpoint(tmp_path / "set" / name, "styles", single, tiny.stylizer_params(single, index))
    scores = {}
    for checkpoint in ("set", "set/sad"):
        shared = [*flags, "--style-scale", "0.25", "--checkpoint", str(tmp_path / checkpoint)]
        assert evaluate_styles.main([*shared, "--output", str(tmp_path / "out")]) == 0
        scores[checkpoint] = json.loads((tmp_path / "out" / "metrics.json").read_text())["scores"]
    assert list(scores["set"]) == ["happy", "sad"]  # in the order of the emotions
    np.testing.assert_allclose(scores["set"]["sad"]["objective"], scores["set/sad"]["sad"]["objective"], rtol=1e-4)
