"""The settings of the training of styles: losses that cannot be, and what the minutes are for."""

import pytest

from emojax.errors import EmojaxError
from emojax.train.styles.config import StyleLossConfig, StyleTraining


@pytest.mark.parametrize(
    ("bad", "part"),
    [
        ({"palette": -1.0}, "^`palette` -1.0: it is a number, at least 0$"),
        ({"strengths": (1.0, -1.0)}, "`strengths` .*: each is a number, at least 0"),
        ({"style_layers": ("relu1_2",)}, "`style_layer_weights` .*: give one for each of the 1 style layers"),
        ({"style_layers": ("relu1_2", "relu2_2", "relu3_3", "relu5_1")}, "layer 'relu5_1': choose from"),
        ({"transport": 1.0, "columns": ("pool1",)}, "layer 'pool1'"),
        ({"positions": 1}, "`positions` 1: it is a whole number, at least 2"),
    ],
)
def test_invalid_losses(bad, part):
    with pytest.raises(EmojaxError, match=part):
        StyleLossConfig(**bad)


@pytest.mark.parametrize(
    ("more", "seconds"),
    [
        ({}, None),
        ({"minutes": 10.0}, 600),
        ({"minutes": 5.0, "release": "here"}, 270),
        ({"minutes": 20.0, "score_on": ("photos",)}, 1140),
    ],
)
def test_some_of_the_minutes_are_for_scoring_and_release(more, seconds):
    assert StyleTraining(**more).length().seconds == (None if seconds is None else pytest.approx(seconds))
