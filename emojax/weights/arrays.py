"""Folders of arrays, by Orbax, which is imported when it is needed: that takes half a second."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from emojax.errors import CheckpointError, EmojaxError, ResourceError
from emojax.util.machine import lack

_LONGEST = 120  # characters of a library's reason that a message repeats


def save_arrays(path: Path, tree: Any) -> None:
    """Writes a pytree of NumPy arrays; raises OSError if the folder cannot be written."""
    import orbax.checkpoint as ocp

    # Arrays are on the host and whole here, so only one process writes, and it must not wait for the others.
    options = ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(), active_processes={jax.process_index()}, barrier_sync_key_prefix="emojax"
    )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=options)
    try:
        with ocp.Checkpointer(handler, multiprocessing_options=options) as checkpointer:
            checkpointer.save(path.absolute(), args=ocp.args.PyTreeSave(tree))
        # Orbax's mark of a finished save names the absolute path, which is nobody's business; our rename is the mark.
        (path / "commit_success.txt").unlink(missing_ok=True)
    except Exception as error:  # a full disk is a ValueError to TensorStore
        raise OSError(" ".join(str(error).split())[:200]) from None


def restore_arrays(checkpoint: Path, path: Path, check: Callable[[Path, Any], None], target: Any = None) -> Any:
    """The arrays of a folder whose hash is right, as NumPy's.

    Args:
        check: raises CheckpointError for shapes that are not right, before an array is allocated.
        target: what has the structure of the result; plain dicts if None.
    """
    import orbax.checkpoint as ocp

    try:
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
            stored = checkpointer.metadata(path.absolute()).item_metadata.tree
            for array in jax.tree.leaves(stored):
                _check_chunks(checkpoint, array)
            check(checkpoint, jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, np.uint8), stored))
            as_numpy = jax.tree.map(
                lambda _: ocp.RestoreArgs(restore_type=np.ndarray), stored if target is None else target
            )
            return checkpointer.restore(
                path.absolute(), args=ocp.args.PyTreeRestore(item=target, restore_args=as_numpy)
            )
    except EmojaxError:
        raise
    except Exception as error:  # Orbax and TensorStore raise bare Exceptions, ValueErrors and more
        if (reason := lack(error)) is not None:
            raise ResourceError(f"cannot load checkpoint {checkpoint}: {reason}") from None
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST]
        raise CheckpointError(
            f"checkpoint {checkpoint} cannot be loaded ({reason}): its bytes are those that were saved, so another version of "
            "Orbax may have written it"
        ) from None


def _check_chunks(checkpoint: Path, array: Any) -> None:
    """Raises CheckpointError for a chunk that is larger than its array: a small file would fill the memory."""
    chunk = array.storage.chunk_shape if array.storage is not None else None
    if chunk is not None and math.prod(chunk) > max(1, math.prod(array.shape)):
        raise CheckpointError(f"checkpoint {checkpoint} is damaged: an array {array.shape} lies in chunks of {chunk}")
