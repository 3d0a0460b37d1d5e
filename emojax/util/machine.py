"""What the machine has to give: memory, threads, open files. A lack of them is reported under its own name.

Imports nothing that needs much of either, so that the checks come before the libraries that would stumble.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import threading

from emojax.errors import ResourceError

try:
    import resource
except ImportError:  # on Windows, which has no such limits
    resource = None  # type: ignore[assignment]

ADDRESS_SPACE = 2_000_000_000
"""bytes that JAX and its compiler reserve on two cores, at least: with less they end the process instead of raising an error"""
_THREADS = 8
"""that JAX and our own readers and writers start besides one for each core, at least"""
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # glibc's numbers of options
_LARGE, _HEAPS = 4 << 20, 2

_MEMORY = "not enough memory: take a smaller photo, end other programs, or raise the limit (ulimit -v)"
_LACKS = (
    (r"can't start new thread|pthread_create|thread::_M_start_thread", "no more threads can be started (ulimit -u)"),
    (r"Too many open files", "too many open files (ulimit -n)"),
    (r"RESOURCE_EXHAUSTED|[Oo]ut of memory|Cannot allocate memory|bad_alloc|failed to map segment", _MEMORY),
)
_NUMBERS = frozenset({errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOSPC, errno.EDQUOT, errno.EIO})


def lack(error: BaseException) -> str | None:
    """Returns in one line what the machine lacks, if that is what an exception says; else None.

    Libraries raise it under many names: MemoryError, ImportError, RuntimeError, ValueError.
    """
    if isinstance(error, ResourceError):
        return str(error)
    if isinstance(error, MemoryError):
        return _MEMORY
    for pattern, reason in _LACKS:
        if re.search(pattern, str(error)):
            return reason
    if isinstance(error, OSError) and error.errno in _NUMBERS:
        return os.strerror(error.errno)
    return None


def check_machine() -> None:
    """Raises ResourceError if the address space or the threads that JAX needs are not there. Call it before JAX is imported."""
    if resource is not None and hasattr(resource, "RLIMIT_AS"):
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY and limit < ADDRESS_SPACE:
            raise ResourceError(
                f"not enough memory: a process may use {limit / 1e9:.1f} GB, JAX needs {ADDRESS_SPACE / 1e9:g}: raise the "
                "limit (ulimit -v)"
            )
    _try_threads((os.cpu_count() or 1) + _THREADS)


def _try_threads(number: int) -> None:
    """Starts so many threads at once, which end at once; raises ResourceError if it cannot."""
    end, started = threading.Event(), []
    try:
        for _ in range(number):
            started.append(threading.Thread(target=end.wait, daemon=True))
            started[-1].start()
    except RuntimeError:
        started.pop()
        raise ResourceError(
            f"{len(started)} of {number} threads could be started: raise the limit (ulimit -u), or end other programs"
        ) from None
    finally:
        end.set()
        for thread in started:
            thread.join()


def bound_heap() -> None:
    """Has large blocks of memory returned as soon as they are free, where the C library is glibc.

    By itself it keeps blocks of up to 32 MB in as many heaps as threads ask for: a process that paints photos of many sizes
    grows by some hundreds of MB, which nothing uses. Blocks below `_LARGE` stay as they are, since returning them costs time.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        library.mallopt(_M_ARENA_MAX, _HEAPS)


def return_memory() -> None:
    """Returns what is free in the heaps to the system, where the C library is glibc. For the time after a compilation."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
