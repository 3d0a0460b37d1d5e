"""Checkpoints that the training of styles starts from, and those that it releases."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny

from emojax.errors import EmojaxError
from emojax.train.styles.training import initial_params, release
from emojax.weights.load import load_styles
from emojax.weights.store import save_checkpoint


def test_training_starts_at_a_checkpoint(config):
    _, start = load_styles(config.initial)
    jax.tree.map(np.testing.assert_array_equal, initial_params(config), start)
    fear = initial_params(dataclasses.replace(config, emotion="fear"))
    jax.tree.map(
        lambda row, table: np.testing.assert_array_equal(row, table[2:3]), fear["style_table"], start["style_table"]
    )
    other = dataclasses.replace(config.model, blocks=2)
    with pytest.raises(EmojaxError, match="make them alike"):
        initial_params(dataclasses.replace(config, model=other))


def test_paintings_that_a_checkpoint_lacks_start_from_its_mean(config, capsys):
    _, start = load_styles(config.initial)
    styles = ("fear", "the_scream", "photo")
    found = initial_params(dataclasses.replace(config, model=dataclasses.replace(config.model, style_names=styles)))
    for row, table in zip(*(jax.tree.leaves(tree["style_table"]) for tree in (found, start)), strict=True):
        np.testing.assert_allclose(row, np.stack([table[2], table.mean(0), table.mean(0)]), rtol=1e-5, atol=1e-6)
    assert capsys.readouterr().err.endswith("from the mean of its styles: the_scream\n")


def test_a_release_replaces_nothing_but_checkpoints(tmp_path, monkeypatch, capsys):
    import train_style

    (tmp_path / "paintings").mkdir()
    run = ["--output", str(tmp_path / "run"), "--data.photos", "none", "--release"]
    for output in ("paintings", "run", "."):
        monkeypatch.setattr("sys.argv", ["train_style.py", "tiny", *run, str(tmp_path / output)])
        assert train_style.main() == 2
        assert "choose another folder" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["train_style.py", "tiny", *run[:2], "--score_on", str(tmp_path / "missing")])
    assert train_style.main() == 2
    assert "no photos at" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["paintings"]


MIXED = ("sad=fear:0.5,happy:1.5", "happy=happy")


def test_the_styles_of_a_release_are_mixes(config, params, tmp_path):
    model = dataclasses.replace(config.model, style_names=(*config.model.style_names, "photo"))
    mixed = dataclasses.replace(config, model=model, mixes=MIXED)
    trained = tiny.stylizer_params(model)
    save_checkpoint(tmp_path / "run", "styles", model, trained, step=3)
    release(mixed, tmp_path / "run", tmp_path / "release")
    found, params = load_styles(tmp_path / "release")
    assert found.style_names == ("sad", "happy", "photo")
    fear, happy = (model.style_names.index(name) for name in ("fear", "happy"))
    for table, rows in zip(*(jax.tree.leaves(tree["style_table"]) for tree in (params, trained)), strict=True):
        expected = [0.25 * rows[fear] + 0.75 * rows[happy], rows[happy], rows[-1]]
        np.testing.assert_allclose(table, np.stack(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("mix", "part"),
    [("sad", "write NAME=STYLE:WEIGHT"), ("sad=joy", "unknown emotion 'joy'"), ("sad=fear:-1", "not negative")],
)
def test_mixes_that_cannot_be(config, mix, part):
    with pytest.raises(EmojaxError, match=part):
        dataclasses.replace(config, mixes=(mix,))
