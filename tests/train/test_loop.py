import dataclasses
import json
import os
import signal
import types
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import compiled

from emojax.errors import EmojaxError
from emojax.nets.style_code import StylizerConfig
from emojax.train.loop import LoopConfig, fit
from emojax.train.metrics_log import MetricsLog, plot_curves
from emojax.train.optimizer import OptimizerConfig
from emojax.train.parallel import Parallel, mean_over
from emojax.train.progress import Length
from emojax.train.resume import Run
from emojax.train.state import TrainState
from emojax.train.throughput import Stopwatch, describe_speed, measure_matmul_peak
from emojax.weights import store

CONFIG = StylizerConfig(width=2, blocks=0, style_names=("sad",))  # any model config: the loop only writes it down
RATE = OptimizerConfig(learning_rate=0.05, schedule="cosine", warmup_steps=2, clip_norm=1.0)
OPTIMIZER = RATE.build()
LOOP = LoopConfig(log_every=1, evaluate_every=5, save_every=4)


class Numbers:
    """A data stream whose batch depends on its position alone."""

    def __init__(self, poison=None, on_batch=lambda at: None):
        self.at, self.poison, self.on_batch = 0, poison, on_batch

    def __next__(self):
        self.at += 1
        self.on_batch(self.at)
        x = np.random.default_rng(self.at).normal(size=(4, 3)).astype(np.float32)
        return {"x": x * np.nan if self.at == self.poison else x}

    def get_state(self):
        return {"at": self.at}

    def set_state(self, state):
        self.at = state["at"]


def step(state, constants, batch, axis_name):
    noise = jax.random.normal(jax.random.fold_in(state.key, state.step), (3,))  # resuming must restore the PRNG too

    def loss_of(params):
        return jnp.square(batch["x"] @ (params["w"] - 0.1 * noise) - batch["x"].sum(1) * constants).mean()

    loss, gradients = mean_over(axis_name, jax.value_and_grad(loss_of)(state.params))
    updates, opt_state = OPTIMIZER.update(gradients, state.opt_state, state.params, progress=state.progress)
    params = optax.apply_updates(state.params, updates)
    return state.replace(step=state.step + 1, params=params, opt_state=opt_state), {"loss": loss}


def test_weight_decay_shrinks_kernels_alone():
    optimizer = OptimizerConfig(learning_rate=0.1, weight_decay=0.5).build()
    params = {"kernel": np.ones((2, 2)), "bias": np.ones(2), "scale": np.ones((7, 2))}

    @compiled
    def update(params):
        return optimizer.update(jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params, progress=0.0)

    updates, _ = update(params)
    np.testing.assert_allclose(updates["kernel"], -0.05, rtol=1e-6)
    np.testing.assert_array_equal(updates["bias"], 0)
    np.testing.assert_array_equal(updates["scale"], 0)  # of a conditional norm, [S, C]


