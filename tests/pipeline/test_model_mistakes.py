"""What a model refuses: one line that names the mistake."""

import numpy as np
import pytest
import tiny
from photos import photo
from tiny import FACES, STYLES

from emojax.errors import EmojaxError
from emojax.nets.stylizer_config import StylizerConfig
from emojax.pipeline import Model


def unchecked(model, *args, **options):
    """Calls the model as outside of tests, where types are not checked."""
    return Model.__call__.__wrapped__(model, *args, **options)


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda m: m.classify(np.zeros((2, 8, 8, 3))), "float64"),
        (lambda m: m.classify(np.zeros((8, 8, 3), np.uint8)), r"\[8, 8, 3\]"),
        (lambda m: m.classify(np.zeros((1, 8, 8, 3), np.uint8), margin=-1), "margin` -1"),
        (lambda m: m.stylize(np.zeros((8, 8), np.uint8), "sad"), r"\[8, 8\]"),
        (lambda m: m.stylize(np.zeros((0, 8, 3), np.uint8), "sad"), r"\[0, 8, 3\]"),
        (lambda m: m.stylize(photo(), "sda"), "did you mean 'sad'"),
        (lambda m: unchecked(m, photo(), mix="average"), "`mix` 'average'"),
        (lambda m: unchecked(m, photo(), no_face="ignore"), "`no_face` 'ignore'"),
        (lambda m: m(photo(), face="biggest"), "`face` 'biggest'"),
        (lambda m: m(photo(), face=-1), "`face` -1"),
        (lambda m: m.find_faces(np.zeros((8, 8), np.uint8)), r"\[8, 8\]"),
        (lambda m: m.find_faces(np.zeros((8, 8, 4), np.uint8)), r"\[8, 8, 4\]"),
        (lambda m: m("no/such/photo.jpg"), "photo.jpg"),
    ],
)
def test_mistakes(model, call, part):
    with pytest.raises(EmojaxError, match=part):
        call(model)


def test_a_network_that_lacks_the_style():
    config = StylizerConfig(width=4, blocks=0, style_names=("sad", "fear"))
    params = {"classifier": tiny.classifier_variables(), "stylizer": tiny.stylizer_params(config)}
    model = Model(FACES, config, params)
    assert model.stylize(photo(), "sad").shape == (40, 50, 3)
    with pytest.raises(EmojaxError, match="no style for 'happy': it has sad, fear"):
        model.stylize(photo(), "happy")


def test_per_face_reads_faces():
    with pytest.raises(EmojaxError, match="leave out"):
        Model(FACES, STYLES, {})(photo(), per_face=True, emotion="sad")


@pytest.mark.parametrize("scale", [0.2, 5, float("nan")])
def test_style_scale_has_limits(model, scale):
    with pytest.raises(EmojaxError, match="0.25 to 4"):
        model(photo(), style_scale=scale)


def test_the_name_of_version_0_1_still_works(model):
    with pytest.warns(DeprecationWarning, match=r"Model\.stylizer"):
        assert model.styles is model.stylizer
