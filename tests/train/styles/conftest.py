"""What tests of training styles share."""

import dataclasses

import pytest
import tiny

from configs.style import PRESETS
from emojax.train.options import parse_preset
from emojax.weights.store import save_checkpoint


@pytest.fixture(scope="module")
def config(tiny_style_data, tmp_path_factory):
    """The tiny preset with fewer layers, from a given start: most of the time here is compiling."""
    config = parse_preset(["tiny", *tiny_style_data, *tiny.LESS], PRESETS, "train_style.py")[1]
    start = tmp_path_factory.mktemp("start") / "start"
    save_checkpoint(start, "styles", config.model, tiny.stylizer_params(config.model))
    return dataclasses.replace(config, initial=str(start))


@pytest.fixture(scope="module")
def params(config):
    return tiny.stylizer_params(config.model)
