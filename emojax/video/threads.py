"""A thread that works a few items behind the main thread."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")
_WAIT = 0.1  # seconds between two checks whether the thread is still running


class Consumer(Generic[Item, Answer]):
    """Runs a function of an iterator in a thread, and hands it one item after the other."""

    def __init__(self, function: Callable[[Iterator[Item]], Answer], depth: int) -> None:
        self._items: queue.Queue[Item | None] = queue.Queue(depth)
        self._executor = ThreadPoolExecutor(1)
        self._future: Future[Answer] = self._executor.submit(function, iter(self._items.get, None))

    def put(self, item: Item) -> None:
        """Hands over an item; raises what the function raised."""
        while True:
            if self._future.done():
                self._future.result()
                raise RuntimeError("the thread ended before its items")
            with contextlib.suppress(queue.Full):
                self._items.put(item, timeout=_WAIT)
                return

    def finish(self) -> Answer:
        """Ends the items, and returns what the function returns."""
        self._end()
        try:
            return self._future.result()
        finally:
            self._executor.shutdown()

    def _end(self) -> None:
        while not self._future.done():
            with contextlib.suppress(queue.Full):
                self._items.put(None, timeout=_WAIT)
                return
