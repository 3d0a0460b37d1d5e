"""Threads that work a few items ahead of or behind the main thread. Their errors are raised where the items are used."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")
_WAIT = 0.1  # seconds between two checks whether the other side is still running


@contextlib.contextmanager
def prefetch(items: Iterator[Item], depth: int) -> Iterator[Iterator[Item]]:
    """Reads up to `depth` items ahead in a thread, which ends with the block."""
    made: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()

    def put(item: Item | None, error: BaseException | None = None) -> bool:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                made.put((item, error), timeout=_WAIT)
                return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(item):
                    return
            put(None)
        except BaseException as error:  # any error is raised again in the other thread
            put(None, error)

    def taken() -> Iterator[Item]:
        while True:
            item, error = made.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        stop.set()
        thread.join()


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
