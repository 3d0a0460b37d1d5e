"""Work in threads, a few items ahead of the thread that uses the results."""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")
_END = object()


def map_ahead(
    function: Callable[[Item], Made], items: Iterable[Item], ahead: int = 1, threads: int | None = 1
) -> Generator[Made]:
    """`map`, in order, that makes up to `ahead` further results in threads while the caller uses one.

    A pool's own `map` has no limit, so its results may fill the memory. The items themselves are drawn in the caller's thread.
    What the function raises is raised where its result would be. The threads end with the generator: close it to leave early.

    Args:
        threads: their number; None: Python's choice for this machine.
    """
    pool, waiting = ThreadPoolExecutor(threads), deque[Future[Made]]()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def draw_ahead(items: Iterator[Item], ahead: int) -> Generator[Item]:
    """The same items, of which up to `ahead` are drawn in a thread while the caller uses one."""
    draw: Callable[[Iterator[Item]], Any] = lambda items: next(items, _END)  # noqa: E731
    with contextlib.closing(map_ahead(draw, itertools.repeat(items), ahead)) as drawn:
        yield from itertools.takewhile(lambda item: item is not _END, drawn)
