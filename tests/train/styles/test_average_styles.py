"""`emojax style average`: the mean of weights, and what has none."""

import jax
import numpy as np
import pytest
import tiny

from emojax.errors import EmojaxError
from emojax.nets.stylizer_config import StylizerConfig
from emojax.train.styles import average
from emojax.weights import store
from emojax.weights.load import load_styles

CONFIG = StylizerConfig(width=4, blocks=1, style_names=("happy", "sad"))


def save(path, seed=0, config=CONFIG):
    params = tiny.stylizer_params(config, seed)
    store.save_checkpoint(path, "styles", config, params)
    return params


def command(*checkpoints, output, force=False):
    return average.main(["--checkpoints", *map(str, checkpoints), "--output", str(output), *["--force"] * force])


def test_the_mean_of_the_weights(tmp_path):
    saved = [save(tmp_path / name, seed) for seed, name in enumerate("abc")]
    assert command(*(tmp_path / name for name in "abc"), output=tmp_path / "mean") == 0
    config, params = load_styles(tmp_path / "mean")
    assert config == CONFIG
    jax.tree.map(lambda x, *xs: np.testing.assert_allclose(x, sum(xs) / 3, rtol=1e-5, atol=1e-7), params, *saved)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}


def test_only_networks_that_are_alike(tmp_path):
    save(tmp_path / "a")
    save(tmp_path / "b", config=StylizerConfig(width=4, blocks=1, style_names=("sad", "happy")))
    with pytest.raises(EmojaxError, match=r"b a StylizerConfig.*only networks of one shape"):
        command(tmp_path / "a", tmp_path / "b", output=tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_what_is_averaged_is_not_overwritten(tmp_path):
    save(tmp_path / "a")
    with pytest.raises(EmojaxError, match="exists"):
        command(tmp_path / "a", output=tmp_path / "a")
    with pytest.raises(EmojaxError, match="choose another folder"):
        command(tmp_path / "a", output=tmp_path / "a", force=True)
