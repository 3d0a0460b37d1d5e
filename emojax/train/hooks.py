"""What the loop does between steps: log metrics, evaluate, save a checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
from tqdm import tqdm

from emojax.train import resume
from emojax.train.metrics_log import MetricsLog
from emojax.train.parallel import Parallel
from emojax.train.progress import Timer
from emojax.train.state import TrainState
from emojax.util.numbers import check_range

Evaluation = Callable[[TrainState, Any], tuple[dict[str, float], float]]
"""(state, constants), arrays of one device -> (metrics, score; higher is better)"""
ToParams = Callable[[TrainState, Any, Mapping[str, float]], Mapping[str, Any]]
"""(state on the host, constants, metrics of this step's evaluation) -> the parameters that inference needs"""


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
class Bar(Protocol):
    """Shows the progress of the run."""

    def set_postfix_str(self, text: str, /) -> None: ...


@dataclass
class StepEnd:
    """The facts about a step that has been dispatched; hooks add to them."""

    step: int
    last: bool
    """whether it is the run's last step"""
    stops: bool = False
    """whether the run stops here because of a signal"""
    metrics: dict[str, float] = field(default_factory=dict)
    """of the evaluation after this step"""
    score: float | None = None
    """of that evaluation"""


@runtime_checkable
class Hook(Protocol):
    """An action that runs after some of the steps."""

    def due(self, end: StepEnd) -> bool:
        """Whether the hook runs after this step."""
        ...

    def __call__(self, end: StepEnd, placed: TrainState) -> None:
        """Runs the hook; `placed` is the state on the devices."""
        ...


class Log:
    """Writes the mean metrics of the steps since the last line to the log and the progress bar."""

    def __init__(
        self, folder: Path, loop: LoopConfig, log: MetricsLog | None, bar: Bar, position: resume.Position
    ) -> None:
        """`log` is None on all hosts but the first."""
        self.folder, self.every, self.log, self.bar = folder, loop.log_every, log, bar
        self.window, self.means = list(position.window), dict(position.means)

    def add(self, step: int, metrics: dict[str, float]) -> None:
        """Takes a step's metrics; raises InputError for one that is not finite."""
        resume.check_finite(metrics, step, self.folder)
        self.window.append(metrics)

    def due(self, end: StepEnd) -> bool:
        return end.step % self.every == 0 or end.last

    def __call__(self, end: StepEnd, placed: TrainState) -> None:
        self.means = {name: sum(m[name] for m in self.window) / len(self.window) for name in self.window[0]}
        self.window = []
        values = {"step": f"{end.step}", **{name: f"{value:.4g}" for name, value in self.means.items()}}
        self.bar.set_postfix_str(", ".join(f"{name}={value}" for name, value in values.items()))
        if self.log:
            self.log.write(end.step, "train", self.means)


class Evaluate:
    """Evaluates on held-out data and logs the metrics."""

    def __init__(
        self,
        folder: Path,
        loop: LoopConfig,
        log: MetricsLog | None,
        parallel: Parallel,
        evaluate: Evaluation,
        constants: Any,
    ) -> None:
        """`constants` are on the devices."""
        self.folder, self.every, self.log, self.parallel = folder, loop.evaluate_every, log, parallel
        self.evaluate, self.constants = evaluate, constants

    def due(self, end: StepEnd) -> bool:
        return end.step % self.every == 0 or end.last

    def __call__(self, end: StepEnd, placed: TrainState) -> None:
        state, constants = self.parallel.on_one_device((placed, self.constants))
        end.metrics, end.score = self.evaluate(state, constants)
        resume.check_finite(end.metrics, end.step, self.folder)
        if self.log:
            self.log.write(end.step, "val", end.metrics)
            tqdm.write(f"step {end.step}: " + ", ".join(f"{k} {v:.4f}" for k, v in end.metrics.items()), sys.stderr)


class Save:
    """Writes a checkpoint after every so many steps or minutes, after each evaluation, and when the run stops."""

    def __init__(
        self,
        run: resume.Run,
        loop: LoopConfig,
        timer: Timer,
        parallel: Parallel,
        batches: Any,
        to_params: ToParams,
        constants: Any,
        log: Log,
        evaluate: Evaluate | None,
    ) -> None:
        """`batches` is the data iterator; `constants` are on the host."""
        self.run, self.loop, self.timer, self.parallel = run, loop, timer, parallel
        self.batches, self.to_params, self.constants = batches, to_params, constants
        self.log, self.evaluate = log, evaluate
        self._saved = timer.elapsed()

    def due(self, end: StepEnd) -> bool:
        # All hosts have to decide alike, so only a single host uses its clock.
        overdue = jax.process_count() == 1 and self.timer.elapsed() - self._saved > 60 * self.loop.save_minutes
        evaluated = self.evaluate is not None and self.evaluate.due(end)
        return end.step % self.loop.save_every == 0 or evaluated or overdue or end.last or end.stops

    def __call__(self, end: StepEnd, placed: TrainState) -> None:
        metrics, score = end.metrics, end.score
        if self.evaluate is None:  # the score then comes from the last line of the log
            metrics, score = self.log.means, -self.log.means["loss"] if self.log.means else None
        if jax.process_index() == 0:
            state = self.parallel.fetch_state(placed)
            position = resume.Position(
                step=end.step,
                iterator=self.batches.get_state(),
                window=self.log.window,
                means=self.log.means,
                elapsed=self.timer.elapsed(),
                finished=end.last,
                epochs=self.timer.length.epochs,
            )
            params = self.to_params(state, self.constants, metrics)
            resume.save(self.run, position, state, params, metrics, score)
        self._saved = self.timer.elapsed()
