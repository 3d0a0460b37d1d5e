"""The checkpoints of a training run: saving one, resuming from the newest, recognizing a finished run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from emojax.errors import CheckpointError, InputError
from emojax.train.metrics_log import MetricsLog
from emojax.train.options import RENAMED
from emojax.train.parallel import max_over_hosts
from emojax.train.progress import Length, Timer
from emojax.train.state import TrainState
from emojax.util.words import tell
from emojax.weights import store


@dataclass(frozen=True)
class Run:
    """A run's folder, and the configs of the model and the training that its checkpoints store."""

    folder: Path
    kind: store.Kind
    model: Any
    """the model's config"""
    settings: Any = None
    """the training config; a dataclass names the fields that may differ when a run is resumed in `MAY_CHANGE`"""

    def newest(self) -> store.Checkpoint | None:
        """The newest checkpoint, or None for a new run.

        Raises:
            CheckpointError: a damaged checkpoint, or hosts that do not see the same one.
        """
        paths = store.checkpoints_in(self.folder)
        checkpoint = store.read_checkpoint(paths[-1], self.kind) if paths else None
        step = checkpoint.step if checkpoint else 0
        if step != max_over_hosts(step):
            raise CheckpointError(
                f"the hosts have different checkpoints in {self.folder}: give all of them the same, shared folder"
            )
        return checkpoint


@dataclass
class Position:
    """The state of a run besides its arrays; JSON in a checkpoint."""

    step: int = 0
    iterator: Any = None
    """state of the data iterator"""
    window: list[dict[str, float]] = field(default_factory=list)
    """metrics of the steps since the last line of the log"""
    means: dict[str, float] = field(default_factory=dict)
    """the last line of the log"""
    elapsed: float = 0.0
    """seconds of training"""
    finished: bool = False
    epochs: float | None = None
    """see `Length`"""


def read_position(run: Run, checkpoint: store.Checkpoint) -> Position:
    """The position of a checkpoint.

    Raises:
        CheckpointError: a damaged checkpoint, or one of other settings.
    """
    found = store.load_position(checkpoint)
    check_settings(checkpoint.path, found["settings"], run.settings)
    names = {field.name for field in dataclasses.fields(Position)} & found.keys()
    position = Position(**{"step": checkpoint.step, **{name: found[name] for name in names}})
    position.iterator = _decode(position.iterator)
    return position


def restore(run: Run, target: TrainState) -> tuple[TrainState, Position]:
    """The state and position of the newest checkpoint, or `target` and the start for a new run.

    Args:
        target: a state of the same structure and shapes.

    Raises:
        CheckpointError: see `Run.newest` and `read_position`.
    """
    checkpoint = run.newest()
    if checkpoint is None:
        return target, Position()
    position = read_position(run, checkpoint)
    return store.load_training(checkpoint, target), position


def finished_state(run: Run, target: TrainState, length: Length, started: float | None = None) -> TrainState | None:
    """The last state of a finished run, which is reported on stderr; None for an unfinished one.

    No data is needed: a run of `epochs` is finished if its newest checkpoint is at the end of as many epochs.

    Args:
        target, started: see `restore` and `Timer`.

    Raises:
        CheckpointError: see `restore`.
    """
    checkpoint = run.newest()
    if checkpoint is None:
        return None
    position = read_position(run, checkpoint)
    if length.steps is None and length.seconds is None:
        finished = position.finished and position.epochs == length.epochs
    else:
        finished = Timer(length, position.elapsed, started).progress(position.step) >= 1
    if not finished:
        return None
    tell(f"{run.folder} already has {position.step} steps, all that it should")
    if jax.process_index() == 0 and not (run.folder / "curves.png").exists():
        MetricsLog(run.folder, position.step).close()
    return store.load_training(checkpoint, target)


def save(
    run: Run,
    position: Position,
    state: TrainState,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    score: float | None,
) -> None:
    """Writes a checkpoint and removes all older ones except the best.

    Args:
        state: on the host.
        params: what inference needs.
        metrics, score: what was measured at this step; higher scores are better.

    Raises:
        InputError: a parameter that is not finite.
        OutputError: the folder cannot be written.
    """
    check_finite_params(state.params, position.step, run.folder)
    saved = {**dataclasses.asdict(position), "iterator": _encode(position.iterator)}
    store.save_checkpoint(
        run.folder / f"step_{position.step:08d}",
        run.kind,
        run.model,
        params,
        step=position.step,
        metrics=metrics,
        score=score,
        training=state,
        position={**saved, "settings": fixed_settings(run.settings)},
    )
    store.keep_newest_and_best(run.folder, run.kind)


def fixed_settings(config: Any) -> dict[str, Any]:
    """The fields of a training config that must be the same in a resumed run, as a flat dict of JSON types.

    Nested fields have dots in their names. A config's class attribute `MAY_CHANGE` names the fields that are left out.
    """
    flat: dict[str, Any] = {}
    for item in dataclasses.fields(config) if config is not None else ():
        value = getattr(config, item.name)
        if item.name in getattr(config, "MAY_CHANGE", ()):
            continue
        if dataclasses.is_dataclass(value):
            flat |= {f"{item.name}.{name}": nested for name, nested in fixed_settings(value).items()}
        else:
            flat[item.name] = list(value) if isinstance(value, tuple) else value
    return flat


def check_settings(path: Path, before: Mapping[str, Any], config: Any) -> None:
    """Raises CheckpointError if a checkpoint's settings differ. Settings that did not exist then have their default."""
    now, before = fixed_settings(config), {RENAMED.get(name, name): value for name, value in before.items()}
    defaults = fixed_settings(type(config)()) if config is not None else {}
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name, defaults.get(name, "nothing")), now.get(name, "nothing")
        if old != new:
            raise CheckpointError(
                f"{path} was trained with {name} {old!r}, now it is {new!r}: choose another folder, or go on as before"
            )


def check_finite(metrics: Mapping[str, float], step: int, folder: Path) -> None:
    """Raises InputError for a metric that is NaN or infinite."""
    for name, value in metrics.items():
        if not np.isfinite(value):
            raise _not_finite(f"{name} is {value}", step, folder)


def check_finite_params(params: Any, step: int, folder: Path) -> None:
    """Raises InputError for a parameter that is NaN or infinite."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not np.isfinite(leaf).all():
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            raise _not_finite(f"parameter {name} is not finite", step, folder)


def _not_finite(what: str, step: int, folder: Path) -> InputError:
    return InputError(f"{what} at step {step}: lower the learning rate; {folder} keeps the last checkpoint")


def _encode(state: Any) -> Any:
    """An iterator's state as JSON."""
    return {"bytes": state.decode()} if isinstance(state, bytes) else state


def _decode(state: Any) -> Any:
    return state["bytes"].encode() if isinstance(state, dict) and set(state) == {"bytes"} else state
