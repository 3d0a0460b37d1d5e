"""The training loop: data -> step -> metrics -> checkpoint. It knows nothing of the network it trains.

A run lives in one folder: `step_*/` checkpoints (the newest and the best are kept), `metrics.jsonl`, `tensorboard/` and
`curves.png`. Started again with the same command, it goes on exactly where it stopped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from emojax.errors import UserError
from emojax.train.metrics_log import MetricsLog
from emojax.train.parallel import Parallel, Step, max_over_hosts
from emojax.train.throughput import TIMED_STEPS, Stopwatch, describe_speed
from emojax.weights import store as ckpt


class TrainState(flax.struct.PyTreeNode):
    """All that a step reads and writes; JAX arrays on the devices, NumPy arrays on the host.

    `stats` are running statistics (batch norm), `key` a raw PRNG key that never changes (steps fold in their number),
    `progress` is how much of the run is done, 0 to 1 (of steps or of time, which the loop knows),
    `ema` is an exponential moving average of (params, stats) if the step keeps one, `frozen` constants of the step that
    are neither trained nor saved, such as the VGG16 weights.
    """

    step: Any
    params: Any
    stats: Any
    opt_state: Any
    key: Any
    ema: Any = None
    frozen: Any = None
    progress: Any = 0.0

    @classmethod
    def create(
        cls,
        params: Any,
        optimizer: optax.GradientTransformation,
        seed: int,
        stats: Any = None,
        with_ema: bool = False,
        frozen: Any = None,
    ) -> TrainState:
        """The state before the first step."""
        # A copy: the step donates its state, and no buffer can be donated twice.
        ema = jax.tree.map(np.array, (params, stats)) if with_ema else None
        return cls(
            *(jnp.zeros((), jnp.int32), params, stats, optimizer.init(params), jax.random.PRNGKey(seed), ema, frozen),
            progress=jnp.zeros((), jnp.float32),
        )

    def with_ema_update(self, decay: float) -> TrainState:
        """With `ema` moved towards the parameters and statistics: ema = d * ema + (1 - d) * (params, stats).

        d = min(decay, (1 + n) / (10 + n)) at step n, so that the average of a short run forgets its start.
        """
        steps = self.step.astype(jnp.float32)
        part = 1 - jnp.minimum(decay, (1 + steps) / (10 + steps))
        return self.replace(ema=optax.incremental_update((self.params, self.stats), self.ema, part))


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam with an optional warm-up, cosine decay and decoupled weight decay (Loshchilov & Hutter, arXiv:1711.05101)."""

    learning_rate: float = 1e-3
    """peak learning rate"""
    warmup_steps: int = 0
    """steps of linear warm-up from 0"""
    schedule: str = "constant"
    """constant, or cosine (to 0 at the last step)"""
    clip_norm: float = 0.0
    """largest global norm of the gradient; 0 does not clip"""
    weight_decay: float = 0.0
    """share of each kernel that decays in a step, times the learning rate; biases and norms do not decay"""

    def __post_init__(self) -> None:
        if self.schedule not in ("constant", "cosine"):
            raise UserError(f"schedule {self.schedule!r}: choose constant or cosine")
        if self.learning_rate <= 0 or min(self.warmup_steps, self.clip_norm, self.weight_decay) < 0:
            raise UserError(
                f"learning rate {self.learning_rate}, warm-up {self.warmup_steps}, clipping {self.clip_norm}, weight "
                f"decay {self.weight_decay}: the rate is above 0, the others are not negative"
            )

    def build(self) -> optax.GradientTransformationExtraArgs:
        """The optimizer; its update takes `progress`, how much of the run is done, 0 to 1."""
        parts = [optax.clip_by_global_norm(self.clip_norm)] if self.clip_norm else []
        parts.append(optax.scale_by_adam())
        if self.weight_decay:
            parts.append(optax.add_decayed_weights(self.weight_decay, mask=_kernels))
        return optax.chain(*parts, self._descend())

    def rate(self, count: Any, progress: Any) -> jax.Array:
        """The learning rate of the step after `count` others, when `progress` of the run is done."""
        warm = jnp.minimum(1, count / self.warmup_steps) if self.warmup_steps else 1.0
        decay = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(progress, 0, 1))) if self.schedule == "cosine" else 1.0
        return jnp.asarray(self.learning_rate * warm * decay, jnp.float32)

    def _descend(self) -> optax.GradientTransformationExtraArgs:
        def update(updates: Any, count: Any, params: Any = None, *, progress: Any, **_: Any) -> tuple[Any, Any]:
            rate = self.rate(count, progress)
            return jax.tree.map(lambda u: -rate * u, updates), count + 1

        return optax.GradientTransformationExtraArgs(lambda _: jnp.zeros((), jnp.int32), update)


