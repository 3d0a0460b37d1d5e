"""The compiled programs of one model: limited in number, and thread-safe."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from emojax.pipeline.sizes import Buckets
from emojax.util.executables import Compiled

PROGRAMS = 12
"""Programs that a model keeps, 15 to 20 MB each; the least recently used one is dropped first."""


class Programs:
    """Compiled functions by name and bucket, and the buckets of each name."""

    def __init__(self, limit: int = PROGRAMS) -> None:
        self._limit, self._lock = limit, threading.Lock()
        self._made: OrderedDict[tuple[Hashable, Hashable], Any] = OrderedDict()
        self._buckets: dict[Hashable, Buckets] = {}

    def __len__(self) -> int:
        return len(self._made)

    def buckets(self, name: Hashable) -> Buckets:
        """The buckets that the function with this name was compiled for."""
        with self._lock:
            return self._buckets.setdefault(name, Buckets())

    def get(self, name: Hashable, bucket: Hashable, make: Callable[[], Callable[..., Any]]) -> Any:
        """The jitted function with this name for one bucket. It is compiled once, even if two threads call it at first.

        Args:
            bucket: whatever the shapes of the arguments depend on.
            make: returns a new function object each time, so that dropping the function frees its compiled program.
        """
        with self._lock:
            key = (name, bucket)
            if key not in self._made:
                self._made[key] = Compiled(make())
            self._made.move_to_end(key)
            while len(self._made) > self._limit:
                (other, dropped), _ = self._made.popitem(last=False)
                if other in self._buckets:
                    self._buckets[other].forget(dropped)  # type: ignore[arg-type]
            return self._made[key]
