"""Training styles: the loss and its parts, the step on several devices, and whole runs."""

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
from tiny import LESS

from configs.style import PRESETS
from emojax.errors import EmojaxError
from emojax.losses.objective import PAINTING_POSITIONS
from emojax.losses.terms import STYLE_LAYERS
from emojax.nets.stylizer_config import StylizerConfig
from emojax.train.loop import LoopConfig
from emojax.train.optimizer import OptimizerConfig
from emojax.train.parallel import Parallel
from emojax.train.state import TrainState
from emojax.train.styles.config import StyleLossConfig
from emojax.train.styles.loss import perceptual_losses
from emojax.train.styles.targets import make_constants, painting_targets
from emojax.train.styles.training import make_step, train
from emojax.weights.load import load_styles
from emojax.weights.store import save_checkpoint
from emojax.weights.vgg16_file import load_vgg16

losses_of = tiny.compiled(perceptual_losses, static_argnums=0)

EVERYTHING = StyleLossConfig(
    style_layers=("relu1_2", "relu2_2"),
    style_layer_weights=(0.75, 0.25),
    similarity=2.0,
    face_similarity=3.0,
    transport=1.5,
    moments=0.4,
    palette=0.7,
    columns=("relu1_1", "relu2_1"),
    positions=16,
    steadiness=0.02,
)


@pytest.fixture(scope="module")
def vgg(config):
    return load_vgg16(config.vgg16)


@pytest.fixture(scope="module")
def constants(config, vgg):
    return jax.device_get(make_constants(config, vgg))


def batch(seed=0, **more):
    rng = np.random.default_rng(seed)
    photo = rng.integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
    faces = np.zeros((4, 4, 4), np.uint8)
    faces[:2, 1:3, 1:3] = 3
    return {"photo": photo, "faces": faces, "style": rng.integers(0, 7, 4).astype(np.int32), **more}


FEAR = np.full(4, 2, np.int32)
RATE = 0.003  # large steps let the loss explode, and with it what is rounding


def three_steps(config, constants, parallel):
    optimizer = optax.sgd(RATE)  # Adam would make steps of one size out of gradients of any
    params = tiny.stylizer_params(config.model)
    state = parallel.place_state(TrainState.create(params, optimizer, 0))
    placed = parallel.place_state(constants)
    step, losses = parallel.compile(make_step(functools.partial(perceptual_losses, config), optimizer)), []
    for seed in range(3):
        state, metrics = step(state, placed, parallel.place_batch(batch(seed)))
        losses.append(parallel.fetch_metrics(metrics)["loss"])
    return losses, parallel.fetch_state(state).params


@pytest.fixture(scope="module")
def alone(config, constants):
    """Losses and parameters of three steps on one device."""
    return three_steps(config, constants, Parallel("jit", jax.devices()[:1]))


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_the_step_is_the_same_however_it_is_spread(config, constants, alone, params, mode):
    expected_losses, expected = alone
    losses, found = three_steps(config, constants, Parallel(mode, jax.devices()))
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-4)
    changes = jax.tree.leaves(jax.tree.map(same_change, found, expected, params))
    assert sorted(changes)[1] > 1e-6  # of the block's second shift the next norm leaves nothing


def same_change(one, other, start):
    """How much training changed an array; one hundredth of that, at most, is rounding."""
    change = float(np.abs(other - start).max())
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-7 + 0.01 * change)
    return change


def test_the_gram_targets_have_a_row_per_style(constants):
    grams = constants["paintings"]["grams"]
    assert {layer: rows.shape[0] for layer, rows in grams.items()} == dict.fromkeys(STYLE_LAYERS, 7)
    rows = grams["relu2_2"].reshape(7, -1)
    assert all(not np.allclose(rows[0], row) for row in rows[1:])


