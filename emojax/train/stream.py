"""Streams of training examples: batches for this host, and handling of images that cannot be read."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import grain
import jax
import numpy as np
from PIL import Image

from emojax.errors import InputError
from emojax.util.words import tell

UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""errors that Pillow raises for damaged images"""

Example = dict[str, np.ndarray]


class Unreadable:
    """Counts the images that cannot be read and reports the first one; thread-safe."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total = what, total
        self._bad: set[Any] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._bad)

    def report(self, key: Any, name: str, error: Exception) -> None:
        """Counts the image `key`; raises InputError if no image can be read."""
        with self._lock:
            known = key in self._bad  # another thread or epoch may have reported it
            self._bad.add(key)
            reason = re.sub(r" <_io.BytesIO object at \w+>", "", str(error))
            if len(self._bad) == 1 and not known:
                tell(f"skipping {self.what} that cannot be read, first {name}: {reason}")
            if len(self._bad) >= self.total:
                raise InputError(f"none of the {self.what} can be read, first {name}: {reason}")


class _ReadShare(grain.transforms.RandomMap):
    """The elements of a whole batch -> this host's examples, stacked."""

    def __init__(self, read: Callable[[Any, np.random.Generator], Example]) -> None:
        self.read, self.host, self.hosts = read, jax.process_index(), jax.process_count()

    def random_map(self, element: np.ndarray, rng: np.random.Generator) -> Example:
        # The randomness of an example depends on its place in the batch, not on the host that reads it.
        seeds = rng.integers(2**63, size=len(element))
        share = len(element) // self.hosts
        places = range(share * self.host, share * (self.host + 1))
        examples = [self.read(element[place], np.random.default_rng(seeds[place])) for place in places]
        return {name: np.stack([example[name] for example in examples]) for name in examples[0]}


def batches_of(
    draws: grain.MapDataset,
    read: Callable[[Any, np.random.Generator], Example],
    batch_size: int,
    seed: int,
    workers: int,
) -> Any:
    """Endless batches of this host's share of `batch_size` draws; the shares of all hosts, in order, are one batch.

    Args:
        draws: endless elements, NumPy scalars or arrays.
        read: (element, random generator of its place in the batch) -> example; it must not skip, so that hosts stay in step.
        workers: number of threads that read.

    Returns:
        An iterator; see `emojax.train.loop.DataIterator`.
    """
    batches = draws.batch(batch_size, drop_remainder=True).seed(seed).random_map(_ReadShare(read))
    options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=2 * workers)
    return iter(batches.to_iter_dataset(options))
