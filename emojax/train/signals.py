"""SIGINT and SIGTERM during training."""

from __future__ import annotations

import contextlib
import signal
from typing import Any


class Signals(contextlib.AbstractContextManager):
    """Records SIGINT and SIGTERM, so that the loop can stop after a step; a second signal raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.received: int | None = None
        """the signal's number"""
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        for number in (signal.SIGINT, signal.SIGTERM):
            # Only the main thread may set handlers; in other threads the loop cannot be stopped by a signal.
            with contextlib.suppress(ValueError):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _: Any) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
