"""The classifier's step: the same on one device, sharded and by pmap, batch norm included; resuming; what it writes."""

import dataclasses
import functools
import json
import os
import signal

import jax
import numpy as np
import optax
import pytest
import tiny

from configs.classifier import PRESETS
from emojax.errors import EmojaxError, InputError
from emojax.nets.classifier import classify as eager_classify
from emojax.train.faces.augment import AugmentConfig
from emojax.train.faces.data import HeldOutFaces, held_out_faces
from emojax.train.faces.training import correct as eager_correct
from emojax.train.faces.training import initial_state, make_evaluation, make_step, split_layers, train
from emojax.train.optimizer import OptimizerConfig
from emojax.train.options import parse_preset
from emojax.train.parallel import Parallel
from emojax.weights import store
from emojax.weights.load import load_classifier

classify = tiny.compiled(eager_classify, static_argnums=0)
correct = tiny.compiled(eager_correct)


@pytest.fixture(scope="module")
def config(tiny_face_data, tmp_path_factory):
    """The tiny preset with one block, from a given start: most of the time here is compiling."""
    flags = [*tiny_face_data, "--model.widths", "4"]
    config = parse_preset(["tiny", *flags], PRESETS, "train_classifier.py")[1]
    start = tmp_path_factory.mktemp("start") / "start"
    store.save_checkpoint(start, "classifier", config.model, tiny.classifier_variables(config.model))
    return dataclasses.replace(config, initial=str(start))


def batch(seed, count=8, size=16):
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (count, size, size, 3)).astype(np.uint8),
        "label": np.eye(7, dtype=np.float32)[rng.integers(0, 7, count)],
        "domain": np.ones((count, 1), np.float32),
        "seed": rng.integers(0, 2**32, count).astype(np.uint32),
    }


SGD = optax.sgd(0.1)  # Adam would make steps of one size out of gradients of any


def constants_of(config):
    return split_layers(config, tiny.classifier_variables(config.model))[1]


def start_of(config, optimizer=SGD):
    return initial_state(config, tiny.classifier_variables(config.model), optimizer)


@functools.cache
def compiled_step(config, mode, devices):
    """How a step is spread, and the step; of each config and spread one."""
    parallel = Parallel(mode, jax.devices()[:devices])
    return parallel, parallel.compile(make_step(config, SGD))


def three_steps(config, mode="jit", devices=1):
    parallel, step = compiled_step(config, mode, devices)
    state, losses = parallel.place_state(start_of(config)), []
    constants = parallel.place_state(constants_of(config))
    for seed in range(3):
        state, metrics = step(state, constants, parallel.place_batch(batch(seed)))
        losses.append(parallel.fetch_metrics(metrics)["loss"])
    return losses, parallel.fetch_state(state)


def without_dropout(config):
    return dataclasses.replace(config.model, conv_dropout=0.0, dense_dropout=0.0)


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_the_step_is_the_same_however_it_is_spread(computes_long, config, mode):
    """Augmentation, mixup, batch norm and averaging included. Without dropout: each device of a pmap draws its own mask.

    As users compile it: otherwise a maximum and what its gradient compares with it may round differently, and parts of the
    gradient of max pooling are lost.
    """
    config = dataclasses.replace(config, model=without_dropout(config), mixup=0.4, ema_decay=0.5)
    expected_losses, expected = three_steps(config)
    losses, state = three_steps(config, mode, 2)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-4), state.stats, expected.stats)
    start = start_of(config).params
    jax.tree.map(assert_same_change, state.params, expected.params, start)
    jax.tree.map(assert_same_change, state.ema[0], expected.ema[0], start)


def assert_same_change(one, other, start):
    """One hundredth of what training changed in this kernel, at most, is rounding; and training changed it."""
    change = float(np.abs(other - start).max())
    assert change > 1e-5
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-7 + 0.01 * change)


def test_batch_norm_follows_the_batch_and_dropout_its_key(config):
    losses, state = three_steps(config)
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), state.stats, start_of(config).stats)
    assert min(jax.tree.leaves(moved)) > 0
    assert three_steps(config)[0] == losses
    assert three_steps(dataclasses.replace(config, model=without_dropout(config)))[0] != losses


def test_one_batch_can_be_learned_by_heart(config):
    still = dataclasses.replace(
        config, model=without_dropout(config), augment=AugmentConfig(False, 0, 0, 0, 0, 0, 0, 0)
    )
    parallel, optimizer = Parallel("jit", jax.devices()[:1]), OptimizerConfig(learning_rate=1e-2).build()
    state = parallel.place_state(start_of(still, optimizer))
    step, losses = parallel.compile(make_step(still, optimizer)), []
    for _ in range(60):
        state, metrics = step(state, {}, parallel.place_batch(batch(0)))
        losses.append(parallel.fetch_metrics(metrics))
    assert losses[0]["loss"] > 1.5 and losses[-1]["loss"] < 0.5 and losses[-1]["accuracy"] == 1


