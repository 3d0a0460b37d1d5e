"""Checkpoints: Orbax arrays and a JSON description, with content hashes that are checked on loading.

    CHECKPOINT/model.json     format, kind ("classifier" or "styles"), model config, step, metrics, score, hashes
    CHECKPOINT/params/        the model's parameters (Orbax): all that inference needs
    CHECKPOINT/training/      optimizer, PRNG key, data iterator (Orbax and JSON): only if training can be resumed

A training run is a folder of such checkpoints, `step_00001000` and so on. Orbax does not notice overwritten bytes, hence the
hashes (SHA-256): one over the config and the files of params/, one over those of training/. They are compared before Orbax
opens the files.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import jax
import numpy as np

from emojax.errors import CheckpointError, EmojaxError, InputError, OutputError, with_flags
from emojax.util.files import refuse_existing
from emojax.weights.arrays import restore_arrays, save_arrays

FORMAT = 1
LARGEST_DESCRIPTION = 1 << 20
"""largest size of model.json in bytes"""
_BLOCK = 1 << 20
_LONGEST = 120  # characters of a library's error that a message quotes
# Earlier names of fields of configs, and in the paths of arrays.
_RENAMED = {"bank": "network_per_style", "kinds": "domains", "styles": "style_names"}
_RENAMED_ARRAYS = {"styles": "style_table"}
Kind = Literal["classifier", "styles"]
Config = TypeVar("Config")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The description of a checkpoint; `load_params` and `load_training` load its arrays."""

    path: Path
    kind: str
    config: dict[str, Any]
    """fields of the model's config"""
    step: int
    metrics: dict[str, float]
    score: float | None
    """higher is better; the training script defines it"""
    sha256: str
    """of the kind, the config and the files of params/"""
    training_sha256: str | None
    """of the files of training/"""


