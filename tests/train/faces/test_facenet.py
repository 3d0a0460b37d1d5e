"""MobileFaceNet's training: landmarks and features that are computed once, blocks that stay, a last layer that is fitted."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny

from configs.classifier import PRESETS
from emojax.errors import EmojaxError
from emojax.nets.classifier_config import ClassifierConfig
from emojax.nets.mobilefacenet import layers_before
from emojax.train.faces import calibrate, landmarks
from emojax.train.faces.data import HeldOutFaces
from emojax.train.faces.loss import cross_entropy
from emojax.train.faces.readout import fit_linear
from emojax.train.faces.sources import FaceConfig, open_faces
from emojax.train.faces.training import train
from emojax.train.options import parse_preset
from emojax.util.files import cache_folder
from emojax.weights.load import load_classifier
from emojax.weights.store import save_checkpoint

MODEL = ["--model.widths", "4", "4", "4", "--model.dense", "8", "--model.size", "16"]


@pytest.fixture
def found(monkeypatch, tmp_path):
    """The crops whose landmarks were looked for; every other one has none."""
    seen = []

    def find(detector, crop, margin):
        seen.append(crop)
        return None if len(seen) % 2 else tuple((4.0 + i, 5.0 + i * i) for i in range(5))

    monkeypatch.setattr(landmarks, "find_landmarks", find)
    monkeypatch.setattr(landmarks.os, "cpu_count", lambda: 1)  # in order
    monkeypatch.setenv("EMOJAX_CACHE", str(tmp_path / "cache"))
    return seen


def config_of(preset, data, start, *flags):
    argv = [
        preset,
        *data,
        *MODEL,
        "--data.kinds",  # the earlier name
        "1",
        "--batch_size",
        "8",
        "--steps",
        "2",
        "--loop.log_every",
        "1",
        *flags,
    ]
    argv += ["--data.shares", "1", "--data.smoothing", "0"]
    config = parse_preset(argv, PRESETS, "train_classifier.py")[1]
    save_checkpoint(start, "classifier", config.model, tiny.classifier_variables(config.model))
    return dataclasses.replace(config, initial=str(start))


def layers(config, run):
    return load_classifier(config.initial)[1]["params"], load_classifier(run)[1]["params"]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def test_landmarks_are_found_once(found, tiny_face_data):
    data = FaceConfig(archives=(tiny_face_data[1],))
    for _ in range(2):
        (source,) = open_faces(data, "train", aligned=True).values()
        assert len(found) == len(source) == 14
        assert source[0]["landmarks"] is None and len(source[1]["landmarks"]) == 5
        assert source[1]["landmarks"][2] == (6.0, 9.0)
    for file in (cache_folder() / "landmarks").iterdir():
        file.write_bytes(b"damaged")
    open_faces(data, "train", aligned=True)
    assert len(found) == 28


def test_a_limit_takes_every_class_in_turn(tiny_face_data):
    (source,) = open_faces(FaceConfig(archives=(tiny_face_data[1],), limit=9), "train").values()
    assert sorted(source.labels()[:7]) == list(range(7)) and len(source) == 9
    assert [source[row]["label"] for row in range(9)] == source.labels().tolist()


def test_only_what_comes_behind_the_first_blocks_learns(found, tiny_face_data, tmp_path):
    config = config_of("default", tiny_face_data, tmp_path / "start", "--begin", "14")
    train(config, tmp_path / "run")
    before, after = layers(config, tmp_path / "run")
    assert all(same(before[name], after[name]) for name in layers_before(14))
    assert not same(before["block14"], after["block14"]) and not same(before["Dense_0"], after["Dense_0"])
    kept = {file.name: np.load(file).shape for file in (tmp_path / "run" / "features").iterdir()}
    assert sorted(kept.values()) == [(14, 1, 1, 1, 4), (14, 2, 1, 1, 4)]  # of val, and of train with mirror images


def test_the_last_layer_alone_is_fitted(found, tiny_face_data, tmp_path):
    config = config_of("readout", tiny_face_data, tmp_path / "start", "--begin", "0", "--readout", "0.01")
    train(config, tmp_path / "run")
    before, after = layers(config, tmp_path / "run")
    assert {name for name in before if not same(before[name], after[name])} == {"Dense_0"}
    assert after["Dense_0"]["bias"][14:].argmax() == 1  # all faces are of the domain 1


def test_a_fit_is_an_optimum():
    rng = np.random.default_rng(0)
    x, labels, weights = rng.normal(size=(200, 3)), rng.dirichlet(np.ones(4), 200), rng.random(200)

    def loss(kernel, bias):
        rows = x @ kernel + bias
        log_p = rows - np.log(np.exp(rows).sum(1, keepdims=True))
        return -(weights[:, None] * labels * log_p).sum() / weights.sum() + 0.1 * np.square(kernel).sum()

    kernel, bias = fit_linear(x, labels, weights, 0.1)
    for _ in range(20):
        assert loss(kernel + 0.01 * rng.normal(size=kernel.shape), bias + 0.01 * rng.normal(size=4)) > loss(
            kernel, bias
        )
    kernel, bias = fit_linear(x, labels, weights, 1e4)
    np.testing.assert_allclose(kernel, 0, atol=1e-3)
    shares = (weights[:, None] * labels).sum(0) / weights.sum()
    np.testing.assert_allclose(np.exp(bias) / np.exp(bias).sum(), shares, atol=1e-3)


def test_the_loss_is_that_of_the_faces_own_kind():
    rng = np.random.default_rng(0)
    emotions, domains = (
        np.log(rng.dirichlet(np.ones(n), size)).astype(np.float32) for n, size in ((7, (3, 2)), (2, 3))
    )
    labels, of_domain = np.eye(7, dtype=np.float32)[[0, 4, 6]], np.eye(2, dtype=np.float32)[[0, 1, 1]]
    losses = tiny.compiled(cross_entropy)(emotions, domains, labels, of_domain)
    expected = [-emotions[i, k, label] - domains[i, k] for i, k, label in ((0, 0, 0), (1, 1, 4), (2, 1, 6))]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_each_kind_is_calibrated_by_itself():
    config = ClassifierConfig("mobilefacenet", widths=(4, 4, 4), dense=8, size=16, channels=3, domains=2)
    variables, rng = tiny.classifier_variables(config), np.random.default_rng(0)
    crops = rng.integers(0, 256, (40, 16, 16, 3)).astype(np.uint8)
    faces = HeldOutFaces(crops, np.eye(7, dtype=np.float32)[rng.integers(0, 7, 40)])
    found, metrics = calibrate.calibrate_domains(config, variables, {"ferplus48": faces}, [1], 0.05)
    before, after = (calibrate.domain_logits(config, which, crops) for which in (variables, found))
    np.testing.assert_allclose(after[:, 0], before[:, 0], atol=1e-5)
    bias = np.array([value for name, value in metrics.items() if name.startswith("bias_1_")])
    expected = np.exp(before[:, 1] / metrics["temperature_1"] + bias)
    np.testing.assert_allclose(np.exp(after[:, 1]), expected / expected.sum(1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--begin", "16"], "begin 16"),
        (["--readout", "-1"], "readout -1"),
        (["--data.domains", "2"], "domains 2"),
        (["--begin", "12", "--frozen", "stem"], "leave out --frozen"),
        (["--data.limit", "0"], "limit 0"),
        (["--begin", "12", "--model.architecture", "vgg16"], "only mobilefacenet"),
    ],
)
def test_invalid_configs(flags, part):
    with pytest.raises(EmojaxError, match=part):
        parse_preset(["default", *flags], PRESETS, "train_classifier.py")
