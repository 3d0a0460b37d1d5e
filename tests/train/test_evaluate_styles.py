"""`train_style.py evaluate`: what it reads, prints and writes."""

import io
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from emojax.checkpoint import save_checkpoint
from emojax.classifier import ClassifierConfig, init_classifier
from emojax.errors import UserError
from emojax.faces import Face
from emojax.stylizer import StylizerConfig, init_stylizer
from emojax.train import evaluate_styles

CONFIG = StylizerConfig(width=4, blocks=1, styles=("sad", "happy"))
FACES = ClassifierConfig(widths=(4, 4, 8), dense=8, size=16)


@pytest.fixture(scope="module")
def flags(tiny_style_data, tmp_path_factory):
    root = tmp_path_factory.mktemp("checkpoints")
    save_checkpoint(root / "styles", "styles", CONFIG, init_stylizer(CONFIG, jax.random.PRNGKey(0)))
    save_checkpoint(root / "faces", "classifier", FACES, init_classifier(FACES, jax.random.PRNGKey(0)))
    found = dict(zip(tiny_style_data[::2], tiny_style_data[1::2], strict=True))
    return [
        *("--checkpoint", str(root / "styles"), "--classifier", str(root / "faces"), "--size", "64", "--limit", "2"),
        *("--photos", found["--data.photos"], "--paintings", found["--data.paintings"], "--vgg16", found["--vgg16"]),
    ]


def test_the_command(flags, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(evaluate_styles, "OPTIMUM_SIDE", 64)
    monkeypatch.setattr(evaluate_styles, "find_faces", lambda photo: [Face(4, 4, 40, 40, 0.9), Face(0, 0, 9, 9, 0.9)])
    more = ["--output", str(tmp_path), "--style-scale", "0.25", "--optimum", "1", "--iterations", "1"]
    assert evaluate_styles.main([*flags, *more]) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert list(metrics["scores"]) == ["sad", "happy"] and metrics["photos"] == ["0.png", "1.png"]
    for row in metrics["scores"].values():
        assert set(row) == set(evaluate_styles.COLUMNS)
        np.testing.assert_allclose(row["objective"], row["content"] + 3 * row["style"], rtol=1e-5)
        assert 0 <= row["nearest"] <= 1 and row["kept"] in (0, 0.5, 1) and row["ssim"] < 1
    assert [row["style"] for row in metrics["optimum"]] == ["sad", "happy"]
    assert all(len(row["curve"]) <= 2 for row in metrics["optimum"])
    with Image.open(tmp_path / "sheet.png") as sheet:
        side = evaluate_styles.THUMBNAIL
        assert sheet.size == (3 * side, 2 * side)
    printed = capsys.readouterr().out
    assert "2 photos at 64 x 64, style scale 0.25" in printed and "| mean " in printed and "\nhappy: " in printed


def test_the_sheet_shows_photo_and_styles_in_order():
    photos = [np.full((8, 8, 3), value, np.uint8) for value in (10, 20)]
    stylized = np.stack([np.stack([photo + 100, photo + 200]) for photo in photos])
    with Image.open(io.BytesIO(evaluate_styles.contact_sheet(photos, stylized, side=4))) as sheet:
        assert np.asarray(sheet)[2::4, 2::4, 0].tolist() == [[10, 110, 210], [20, 120, 220]]


def test_emotions_are_compared_face_by_face(flags, monkeypatch):
    """Unchanged photos keep all emotions; without a face that is large enough there is nothing to say."""
    reader = evaluate_styles.Reader(Path(flags[3]))
    photos = list(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8))
    monkeypatch.setattr(evaluate_styles, "find_faces", lambda photo: [Face(4, 4, 40, 40, 0.9)])
    assert reader.kept(photos, np.stack([photos, photos], 1)) == [1.0, 1.0]
    monkeypatch.setattr(evaluate_styles, "find_faces", lambda photo: [Face(4, 4, 20, 20, 0.9)])
    assert reader.kept(photos, np.stack([photos], 1)) is None


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (["--size", "66"], "--size 66: give a multiple of 4"),
        (["--style-scale", "0"], "--style-scale 0.0"),
        (["--limit", "0"], "--limit 0"),
        (["--photos", "missing"], "missing"),
        (["--vgg16", "missing"], "--vgg16 names missing"),
        (["--stylescale", "1"], "did you mean '--style-scale'"),
    ],
)
def test_bad_input(flags, change, part):
    with pytest.raises(UserError, match=part):
        evaluate_styles.main([*flags, *change])