def test_frozen_layers_stay_and_the_others_learn(config, tmp_path):
    frozen = dataclasses.replace(config, frozen=("Conv_0", "BatchNorm_0"))
    start, constants = start_of(frozen), constants_of(frozen)
    assert set(constants) == {"Conv_0", "BatchNorm_0"} and not set(constants) & set(start.params)
    _, state = three_steps(frozen)
    assert set(state.params) == set(start.params)
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), state.params, dict(start.params))
    assert moved["Conv_1"]["kernel"] > 0 and moved["Dense_1"]["kernel"] > 0
    with pytest.raises(EmojaxError, match="no layer 'conv1_1' to freeze: choose from BatchNorm_0"):
        train(dataclasses.replace(config, frozen=("conv1_1",)), tmp_path / "run")


def test_the_average_is_what_is_evaluated_and_kept(config, tmp_path):
    averaged = dataclasses.replace(config, ema_decay=0.9, frozen=("Conv_0",))
    state = train(averaged, tmp_path / "run")
    params, stats = state.ema
    assert float(np.abs(params["Dense_1"]["kernel"] - state.params["Dense_1"]["kernel"]).max()) > 0
    newest = store.read_checkpoint(store.checkpoints_in(tmp_path / "run")[-1], "classifier")
    saved = load_classifier(newest.path)[1]
    jax.tree.map(np.testing.assert_array_equal, saved["batch_stats"], stats)
    jax.tree.map(np.testing.assert_array_equal, {k: saved["params"][k] for k in params}, params)
    start = constants_of(averaged)
    jax.tree.map(np.testing.assert_array_equal, saved["params"]["Conv_0"], start["Conv_0"])
    # It is the average that was evaluated: reading the faces again with what was kept gives the same accuracy.
    faces = held_out_faces(config.data, config.model)["faces"]
    again = classify(config.model, saved, faces.images).argmax(1) == faces.labels.argmax(1)
    assert float(again.mean()) == pytest.approx(newest.metrics["accuracy"])


def test_class_weights_scale_the_loss(config):
    heavy = dataclasses.replace(config, class_weights=(2.0,) * 7)
    one, two = (three_steps(c)[0][0] for c in (config, heavy))
    np.testing.assert_allclose(two, 2 * one, rtol=1e-5)


