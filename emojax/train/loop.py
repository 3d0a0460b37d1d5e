"""The training loop: data -> step -> metrics -> checkpoint. It knows neither the network nor the training config.

A step is a pure function `step(state, constants, batch, axis_name) -> (state, metrics)`. It changes the state (see
`TrainState`) and only reads the constants, such as VGG16, painting targets or frozen layers. The constants are placed on the
devices once and are not saved in checkpoints.

A run has one folder: `step_*/` checkpoints (the newest and the best are kept), `metrics.jsonl`, `tensorboard/` and
`curves.png`. If it is started again with the same command, it continues exactly where it stopped.
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from tqdm import tqdm

from emojax.train import resume
from emojax.train.hooks import Evaluate, Evaluation, Hook, Log, Save, StepEnd, ToParams
from emojax.train.metrics_log import MetricsLog
from emojax.train.parallel import Parallel, Step, max_over_hosts
from emojax.train.progress import Length, Timer
from emojax.train.signals import Signals
from emojax.train.state import TrainState
from emojax.train.throughput import TIMED_STEPS, Stopwatch, describe_speed
from emojax.util.numbers import check_range
from emojax.util.progress import progress as show_progress
from emojax.util.words import tell


@dataclass(frozen=True)
class LoopConfig:
    """How often the loop reports, checks and saves, in steps."""

    log_every: int = 20
    """steps between two lines of metrics.jsonl (means over those steps)"""
    evaluate_every: int = 500
    """steps between two evaluations on held-out data; 0: none, also not at the end, which saves compiling a program"""
    save_every: int = 500
    """steps between two checkpoints"""
    save_minutes: float = 10.0
    """minutes after which a checkpoint is written anyway"""

    def __post_init__(self) -> None:
        check_range("log_every", self.log_every, least=1, whole=True)
        check_range("evaluate_every", self.evaluate_every, least=0, whole=True)
        check_range("save_every", self.save_every, least=1, whole=True)
        check_range("save_minutes", self.save_minutes, above=0)


@runtime_checkable
class DataIterator(Protocol):
    """Batches, endless, with a state that JSON can hold (Grain's iterators)."""

    def __next__(self) -> Any: ...
    def get_state(self) -> Any: ...
    def set_state(self, state: Any) -> None: ...


_BAR = "{percentage:5.1f}%|{bar}| {elapsed}<{remaining} {postfix}"


# Longer than other functions, so that a run can be read from its start to its end.
def fit(
    run: resume.Run,
    state: TrainState,
    constants: Any,
    step: Step,
    batches: DataIterator,
    length: Length,
    *,
    loop: LoopConfig,
    parallel: Parallel,
    to_params: ToParams,
    evaluate: Evaluation | None = None,
    dtype: str = "float32",
    started: float | None = None,
) -> TrainState:
    """Trains until the run has its length; resumes from the newest checkpoint.

    SIGINT and SIGTERM write a checkpoint first; then KeyboardInterrupt is raised.

    Args:
        state: before the first step.
        constants: what `step` reads besides the state and the batch; any pytree.
        step: see this module; metrics are scalars, one of them "loss".
        length: in steps or seconds.
        to_params: see `ToParams`; the metrics are empty where nothing was evaluated.
        evaluate: runs every `loop.evaluate_every` steps and at the end; without it the score is minus the last training loss.
        dtype: of the step's convolutions; it determines the peak with which the speed is compared.
        started: `time.monotonic()` from which `length.seconds` count; None: now.

    Returns:
        The state after the last step, on the host.

    Raises:
        EmojaxError: a metric or parameter that is not finite, a checkpoint that is damaged or of other settings, a folder
            that cannot be written.
        KeyboardInterrupt: after a signal.
    """
    if (done := resume.finished_state(run, state, length, started)) is not None:
        return done
    state, position = resume.restore(run, state)
    if position.step:
        batches.set_state(position.iterator)
        tell(f"resuming from {run.folder}/step_{position.step:08d}")
    timer = Timer(length, position.elapsed, started)
    compiled, watch = parallel.compile(step), Stopwatch()
    placed, placed_constants = parallel.place_state(state), parallel.place_state(constants)
    metrics_log = MetricsLog(run.folder, position.step) if jax.process_index() == 0 else None
    bar = _Bar(timer, position.step)
    log = Log(run.folder, loop.log_every, metrics_log, bar, position)
    evaluation = None
    if evaluate is not None and loop.evaluate_every:
        evaluation = Evaluate(run.folder, loop.evaluate_every, metrics_log, parallel, evaluate, placed_constants)
    save = Save(
        run,
        every=loop.save_every,
        minutes=loop.save_minutes,
        timer=timer,
        parallel=parallel,
        batches=batches,
        to_params=lambda state, metrics: to_params(state, constants, metrics),
        log=log,
        evaluate=evaluation,
    )
    hooks: list[Hook] = [log, *([evaluation] if evaluation else []), save]
    reader = _MetricsReader(parallel, log)
    with Signals() as signals, bar:
        for number in itertools.count(position.step + 1):
            batch = parallel.place_batch(next(batches))
            progress = parallel.place_state(np.asarray(min(timer.progress(number - 1), 1), np.float32))
            placed, metrics = compiled(placed.replace(progress=progress), placed_constants, batch)
            reader.put(number, metrics)
            end = StepEnd(number, last=timer.progress(number) >= 1)
            end.stops = _stops(signals, asks=any(hook.due(end) for hook in hooks))
            due = [hook for hook in hooks if hook.due(end)]
            if due or not watch.runs:
                reader.flush()
                watch.read(number)
            for hook in due:
                hook(end, placed)
            if save in due:
                watch.pause()
            bar.show(number)
            if end.last:
                break
            if end.stops:
                tqdm.write(f"stopped at step {number}; the same command goes on from there", sys.stderr)
                raise KeyboardInterrupt
        if metrics_log:
            metrics_log.close()
            if watch.steps >= TIMED_STEPS:
                arguments = placed, placed_constants, batch
                tell(describe_speed(watch, parallel, compiled, arguments, dtype))
    return parallel.fetch_state(placed)


def _stops(signals: Signals, asks: bool) -> bool:
    """Whether any host has received a signal. The hosts wait for each other's answers, so several ask only if `asks`."""
    if jax.process_count() > 1 and not asks:
        return False
    return max_over_hosts(signals.received is not None) > 0


class _MetricsReader:
    """Reads the metrics of each step after the next step is dispatched, so that the device never waits for the host."""

    def __init__(self, parallel: Parallel, log: Log) -> None:
        self._parallel, self._log = parallel, log
        self._pending: tuple[int, Any] | None = None

    def put(self, number: int, metrics: Any) -> None:
        """Takes a step's metrics, which are on the devices, and reads those of the previous step."""
        self.flush()
        self._pending = number, metrics

    def flush(self) -> None:
        """Waits for the metrics that are not read yet."""
        if self._pending is not None:
            number, metrics = self._pending
            self._pending = None
            self._log.add(number, self._parallel.fetch_metrics(metrics))


class _Bar:
    """A progress bar of the run, on the first host."""

    def __init__(self, timer: Timer, step: int) -> None:
        self._timer = timer
        done = int(1000 * min(timer.progress(step), 1))
        others = jax.process_index() != 0
        self._shown = show_progress(1000, quiet=others, initial=done, mininterval=2, bar_format=_BAR)

    def show(self, step: int) -> None:
        """Sets the bar to the progress after `step` steps."""
        self._shown.update(int(1000 * min(self._timer.progress(step), 1)) - int(self._shown.n))

    def set_postfix_str(self, text: str) -> None:
        """Sets the text after the bar."""
        self._shown.set_postfix_str(text)

    def __enter__(self) -> _Bar:
        self._shown.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._shown.__exit__(*error)
