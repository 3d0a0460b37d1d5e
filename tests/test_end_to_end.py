"""Trains tiny models with the project's own scripts, resumes, loads them into the pipeline, stylizes a photo."""

import json
import runpy
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import emojax


@pytest.mark.slow
def test_train_save_resume_load_stylize(tiny_style_data, tiny_face_data, tmp_path, monkeypatch, capsys):
    """The styles are trained in a process of its own; the other scripts run in this one, which has imported already."""

    def run(script, *argv):
        monkeypatch.setattr("sys.argv", [script, *argv])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(script, run_name="__main__")
        assert not ended.value.code
        return capsys.readouterr()

    def start(*command):
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=600, check=True)
        return done.stderr

    classifier, styles = tmp_path / "classifier", tmp_path / "styles"
    for script, data, output in (
        ("train_classifier.py", tiny_face_data, classifier),
        ("train_style.py", tiny_style_data, styles),
    ):
        command = [script, "tiny", *data, "--output", str(output)]
        assert "already has" not in (run(*command).err if script == "train_classifier.py" else start(*command))
        assert "already has" in run(*command).err  # the second time there is nothing left to do
        assert (output / "curves.png").exists() and (output / "metrics.jsonl").exists()

    model = emojax.load(classifier=classifier, styles=styles)
    out = model.stylize(np.zeros((30, 40, 3), np.uint8), "sad")
    assert out.shape == (30, 40, 3)

    photo = tmp_path / "photo.png"
    Image.open("examples/astronaut.jpg").resize((128, 128)).save(photo)
    command = ["stylize.py", "--input", str(photo), "--classifier", str(classifier), "--styles", str(styles), "--json"]
    row = json.loads(run(*command).out)
    with Image.open(row["output"]) as art:
        assert art.size == (128, 128) and row["size"] == [128, 128]
    assert len(row["faces"]) == 1 and abs(sum(row["emotion"].values()) - 1) < 1e-4
    assert row["style"] == {row["dominant_emotion"]: 1.0}