def test_the_average_of_constant_parameters_is_those_and_else_a_mean_that_forgets_the_start():
    w = np.zeros(2, np.float32)
    state = TrainState.create({"w": w}, OPTIMIZER, 0, stats={"m": w[:1]}, with_ema=True)
    update, expected = compiled(lambda state: state.with_ema_update(0.9)), 0.0
    for number in range(1, 51):
        value = np.float32(number % 3)
        state = update(state.replace(step=np.int32(number), params={"w": w + value}, stats={"m": w[:1] + value}))
        decay = min(0.9, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * value
    for tree in state.ema:
        np.testing.assert_allclose(jax.tree.leaves(tree)[0], expected, rtol=1e-5)
    assert TrainState.create({"w": w}, OPTIMIZER, 0).ema is None


def train(run, steps=10, data=None, loop=LOOP, step=step, settings=None, seconds=None, **more):
    state = TrainState.create({"w": np.zeros(3, np.float32)}, OPTIMIZER, seed=3)
    return fit(
        Run(run, "styles", CONFIG, settings),
        state,
        np.float32(2),
        step,
        data or Numbers(),
        Length(steps, seconds=seconds),
        loop=loop,
        parallel=Parallel(),
        to_params=lambda state, constants, _: state.params,
        **more,
    )


def rows(run, split="train"):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return {row["step"]: row["loss"] for row in map(json.loads, lines) if row["split"] == split}


def test_it_learns_and_leaves_everything_behind(tmp_path):
    state = train(tmp_path)
    losses = rows(tmp_path)
    assert list(losses) == list(range(1, 11))
    assert int(state.step) == 10
    # From 0 towards the solution, 2, by no more than the learning rates of all steps together.
    rates = [float(RATE.rate(number, number / 10)) for number in range(10)]
    assert (state.params["w"] > 0.05).all() and (state.params["w"] < 1.05 * sum(rates)).all()
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert any((tmp_path / "tensorboard").iterdir())
    found = store.read_checkpoint(store.checkpoints_in(tmp_path)[-1], "styles")
    np.testing.assert_array_equal(store.load_params(found, state.params)["w"], state.params["w"])


def test_it_learns_the_solution(tmp_path):
    state = train(tmp_path, steps=150, loop=LoopConfig(log_every=50, evaluate_every=150, save_every=150))
    np.testing.assert_allclose(state.params["w"], 2, atol=0.1)
    losses = rows(tmp_path)
    assert losses[150] < 0.05 * losses[50]


def test_a_stopped_run_resumes_exactly(tmp_path):
    whole = train(tmp_path / "whole")

    def stop(at):
        if at == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", data=Numbers(on_batch=stop))
    assert max(rows(tmp_path / "parts")) == 6
    resumed = train(tmp_path / "parts")
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize("at", [3, 6, 8, 10])
def test_a_signal_while_waiting_for_the_device_loses_nothing(tmp_path, monkeypatch, at):
    """Nearly all signals come then; the step may be one that neither logs nor saves, and the window is not lost."""
    rare = LoopConfig(log_every=4, evaluate_every=100, save_every=100)
    whole = train(tmp_path / "whole", loop=rare)
    fetch = Parallel.fetch_metrics
    calls = iter(range(1, 100))

    def interrupt(self, metrics):
        if next(calls) == at:
            os.kill(os.getpid(), signal.SIGINT)
        return fetch(self, metrics)

    monkeypatch.setattr(Parallel, "fetch_metrics", interrupt)
    if at < 10:
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "parts", loop=rare)
        newest = store.read_checkpoint(store.checkpoints_in(tmp_path / "parts")[-1], "styles")
        assert at <= newest.step <= at + 2
    resumed = train(tmp_path / "parts", loop=rare)
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole") and list(rows(tmp_path / "whole")) == [4, 8, 10]
    assert (tmp_path / "parts" / "curves.png").exists()


@dataclasses.dataclass(frozen=True)
class Settings:
    MAY_CHANGE: ClassVar = ("steps", "loop")

    seed: int = 0
    steps: int = 10
    loop: LoopConfig = LOOP
    model: StylizerConfig = CONFIG


def test_other_settings_are_not_mixed_into_a_run(tmp_path):
    train(tmp_path, steps=4, settings=Settings())
    longer = Settings(steps=10, loop=LoopConfig(log_every=2))
    assert int(train(tmp_path, steps=5, settings=longer).step) == 5
    with pytest.raises(EmojaxError, match="was trained with seed 0, now it is 1: choose another folder"):
        train(tmp_path, settings=Settings(seed=1))
    with pytest.raises(EmojaxError, match=r"model.style_names \['sad'\], now it is \['fear'\]"):
        train(tmp_path, settings=Settings(model=dataclasses.replace(CONFIG, style_names=("fear",))))


def test_parameters_that_overflow_are_never_saved(tmp_path):
    """The metrics of a step come from before its update, so they do not tell."""

    def overflow(state, constants, batch, axis_name):
        state, metrics = step(state, constants, batch, axis_name)
        return state.replace(params={"w": state.params["w"] + jnp.where(state.step == 4, jnp.inf, 0)}), metrics

    with pytest.raises(EmojaxError, match="parameter w is not finite at step 4"):
        train(tmp_path, step=overflow)
    assert not store.checkpoints_in(tmp_path)


def test_an_evaluation_that_is_not_finite_stops(tmp_path):
    with pytest.raises(EmojaxError, match="content is inf at step 5"):
        train(tmp_path, evaluate=lambda state, constants: ({"content": float("inf")}, 0.0))


def test_without_evaluation_the_score_is_the_latest_loss(tmp_path):
    train(tmp_path, steps=5, loop=LoopConfig(log_every=3, save_every=4))
    found = {c.name: store.read_checkpoint(c, "styles") for c in store.checkpoints_in(tmp_path)}
    losses = rows(tmp_path)
    expected = {"step_00000004": -losses[3], "step_00000005": -losses[5]}
    assert found["step_00000005"].score == expected["step_00000005"]
    assert all(checkpoint.score == expected[name] for name, checkpoint in found.items())


def test_a_position_that_is_damaged_is_told(tmp_path):
    train(tmp_path, steps=4)
    position = store.checkpoints_in(tmp_path)[-1] / "training" / "position.json"
    position.write_text(position.read_text().replace("4", "5"))
    with pytest.raises(EmojaxError, match="damaged or incomplete: model.json and training/"):
        train(tmp_path)


