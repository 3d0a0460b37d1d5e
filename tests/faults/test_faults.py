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


@pytest.fixture(scope="module")
def told():
    """What is said of each fault; of a process of its own, which can be forked because JAX has not started in it."""
    command = [sys.executable, "-m", "tests.faults.run", "--times", "6", "--trainings", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(line.split(": ", 1) for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    "fault",
    [
        "kill -9 in a folder run",
        "a disk that fills, folder",
        "two processes at once",
        "kill -9 in a training run",
        "a disk that fills, training",
        "a clock that jumps",
    ],
)
def test_nothing_is_lost(told, fault):
    assert "nothing lost or damaged" in told[fault]
