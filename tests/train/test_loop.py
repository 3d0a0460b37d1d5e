import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from emojax import checkpoint as ckpt
from emojax.errors import UserError
from emojax.stylizer import StylizerConfig
from emojax.train.loop import LoopConfig, MetricsLog, OptimizerConfig, TrainState, fit, plot_curves
from emojax.train.parallel import Parallel, mean_over

CONFIG = StylizerConfig(width=2, blocks=0, styles=("sad",))  # any model config: the loop only writes it down
OPTIMIZER = OptimizerConfig(learning_rate=0.05, schedule="cosine", warmup_steps=2, clip_norm=1.0).build(10)
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


def step(state, batch, axis_name):
    noise = jax.random.normal(jax.random.fold_in(state.key, state.step), (3,))  # resuming must restore the PRNG too

    def loss_of(params):
        return jnp.square(batch["x"] @ (params["w"] - 0.1 * noise) - batch["x"].sum(1) * state.frozen).mean()

    loss, gradients = mean_over(axis_name, jax.value_and_grad(loss_of)(state.params))
    updates, opt_state = OPTIMIZER.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return state.replace(step=state.step + 1, params=params, opt_state=opt_state), {"loss": loss}


def train(run, steps=10, data=None, **more):
    state = TrainState.create({"w": jnp.zeros(3)}, OPTIMIZER, seed=3, frozen=jnp.float32(2))
    return fit(
        run,
        "styles",
        CONFIG,
        state,
        step,
        data or Numbers(),
        steps,
        loop=LOOP,
        parallel=Parallel(),
        to_params=lambda state, _: state.params,
        **more,
    )


def rows(run, split="train"):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return {row["step"]: row["loss"] for row in map(json.loads, lines) if row["split"] == split}


def test_it_learns_and_leaves_everything_behind(tmp_path):
    state = train(tmp_path)
    losses = rows(tmp_path)
    assert list(losses) == list(range(1, 11))
    assert int(state.step) == 10 and (np.abs(state.params["w"] - 2) < 2).all()  # from 0 towards the solution, 2
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert any((tmp_path / "tensorboard").iterdir())
    found = ckpt.read_checkpoint(ckpt.checkpoints_in(tmp_path)[-1], "styles")
    np.testing.assert_array_equal(ckpt.load_params(found, state.params)["w"], state.params["w"])


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


def test_a_loss_that_is_not_finite_stops_with_its_name_and_step(tmp_path):
    with pytest.raises(UserError, match="loss is nan at step 3"):
        train(tmp_path, data=Numbers(poison=3))


def test_the_best_checkpoint_is_that_of_the_evaluation(tmp_path):
    scores = iter([5.0, 1.0])
    train(tmp_path, evaluate=lambda state: ({"loss": float(state.frozen)}, next(scores)))
    assert rows(tmp_path, "val") == {5: 2.0, 10: 2.0}
    assert [p.name for p in ckpt.checkpoints_in(tmp_path)][-1] == "step_00000010"
    assert ckpt.read_checkpoint(tmp_path, "styles").score == 5.0


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"):
        train(tmp_path / "file")


def test_a_cut_off_line_is_dropped_on_resuming(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "split": "train", "loss": 1.0}\n{"step": 2, "spl')
    MetricsLog(tmp_path, 5).close()
    assert rows(tmp_path) == {1: 1.0}


def test_no_curves_without_metrics(tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    plot_curves(tmp_path / "empty.jsonl", tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()


def test_the_schedule_warms_up_and_decays():
    config = OptimizerConfig(learning_rate=1.0, schedule="cosine", warmup_steps=2)
    optimizer = config.build(6)
    state, sizes = optimizer.init(jnp.zeros(1)), []
    for _ in range(6):
        update, state = optimizer.update(jnp.ones(1), state)
        sizes.append(-float(update[0]))
    np.testing.assert_allclose(sizes, [0, 0.5, 1, 0.853553, 0.5, 0.146447], atol=1e-5)


@pytest.mark.parametrize("bad", [{"schedule": "linear"}, {"learning_rate": 0}, {"clip_norm": -1}, {"warmup_steps": -1}])
def test_invalid_optimizers(bad):
    with pytest.raises(UserError):
        OptimizerConfig(**bad)


def test_invalid_loops():
    with pytest.raises(UserError):
        LoopConfig(log_every=0)