def content_hash(folder: Path, header: Any = None) -> str:
    """SHA-256 over a JSON header and the names and bytes of all files in a folder, except hidden ones."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
        digest.update(f"\n{file.relative_to(folder).as_posix()} {file.stat().st_size}\n".encode())
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def save_checkpoint(
    path: Path,
    kind: Kind,
    config: Any,
    params: Mapping[str, Any],
    *,
    step: int = 0,
    metrics: Mapping[str, float] | None = None,
    score: float | None = None,
    training: Any = None,
    position: Any = None,
) -> None:
    """Writes a checkpoint at `path` atomically; an existing one is replaced.

    Args:
        config: the model's frozen dataclass.
        params: nested dicts of arrays.
        training: a pytree of the arrays that resuming needs; None: not saved.
        position: the other data that resuming needs, as JSON.

    Raises:
        CheckpointError: the folder cannot be written.
    """
    fields = dataclasses.asdict(config)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            new = Path(folder, "new")
            new.mkdir()
            save_arrays(new / "params", jax.tree.map(np.asarray, params))
            if training is not None:
                save_arrays(new / "training" / "state", jax.tree.map(np.asarray, training))
                (new / "training" / "position.json").write_text(json.dumps(position))
            description = {
                "format": FORMAT,
                "kind": kind,
                "config": fields,
                "step": step,
                "metrics": dict(metrics or {}),
                "score": score,
                "sha256": content_hash(new / "params", [kind, fields]),
                "training_sha256": None if training is None else content_hash(new / "training"),
            }
            (new / "model.json").write_text(json.dumps(description, indent=2) + "\n")
            if path.exists():
                path.rename(Path(folder, "old"))
            new.rename(path)
    except OSError as error:
        raise OutputError(f"cannot write the checkpoint {path}: {error.strerror or error}") from error


def read_checkpoint(path: str | os.PathLike, kind: Kind) -> Checkpoint:
    """The description of a checkpoint, or of the best one in a run's folder.

    Raises:
        CheckpointError: no checkpoint, a foreign or damaged description, another kind or a newer format.
    """
    folder = Path(path)
    if not os.path.isfile(folder / "model.json"):
        if not os.path.isdir(folder):
            raise CheckpointError(f"no checkpoint at {folder}: the folder does not exist")
        steps = checkpoints_in(folder)
        if not steps:
            raise CheckpointError(f"no checkpoint at {folder}: it has no model.json, and no step_* folder that has one")
        return best(_read_all(steps, kind))
    try:
        description = _read_json(folder / "model.json")
        if not isinstance(description, dict):
            raise ValueError("not an object")
        if description["format"] != FORMAT:
            raise CheckpointError(
                f"checkpoint {folder} has format {description['format']}, this emojax reads {FORMAT}: update emojax"
            )
        checkpoint = Checkpoint(
            folder,
            description["kind"],
            dict(description["config"]),
            int(description["step"]),
            dict(description["metrics"]),
            None if description["score"] is None else float(description["score"]),
            str(description["sha256"]),
            description["training_sha256"],
        )
    except OSError as error:
        raise CheckpointError(f"cannot read {folder / 'model.json'}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST]
        raise CheckpointError(
            f"{folder / 'model.json'} is damaged or not emojax's ({reason}): get the checkpoint again"
        ) from None
    if checkpoint.kind != kind:
        raise CheckpointError(f"checkpoint {folder} is of kind {checkpoint.kind!r}, but {kind!r} is needed here")
    return checkpoint


def _read_json(file: Path) -> Any:
    if (size := file.stat().st_size) > LARGEST_DESCRIPTION:
        raise ValueError(f"{size} bytes are too many")
    return json.loads(file.read_text())


def model_config(checkpoint: Checkpoint, cls: type[Config]) -> Config:
    """The model's config as its dataclass.

    A field that did not exist when the checkpoint was saved gets its default. The default of a new field must therefore
    describe the models from before the field existed.

    Raises:
        CheckpointError: fields that are unknown (a checkpoint of another architecture), values that are invalid or were
            changed after saving.
    """
    names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    fields = {_RENAMED.get(name, name): value for name, value in checkpoint.config.items()}
    if odd := sorted(fields.keys() - names):
        raise CheckpointError(
            f"checkpoint {checkpoint.path} is of another architecture: its config has {', '.join(odd)}"
        )
    _check_hash(checkpoint, "params", checkpoint.sha256, [checkpoint.kind, checkpoint.config])
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    try:
        return cls(**values)
    except (EmojaxError, TypeError, ValueError) as error:
        reason = with_flags(str(error), str)  # the fields are not the user's options
        raise CheckpointError(f"checkpoint {checkpoint.path} has an invalid config: {reason}") from None


def load_params(checkpoint: Checkpoint, expected: Any) -> Any:
    """The parameters as NumPy arrays.

    Args:
        expected: a pytree of `jax.ShapeDtypeStruct`s or arrays, as the model's own initialization returns it.

    Raises:
        CheckpointError: files that are missing or truncated, bytes that differ from what was saved, another architecture.
    """
    _check_hash(checkpoint, "params", checkpoint.sha256, [checkpoint.kind, checkpoint.config])
    check = functools.partial(_check_params, expected)
    return _renamed(restore_arrays(checkpoint.path, checkpoint.path / "params", check), _RENAMED_ARRAYS)


def load_position(checkpoint: Checkpoint) -> Any:
    """The JSON that was saved beside the training state.

    Raises:
        CheckpointError: the checkpoint has no training state, or it is damaged.
    """
    folder = checkpoint.path / "training"
    if checkpoint.training_sha256 is None or not folder.is_dir():
        raise CheckpointError(f"checkpoint {checkpoint.path} has no training state: it can be loaded, not resumed")
    _check_hash(checkpoint, "training", checkpoint.training_sha256)
    return json.loads((folder / "position.json").read_text())


def load_training(checkpoint: Checkpoint, target: Any) -> Any:
    """The training state in the structure of `target`; call `load_position` first, which checks the files.

    Raises:
        CheckpointError: files that Orbax cannot read.
    """
    state = checkpoint.path / "training" / "state"
    prepare = functools.partial(_check_state, jax.tree.map(np.asarray, target))
    return _renamed(restore_arrays(checkpoint.path, state, prepare), _RENAMED_ARRAYS)


def _renamed(tree: Any, names: Mapping[str, str]) -> Any:
    """A pytree with the keys of its dicts renamed, from the names on the left to those on the right."""

    def has_names(node: Any) -> bool:
        return isinstance(node, dict) and not names.keys().isdisjoint(node)

    def rename(node: Any) -> Any:
        return {names.get(key, key): value for key, value in node.items()} if has_names(node) else node

    return jax.tree.map(rename, tree, is_leaf=has_names)


def _check_params(expected: Any, path: Path, stored: Any) -> None:
    """Raises CheckpointError unless the stored arrays have the expected names and shapes."""
    trees = _renamed(stored, _RENAMED_ARRAYS), expected
    shapes, wanted = ({_name(p): tuple(np.shape(x)) for p, x in _leaves(tree)} for tree in trees)
    odd = sorted(name for name in shapes.keys() | wanted.keys() if shapes.get(name) != wanted.get(name))
    if odd:
        name = odd[0]
        raise CheckpointError(
            f"checkpoint {path} is of another architecture: {len(odd)} arrays differ, such as {name}: "
            f"{shapes.get(name, 'missing')} instead of {wanted.get(name, 'nothing')}"
        )


def _check_state(expected: Any, path: Path, stored: Any) -> Any:
    """`expected` with the names of the stored arrays; raises CheckpointError if those have more elements than expected."""
    numbers, wanted = (sum(math.prod(np.shape(x)) for x in jax.tree.leaves(tree)) for tree in (stored, expected))
    if numbers > wanted:
        raise CheckpointError(f"checkpoint {path} is of another architecture: its training state is too large")
    keys = {getattr(key, "key", None) for path, _ in _leaves(stored) for key in path}
    return _renamed(expected, {name: before for before, name in _RENAMED_ARRAYS.items() if before in keys})


def _check_hash(checkpoint: Checkpoint, part: str, expected: str, header: Any = None) -> None:
    try:
        same = content_hash(checkpoint.path / part, header) == expected
    except OSError as error:
        raise CheckpointError(f"cannot read checkpoint {checkpoint.path}: {error.strerror or error}") from None
    if not same:
        raise CheckpointError(
            f"checkpoint {checkpoint.path} is damaged or incomplete: model.json and {part}/ do not match; get it again"
        )


def check_new_checkpoint(output: Path, sources: Sequence[Path], force: bool) -> None:
    """Checks that a new checkpoint, made from `sources`, may be written at `output`.

    Raises:
        InputError: `output` exists and `force` is not given, or it is no checkpoint; or `output` and a source overlap.
    """
    refuse_existing(output, force)
    ours = output.resolve()
    for source in sources:
        theirs = source.resolve()
        if ours == theirs or ours in theirs.parents or theirs in ours.parents:
            raise InputError(f"`output` {output} holds the checkpoint {source} or lies in it: choose another folder")
    if output.exists() and not (output / "model.json").is_file():
        raise InputError(f"`output` {output} is no checkpoint, so it is not replaced: choose another folder")


def checkpoints_in(run: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return sorted(path.parent for path in run.glob("step_*/model.json"))


def best(checkpoints: list[Checkpoint]) -> Checkpoint:
    """The checkpoint with the highest score; the newest if none has a score."""
    return max(checkpoints, key=lambda c: (-np.inf if c.score is None else c.score, c.step))


def keep_newest_and_best(run: Path, kind: Kind) -> None:
    """Removes all checkpoints of a run except the newest and the best, and the training state of the best if it is not newest.

    A run has one writer, so it also removes the unfinished checkpoints that killed processes left.
    """
    for unfinished in run.glob(".step_*.*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    checkpoints = _read_all(checkpoints_in(run), kind)
    if not checkpoints:
        return
    newest = checkpoints[-1]
    keep = {newest.path, best(checkpoints).path}
    for checkpoint in checkpoints:
        if checkpoint.path not in keep:
            shutil.rmtree(checkpoint.path)
        elif checkpoint.path != newest.path:
            shutil.rmtree(checkpoint.path / "training", ignore_errors=True)


def _read_all(paths: list[Path], kind: Kind) -> list[Checkpoint]:
    return [read_checkpoint(path, kind) for path in paths]


def _leaves(tree: Any) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_flatten_with_path(tree)[0]


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
