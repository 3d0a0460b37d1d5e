"""Ctrl-C while JAX works. Imports nothing but the standard library: it has to be there before all else is imported.

A KeyboardInterrupt that is raised inside a callback of JAX's runtime is swallowed or crashes the process, so the process
ends itself at once instead, though never in the middle of writing a file.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

INTERRUPTED = 130
_MESSAGE = b"emojax: interrupted\n"


class _Interrupt:
    """The state of the one handler that a process has."""

    def __init__(self) -> None:
        self.held = 0
        self.pending = False

    def __call__(self, number: int, frame: Any) -> None:
        self.pending = True
        if not self.held:
            self.leave()

    def leave(self) -> None:
        """Ends the process without running anything else."""
        with contextlib.suppress(OSError):
            os.write(2, b"\n" * os.isatty(2) + _MESSAGE)  # a progress bar may hold the line
        os._exit(INTERRUPTED)


_interrupt = _Interrupt()


def exit_on_interrupt() -> None:
    """From now on SIGINT ends the process with one line on stderr and exit code 130. For programs, not for libraries."""
    signal.signal(signal.SIGINT, _interrupt)


def raise_on_interrupt() -> None:
    """Back to Python's own KeyboardInterrupt, for work that cleans up after itself."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Puts off `exit_on_interrupt` until the block is done; without that it does nothing."""
    _interrupt.held += 1
    try:
        yield
    finally:
        _interrupt.held -= 1
        if _interrupt.pending and not _interrupt.held:
            _interrupt.leave()
