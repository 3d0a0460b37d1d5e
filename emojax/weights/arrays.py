"""Folders of arrays, by Orbax. It is imported only when it is needed, because the import takes half a second."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from emojax.errors import CheckpointError, EmojaxError, ResourceError
from emojax.util.machine import lack

_LONGEST = 120  # characters of a library's error that a message quotes


def save_arrays(path: Path, tree: Any) -> None:
    """Writes a pytree of NumPy arrays; raises OSError if the folder cannot be written."""
    import orbax.checkpoint as ocp

    # The arrays are complete on this host, so only one process writes, and it must not wait for the others.
    options = ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(), active_processes={jax.process_index()}, barrier_sync_key_prefix="emojax"
    )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=options)
    try:
        with ocp.Checkpointer(handler, multiprocessing_options=options) as checkpointer:
            checkpointer.save(path.absolute(), args=ocp.args.PyTreeSave(tree))
        # Orbax's marker of a finished save contains the absolute path, which is private; our rename marks the end instead.
        (path / "commit_success.txt").unlink(missing_ok=True)
    except Exception as error:  # TensorStore raises ValueError for a full disk
        raise OSError(" ".join(str(error).split())[:200]) from None


def restore_arrays(checkpoint: Path, path: Path, check: Callable[[Path, Any], Any]) -> Any:
    """The NumPy arrays of a folder whose hash is verified.

    Args:
        check: called with `checkpoint` and the stored shapes before an array is allocated. It raises CheckpointError for
            wrong ones, and returns a pytree with the structure of the result; None: plain dicts.
    """
    import orbax.checkpoint as ocp

    try:
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
            stored = checkpointer.metadata(path.absolute()).item_metadata.tree
            for array in jax.tree.leaves(stored):
                _check_chunks(checkpoint, array)
            target = check(checkpoint, jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, np.uint8), stored))
            as_numpy = jax.tree.map(
                lambda _: ocp.RestoreArgs(restore_type=np.ndarray), stored if target is None else target
            )
            return checkpointer.restore(
                path.absolute(), args=ocp.args.PyTreeRestore(item=target, restore_args=as_numpy)
            )
    except EmojaxError:
        raise
    except Exception as error:  # Orbax and TensorStore raise Exception, ValueError and others
        if (reason := lack(error)) is not None:
            raise ResourceError(f"cannot load checkpoint {checkpoint}: {reason}") from None
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST]
        raise CheckpointError(
            f"checkpoint {checkpoint} cannot be loaded ({reason}): its bytes are those that were saved, so another version of "
            "Orbax may have written it"
        ) from None


def _check_chunks(checkpoint: Path, array: Any) -> None:
    """Raises CheckpointError for a chunk that is larger than its array, since a small file could then fill the memory."""
    chunk = array.storage.chunk_shape if array.storage is not None else None
    if chunk is not None and math.prod(chunk) > max(1, math.prod(array.shape)):
        raise CheckpointError(f"checkpoint {checkpoint} is damaged: an array {array.shape} lies in chunks of {chunk}")