def test_correct_counts_the_labels_largest_entry():
    logits = np.array([[0.0, 2, 1], [3, 0, 0], [0, 0, 1]])
    labels = np.array([[0.2, 0.5, 0.3], [0, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(correct(logits, labels), [1, 0, 1])


def test_evaluation_does_not_count_the_filling_and_averages_sources(config):
    rng = np.random.default_rng(0)
    state = start_of(config)

    def faces(count):
        return HeldOutFaces(
            rng.integers(0, 256, (count, 16, 16, 3)).astype(np.uint8),
            np.eye(7, dtype=np.float32)[rng.integers(0, 7, count)],
        )

    small, large = faces(3), faces(150)  # 150: one full batch and a rest
    alone = [make_evaluation(config, {"faces": some})(state, {})[0] for some in (small, large)]
    both, score = make_evaluation(config, {"small": small, "large": large})(state, {})
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose(both[name], np.mean([metrics[name] for metrics in alone]), rtol=1e-5)
    assert score == both["accuracy"] and both["accuracy_small"] == pytest.approx(alone[0]["accuracy"])
    halves = [HeldOutFaces(large.images[part], large.labels[part]) for part in (slice(0, 75), slice(75, 150))]
    mean, _ = make_evaluation(config, {"a": halves[0], "b": halves[1]})(state, {})
    np.testing.assert_allclose(mean["loss"], alone[1]["loss"], rtol=1e-5)


def test_the_temperature_is_fitted_on_faces_from_photos_or_on_those_that_are_named(config):
    rng = np.random.default_rng(0)
    state = start_of(config)
    images = rng.integers(0, 256, (50, 16, 16, 3)).astype(np.uint8)
    rows = classify(config.model, tiny.classifier_variables(config.model), images)
    right, wrong = (
        HeldOutFaces(images, np.eye(7, dtype=np.float32)[labels]) for labels in (rows.argmax(1), rows.argmin(1))
    )
    data = dataclasses.replace(config.data, archives=("other.npz", "cut.npz"), calibrate_on=("other",))
    by_name = dataclasses.replace(config, data=data)
    for cut, other, sure in ((right, wrong, True), (wrong, right, False)):
        sources = {"other": other, "cut": dataclasses.replace(cut, from_photos=True)}
        assert (make_evaluation(config, sources)(state, {})[0]["temperature"] < 1) == sure
        assert (make_evaluation(by_name, sources)(state, {})[0]["temperature"] < 1) != sure
    with pytest.raises(EmojaxError, match="`calibrate_on` 'other' has no validation faces: choose from cut"):
        make_evaluation(by_name, {"cut": right})
    with pytest.raises(EmojaxError, match="`calibrate_on` 'othr' is none of the sources: other, cut"):
        dataclasses.replace(data, calibrate_on=("othr",))


def rows_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_run_that_is_stopped_goes_on_as_if_it_were_not(config, tmp_path, monkeypatch):
    """With everything that a run can carry from step to step."""
    optimizer = dataclasses.replace(config.optimizer, weight_decay=0.1)
    config = dataclasses.replace(config, frozen=("Conv_0",), optimizer=optimizer, mixup=0.4, ema_decay=0.9)
    train(config, tmp_path / "whole")
    # A signal while step 2 is under way: the loop finishes the step, saves, and raises.
    from emojax.train.hooks import Log

    add, sent = Log.add, []

    def interrupt(self, step, metrics):
        if step == 2 and not sent:  # a second signal would be obeyed at once
            sent.append(os.kill(os.getpid(), signal.SIGTERM))
        add(self, step, metrics)

    monkeypatch.setattr(Log, "add", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "stopped")
    monkeypatch.undo()
    assert store.checkpoints_in(tmp_path / "stopped")[-1].name in ("step_00000002", "step_00000003")
    train(dataclasses.replace(config, initial=""), tmp_path / "stopped")  # only a new run starts from somewhere
    whole, stopped = (rows_of(tmp_path / name) for name in ("whole", "stopped"))
    assert [row["step"] for row in stopped if row["split"] == "train"] == [1, 2, 3, 4]
    assert [row for row in stopped if row["split"] == "train"] == [row for row in whole if row["split"] == "train"]
    one, other = (load_classifier(tmp_path / name)[1] for name in ("whole", "stopped"))
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_what_training_writes_is_what_the_pipeline_reads(config, tmp_path):
    state = train(config, tmp_path / "run")
    model, variables = load_classifier(tmp_path / "run")
    assert model == config.model
    assert set(variables) == {"params", "batch_stats", "temperature"}
    fitted = {row["temperature"] for row in rows_of(tmp_path / "run") if row["split"] == "val"}
    assert any(float(variables["temperature"]) == pytest.approx(value) for value in fitted)
    scores = {row["step"]: row["accuracy"] for row in rows_of(tmp_path / "run") if row["split"] == "val"}
    assert set(scores) == {2, 4}
    if scores[4] > scores[2]:  # the best checkpoint is loaded, and here it is the last
        jax.tree.map(np.testing.assert_array_equal, variables["params"], state.params)
    assert len(held_out_faces(config.data, config.model)["faces"].images) == 14


def test_no_validation_faces_is_said(config, tiny_face_data, tmp_path, capsys):
    with np.load(tiny_face_data[1]) as archive:
        np.savez(tmp_path / "train.npz", **{**archive, "split": np.full(len(archive["label"]), "train")})
    data = dataclasses.replace(config.data, archives=(str(tmp_path / "train.npz"),))
    train(dataclasses.replace(config, data=data, steps=1), tmp_path / "run")
    assert "no validation faces" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"batch_size": 0}, "^`batch_size` 0: it is a whole number, at least 1$"),
        ({"epochs": 0.0}, "`epochs` 0"),
        ({"mixup": -0.1}, "`mixup` -0.1: it is a number, at least 0"),
        ({"mixup": float("nan")}, "`mixup` nan"),
        ({"vgg16": "file"}, "`vgg16` file: only the architecture vgg16"),
        ({"ema_decay": 1.0}, "`ema_decay` 1.0: it is a number, at least 0, below 1"),
        ({"batch_size": 7, "mixup": 0.2}, "`batch_size` 7 with `mixup`"),
        ({"class_weights": (1.0, 2.0)}, "give 7"),
        ({"class_weights": (-1.0,) * 7}, "`class_weights`.*not negative"),
    ],
)
def test_invalid_configs(config, change, part):
    with pytest.raises(EmojaxError, match=part):
        dataclasses.replace(config, **change)


@pytest.mark.parametrize(
    ("flag", "value", "reason"),
    [
        ("--batch-size", "0", "0: it is a whole number, at least 1"),
        ("--optimizer.learning-rate", "0", "0.0: it is a number, above 0"),
        ("--loop.save-minutes", "0", "0.0: it is a number, above 0"),
        ("--augment.scale", "1", "1.0: it is a number, at least 0, below 1"),
        ("--model.size", "4", "4: it is a whole number, at least"),
        ("--model.domains", "0", "0: it is a whole number, at least 1"),
        ("--data.domains", "-1", r"\(-1,\): each is a whole number, at least 0"),
    ],
)
def test_a_value_out_of_range_names_its_flag(flag, value, reason):
    with pytest.raises(InputError, match=f"^{flag} {reason}"):
        parse_preset(["tiny", flag, value], PRESETS, "train_classifier.py")
