"""A cache of compiled programs on disk: entries are written atomically, damaged ones are replaced, the total size is bounded.

JAX's own cache writes entries in place and never replaces them: an entry that a full disk or a killed process truncated would
fail to load, and the program would be compiled again, at every start. This cache replaces the function of JAX that creates
caches. If a version of JAX does not have that function, JAX's own cache is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from pathlib import Path
from typing import Any

import jax

from emojax.util.files import remove_leftovers, write_atomically

LARGEST = 500_000_000
"""bytes of all entries, enough for about 200 programs for photos; the least recently used go first"""
_SUFFIX = "-program"
_DIGEST = hashlib.sha256().digest_size


class ProgramCache:
    """JAX's interface of a cache (`jax._src.compilation_cache_interface`): bytes by key. Safe with several processes.

    An entry is the SHA-256 of its content, followed by the content. A cache that cannot be read or written raises no error.
    """

    def __init__(self, folder: Path, largest: int = LARGEST) -> None:
        self._path = self.path = folder
        self._largest = largest

    def get(self, key: str) -> bytes | None:
        """The content of an entry; None if there is none. A damaged entry is removed."""
        file = self._file(key)
        try:
            data = file.read_bytes()
        except OSError:
            return None
        content = data[_DIGEST:]
        if hashlib.sha256(content).digest() != data[:_DIGEST]:
            with contextlib.suppress(OSError):
                file.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(file)  # marks the entry as just used
        return content

    def put(self, key: str, value: bytes) -> None:
        """Writes an entry, after making room for it."""
        with contextlib.suppress(Exception):  # such as a full disk; the next process then compiles again
            self._make_room(len(value) + _DIGEST)
            write_atomically(self._file(key), hashlib.sha256(value).digest() + value)

    def _file(self, key: str) -> Path:
        return self.path / f"{key}{_SUFFIX}"

    def _make_room(self, size: int) -> None:
        """Removes the least recently used entries, and temporary files of killed processes."""
        remove_leftovers(self.path)
        entries, now = [], time.time()
        for file in list(self.path.iterdir()):
            with contextlib.suppress(OSError):  # another process may have removed it
                status = file.stat()
                if file.name.endswith(_SUFFIX):
                    # If the clock was wrong, an entry with a time in the future would never be removed.
                    entries.append((min(status.st_mtime, now), status.st_size, file))
                elif file.name.endswith(("-cache", "-atime")):  # files of JAX's own cache, which earlier versions used
                    file.unlink()
        total = size + sum(size for _, size, _ in entries)
        for _, freed, file in sorted(entries):
            if total <= self._largest:
                break
            with contextlib.suppress(OSError):
                file.unlink()
            total -= freed


class JaxCache(ProgramCache):
    """The cache that JAX uses. It remembers the key that JAX asked for last, in each thread."""

    last = threading.local()

    def get(self, key: str) -> bytes | None:
        self.last.key = key
        return super().get(key)


def use_program_cache() -> bool:
    """Replaces JAX's own cache by `JaxCache`; returns whether this version of JAX allows it."""
    try:
        from jax._src import compilation_cache

        made_by_jax = compilation_cache.get_file_cache
    except (ImportError, AttributeError):
        return False
    if getattr(made_by_jax, "__module__", "") != __name__:
        compilation_cache.get_file_cache = _get_file_cache  # type: ignore[assignment]
    return True


def _get_file_cache(path: str) -> tuple[ProgramCache, str]:
    return JaxCache(Path(path)), path


def compile_with_key(lowered: jax.stages.Lowered) -> tuple[jax.stages.Compiled, str | None]:
    """Compiles a function; also returns the key of its executable in JAX's cache, None if it is not there."""
    JaxCache.last.key = None
    compiled = lowered.compile()
    return compiled, JaxCache.last.key


def load_executable(key: str, device: jax.Device) -> Any:
    """The executable of this key in JAX's cache; None if it is not there, or cannot be loaded."""
    try:
        from jax._src import compilation_cache

        devices = jax.sharding.SingleDeviceSharding(device)._internal_device_list
        return compilation_cache.get_executable_and_time(key, None, device.client, devices)[0]
    except (
        Exception
    ):  # XLA raises different errors depending on where the format differs, and JAX's interface is not public
        return None
