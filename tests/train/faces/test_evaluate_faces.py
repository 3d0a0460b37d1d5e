"""`emojax evaluate classifier`: what it reads, prints and writes."""

import io
import json

import numpy as np
import pytest
import tiny
from PIL import Image
from tiny import FACES as MODEL

from emojax.errors import EmojaxError
from emojax.faces.crops import convert_crop
from emojax.faces.find import Face
from emojax.nets import classifier
from emojax.train.faces import evaluate
from emojax.train.faces.scores import score
from emojax.train.faces.sources import FaceArchive
from emojax.weights import store

classify = tiny.compiled(classifier.classify, static_argnums=0)


@pytest.fixture(scope="module")
def variables():
    return {**tiny.classifier_variables(), "temperature": np.float32(1.5)}


@pytest.fixture(scope="module")
def saved(variables, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "step_00000001"
    store.save_checkpoint(path, "classifier", MODEL, variables, step=1, metrics={}, score=None)
    return path


def test_any_number_of_faces_is_read_as_by_classify(variables):
    crops = np.random.default_rng(0).integers(0, 256, (45, 16, 16, 3)).astype(np.uint8)
    for count in (0, 1, 45):
        rows = evaluate.classify_crops(MODEL, variables, crops[:count])
        assert rows.shape == (count, 7)
        if count:
            np.testing.assert_allclose(rows, classify(MODEL, variables, crops[:count]), atol=1e-5)


def test_the_command_writes_and_prints_the_scores(variables, saved, tiny_face_data, tmp_path, capsys):
    archive, out = tiny_face_data[1], tmp_path / "out"
    assert evaluate.main(["--checkpoint", str(saved), "--data", archive, "--split", "val", "--output", str(out)]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    probabilities, labels = evaluate.score_faces(MODEL, variables, [archive], "val")["faces"]
    assert labels.tolist() == [label for label in range(7) for _ in range(2)]
    assert metrics["scores"]["faces"] == score(probabilities, labels)
    assert metrics["split"] == "val" and metrics["temperature"] == 1.5
    for name in ("confusion_faces_val.png", "reliability_faces_val.png"):
        with Image.open(out / name) as picture:
            assert picture.format == "PNG" and picture.width > 300
    printed = capsys.readouterr().out
    assert "| faces" in printed and f"{100 * metrics['scores']['faces']['accuracy']:.1f}" in printed


def test_small_faces(variables, tiny_face_data):
    whole, same, flat = (
        evaluate.score_faces(MODEL, variables, [tiny_face_data[1]], "val", pixels)["faces"][0]
        for pixels in (None, 16, 1)
    )
    np.testing.assert_allclose(whole, same, atol=1e-6)
    assert np.abs(whole - flat).max() > 1e-3
    crop = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    assert np.ptp(evaluate._shrink(crop, 1), axis=(0, 1)).max() == 0


def test_the_margin_of_an_archive_whose_table_does_not_say_it(variables, saved, tiny_face_data, tmp_path):
    archive, margin = tiny_face_data[1], 0.25
    given, unsaid = (evaluate.labelled_faces(MODEL, [archive], "val", m)["faces"].images for m in ([margin], ()))
    with Image.open(io.BytesIO(FaceArchive(archive, "val")[0]["image"])) as crop:
        expected = convert_crop(np.asarray(crop), margin, None, MODEL.margin, MODEL.size, False)
    np.testing.assert_array_equal(given[0], expected)
    assert (unsaid[0] != expected).any()
    flags = ["--checkpoint", str(saved), "--data", archive, "--split", "val", "--output", str(tmp_path)]
    assert evaluate.main([*flags, "--margins", str(margin)]) == 0
    scores = json.loads((tmp_path / "metrics.json").read_text())["scores"]["faces"]
    with_margin, without = (
        score(*evaluate.score_faces(MODEL, variables, [archive], "val", margins=m)["faces"]) for m in ([margin], ())
    )
    assert scores == with_margin != without


def test_the_table_has_a_column_per_data_set():
    scores = score(np.eye(7)[[3, 3, 6]], np.array([3, 6, 6]))
    lines = evaluate.table({"one": scores, "two": scores}).splitlines()
    assert len({len(line) for line in lines}) == 1 and all(line.count("|") == 4 for line in lines)
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == ["faces", "3", "3"]
    recalls = {line.split("|")[1].strip(): line.split("|")[2].strip() for line in lines}
    assert recalls["recall happy"] == "100.0" and recalls["recall neutral"] == "50.0" and recalls["recall fear"] == "-"


def test_overlap():
    box = Face(10, 10, 20, 20, 1.0)
    assert evaluate.overlap(box, box) == 1
    assert evaluate.overlap(box, Face(30, 10, 20, 20, 1.0)) == 0
    assert evaluate.overlap(box, Face(20, 10, 20, 20, 1.0)) == pytest.approx(200 / 600)


def test_reading_quality_of_a_detector_that_is_right(variables, tmp_path, monkeypatch):
    """Boxes equal to the labelled ones change nothing; one that lies elsewhere is not found."""
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8))
    (tmp_path / "origin").mkdir()
    for name in ("a.png", "b.png"):
        photo.save(tmp_path / "origin" / name)
    (tmp_path / "label.lst").write_text("a.png 0 10 20 50 40 50.0 3\nb.png 0 0 0 30 30 50.0 3\n")
    monkeypatch.setattr(
        evaluate, "find_faces", lambda detector, pixels: [Face(60, 40, 20, 20, 0.9), Face(20, 10, 30, 30, 0.8)]
    )
    quality = evaluate.reading_quality(MODEL, variables, tmp_path)
    assert quality == {"labelled": 2, "found": 1, "same_top": 1.0, "mean_change": 0.0}