def test_lines_behind_the_checkpoint_are_not_written_twice(tmp_path):
    whole = train(tmp_path / "whole")

    def crash(at):
        if at == 7:  # the newest checkpoint is step 4
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(tmp_path / "parts", data=Numbers(on_batch=crash))
    resumed = train(tmp_path / "parts")
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)
    lines = (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 10 and rows(tmp_path / "parts") == rows(tmp_path / "whole")


def test_a_finished_run_is_left_alone(tmp_path, capsys):
    first = train(tmp_path)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    again = train(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, again, first)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before and "already has" in capsys.readouterr().err


def test_curves_that_are_missing_are_drawn_later(tmp_path):
    train(tmp_path)
    (tmp_path / "curves.png").unlink()
    train(tmp_path)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_loss_that_is_not_finite_stops_with_its_name_and_step(tmp_path):
    with pytest.raises(EmojaxError, match="loss is nan at step 3"):
        train(tmp_path, data=Numbers(poison=3))


def test_the_best_checkpoint_is_that_of_the_evaluation(tmp_path):
    scores = iter([5.0, 1.0])
    train(tmp_path, evaluate=lambda state, constants: ({"loss": float(constants)}, next(scores)))
    assert rows(tmp_path, "val") == {5: 2.0, 10: 2.0}
    assert [p.name for p in store.checkpoints_in(tmp_path)][-1] == "step_00000010"
    assert store.read_checkpoint(tmp_path, "styles").score == 5.0


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EmojaxError, match="cannot write"):
        train(tmp_path / "file")


def test_a_cut_off_line_is_dropped_on_resuming(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "split": "train", "loss": 1.0}\n{"step": 2, "spl')
    MetricsLog(tmp_path, 5).close()
    assert rows(tmp_path) == {1: 1.0}


def test_curves_of_nothing(tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    assert plot_curves(tmp_path / "empty.jsonl").startswith(b"\x89PNG")


def test_the_schedule_warms_up_and_decays():
    """By steps; and the optimizer's own count of steps is what the warm-up follows."""
    config = OptimizerConfig(learning_rate=1.0, schedule="cosine", warmup_steps=2)
    optimizer = config.build()
    update = compiled(lambda state, progress: optimizer.update(jnp.ones(1), state, progress=progress))
    state, sizes = optimizer.init(jnp.zeros(1)), []
    for number in range(6):
        found, state = update(state, np.float32(number / 6))
        sizes.append(-float(found[0]))
    expected = [0, 0.466506, 0.75, 0.5, 0.25, 0.066987]
    np.testing.assert_allclose(sizes, expected, atol=1e-5)
    rate = compiled(config.rate)
    np.testing.assert_allclose([rate(np.int32(n), np.float32(n / 6)) for n in range(6)], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "rates"),
    [
        (OptimizerConfig(0.1), [0.1, 0.1, 0.1]),
        (OptimizerConfig(0.1, warmup_steps=100), [0.0, 0.05, 0.1]),
        (OptimizerConfig(0.1, schedule="cosine"), [0.1, 0.05, 0.0]),
    ],
)
def test_the_rate_by_steps_and_by_progress(config, rates):
    """Beyond the end it stays what it was there."""
    rate = compiled(config.rate)
    found = [rate(np.int32(n), np.float32(p)) for n, p in ((0, 0.0), (50, 0.5), (100, 1.0))]
    np.testing.assert_allclose(found, rates, atol=1e-8)
    np.testing.assert_allclose(rate(np.int32(300), np.float32(1.5)), rates[-1], atol=1e-8)


# --- training by the clock


class Clock:
    """`time` of the loop: ten seconds pass before every batch."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr("emojax.train.progress.time", types.SimpleNamespace(monotonic=lambda: self.now))

    def tick(self, at):
        self.now += 10


def noted(state, constants, batch, axis_name):
    """The step, which notes what it was told of the run's progress."""
    told = state.progress
    state, metrics = step(state, constants, batch, axis_name)
    return state, {**metrics, "progress": told}


def progress_of(run):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [row["progress"] for row in map(json.loads, lines)]


def test_a_run_by_the_clock_ends_when_its_time_is_over(tmp_path, monkeypatch, capsys):
    clock = Clock(monkeypatch)
    state = train(tmp_path, steps=None, seconds=100.0, data=Numbers(on_batch=clock.tick), step=noted)
    assert int(state.step) == 10
    # The step learns what had passed when its batch was there.
    np.testing.assert_allclose(progress_of(tmp_path), [0.1 * n for n in range(1, 11)], atol=1e-6)
    clock.now += 1e6
    again = train(tmp_path, steps=None, seconds=100.0, step=noted)
    assert int(again.step) == 10 and "already has 10 steps, all that it should" in capsys.readouterr().err
    assert int(train(tmp_path, steps=None, seconds=130.0, data=Numbers(on_batch=clock.tick), step=noted).step) == 13


def test_what_came_before_the_first_step_counts(tmp_path, monkeypatch):
    clock = Clock(monkeypatch)
    started = clock.now - 60
    state = train(tmp_path / "a", steps=None, seconds=100.0, started=started, data=Numbers(on_batch=clock.tick))
    assert int(state.step) == 4
    late = train(tmp_path / "b", steps=None, seconds=10.0, started=started - 1e6, data=Numbers(on_batch=clock.tick))
    assert int(late.step) == 1 and store.checkpoints_in(tmp_path / "b")  # a checkpoint there is in any case


def test_a_run_by_the_clock_that_is_stopped_goes_on_where_its_time_stopped(tmp_path, monkeypatch):
    clock = Clock(monkeypatch)

    def stop(at):
        clock.tick(at)
        if at == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, steps=None, seconds=100.0, data=Numbers(on_batch=stop), step=noted)
    clock.now += 1e6  # the night between
    state = train(tmp_path, steps=None, seconds=100.0, data=Numbers(on_batch=clock.tick), step=noted)
    assert int(state.step) == 10
    np.testing.assert_allclose(progress_of(tmp_path), [0.1 * n for n in range(1, 11)], atol=1e-6)


