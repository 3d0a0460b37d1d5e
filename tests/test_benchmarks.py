import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import PARTS, chart, main, table
from benchmarks.timing import interleaved
from emojax.errors import UserError

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


@pytest.mark.slow
def test_the_layers_benchmark_sums_up():
    command = [sys.executable, "-m", "benchmarks.layers", "--side", "128", "--repeats", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if line.startswith("| ")
    ]
    times = {row[0]: int(row[1]) * float(row[4]) for row in rows[2:-1]}
    assert len(times) == 7 and float(rows[-1][4]) == pytest.approx(sum(times.values()), rel=0.05, abs=2)


@pytest.mark.slow
def test_the_exported_models_benchmark_compares_equal_networks():
    pytest.importorskip("onnx", reason="pip install 'emojax[onnx]'")
    pytest.importorskip("onnxruntime", reason="pip install onnxruntime")
    command = [sys.executable, "-m", "benchmarks.exported", "--sides", "64", "--styles", "fast", "--repeats", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("64 x 64, written for it ")
    assert done.stdout.endswith(("0 grey levels apart\n", "1 grey levels apart\n"))


def test_rounds_are_interleaved_and_warm_up_does_not_count():
    calls = []
    seconds = interleaved({name: lambda name=name: calls.append(name) for name in "ab"}, repeats=3, warm_up=1)
    assert calls == list("abababab")
    assert all(low <= median <= high for low, median, high in seconds.values()) and list(seconds) == ["a", "b"]


def test_times_are_multiples_of_ours():
    rows = [
        {"what": "network", "name": "emojax", "side": 64, "seconds": [1.0, 2.0, 3.0]},
        {"what": "network", "name": "peer", "side": 64, "seconds": [4.0, 5.0, 6.0], "memory": 1.5},
        {"what": "folder", "name": "emojax", "side": None, "seconds": [1.0, 1.0, 1.0]},
    ]
    lines = table(rows).splitlines()
    assert lines[3] == "| network | 64 | peer | 5.000 (4.000 to 6.000) | 2.50 | 1.50 |"
    assert "| 1.00 |" in lines[2] and "| folder |  | emojax |" in lines[4]
    assert chart(rows).startswith(b"\x89PNG")


def test_further_columns_are_there_where_a_row_fills_them():
    """And on a GPU the first of ours is the measure, whatever its precision."""
    rows = [
        {
            "what": "step",
            "name": "emojax bf16",
            "side": None,
            "seconds": [0.01, 0.02, 0.03],
            "rate": 200.0,
            "share": 0.5,
        },
        {"what": "step", "name": "peer bf16", "side": None, "seconds": [0.03, 0.04, 0.05], "rate": 100.0},
    ]
    lines = table(rows).splitlines()
    assert lines[0] == "| what | side | name | seconds (quartiles) | times ours | a second | of the peak |"
    assert lines[2] == "| step |  | emojax bf16 | 0.0200 (0.0100 to 0.0300) | 1.00 | 200 | 50% |"
    assert lines[3] == "| step |  | peer bf16 | 0.0400 (0.0300 to 0.0500) | 2.00 | 100 |  |"


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--sides", "30"], "at least 64"),
        (["--sides", "66"], "multiples of 4"),
        (["--repeats", "0"], "1"),
        (["--device", "gpu", "--parts", "photo"], "CPU alone"),
    ],
)
def test_mistakes(flags, part, tmp_path):
    with pytest.raises(UserError, match=part):
        main([*flags, "--output", str(tmp_path)])


def test_missing_peers_are_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setitem(PARTS, "photo", ("no_such_package",))
    with pytest.raises(UserError, match=r"no_such_package is not installed: pip install -r"):
        main(["--parts", "photo", "--output", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
