"""Compiled programs on disk: each entry whole or not at all, the damaged replaced, their size bounded.

JAX's own cache writes entries in place and never over existing ones: what a full disk or a kill has cut would fail and be
compiled again at every start. This one takes its place through the one function of JAX that makes caches; where a version of
JAX has it no more, JAX's own cache is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path

from emojax.util.files import remove_leftovers, write_atomically

LARGEST = 500_000_000
"""bytes of all entries, which is some 200 programs for photos; the least recently used go first"""
_SUFFIX = "-program"
_DIGEST = hashlib.sha256().digest_size


class ProgramCache:
    """What JAX wants of a cache, `jax._src.compilation_cache_interface`: bytes by key. Safe from several processes.

    An entry is the SHA-256 of its content, and the content. A cache is never the reason that something fails.
    """

    def __init__(self, folder: Path, largest: int = LARGEST) -> None:
        self._path = self.path = folder
        self._largest = largest

    def get(self, key: str) -> bytes | None:
        """The content of an entry; None if there is none, or a damaged one, which is removed."""
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
            os.utime(file)  # used now
        return content

    def put(self, key: str, value: bytes) -> None:
        """Writes an entry, and makes room for it."""
        with contextlib.suppress(Exception):  # a full disk, no right to write: the next process compiles again
            self._make_room(len(value) + _DIGEST)
            write_atomically(self._file(key), hashlib.sha256(value).digest() + value)

    def _file(self, key: str) -> Path:
        return self.path / f"{key}{_SUFFIX}"

    def _make_room(self, size: int) -> None:
        """Removes the entries that were not used for longest, and what a killed process has left."""
        remove_leftovers(self.path)
        entries, now = [], time.time()
        for file in list(self.path.iterdir()):
            with contextlib.suppress(OSError):  # another process may have removed it
                status = file.stat()
                if file.name.endswith(_SUFFIX):
                    # The clock may have been ahead: an entry of the future would stay for ever.
                    entries.append((min(status.st_mtime, now), status.st_size, file))
                elif file.name.endswith(("-cache", "-atime")):  # of JAX's own cache, which earlier versions used
                    file.unlink()
        total = size + sum(size for _, size, _ in entries)
        for _, freed, file in sorted(entries):
            if total <= self._largest:
                break
            with contextlib.suppress(OSError):
                file.unlink()
            total -= freed


def use_program_cache() -> bool:
    """Puts `ProgramCache` in the place of JAX's own; returns whether this version of JAX lets it."""
    try:
        from jax._src import compilation_cache

        made_by_jax = compilation_cache.get_file_cache
    except (ImportError, AttributeError):
        return False
    if getattr(made_by_jax, "__module__", "") != __name__:
        compilation_cache.get_file_cache = _get_file_cache  # type: ignore[assignment]
    return True


def _get_file_cache(path: str) -> tuple[ProgramCache, str]:
    return ProgramCache(Path(path)), path
