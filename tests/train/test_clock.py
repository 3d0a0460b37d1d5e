"""Training by the clock."""

import json
import os
import signal
import types

import numpy as np
import pytest
from toy import Numbers, step, train

from emojax.errors import EmojaxError
from emojax.train.loop import LoopConfig
from emojax.weights import store


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
