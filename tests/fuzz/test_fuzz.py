"""400 hostile cases; `make fuzz` tries 10,000."""

import os
import re
import sys
from pathlib import Path

import pytest

from emojax.cli import stylize as program
from tests.fuzz import corpus, run


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    monkeypatch.setattr(program, "_load", run.fake_model)


@pytest.mark.parametrize("seed", [0, 1000, 2000])
def test_hostile_photos_and_flags(seed):
    ends, faults = run.run(100, seed)
    assert not faults, "\n".join(line for lines in faults.values() for line in lines)
    assert sum(ends.values()) == 100 and ends["exit 0"] and ends["exit 2"]


@pytest.mark.parametrize(
    "name", sorted(set(corpus.corpus()) - {"eps.jpg", "raw.dng", "page.jpg", "film.jpg", "a.heic", "a.jxl"})
)
def test_the_sound_files_are_painted(name):
    assert run.attempt({name: corpus.corpus()[name]}, [f"in/{name}"]) == ("exit 0", [])


def test_a_case_comes_again():
    first, again = next(run.cases(7)), next(run.cases(7))
    assert first == again


def test_the_fuzzer_sees_faults(monkeypatch):
    """Each kind: an exception, a wrong exit code, a half-written file, a changed input."""

    def wrong(argv):
        (run.Path("in") / "a.png").write_bytes(b"changed")
        run.Path("half.png").write_bytes(b"half")
        print("Traceback", file=sys.stderr)
        return 7

    monkeypatch.setattr(program, "main", wrong)
    end, faults = run.attempt({"a.png": b"x"}, ["in"])
    assert end == "exit 7" and len(faults) == 4
    monkeypatch.setattr(program, "main", lambda argv: 1 / 0)
    assert run.attempt({"a.png": b"x"}, ["in"])[0] == "exception"


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="the system cannot forget a process's peak of memory"
)
def test_memory_stays_bounded():
    """The peak of these cases alone: other files' tests run in this process, too."""
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    run.run(100, 3000)
    assert 0 < before <= peak() < before + (1 << 30)


def peak():
    """The most bytes of memory that this process has held since its peak was forgotten."""
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
