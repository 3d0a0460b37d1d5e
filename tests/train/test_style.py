import dataclasses
import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs.style import PRESETS
from emojax.checkpoint import save_checkpoint
from emojax.errors import UserError
from emojax.losses import STYLE_LAYERS
from emojax.stylizer import StylizerConfig, init_stylizer
from emojax.train.loop import TrainState
from emojax.train.options import parse_preset
from emojax.train.parallel import Parallel
from emojax.train.style import initial_params, make_step, painting_grams, perceptual_losses, train
from emojax.vgg import load_vgg16
from emojax.weights.load import load_styles


@pytest.fixture(scope="module")
def config(tiny_style_data):
    return parse_preset(["tiny", *tiny_style_data, "--batch_size", "4"], PRESETS, "train_style.py")[1]


@pytest.fixture(scope="module")
def frozen(config):
    vgg = load_vgg16(config.vgg16)
    return {"vgg": vgg, "grams": painting_grams(vgg, config.data, config.model.styles)}


def batch(seed=0):
    rng = np.random.default_rng(seed)
    photo = rng.integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
    return {"photo": photo, "style": rng.integers(0, 7, 4).astype(np.int32)}


def three_steps(config, frozen, parallel, rate=0.1):
    optimizer = optax.sgd(rate)  # Adam would make steps of one size out of gradients of any
    params = init_stylizer(config.model, jax.random.PRNGKey(0))
    state = parallel.place_state(TrainState.create(params, optimizer, 0, frozen=frozen))
    step, losses = parallel.compile(make_step(config, optimizer)), []
    for seed in range(3):
        state, metrics = step(state, parallel.place_batch(batch(seed)))
        losses.append(parallel.fetch_metrics(metrics)["loss"])
    return losses, parallel.fetch_state(state).params


@pytest.mark.parametrize("parallel", [("jit", 2), ("pmap", 2)], ids=str)
def test_the_step_is_the_same_however_it_is_spread(config, frozen, parallel):
    expected_losses, expected = three_steps(config, frozen, Parallel("jit", jax.devices()[:1]))
    mode, count = parallel
    losses, params = three_steps(config, frozen, Parallel(mode, jax.devices()[:count]))
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-4)
    start = init_stylizer(config.model, jax.random.PRNGKey(0))
    jax.tree.map(assert_same_change, params, expected, start)


def assert_same_change(one, other, start):
    """One hundredth of what training changed, at most, is rounding."""
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-6 + 0.01 * float(np.abs(other - start).max()))


def test_the_gram_targets_have_a_row_per_style(config, frozen):
    assert {layer: rows.shape[0] for layer, rows in frozen["grams"].items()} == dict.fromkeys(STYLE_LAYERS, 7)
    rows = np.asarray(frozen["grams"]["relu2_2"]).reshape(7, -1)
    assert all(not np.allclose(rows[0], row) for row in rows[1:])


def test_the_loss_is_the_weighted_sum_of_its_parts(config, frozen):
    params = init_stylizer(config.model, jax.random.PRNGKey(0))
    parts = jax.jit(perceptual_losses, static_argnums=0)(config, frozen, params, batch())
    weights = config.loss
    total = weights.content * parts["content"] + weights.style * parts["style"] + weights.tv * parts["tv"]
    np.testing.assert_allclose(parts["loss"], total, rtol=1e-5)


def test_strengths_weigh_each_styles_loss(config, frozen):
    params = init_stylizer(config.model, jax.random.PRNGKey(0))
    losses = jax.jit(perceptual_losses, static_argnums=0)
    one_style = {**batch(), "style": np.full(4, 3, np.int32)}
    strong = dataclasses.replace(
        config, loss=dataclasses.replace(config.loss, strengths=(1.0, 1.0, 1.0, 2.0, 1.0, 1.0, 1.0))
    )
    plain, stronger = losses(config, frozen, params, one_style), losses(strong, frozen, params, one_style)
    np.testing.assert_allclose(stronger["style"], plain["style"], rtol=1e-6)
    np.testing.assert_allclose(stronger["loss"], plain["loss"] + config.loss.style * plain["style"], rtol=1e-5)
    with pytest.raises(UserError, match="2 strengths for 7 styles"):
        dataclasses.replace(config, loss=dataclasses.replace(config.loss, strengths=(1.0, 2.0)))


