"""The training loop on a toy problem: what it leaves behind, how it stops and resumes."""

import dataclasses
import os
import signal
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import CONFIG, LOOP, RATE, Numbers, rows, step, train

from emojax.errors import EmojaxError
from emojax.nets.stylizer_config import StylizerConfig
from emojax.train.loop import LoopConfig
from emojax.train.metrics_log import MetricsLog, plot_curves
from emojax.train.parallel import Parallel
from emojax.weights import store


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


def test_invalid_loops():
    with pytest.raises(EmojaxError, match="^`log_every` 0: it is a whole number, at least 1$"):
        LoopConfig(log_every=0)
    assert LoopConfig(evaluate_every=0).evaluate_every == 0
