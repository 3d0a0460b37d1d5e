"""Progress of long work: a bar in a terminal, or a line now and then if standard error is a file or a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TypeVar

from tqdm import tqdm

from emojax.util.words import tell

Item = TypeVar("Item")
SECONDS = 30.0
"""the time between two lines"""


class Lines:
    """Prints a line to standard error every `SECONDS`; has the methods of tqdm that emojax calls."""

    def __init__(self, total: int, unit: str, description: str = "", initial: int = 0) -> None:
        self.n: int | float = initial
        self.total, self.unit, self.description, self.postfix = total, unit, description, ""
        self._due = time.monotonic() + SECONDS

    def update(self, n: int = 1) -> None:
        self.n += n
        if (now := time.monotonic()) >= self._due:
            self._due = now + SECONDS
            done = f"{self.n} of {self.total} {self.unit}s" if self.unit else f"{100 * self.n / self.total:.0f} %"
            parts = [self.description, done, self.postfix]
            tell(f"emojax: {' '.join(part for part in parts if part)}")

    def set_postfix_str(self, s: str) -> None:
        self.postfix = s

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def progress(
    total: int, unit: str = "", description: str = "", *, quiet: bool = False, initial: int = 0, **bar: Any
) -> tqdm | Lines:
    """Returns a progress bar, or `Lines` if standard error is not a terminal.

    Args:
        total: the amount of work.
        unit: the word for one unit of it; empty: lines show a percentage.
        description: the word for the work.
        quiet: show nothing.
        initial: the amount that is done already.
        bar: further options of tqdm.
    """
    if quiet or _is_terminal():
        return tqdm(total=total, unit=unit or "it", desc=description or None, disable=quiet, initial=initial, **bar)
    return Lines(total, unit, description, initial)


def track(items: Iterable[Item], unit: str, description: str = "", total: int | None = None) -> Iterator[Item]:
    """Yields the items, and shows how many are done; `total` is needed if `items` has no length."""
    with progress(len(items) if isinstance(items, Sized) else total or 0, unit, description) as shown:
        for item in items:
            yield item
            shown.update()


def _is_terminal() -> bool:
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:  # standard error is closed
        return False