def test_training_starts_at_a_checkpoint(config, tmp_path):
    save_checkpoint(tmp_path / "start", "styles", config.model, init_stylizer(config.model, jax.random.PRNGKey(5)))
    _, start = load_styles(tmp_path / "start")
    warm = dataclasses.replace(config, initial=str(tmp_path / "start"))
    jax.tree.map(np.testing.assert_array_equal, initial_params(warm), start)
    fear = initial_params(dataclasses.replace(warm, emotion="fear"))
    jax.tree.map(lambda row, table: np.testing.assert_array_equal(row, table[2:3]), fear["styles"], start["styles"])
    other = dataclasses.replace(config.model, blocks=2)
    with pytest.raises(UserError, match="make them alike"):
        initial_params(dataclasses.replace(warm, model=other))


def test_a_style_learns_from_its_own_photos_only(config, frozen):
    params = init_stylizer(config.model, jax.random.PRNGKey(0))
    one_style = {**batch(), "style": np.full(4, 3, np.int32)}
    gradients = jax.jit(jax.grad(lambda p, f: perceptual_losses(config, f, p, one_style)["loss"]))(params, frozen)
    for layer in gradients["styles"].values():
        others = jnp.delete(layer["scale"], 3, axis=0)
        assert float(jnp.abs(layer["scale"][3]).max()) > 0 and float(jnp.abs(others).max()) == 0


def test_bfloat16_trains_with_float32_parameters(config, frozen):
    half = dataclasses.replace(config, dtype="bfloat16")
    # Small steps: large ones let the loss explode, and with it the difference.
    losses, params = three_steps(half, frozen, Parallel("jit", jax.devices()[:1]), rate=0.003)
    full, _ = three_steps(config, frozen, Parallel("jit", jax.devices()[:1]), rate=0.003)
    np.testing.assert_allclose(losses, full, rtol=0.02)
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


def test_a_finished_run_is_scored_and_packed(config, tmp_path, monkeypatch, capsys):
    """The script itself, with all that it is told to do after training."""
    import train_style

    flags = ["--data.photos", *config.data.photos, "--data.paintings", *config.data.paintings, "--vgg16", config.vgg16]
    after = ["--score_on", *config.data.photos, "--pack", str(tmp_path / "mine"), "--output", str(tmp_path / "run")]
    short = ["--steps", "1", "--model.styles", "sad", "--batch_size", "2"]
    monkeypatch.setattr("sys.argv", ["train_style.py", "tiny", *flags, *after, *short])
    monkeypatch.setattr("emojax.train.evaluate_styles.SIZE", 64)
    assert train_style.main() == 0
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["model.json", "params"]
    jax.tree.map(np.testing.assert_array_equal, load_styles(tmp_path / "mine")[1], load_styles(tmp_path / "run")[1])
    assert "| sad " in capsys.readouterr().out and (tmp_path / "run" / "scores" / "sheet.png").exists()


def test_packing_replaces_nothing_but_checkpoints(tmp_path, monkeypatch):
    import train_style

    (tmp_path / "paintings").mkdir()
    run = ["--output", str(tmp_path / "run"), "--data.photos", "none", "--pack"]
    for output in ("paintings", "run", "."):
        monkeypatch.setattr("sys.argv", ["train_style.py", "tiny", *run, str(tmp_path / output)])
        with pytest.raises(UserError, match="choose another folder"):
            train_style.main()
    monkeypatch.setattr("sys.argv", ["train_style.py", "tiny", *run[:2], "--score_on", str(tmp_path / "missing")])
    with pytest.raises(UserError, match="no photos at"):
        train_style.main()
    assert [path.name for path in tmp_path.iterdir()] == ["paintings"]


def test_styles_of_a_whole_network_are_emotions(config, tmp_path):
    with pytest.raises(UserError, match=r"'joy' is no emotion.*`add`"):
        train(dataclasses.replace(config, model=dataclasses.replace(config.model, styles=("joy",))), tmp_path)


def test_one_emotion_alone(config, tmp_path):
    single = dataclasses.replace(config, emotion="fear", steps=1)
    train(single, tmp_path)
    assert load_styles(tmp_path)[0].styles == ("fear",)
    assert json.loads(metrics(tmp_path).splitlines()[0])["loss"] > 0


@pytest.mark.parametrize(
    "bad", [{"emotion": "fera"}, {"batch_size": 0}, {"epochs": 0}, {"steps": 0}, {"model": StylizerConfig(bank=True)}]
)
def test_invalid_configs(config, bad):
    with pytest.raises(UserError):
        dataclasses.replace(config, **bad)
