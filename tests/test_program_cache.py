import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from emojax.util import program_cache
from emojax.util.files import TEMPORARY
from emojax.util.program_cache import ProgramCache


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_put_comes_back(tmp_path):
    cache = ProgramCache(tmp_path)
    assert cache.get("a") is None
    cache.put("a", b"program")
    assert cache.get("a") == b"program" and ProgramCache(tmp_path).get("a") == b"program"
    cache.put("a", b"another")
    assert cache.get("a") == b"another" and entries(tmp_path) == ["a-program"]


@pytest.mark.parametrize(
    "damage", [lambda d: d[:40], lambda d: b"", lambda d: d[:50] + b"\0" + d[51:], lambda d: d + b"x"]
)
def test_a_damaged_entry_is_replaced(tmp_path, damage):
    cache, file = ProgramCache(tmp_path), tmp_path / "a-program"
    cache.put("a", bytes(range(200)))
    file.write_bytes(damage(file.read_bytes()))
    assert cache.get("a") is None and not file.exists()
    cache.put("a", bytes(range(200)))
    assert cache.get("a") == bytes(range(200))


def test_a_full_disk_leaves_nothing_and_fails_nobody(tmp_path, monkeypatch):
    cache, write = ProgramCache(tmp_path), program_cache.Path.write_bytes

    def full(path, data):
        write(path, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(program_cache.Path, "write_bytes", full)
        cache.put("a", b"program")
    assert cache.get("a") is None and entries(tmp_path) == []
    cache.put("a", b"program")
    assert cache.get("a") == b"program"


def test_a_folder_that_is_gone_fails_nobody(tmp_path):
    cache = ProgramCache(tmp_path / "none" / "at all")
    assert cache.get("a") is None
    (tmp_path / "none").touch()
    cache.put("a", b"program")


def test_the_least_recently_used_go(tmp_path):
    cache = ProgramCache(tmp_path, largest=400)
    for index, name in enumerate("abc"):
        cache.put(name, bytes(68))  # 100 with its digest
        os.utime(tmp_path / f"{name}-program", (index, index))
    assert cache.get("a") is not None  # used now
    cache.put("d", bytes(168))
    assert entries(tmp_path) == ["a-program", "c-program", "d-program"]


def test_entries_of_the_future_do_not_stay_for_ever(tmp_path):
    """The clock was ahead when they were written."""
    cache, later = ProgramCache(tmp_path, largest=250), time.time() + 1e6
    cache.put("a", bytes(68))
    os.utime(tmp_path / "a-program", (later, later))
    cache.put("b", bytes(68))
    cache.put("c", bytes(68))
    assert len(entries(tmp_path)) == 2 and (tmp_path / "c-program").exists()


def test_what_others_left_is_removed(tmp_path):
    """Entries of JAX's own cache, and folders of processes that were killed."""
    (tmp_path / "old-cache").touch()
    for name, age in (("dead", 7200), ("alive", 0)):
        (tmp_path / f"{TEMPORARY}{name}").mkdir()
        os.utime(tmp_path / f"{TEMPORARY}{name}", (time.time() - age,) * 2)
    ProgramCache(tmp_path).put("a", b"program")
    assert entries(tmp_path) == [f"{TEMPORARY}alive", "a-program"]


def test_many_at_once(tmp_path):
    """Two caches of one folder, as of two processes, that also throw out each other's entries."""
    caches = [ProgramCache(tmp_path, largest=2000), ProgramCache(tmp_path, largest=2000)]

    def work(number):
        cache, key = caches[number % 2], str(number % 7)
        cache.put(key, key.encode() * 300)
        return cache.get(key) in (None, key.encode() * 300)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(300)))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2000 + 8 * 332


def test_this_version_of_jax_takes_it():
    """Where this fails, programs are cached by JAX's own cache, whose entries a full disk breaks for ever."""
    assert program_cache.use_program_cache()
