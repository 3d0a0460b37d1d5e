"""`emojax train calibrate`: the temperature, the bias, and what is written."""

import jax
import numpy as np
import pytest
import tiny
from tiny import FACES as PAPER

from emojax.errors import EmojaxError
from emojax.nets import classifier
from emojax.nets.classifier_config import ClassifierConfig
from emojax.train.faces import calibrate
from emojax.train.faces.data import held_out_faces
from emojax.train.faces.scores import fit_temperature, negative_log_likelihood
from emojax.train.faces.sources import FaceConfig
from emojax.weights import store
from emojax.weights.load import load_classifier

classify = tiny.compiled(classifier.classify, static_argnums=0)
classifier_logits = tiny.compiled(classifier.classifier_logits, static_argnums=0)
VGG16 = ClassifierConfig("vgg16", widths=(4, 4), size=16)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder whose checkpoint has a training state and another temperature."""
    variables = tiny.classifier_variables()
    folder = tmp_path_factory.mktemp("run")
    variables["temperature"] = np.float32(3)
    state = {"moment": np.ones(3)}
    store.save_checkpoint(
        folder / "step_00000007", "classifier", PAPER, variables, step=7, score=0.5, training=state, position={}
    )
    return folder


@pytest.mark.parametrize("config", [PAPER, VGG16], ids=["paper", "vgg16"])
def test_the_bias_shifts_the_tempered_logits(config):
    variables = tiny.classifier_variables(config)
    faces = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
    bias = np.linspace(-1, 1, 7)
    powers = np.exp(classifier_logits(config, variables, faces) / 1.7 + bias[None, :])
    expected = powers / powers.sum(1, keepdims=True)
    np.testing.assert_allclose(
        classify(config, calibrate.with_calibration(variables, 1.7, bias), faces), expected, atol=1e-5
    )


@pytest.mark.parametrize("bias", [False, True])
def test_the_command_writes_a_calibrated_checkpoint(run, tiny_face_data, tmp_path, capsys, bias):
    archive, output = tiny_face_data[1], tmp_path / "packed"
    flags = ["--checkpoint", str(run), "--data", archive, "--output", str(output)]
    assert calibrate.main([*flags, *["--bias"] * bias]) == 0
    assert not (output / "training").exists()
    found = store.read_checkpoint(output, "classifier")
    assert found.step == 7 and found.training_sha256 is None
    config, variables = load_classifier(output)
    before = load_classifier(run)[1]
    faces = held_out_faces(FaceConfig(archives=(archive,)), config)["faces"]
    old = classifier_logits(config, before, faces.images)
    new = np.log(classify(config, variables, faces.images))
    temperature = fit_temperature(old, faces.labels)
    plain = negative_log_likelihood(old / temperature, faces.labels)
    if bias:
        assert negative_log_likelihood(new, faces.labels) < plain
        assert "bias angry" in capsys.readouterr().out
    else:
        assert float(variables["temperature"]) == pytest.approx(temperature, rel=1e-3)
        assert negative_log_likelihood(new, faces.labels) == pytest.approx(plain, rel=1e-4)
        jax.tree.map(np.testing.assert_array_equal, variables["params"], before["params"])
    with pytest.raises(EmojaxError, match="exists"):
        calibrate.main(flags)


@pytest.mark.parametrize("output", ["step_00000007", ".", "..", "step_00000007/inside", "../other"])
def test_only_another_checkpoint_is_replaced(run, tiny_face_data, output):
    """Not the checkpoint itself, nor the run that holds it, nor any folder that is no checkpoint."""
    (run.parent / "other").mkdir(exist_ok=True)
    flags = ["--checkpoint", str(run), "--data", tiny_face_data[1], "--output", str(run / output), "--force"]
    with pytest.raises(EmojaxError, match="choose another folder"):
        calibrate.main(flags)
    assert (run / "step_00000007" / "training").is_dir()
