"""Ctrl-C while JAX works. Imports only the standard library, because it is used before all other imports.

A KeyboardInterrupt is delayed until the main thread returns from compiled code; raised inside a callback of JAX's runtime, it
is swallowed or crashes the process. Therefore a dedicated thread ends the process at once, but never while a file is written.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

INTERRUPTED = 130
_MESSAGE = b"emojax: interrupted\n"
_writing = threading.Lock()


def exit_on_interrupt() -> None:
    """Makes SIGINT end the process with one line on stderr and exit code 130. For programs, not for libraries."""
    if signal.getsignal(signal.SIGINT) is _leave_it_to_the_thread:
        return
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.signal(signal.SIGINT, _leave_it_to_the_thread)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    threading.Thread(target=_wait, args=(read,), daemon=True).start()


def _leave_it_to_the_thread(number: int, frame: object) -> None:
    """The Python handler of SIGINT; it does nothing, because the thread ends the process."""


def _wait(read: int) -> None:
    while True:
        number = os.read(read, 1)[0]
        # Other code, such as the training loop, may have replaced our handler by its own.
        if number == signal.SIGINT and signal.getsignal(signal.SIGINT) is _leave_it_to_the_thread:
            with _writing, contextlib.suppress(OSError):
                os.write(2, b"\n" * os.isatty(2) + _MESSAGE)  # a progress bar may occupy the line
            os._exit(INTERRUPTED)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Delays the exit by `exit_on_interrupt` until the block is done."""
    with _writing:
        yield


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Restores Python's KeyboardInterrupt for a block that cleans up after itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class InterruptFlag:
    """Records SIGINT while the block runs in the main thread; in other threads nothing changes."""

    raised = False

    def __enter__(self) -> InterruptFlag:
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._before = signal.signal(signal.SIGINT, self._remember)
        return self

    def _remember(self, number: int, frame: object) -> None:
        if self.raised:  # a second Ctrl-C takes effect at once
            raise KeyboardInterrupt
        self.raised = True

    def __exit__(self, *_: object) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._before)
