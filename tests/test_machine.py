"""What the machine lacks is said under its own name, never as a damaged file."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import jax
import orbax.checkpoint
import pytest

from emojax.errors import CheckpointError, ResourceError
from emojax.util import commandline, compiling, machine
from emojax.weights import arrays

ROOT = Path(__file__).parent.parent


def command(*argv, before="", **environment):
    """Runs `emojax` in a shell, after another command such as ulimit."""
    line = f"{before} exec {sys.executable} -m emojax " + " ".join(argv)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        ["bash", "-c", line], env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (MemoryError(), "not enough memory"),
        (RuntimeError("can't start new thread"), "no more threads"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes"), "not enough memory"),
        (ImportError("libx.so: failed to map segment from shared object"), "not enough memory"),
        (OSError(errno.EMFILE, "Too many open files"), "too many open files"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (ValueError("Error opening file: Too many open files"), "too many open files"),
    ],
)
def test_a_lack_has_its_own_name(error, part, monkeypatch, tmp_path, capsys):
    assert part in machine.lack(error)

    def fail():
        raise error

    assert commandline.run(fail) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert part in line and "checkpoint" not in line

    def broken(*_, **__):
        raise error

    monkeypatch.setattr(orbax.checkpoint, "Checkpointer", broken)
    with pytest.raises(ResourceError, match=part):
        arrays.restore_arrays(tmp_path, tmp_path, lambda *_: None)


@pytest.mark.parametrize("error", [ValueError("no such key"), KeyError("x"), TypeError("None"), OSError("odd")])
def test_other_failures_are_not_taken_for_a_lack(error, monkeypatch, tmp_path):
    def broken(*_, **__):
        raise error

    assert machine.lack(error) is None
    monkeypatch.setattr(orbax.checkpoint, "Checkpointer", broken)
    with pytest.raises(CheckpointError, match=type(error).__name__):
        arrays.restore_arrays(tmp_path, tmp_path, lambda *_: None)


def test_a_fault_of_the_program_is_not_hidden():
    def fail():
        raise RuntimeError("an assertion of ours")

    with pytest.raises(RuntimeError, match="ours"):
        commandline.run(fail)


@pytest.mark.parametrize("error", [AssertionError(), RuntimeError("Unable to initialize backend 'x'")])
def test_a_backend_that_does_not_start(monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr(jax, "devices", fail)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    with pytest.raises(
        ResourceError, match="JAX cannot start the platform 'cuda', as JAX_PLATFORMS says.*: set it to cpu"
    ):
        compiling.start_backend()


@pytest.mark.slow
def test_no_such_device():
    done = command("examples/astronaut.jpg", "--output", "none/", JAX_PLATFORMS="cuda")
    assert done.returncode == 2 and done.stdout == ""
    assert (
        done.stderr.startswith("emojax: error: JAX cannot start the platform 'cuda'") and done.stderr.count("\n") == 1
    )


@pytest.mark.slow
@pytest.mark.skipif(machine.resource is None, reason="this system has no limits")
def test_too_little_address_space(tmp_path):
    photo = ROOT / "examples" / "astronaut.jpg"
    for kilobytes in (600_000, 1_500_000):
        done = command(str(photo), "--output", str(tmp_path / "art.png"), before=f"ulimit -v {kilobytes};")
        assert done.returncode == 2 and "not enough memory: a process may use" in done.stderr
        assert done.stderr.count("\n") == 1 and not list(tmp_path.iterdir())


def test_threads_that_cannot_be_started(monkeypatch):
    start, started = machine.threading.Thread.start, []

    def limited(thread):
        if len(started) == 3:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(machine.threading.Thread, "start", limited)
    with pytest.raises(ResourceError, match="3 of 9 threads"):
        machine._try_threads(9)
    assert not any(thread.is_alive() for thread in started)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
def test_a_forked_process_is_told(monkeypatch):
    """It would hang; a pid that differs stands in for the child."""
    compiling.check_process()
    monkeypatch.setattr(compiling.os, "getpid", lambda: -1)
    with pytest.raises(ResourceError, match="spawn"):
        compiling.start_backend()