def test_the_columns_of_the_paintings_come_with_their_moments(config, vgg):
    found = jax.device_get(painting_targets(vgg, config.data, EVERYTHING, ("sad", "fear")))
    assert set(found["grams"]) == {"relu1_2", "relu2_2"}
    depth = vgg["conv1_1"]["bias"].size + vgg["conv2_1"]["bias"].size
    assert found["columns"].shape == (2, PAINTING_POSITIONS, depth)
    assert (
        found["colors"].shape == (2, PAINTING_POSITIONS, 3) and 0 <= found["colors"].min() < found["colors"].max() <= 1
    )
    for columns, mean, covariance in zip(found["columns"], found["mean"], found["covariance"], strict=True):
        np.testing.assert_allclose(mean, columns.mean(0), rtol=1e-4, atol=1e-4)
        scale = np.abs(covariance).max()
        np.testing.assert_allclose(covariance / scale, np.cov(columns.T, bias=True) / scale, atol=1e-4)


@pytest.fixture(scope="module")
def parts(config, constants, params):
    """The losses of a batch in one style."""
    return losses_of(config, constants, params, batch(style=FEAR), tiny.KEY)


def test_the_loss_is_the_weighted_sum_of_its_parts(config, parts):
    weights = config.loss
    assert set(parts) == {"loss", "content", "style", "tv"}
    total = weights.content * parts["content"] + weights.style * parts["style"] + weights.tv * parts["tv"]
    np.testing.assert_allclose(parts["loss"], total, rtol=1e-5)


def test_every_term_with_weight_is_part_of_the_loss(config, vgg, params):
    """And the strengths are a factor of those that pull towards the painting."""
    strong = dataclasses.replace(EVERYTHING, strengths=(1.0, 1.0, 2.0, 1.0, 1.0, 1.0, 1.0))
    config = dataclasses.replace(config, loss=strong)
    constants = jax.device_get(make_constants(config, vgg))
    names = ("content", "style", "tv", "similarity", "face_similarity", "transport", "moments", "palette", "steadiness")
    found = losses_of(config, constants, params, batch(style=FEAR), tiny.KEY)
    assert set(found) == {"loss", *names}
    factors = {name: 2 if name in ("style", "transport", "moments") else 1 for name in names}
    total = sum(factors[name] * getattr(strong, name) * found[name] for name in names)
    np.testing.assert_allclose(found["loss"], total, rtol=1e-4)
    assert all(value > 0 for value in found.values())
    # Without a face there is none to protect; other positions and other noise are another key's.
    without = losses_of(config, constants, params, batch(style=FEAR, faces=np.zeros((4, 4, 4), np.uint8)), tiny.KEY)
    assert without["face_similarity"] == 0 and without["similarity"] == found["similarity"]
    other = losses_of(config, constants, params, batch(style=FEAR), np.array([0, 1], np.uint32))
    assert other["content"] == found["content"] and other["palette"] != found["palette"]


def test_strengths_weigh_each_styles_loss(config, constants, params, parts):
    strong = dataclasses.replace(
        config, loss=dataclasses.replace(config.loss, strengths=(1.0, 1.0, 2.0, 1.0, 1.0, 1.0, 1.0))
    )
    stronger = losses_of(strong, constants, params, batch(style=FEAR), tiny.KEY)
    np.testing.assert_allclose(stronger["style"], parts["style"], rtol=1e-6)
    np.testing.assert_allclose(stronger["loss"], parts["loss"] + config.loss.style * parts["style"], rtol=1e-5)
    with pytest.raises(EmojaxError, match="one for each of the 7 styles"):
        dataclasses.replace(config, loss=dataclasses.replace(config.loss, strengths=(1.0, 2.0)))


