"""Starting from VGG16's convolutions or from another classifier."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny

from emojax.errors import EmojaxError
from emojax.nets.classifier import init_classifier, network_input
from emojax.nets.classifier_config import ClassifierConfig
from emojax.nets.classifier_nets import Classifier
from emojax.train.faces.config import ClassifierTraining
from emojax.train.faces.training import initial_variables
from emojax.train.faces.transfer import from_checkpoint, from_vgg16
from emojax.weights.store import save_checkpoint
from emojax.weights.vgg16_file import load_vgg16

SMALL = ClassifierConfig("vgg16", widths=(4, 8), size=16)


def first_features(config, variables, faces):
    """The classifier's own conv1_2, after its ReLU, which the capture does not see."""
    network = {name: variables[name] for name in ("params", "batch_stats")}

    @tiny.compiled
    def captured(network, faces):
        return Classifier(config).apply(
            network, network_input(config, faces), capture_intermediates=True, mutable=["intermediates"]
        )[1]["intermediates"]["conv1_2"]["__call__"][0]

    return np.maximum(captured(network, faces), 0)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_first_convolutions_see_what_vgg16_sees(tiny_style_data, channels):
    """Grey faces in RGB give the same features, away from the padding, which is mid-grey instead of the mean."""
    vgg = load_vgg16(tiny_style_data[-1])
    vgg["mean"] = np.array([120.0, 110.0, 100.0], np.float32)
    config = dataclasses.replace(SMALL, channels=channels)
    variables = from_vgg16(tiny.classifier_variables(config), vgg)
    grey = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 1)).astype(np.uint8)
    faces = np.repeat(grey, 3, -1)
    ours = first_features(config, variables, faces)
    theirs = tiny.vgg16_features(vgg, faces.astype(np.float32), layers=("relu1_2",))["relu1_2"]
    scale = np.abs(theirs).max()
    np.testing.assert_allclose(ours[:, 2:-2, 2:-2] / scale, theirs[:, 2:-2, 2:-2] / scale, atol=1e-5)
    np.testing.assert_array_equal(variables["params"]["conv2_2"]["kernel"], vgg["conv2_2"]["kernel"])


def test_other_widths_are_refused(tiny_style_data):
    config = ClassifierConfig("vgg16", widths=(4, 2), size=16)
    with pytest.raises(EmojaxError, match=r"conv2_1 is \[3, 3, 4, 2\] here and \[3, 3, 4, 8\] in VGG16"):
        from_vgg16(tiny.classifier_variables(config), load_vgg16(tiny_style_data[-1]))


def test_where_a_run_starts(tiny_style_data, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    plain = ClassifierTraining(model=SMALL, vgg16="random")
    fresh = initial_variables(plain)
    jax.tree.map(np.testing.assert_array_equal, fresh, init_classifier(SMALL, jax.random.PRNGKey(0)))
    with pytest.raises(EmojaxError, match="in VGG16: set `model.widths`"):
        initial_variables(ClassifierTraining(model=SMALL))  # the packaged weights are wider
    seen = initial_variables(ClassifierTraining(model=SMALL, vgg16=tiny_style_data[-1]))
    assert np.abs(seen["params"]["conv1_2"]["kernel"] - fresh["params"]["conv1_2"]["kernel"]).max() > 0
    save_checkpoint(tmp_path / "start", "classifier", SMALL, seen)
    again = initial_variables(ClassifierTraining(model=SMALL, initial=str(tmp_path / "start")))
    jax.tree.map(np.testing.assert_array_equal, again, seen)


def test_a_start_of_another_shape_is_refused(tmp_path):
    save_checkpoint(tmp_path / "start", "classifier", SMALL, tiny.classifier_variables(SMALL))
    wider = dataclasses.replace(SMALL, widths=(4, 8, 16))
    with pytest.raises(EmojaxError, match=r"start has widths \(4, 8\), this run \(4, 8, 16\)"):
        from_checkpoint(wider, tmp_path / "start")
    # What is no part of the shape may differ.
    from_checkpoint(dataclasses.replace(SMALL, dense_dropout=0.1, margin=0.1), tmp_path / "start")