def test_a_checkpoint_is_written_after_some_minutes(tmp_path, monkeypatch):
    clock = Clock(monkeypatch)

    def crash(at):
        clock.tick(at)
        if at == 6:
            raise ZeroDivisionError

    rare = LoopConfig(log_every=4, evaluate_every=100, save_every=100, save_minutes=0.5)
    with pytest.raises(ZeroDivisionError):
        train(tmp_path, loop=rare, data=Numbers(on_batch=crash))
    assert [path.name for path in store.checkpoints_in(tmp_path)] == [
        "step_00000004"
    ]  # 40 seconds, where 30 are too many


def test_a_run_ends_by_steps_or_by_the_clock(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="one of them"):
        train(tmp_path, steps=None)
    with pytest.raises(ValueError, match="one of them"):
        train(tmp_path, seconds=1.0)
    monkeypatch.setattr("jax.process_count", lambda: 2)
    with pytest.raises(EmojaxError, match="several hosts cannot train by the clock"):
        train(tmp_path, steps=None, seconds=1.0)


@pytest.mark.parametrize("bad", [{"schedule": "linear"}, {"learning_rate": 0}, {"clip_norm": -1}, {"warmup_steps": -1}])
def test_invalid_optimizers(bad):
    with pytest.raises(EmojaxError, match=f"^`{next(iter(bad))}` "):
        OptimizerConfig(**bad)


def test_invalid_loops():
    with pytest.raises(EmojaxError, match="^`log_every` 0: it is a whole number, at least 1$"):
        LoopConfig(log_every=0)
    assert LoopConfig(evaluate_every=0).evaluate_every == 0


def test_a_stopwatch_leaves_out_what_is_between_pauses(monkeypatch):
    now = iter([10.0, 12.0, 13.0, 100.0, 101.0])
    monkeypatch.setattr("emojax.train.throughput.time.perf_counter", lambda: next(now))
    watch = Stopwatch()
    watch.read(1)  # compiled by now
    watch.read(5)
    watch.read(7)
    watch.pause()
    assert (watch.steps, watch.seconds, watch.runs) == (6, 3.0, False)
    watch.read(8)
    watch.read(9)
    assert (watch.steps, watch.seconds) == (7, 4.0)


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_the_speed_is_that_of_all_devices(mode, monkeypatch):
    """Two devices, each with a 64 x 64 x 64 product for each of its 3 examples."""
    parallel = Parallel(mode, jax.devices()[:2])

    def step(state, constants, batch, axis_name):
        return state, {"loss": (batch["x"] @ state).mean()}

    compiled, state = parallel.compile(step), parallel.place_state(np.ones((64, 64), np.float32))
    batch = parallel.place_batch({"x": np.ones((6 * 64, 64), np.float32)})
    flops = parallel.count_flops(compiled, state, None, batch)
    np.testing.assert_allclose(flops, 6 * 2 * 64**3, rtol=0.02)
    watch = Stopwatch()
    watch.steps, watch.seconds = 10, 5.0
    monkeypatch.setattr("emojax.train.throughput.measure_matmul_peak", lambda dtype: flops)
    text = describe_speed(watch, parallel, compiled, (state, None, batch), "float32")
    assert f"at 0.5 s, without compiling, evaluating and saving: {6 * 64 / 0.5:g} images/s" in text
    assert "100% of the" in text  # 2 x flops a second, of twice one device's peak


def test_a_matrix_product_is_timed():
    assert 1e8 < measure_matmul_peak("float32") < 1e16