@pytest.mark.parametrize(
    ("loss", "layers", "last"),
    [
        (StyleLossConfig(), ("relu2_2", "relu1_2", "relu3_3", "relu4_3"), "4_3"),
        (StyleLossConfig(style_layer_weights=(0.5, 0.5, 0.0, 0.0)), ("relu2_2", "relu1_2"), "2_2"),
        (StyleLossConfig(content=0.0, style_layer_weights=(1.0, 0.0, 0.0, 0.0)), ("relu1_2",), "1_2"),
        (StyleLossConfig(style=0.0), ("relu2_2",), "2_2"),
        (StyleLossConfig(style=0.0, transport=1.0), ("relu2_2", "relu1_2", "relu3_3", "relu4_1"), "4_1"),
        (StyleLossConfig(content=0.0, style=0.0, palette=1.0, columns=("relu2_1",)), ("relu2_1",), "2_1"),
        (dataclasses.replace(PRESETS["gpu"].loss, strengths=()), ("relu2_2", "relu1_2", "relu3_3", "relu4_1"), "4_1"),
    ],
)
def test_vgg16_is_cut_behind_the_deepest_layer_with_weight(config, vgg, monkeypatch, loss, layers, last):
    assert loss.layers == layers
    monkeypatch.setattr("emojax.train.styles.targets.painting_targets", lambda *args: {})
    kept = make_constants(dataclasses.replace(config, loss=loss), vgg)["vgg"]
    assert "mean" in kept and max(kept.keys() - {"mean"}) == f"conv{last}" and kept.keys() < vgg.keys() | {""}


def test_training_by_minutes_says_when_they_are_over(config, tmp_path, capsys, monkeypatch):
    """Of a tiny run, which began long ago: one step is taken, and then no more."""
    short = dataclasses.replace(config, minutes=1.0)
    for _ in range(2):
        assert int(train(short, tmp_path, started=-1e9).step) == 1
    assert "already has 1 steps, all that it should" in capsys.readouterr().err
    with pytest.raises(EmojaxError, match="`minutes` 0.0: it is a number, above 0"):
        dataclasses.replace(config, minutes=0.0)


@pytest.mark.parametrize("length", [{"steps": 1}, {"steps": None, "epochs": 0.125}])
def test_a_finished_run_says_so_before_it_loads_anything(config, tmp_path, capsys, length):
    """By steps, and by passes over the photos: 0.125 are one step."""
    config = dataclasses.replace(config, **length)
    first = train(config, tmp_path)
    data = dataclasses.replace(config.data, workers=1)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("load_vgg16", "photo_batches", "load_styles"):
            patch.setattr(f"emojax.train.styles.training.{name}", None)
        again = train(dataclasses.replace(config, data=data), tmp_path)
    jax.tree.map(np.testing.assert_array_equal, again, first)
    assert "already has 1 steps, all that it should" in capsys.readouterr().err


def test_a_style_learns_from_its_own_photos_only(config, constants, params):
    def loss(params, constants, photos):
        return perceptual_losses(config, constants, params, photos, jax.random.PRNGKey(0))["loss"]

    gradients = tiny.compiled(jax.grad(loss))(params, constants, batch(style=FEAR))
    for layer in gradients["style_table"].values():
        others = np.delete(layer["scale"], 2, axis=0)
        assert np.abs(layer["scale"][2]).max() > 0 and np.abs(others).max() == 0


def test_bfloat16_trains_with_float32_parameters(config, constants, alone):
    half = dataclasses.replace(config, dtype="bfloat16")
    losses, params = three_steps(half, constants, Parallel("jit", jax.devices()[:1]))
    np.testing.assert_allclose(losses, alone[0], rtol=0.02)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}


def metrics(run):
    return (run / "metrics.jsonl").read_text()


def test_training_resumes_exactly_and_its_checkpoint_loads(config, tmp_path, monkeypatch):
    train(config, tmp_path / "whole")
    monkeypatch.setattr(  # a signal while the run says what it evaluated at step 2
        "emojax.train.metrics_log.MetricsLog.write", interrupting(lambda step, split: (step, split) == (2, "val"))
    )
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "parts")
    monkeypatch.undo()
    train(config, tmp_path / "parts")
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")
    (model, a), (_, b) = load_styles(tmp_path / "whole"), load_styles(tmp_path / "parts")
    assert model == config.model
    jax.tree.map(np.testing.assert_array_equal, a, b)


