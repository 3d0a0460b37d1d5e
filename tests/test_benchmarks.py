import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_the_classifiers_benchmark_prints_its_figures():
    """In a process of its own, since it pins itself to a core."""
    command = [sys.executable, "-m", "benchmarks.classify", "--batch", "2", "--repeats", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "GFLOP a face" in done.stdout and "batches of 2 on" in done.stdout
    wrong = subprocess.run([*command, "--batch", "0"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert wrong.returncode == 2 and "--batch 0" in wrong.stderr and "Traceback" not in wrong.stderr
