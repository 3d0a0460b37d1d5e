"""Checks of the machine's memory, threads and open files, so that a lack of them is reported as such.

Imports nothing that needs many of these resources, so that the checks run before the libraries that would fail.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import gc
import os
import platform
import re
import threading
from collections.abc import Iterator

from emojax.errors import ResourceError

try:
    import resource
except ImportError:  # on Windows, which has no such limits
    resource = None  # type: ignore[assignment]

ADDRESS_SPACE = 2_000_000_000
"""bytes that JAX and its compiler reserve at least on two cores; with less they end the process instead of raising an error"""
_THREADS = 8
"""smallest number of threads that JAX and our readers and writers start in addition to one per core"""

_MEMORY = "not enough memory: take a smaller photo, end other programs, or raise the limit (ulimit -v)"
_LACKS = (
    (r"can't start new thread|pthread_create|thread::_M_start_thread", "no more threads can be started (ulimit -u)"),
    (r"Too many open files", "too many open files (ulimit -n)"),
    (r"RESOURCE_EXHAUSTED|[Oo]ut of memory|Cannot allocate memory|bad_alloc|failed to map segment", _MEMORY),
)
_CPUINFO = 8192  # bytes that are enough for the first processor
_CHANGES = r"processor|cpu MHz|bogomips|BogoMIPS|core id|physical id|initial apicid|apicid|siblings|cpu cores"
"""lines that differ between the cores of a machine, or over time"""
_NUMBERS = frozenset({errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOSPC, errno.EDQUOT, errno.EIO})


def lack(error: BaseException) -> str | None:
    """Returns one line about what the machine lacks, if that is the cause of an exception; else None.

    Libraries raise such errors as many types: MemoryError, ImportError, RuntimeError, ValueError.
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
    """Raises ResourceError if there is too little address space or too few threads for JAX. Call it before JAX is imported."""
    if resource is not None and hasattr(resource, "RLIMIT_AS"):
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY and limit < ADDRESS_SPACE:
            raise ResourceError(
                f"not enough memory: a process may use {limit / 1e9:.1f} GB, JAX needs {ADDRESS_SPACE / 1e9:g}: raise the "
                "limit (ulimit -v)"
            )
    _try_threads((os.cpu_count() or 1) + _THREADS)


def _try_threads(number: int) -> None:
    """Starts `number` threads at the same time and ends them; raises ResourceError if they cannot be started."""
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


@functools.cache
def processor() -> str:
    """The processor's model and the instructions that it has, in a text that stays the same while the machine runs."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            first = file.read(_CPUINFO).partition("\n\n")[0]  # they are all alike
    except OSError:  # not Linux
        return f"{platform.machine()} {os.environ.get('PROCESSOR_IDENTIFIER', '')}"
    return "\n".join(line for line in first.splitlines() if not re.match(_CHANGES, line))


@contextlib.contextmanager
def collection_paused() -> Iterator[None]:
    """Pauses Python's garbage collector, then has it ignore all that there is.

    For imports: JAX makes hundreds of thousands of objects that stay, and the collector would look through them every time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def return_memory() -> None:
    """Makes glibc, if it is the C library, return its free memory to the system. Call it after a compilation."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
