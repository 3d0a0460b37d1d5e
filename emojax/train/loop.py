"""The training loop: data -> step -> metrics -> checkpoint. It knows neither the network nor the training config.

A step is a pure function `step(state, constants, batch, axis_name) -> (state, metrics)`. It changes the state (see
`TrainState`) and only reads the constants, such as VGG16, painting targets or frozen layers. The constants are placed on the
devices once and are not saved in checkpoints.

A run has one folder: `step_*/` checkpoints (the newest and the best are kept), `metrics.jsonl`, `tensorboard/` and
`curves.png`. If it is started again with the same command, it continues exactly where it stopped.
"""

from __future__ import annotations

import sys
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from tqdm import tqdm

from emojax.train import resume
from emojax.train.hooks import Evaluate, Evaluation, Hook, Log, LoopConfig, Save, StepEnd, ToParams
from emojax.train.metrics_log import MetricsLog
from emojax.train.parallel import Parallel, Step, max_over_hosts
from emojax.train.progress import Length, Timer
from emojax.train.signals import Signals
from emojax.train.state import TrainState
from emojax.train.throughput import TIMED_STEPS, Stopwatch, describe_speed
from emojax.util.progress import progress as show_progress
from emojax.util.words import tell


@runtime_checkable
class DataIterator(Protocol):
    """Batches, endless, with a state that JSON can hold (Grain's iterators)."""

    def __next__(self) -> Any: ...
    def get_state(self) -> Any: ...
    def set_state(self, state: Any) -> None: ...


_BAR = "{percentage:5.1f}%|{bar}| {elapsed}<{remaining} {postfix}"


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
    """Trains until the run has its length; resumes from the newest checkpoint; returns the last state, on the host.

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
    placed, placed_constants = parallel.place_state(state), parallel.place_state(constants)
    metrics_log = MetricsLog(run.folder, position.step) if jax.process_index() == 0 else None
    with Signals() as signals, _Bar(timer, position.step) as bar:
        log, evaluation = Log(run.folder, loop, metrics_log, bar, position), None
        if evaluate is not None and loop.evaluate_every:
            evaluation = Evaluate(run.folder, loop, metrics_log, parallel, evaluate, placed_constants)
        save = Save(run, loop, timer, parallel, batches, to_params, constants, log, evaluation)
        steps = _Steps(step, placed_constants, batches, timer, parallel, log, evaluation, save, dtype)
        placed = steps.run(placed, position.step, signals, bar)
    if metrics_log:
        metrics_log.close()
    return parallel.fetch_state(placed)


class _Steps:
    """The steps of a run, and the hooks after them."""

    def __init__(
        self,
        step: Step,
        constants: Any,
        batches: DataIterator,
        timer: Timer,
        parallel: Parallel,
        log: Log,
        evaluation: Evaluate | None,
        save: Save,
        dtype: str,
    ) -> None:
        """`constants` are on the devices; for `dtype` see `fit`."""
        self.compiled, self.constants, self.batches = parallel.compile(step), constants, batches
        self.timer, self.parallel, self.save, self.dtype = timer, parallel, save, dtype
        self.hooks: list[Hook] = [log, *([evaluation] if evaluation else []), save]
        self.reader, self.watch = _MetricsReader(parallel, log), Stopwatch()

    def run(self, placed: TrainState, done: int, signals: Signals, bar: _Bar) -> TrainState:
        """Takes all steps after the first `done`, and returns the state on the devices; KeyboardInterrupt: see `fit`."""
        end = StepEnd(done, last=False)
        while not end.last:
            end = StepEnd(end.step + 1, last=False)
            batch = self.parallel.place_batch(next(self.batches))
            progress = self.parallel.place_state(np.asarray(min(self.timer.progress(end.step - 1), 1), np.float32))
            placed, metrics = self.compiled(placed.replace(progress=progress), self.constants, batch)
            self.reader.put(end.step, metrics)
            end.last = self.timer.progress(end.step) >= 1
            end.stops = _stops(signals, asks=any(hook.due(end) for hook in self.hooks))
            self._run_hooks(end, placed)
            bar.show(end.step)
            if end.stops and not end.last:
                tqdm.write(f"stopped at step {end.step}; the same command goes on from there", sys.stderr)
                raise KeyboardInterrupt
        if jax.process_index() == 0 and self.watch.steps >= TIMED_STEPS:
            arguments = placed, self.constants, batch
            tell(describe_speed(self.watch, self.parallel, self.compiled, arguments, self.dtype))
        return placed

    def _run_hooks(self, end: StepEnd, placed: TrainState) -> None:
        due = [hook for hook in self.hooks if hook.due(end)]
        if due or not self.watch.runs:
            self.reader.flush()
            self.watch.read(end.step)
        for hook in due:
            hook(end, placed)
        if self.save in due:
            self.watch.pause()


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
