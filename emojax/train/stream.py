"""What the streams of faces and photos share: batches for this host, and what becomes of images that cannot be read."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from typing import Any

import grain
import jax
import numpy as np
from PIL import Image

from emojax.errors import UserError

UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""what Pillow raises for damaged images"""

Example = dict[str, np.ndarray]


class Unreadable:
    """Counts the images that cannot be read and tells of the first one. Used by several threads."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total = what, total
        self._bad: set[Any] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._bad)

    def report(self, key: Any, name: str, error: Exception) -> None:
        """Notes an image, known by `key`; raises UserError if there is no other one."""
        with self._lock:
            known = key in self._bad  # another thread, or another epoch, may have come across it
            self._bad.add(key)
            reason = re.sub(r" <_io.BytesIO object at \w+>", "", str(error))
            if len(self._bad) == 1 and not known:
                print(f"skipping {self.what} that cannot be read, first {name}: {reason}", file=sys.stderr)
            if len(self._bad) >= self.total:
                raise UserError(f"none of the {self.what} can be read, first {name}: {reason}")


class _ReadShare(grain.transforms.RandomMap):
    """The elements of a whole batch -> this host's examples, stacked."""

    def __init__(self, read: Callable[[Any, np.random.Generator], Example]) -> None:
        self.read, self.host, self.hosts = read, jax.process_index(), jax.process_count()

    def random_map(self, element: np.ndarray, rng: np.random.Generator) -> Example:
        # Every place in the batch has its own randomness, whichever host reads it.
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
    """Endless batches of this host's share of `batch_size` draws: the hosts' shares, in their order, are one batch.

    Args:
        draws: endless elements, NumPy scalars or arrays.
        read: (element, its own randomness) -> example; always gives one, so that all hosts stay in step.
        workers: threads that read.

    Returns:
        An iterator whose state can be saved and restored.
    """
    batches = draws.batch(batch_size, drop_remainder=True).seed(seed).random_map(_ReadShare(read))
    options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=2 * workers)
    return iter(batches.to_iter_dataset(options))