def interrupting(when):
    from emojax.train.metrics_log import MetricsLog

    write = MetricsLog.write

    def wrapped(self, step, split, values):
        write(self, step, split, values)
        if when(step, split):
            os.kill(os.getpid(), signal.SIGINT)

    return wrapped


def test_a_finished_run_is_scored_and_released(config, tmp_path, monkeypatch, capsys):
    """The script itself, with all that it is told to do after training."""
    import train_style

    flags = ["--data.photos", *config.data.photos, "--data.paintings", *config.data.paintings, "--vgg16", config.vgg16]
    after = ["--score_on", *config.data.photos, "--release", str(tmp_path / "mine"), "--output", str(tmp_path / "run")]
    short = [*LESS, "--steps", "1", "--model.style-names", "sad", "--initial", config.initial]
    monkeypatch.setattr("sys.argv", ["train_style.py", "tiny", *flags, *after, *short])
    monkeypatch.setattr("emojax.train.styles.evaluate.SIZE", 64)
    assert train_style.main() == 0
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["model.json", "params"]
    jax.tree.map(np.testing.assert_array_equal, load_styles(tmp_path / "mine")[1], load_styles(tmp_path / "run")[1])
    assert "| sad " in capsys.readouterr().out and (tmp_path / "run" / "scores" / "sheet.png").exists()


def test_a_style_that_has_no_painting(config, tmp_path):
    named = dataclasses.replace(config, model=dataclasses.replace(config.model, style_names=("joy",)), initial=None)
    with pytest.raises(EmojaxError, match="no painting for 'joy'"):
        train(named, tmp_path)


def test_a_student_learns_its_teachers_pictures(config, tmp_path):
    """Without paintings and VGG16; a copy has nothing to learn."""
    model = dataclasses.replace(config.model, blocks=0, style_names=("sad", "happy", "fear"))
    params = tiny.stylizer_params(model, seed=5)
    save_checkpoint(tmp_path / "teacher", "styles", model, params)
    save_checkpoint(tmp_path / "other", "styles", model, jax.tree.map(lambda leaf: 0.8 * leaf, params))
    student = dataclasses.replace(
        config,
        teacher=str(tmp_path / "teacher"),
        model=dataclasses.replace(model, style_names=("fear", "sad")),
        data=dataclasses.replace(config.data, paintings=()),
        vgg16="missing",
        optimizer=OptimizerConfig(learning_rate=0.1, schedule="cosine"),
        loop=LoopConfig(log_every=10, evaluate_every=0, save_every=60),
    )

    def losses(start, steps):
        run = tmp_path / f"run_{start}"
        train(dataclasses.replace(student, initial=str(tmp_path / start), steps=steps), run)
        lines = [json.loads(line) for line in metrics(run).splitlines()]
        assert {line["split"] for line in lines} == {"train"}  # without evaluations
        return [line["loss"] for line in lines]

    assert losses("teacher", 1)[0] < 1e-3
    first, *_, last = losses("other", 60)
    assert last < 0.8 * first
    missing = dataclasses.replace(
        student, model=dataclasses.replace(model, style_names=("happy", "angry")), initial=None
    )
    with pytest.raises(EmojaxError, match="with the styles happy, angry"):
        train(missing, tmp_path / "run")


def test_one_emotion_alone(config, tmp_path):
    single = dataclasses.replace(config, emotion="fear", steps=1)
    train(single, tmp_path)
    assert load_styles(tmp_path)[0].style_names == ("fear",)
    assert json.loads(metrics(tmp_path).splitlines()[0])["loss"] > 0


@pytest.mark.parametrize(
    "bad",
    [
        {"emotion": "fera"},
        {"batch_size": 0},
        {"epochs": 0},
        {"steps": 0},
        {"model": StylizerConfig(network_per_style=True)},
    ],
)
def test_invalid_configs(config, bad):
    with pytest.raises(EmojaxError):
        dataclasses.replace(config, **bad)
