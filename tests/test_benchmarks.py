import dataclasses
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import tiny

import emojax
from benchmarks import gpu, training
from benchmarks.__main__ import PARTS, chart, main, table
from benchmarks.timing import Clock, interleaved
from emojax.errors import EmojaxError
from emojax.nets import vgg16
from emojax.nets.stylizer_config import StylizerConfig
from emojax.weights.store import save_checkpoint

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
        (["--device", "gpu", "--parts", "command"], "CPU alone"),
        (["--minutes", "6"], "for --device gpu"),
        (["--device", "gpu", "--minutes", "0"], "above 0"),
    ],
)
def test_mistakes(flags, part, tmp_path):
    with pytest.raises(EmojaxError, match=part):
        main([*flags, "--output", str(tmp_path)])


def test_missing_peers_are_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setitem(PARTS, "photo", ("no_such_package",))
    with pytest.raises(EmojaxError, match=r"no_such_package is not installed: pip install -r"):
        main(["--parts", "photo", "--output", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_a_clock_that_has_run_out_ends_the_rounds():
    calls = []
    late = Clock(1e-9)
    assert not late.has() and Clock().has(1e9) and Clock(1).has(30) and not Clock(1).has(90)
    interleaved({"a": lambda: calls.append("a")}, repeats=9, warm_up=1, until=late)
    assert calls == ["a", "a"]  # the warm-up and one that counts


def row(name, seconds):
    return {"what": "step", "name": name, "side": None, "seconds": [seconds] * 3, "rate": 1 / seconds, "share": 0.25}


def test_parts_are_measured_while_there_is_time_and_written_one_after_the_other(capsys, monkeypatch):
    left, written = [150.0], []

    def part(name, cost):
        def rows(peers):
            left[0] -= cost
            yield row("emojax", 0.5)
            if peers:
                yield row("PyTorch", 1.0)

        return gpu.Part(name, f"the {name}", 20, rows)

    monkeypatch.setattr(Clock, "has", lambda self, seconds=0.0: left[0] > seconds)
    monkeypatch.setattr(gpu.importlib.util, "find_spec", lambda name: object())
    parts = [part("training", 60), part("network", 75), part("folder", 30)]
    rows = gpu.measure(parts, Clock(), lambda rows: written.append(len(rows)))
    assert [found["name"] for found in rows] == ["emojax", "PyTorch", "emojax"] and written == [2, 3]
    said = capsys.readouterr().err
    assert "step, emojax: 0.5 s, 2 a second, 25% of the peak" in said
    assert "measuring: the network, without PyTorch" in said and "no time left for the folder" in said


@pytest.mark.slow
def test_what_a_gpu_measures_is_tried_on_the_cpu(tmp_path, monkeypatch):
    """Every part with tiny shapes and networks; ours alone, unless PyTorch is installed."""
    model = StylizerConfig(width=4, blocks=1, patch=2, style_names=("happy", "sad"))
    network, classifier = str(tmp_path / "styles"), str(tmp_path / "classifier")
    save_checkpoint(Path(network), "styles", model, tiny.stylizer_params(model))
    save_checkpoint(Path(classifier), "classifier", tiny.FACES, tiny.classifier_variables())
    monkeypatch.setattr(emojax, "load", partial(emojax.load, classifier=classifier), raising=False)
    monkeypatch.setattr(training, "SHAPES", vgg16.shapes(16))
    scale = gpu.Scale(sides=(64,), batches=(1, 2), job_sides=(64,), photos=2, dtype="float32")
    crop = dataclasses.replace(scale.styles.data, crop=32)
    scale = dataclasses.replace(
        scale,
        styles=dataclasses.replace(scale.styles, model=model, mixes=(), batch_size=2, data=crop),
        classifier=dataclasses.replace(scale.classifier, model=tiny.FACES, batch_size=2),
    )
    parts = [
        part
        for part in gpu.parts(tmp_path, network, scale, "cpu", 1, 1, Clock())
        if part.name != "folder"  # a command of its own, which test_batch.py tests
    ]
    found = gpu.measure(parts, Clock(), lambda rows: None)
    ours = [row for row in found if row["name"].startswith("emojax")]
    assert {row["what"] for row in ours} == {
        "train_style step, 2 of 32 x 32",
        "train_classifier step, 2 faces",
        "network",
        "network, 2 photos",
        "photo, warm",
    }
    assert all(row["seconds"][1] > 0 and row["rate"] > 0 for row in ours)
    assert all(row["share"] > 0 for row in ours if row["what"].startswith("network"))
    assert "| network, 2 photos | 64 | emojax bf16 |" in table(found)