def _kernels(params: Any) -> Any:
    """Which parameters are kernels, by their names."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1] == jax.tree_util.DictKey("kernel"), params)


@dataclass(frozen=True)
class LoopConfig:
    """How often the loop reports, checks and saves, in steps."""

    log_every: int = 20
    """steps between two lines of metrics.jsonl (means over those steps)"""
    evaluate_every: int = 500
    """steps between two evaluations on held-out data"""
    save_every: int = 500
    """steps between two checkpoints"""
    save_minutes: float = 10.0
    """minutes after which a checkpoint is written anyway"""

    def __post_init__(self) -> None:
        if min(self.log_every, self.evaluate_every, self.save_every) < 1 or self.save_minutes <= 0:
            raise UserError(f"{self}: each is at least 1 step, and more than 0 minutes")


@runtime_checkable
class DataIterator(Protocol):
    """Batches, endless, with a state that JSON can hold (Grain's iterators)."""

    def __next__(self) -> Any: ...
    def get_state(self) -> Any: ...
    def set_state(self, state: Any) -> None: ...


_BAR = "{percentage:5.1f}%|{bar}| {elapsed}<{remaining}{postfix}"

Evaluation = Callable[[TrainState], tuple[dict[str, float], float]]
"""state on the host -> (metrics, score; higher is better)"""


def fit(
    run: Path,
    kind: ckpt.Kind,
    model_config: Any,
    state: TrainState,
    step: Step,
    batches: DataIterator,
    steps: int | None,
    *,
    loop: LoopConfig,
    parallel: Parallel,
    to_params: Callable[[TrainState, Mapping[str, float]], Mapping[str, Any]],
    evaluate: Evaluation | None = None,
    settings: Any = None,
    dtype: str = "float32",
    seconds: float | None = None,
    started: float | None = None,
) -> TrainState:
    """Trains up to `steps` steps in all, or for so many seconds; resumes from the newest checkpoint in `run`.

    Returns the state, on the host.

    SIGINT and SIGTERM write a checkpoint first; then KeyboardInterrupt is raised.

    Args:
        kind, model_config: what the checkpoints say of the model.
        step: pure `(state, batch, axis_name) -> (state, metrics)`; metrics are scalars, one of them "loss".
        to_params: what inference needs, from the state and what `evaluate` measured at this step (nothing, mostly).
        evaluate: runs every `loop.evaluate_every` steps and at the end; without it the score is minus the loss.
        dtype: of the step's convolutions, to compare its speed with what the device can do.
        seconds: where `steps` is None: how long to train, over all starts of the run; its progress is that of the clock.
        started: `time.monotonic()` when that began, with what came before this call; none: now.
        settings: the training config; a run is only resumed with the one that it began with (`MAY_CHANGE` apart).

    Raises:
        UserError: a metric or parameter that is not finite, a checkpoint that is damaged or of other settings, a folder
            that cannot be written.
        KeyboardInterrupt: after a signal.
    """
    if (steps is None) == (seconds is None):
        raise ValueError(f"{steps} steps, {seconds} seconds: one of them")
    if seconds is not None and jax.process_count() > 1:
        raise UserError(
            "several hosts cannot train by the clock, which they do not share: give steps instead of minutes"
        )
    began = time.monotonic() if started is None else started
    frozen = state.frozen
    state = state.replace(frozen=None)
    writes = jax.process_index() == 0
    start = 0
    window: list[dict[str, float]] = []  # the metrics since the last line of the log
    means: dict[str, float] = {}  # of that line
    if (found := ckpt.checkpoints_in(run)) and (newest := ckpt.read_checkpoint(found[-1], kind)):
        position = ckpt.load_position(newest)
        _check_settings(newest.path, position["settings"], settings)
        state = ckpt.load_training(newest, state)
        batches.set_state(_decode_state(position["iterator"]))
        start, window, means = newest.step, position["window"], position["means"]
        began -= position.get("elapsed", 0.0)
        print(f"resuming from {newest.path}", file=sys.stderr)
    if start != max_over_hosts(start):
        raise UserError(f"the hosts have different checkpoints in {run}: give all of them the same, shared folder")

    def progress(number: int) -> float:
        """How much of the run is done after `number` steps."""
        return number / steps if steps is not None else (time.monotonic() - began) / (seconds or 1.0)

    if start and progress(start) >= 1:  # where the time is over before it began, one step is taken
        print(f"{run} already has {start} steps, all that it should", file=sys.stderr)
        if writes and not (run / "curves.png").exists():
            MetricsLog(run, start).close()
        return state
    log = MetricsLog(run, start) if writes else None
    compiled, watch = parallel.compile(step), Stopwatch()
    placed = parallel.place_state(state.replace(frozen=frozen))
    pending: Any = None

    def save(number: int, metrics: Mapping[str, float], score: float | None) -> None:
        if not writes:
            return
        host = parallel.fetch_state(placed.replace(frozen=None))
        _check_finite_parameters(host.params, number, run)
        ckpt.save_checkpoint(
            run / f"step_{number:08d}",
            kind,
            model_config,
            to_params(host.replace(frozen=frozen), metrics),
            step=number,
            metrics=metrics,
            score=score,
            training=host,
            position={
                "iterator": _encode_state(batches.get_state()),
                "window": window,
                "means": means,
                "elapsed": time.monotonic() - began,
                "settings": _settings(settings),
            },
        )
        ckpt.keep_newest_and_best(run, kind)

    bar = tqdm(total=1000, initial=int(1000 * progress(start)), disable=None if writes else True, mininterval=2, bar_format=_BAR)
    saved, last = time.monotonic(), False
    with _Signals() as signals, bar:
        for number in itertools.count(start + 1):
            evaluated: dict[str, float] = {}
            score: float | None = None  # of this very step, where there is something to evaluate
            batch = parallel.place_batch(next(batches))
            done = parallel.place_state(jnp.asarray(min(progress(number - 1), 1), jnp.float32))
            placed, metrics = compiled(placed.replace(progress=done), batch)
            # Read the step before, so that the device already has work while the host waits for numbers.
            if pending is not None:
                window.append(_finite(parallel.fetch_metrics(pending), number - 1, run))
            pending = metrics
            last = progress(number) >= 1
            logs = number % loop.log_every == 0 or last
            evaluates = evaluate is not None and (number % loop.evaluate_every == 0 or last)
            overdue = jax.process_count() == 1 and time.monotonic() - saved > 60 * loop.save_minutes
            saves = number % loop.save_every == 0 or evaluates or overdue or last
            # Hosts have to agree, for which they wait for one another: not at every step.
            asks = jax.process_count() == 1 or logs or saves
            stops = asks and max_over_hosts(signals.received is not None) > 0
            if logs or saves or stops or not watch.runs:
                window.append(_finite(parallel.fetch_metrics(pending), number, run))
                pending = None
                watch.read(number)
            if logs:
                means = {name: sum(m[name] for m in window) / len(window) for name in window[0]}
                window = []
                bar.set_postfix({"step": number, **{name: f"{value:.4g}" for name, value in means.items()}})
                if log:
                    log.write(number, "train", means)
            if evaluate is None:
                evaluated, score = means, -means["loss"] if means else None
            elif evaluates:
                host = parallel.fetch_state(placed.replace(frozen=None)).replace(frozen=frozen)
                evaluated, score = evaluate(host)
                _finite(evaluated, number, run)
                if log:
                    log.write(number, "val", evaluated)
                    bar.write(f"step {number}: " + ", ".join(f"{k} {v:.4f}" for k, v in evaluated.items()), sys.stderr)
            bar.update(int(1000 * min(progress(number), 1)) - bar.n)
            if saves or stops:
                save(number, evaluated, score)
                saved = time.monotonic()
                watch.pause()
            if last and log:
                log.close()
                if watch.steps >= TIMED_STEPS:
                    print(describe_speed(watch, parallel, compiled, (placed, batch), dtype), file=sys.stderr)
            if stops and not last:
                bar.write(f"stopped at step {number}; the same command goes on from there", sys.stderr)
                raise KeyboardInterrupt
            if last:
                break
    return parallel.fetch_state(placed.replace(frozen=None))


MAY_CHANGE = (
    *("output", "score_on", "pack", "steps", "epochs", "minutes", "loop", "parallel", "coordinator", "hosts", "host"),
    "data.workers",
)
"""fields of a training config that may differ when a run is resumed"""


def _settings(config: Any) -> dict[str, Any]:
    """A training config as JSON has it, flat, with dots in the names, without what may change."""
    flat: dict[str, Any] = {}

    def add(fields: Mapping[str, Any], prefix: str) -> None:
        for name, value in fields.items():
            if isinstance(value, dict):
                add(value, f"{prefix}{name}.")
            elif prefix + name not in MAY_CHANGE and prefix not in [f"{kept}." for kept in MAY_CHANGE]:
                flat[prefix + name] = list(value) if isinstance(value, tuple) else value

    add(dataclasses.asdict(config) if config is not None else {}, "")
    return flat


def _check_settings(path: Path, before: Mapping[str, Any], config: Any) -> None:
    """Compares; a setting that is newer than the checkpoint had its default."""
    now = _settings(config)
    defaults = _settings(type(config)()) if config is not None else {}
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name, defaults.get(name, "nothing")), now.get(name, "nothing")
        if old != new:
            raise UserError(
                f"{path} was trained with {name} {old!r}, now it is {new!r}: choose another folder, or go on as before"
            )


def _finite(metrics: dict[str, float], step: int, run: Path) -> dict[str, float]:
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise _not_finite(f"{name} is {value}", step, run)
    return metrics


def _check_finite_parameters(params: Any, step: int, run: Path) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not np.isfinite(leaf).all():
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            raise _not_finite(f"parameter {name} is not finite", step, run)


def _not_finite(what: str, step: int, run: Path) -> UserError:
    return UserError(f"{what} at step {step}: lower the learning rate; {run} keeps the last checkpoint")


class _Signals(contextlib.AbstractContextManager):
    """Remembers SIGINT or SIGTERM instead of dying of it; a second one is obeyed at once."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        for number in (signal.SIGINT, signal.SIGTERM):
            # Only the main thread may set handlers; elsewhere the loop simply cannot be asked to stop.
            with contextlib.suppress(ValueError):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _: Any) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number


def _encode_state(state: Any) -> Any:
    return {"bytes": state.decode()} if isinstance(state, bytes) else state


def _decode_state(state: Any) -> Any:
    return state["bytes"].encode() if isinstance(state, dict) and set(state) == {"bytes"} else state
