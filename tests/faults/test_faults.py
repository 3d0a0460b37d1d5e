"""A few of each kind of fault; `make faults` tries 100."""

import subprocess
import sys
from pathlib import Path

import pytest

from emojax.util import machine

ROOT = Path(__file__).parent.parent.parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(machine.resource is None, reason="this system has no fork() and no limits"),
]


@pytest.mark.parametrize("fault", ["kill -9 in a folder run", "a disk that fills, folder", "two processes at once"])
def test_folder_runs(fault):
    assert "nothing lost or damaged" in faults("--times", "6", "--only", fault)


@pytest.mark.parametrize("fault", ["kill -9 in a training run", "a disk that fills, training", "a clock that jumps"])
def test_training_runs(fault):
    assert "nothing lost or damaged" in faults("--times", "2", "--only", fault)


def faults(*argv):
    """In a process of its own, which can be forked because JAX has not started in it."""
    command = [sys.executable, "-m", "tests.faults.run", *argv]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