def test_reading_quality_without_any_face_found(variables, saved, tmp_path, monkeypatch, capsys):
    (tmp_path / "origin").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "origin" / "a.png")
    (tmp_path / "label.lst").write_text("a.png 0 0 0 30 30 50.0 3\n")
    monkeypatch.setattr(evaluate, "find_faces", lambda detector, pixels: [])
    command = ["--checkpoint", str(saved), "--reading", str(tmp_path), "--output", str(tmp_path / "out")]
    assert evaluate.main(command) == 0
    assert "0 of 1 labelled faces found" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        ([], "nothing to evaluate"),
        (["--data", "a", "b"], "two folders of ExpW, a and b"),
        (["--data", "missing.npz"], "missing.npz"),
        (["--data", "missing"], "label.lst is missing"),
        (["--reading", "missing"], "label.lst is missing"),
        (["--data", "a.npz", "--pixels", "0"], "--pixels 0: at least 1"),
        (["--data", "a.npz", "b.npz", "--margins", "0.2"], "margins.*: give one for each of the 2 archives"),
        (["--splt", "test"], "did you mean '--split'"),
    ],
)
def test_bad_input(saved, flags, part):
    with pytest.raises(EmojaxError, match=part):
        evaluate.main(["--checkpoint", str(saved), *flags])


def test_a_split_without_faces(saved, tiny_face_data, tmp_path):
    with np.load(tiny_face_data[1]) as archive:
        np.savez(tmp_path / "train.npz", **{**archive, "split": np.full(len(archive["label"]), "train")})
    with pytest.raises(EmojaxError, match="no faces in the split 'test'"):
        evaluate.main(["--checkpoint", str(saved), "--data", str(tmp_path / "train.npz")])


def test_the_packaged_classifier_on_validation_faces(shared_data, computes_long):
    """The figures of docs/results.md, less what another machine's rounding may change."""
    from emojax.util.files import PACKAGED
    from emojax.weights.load import load_classifier

    archive = str(shared_data / "faces" / "expw_crops112.npz")
    probabilities, labels = evaluate.score_faces(*load_classifier(PACKAGED / "classifier"), [archive], "val")[
        "expw_crops112"
    ]
    scores = score(probabilities, labels)
    assert scores["accuracy"] > 0.51 and scores["accuracy"] - scores["macro_f1"] < 0.02
    assert min(scores["recall"].values()) > 0.3 and scores["ece"] < scores["ece_floor"] + 0.03
