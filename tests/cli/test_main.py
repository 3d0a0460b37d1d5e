"""`emojax stylize` as its user starts it: its streams, Ctrl-C, and the script."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import emojax
from emojax.cli import stylize as program
from emojax.images import encode, is_ours, read_photo
from tests import fakes

ROOT = Path(__file__).parents[2]
PICTURE = encode(Image.new("RGB", (8, 6), (200, 30, 30)), "PNG")


def script(*argv, **options):
    """Runs stylize.py as a user does."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "stylize.py"), *argv]
    return subprocess.run(command, env=environment, capture_output=True, timeout=300, check=False, **options)


# --- streams


def test_from_stdin_to_a_file_or_folder(here, asked, monkeypatch, capsys):
    for output, written in (("art.jpg", "art.jpg"), ("art", "art/stdin.happy.png")):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(PICTURE)))
        assert program.main(["--input", "-", "--output", output]) == 0
        assert is_ours(written)
    captured = capsys.readouterr()
    assert captured.out.startswith("standard input -> art.jpg") and captured.err == ""


@pytest.mark.parametrize(("source", "format"), [("-", "PNG"), ("photo.jpg", "JPEG")])
def test_to_stdout_goes_the_picture_alone(here, asked, monkeypatch, source, format):
    fakes.write_photo(here / "photo.jpg")
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(PICTURE)))
    monkeypatch.setattr("sys.stdout", out)
    assert program.main(["--input", source, "--output", "-"]) == 0
    data = out.buffer.getvalue()
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == format
    assert np.abs(read_photo(data).pixels.astype(int) - (55, 225, 225)).max() <= 3
    assert fakes.names(here) == ["photo.jpg"]


def test_json_to_a_reader_that_leaves(here, asked):
    code = "import sys; sys.path.insert(0, sys.argv[1]); from tests import fakes; from emojax.cli import stylize as m\n"
    code += "m._load = lambda *_: (fakes.result, []); sys.exit(m.main(sys.argv[2:]))"
    for index in range(5):
        fakes.write_photo(here / f"{index}.png")
    read, write = os.pipe()
    os.close(read)  # nobody listens
    command = [sys.executable, "-c", code, str(ROOT), "--input", ".", "--json"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=300, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*command, "--force"], stdout=full, stderr=subprocess.PIPE, timeout=300, check=False)
    assert done.returncode == 2
    assert done.stderr == b"emojax: error: cannot write to standard output: No space left on device\n"


def test_ctrl_c(here):
    code = "import signal, sys, time; sys.path.insert(0, sys.argv[1]); from emojax.cli import stylize as m\n"
    # Where the tests run in the background, the signal may be ignored, which a child inherits.
    code += "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "def stylize(photo):\n  print('here', flush=True)\n  time.sleep(300)\n"
    code += "m._load = lambda *_: (stylize, []); sys.exit(m.main(sys.argv[2:]))"
    fakes.write_photo(here / "photo.png")
    command = [sys.executable, "-c", code, str(ROOT), "--input", "photo.png"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"here\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=300) == 130
        assert process.stderr.read() == b"emojax: interrupted\n"
    assert fakes.names(here) == ["photo.png"]


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.02, 0.2, 0.5, 1.0, 2.0, 4.0])
def test_ctrl_c_at_any_moment(here, delay):
    """The real program: while it imports, loads, compiles, computes, writes. It never goes on, crashes or tells stories."""
    Image.effect_noise((200, 150), 60).convert("RGB").save(here / "photo.png")
    for index in range(400):  # more than a fast machine paints until the signal comes
        (here / f"{index}.png").write_bytes((here / "photo.png").read_bytes())
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from emojax.__main__ import entry\n"
    code += "import emojax.util.interrupts as i; i.exit_on_interrupt(); print('ready', flush=True); sys.exit(entry())"
    command = [sys.executable, "-c", code, str(ROOT), "--input", ".", "--emotion", "sad", "--output", "art"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=300) == 130
        assert process.stderr.read().splitlines()[-1] == b"emojax: interrupted"
    for path in (here / "art").glob("*"):  # whole, or not there
        assert is_ours(path) and read_photo(path).pixels.shape == (150, 200, 3)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_closed_streams(here, closed):
    (here / "broken.png").touch()
    source = "-" if closed == "<&-" else "broken.png"
    command = f"{sys.executable} {ROOT / 'stylize.py'} --input {source} --output art.png --emotion sad {closed}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr and done.stdout == ""
    if closed != "2>&-":
        assert done.stderr.startswith("emojax: error: ") and done.stderr.count("\n") == 1


def test_a_closed_stdout_that_should_take_the_picture(here):
    fakes.write_photo(here / "photo.png")
    (here / "clip.gif").write_bytes(encode(Image.new("RGB", (8, 8)), "GIF"))
    for words in (
        "stylize --input photo.png --output - --emotion sad",
        "stylize --input photo.png --output art.png --json --emotion sad",
        "video --input clip.gif --json --emotion sad",
        "export --format safetensors --output -",
    ):
        command = f"PYTHONPATH={ROOT} {sys.executable} -m emojax {words} >&-"
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 2
        assert done.stderr == "emojax: error: cannot write to standard output: it is closed\n"
    assert sorted(path.name for path in here.iterdir()) == ["clip.gif", "photo.png"]


def test_an_error_that_cannot_be_told_stops_nothing(here, asked, monkeypatch):
    """Standard error on a full disk."""
    fakes.write_photo(here / "photo.png")
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert program.main(["missing.png", "photo.png", "--emotion", "sad"]) == 1
        assert program.main(["missing.png", "--emotion", "sad"]) == 2
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())  # what is left is written when the file is closed
    assert (here / "photo.sad.png").exists()


@pytest.mark.parametrize("flag", ["--output", "--styles", "--mask", "--painting", "--input"])
def test_an_empty_text_is_a_mistake(here, capsys, flag):
    fakes.write_photo(here / "photo.png")
    assert program.main(["photo.png", flag, ""]) == 2
    assert capsys.readouterr().err.startswith(f"emojax: error: {flag} '': it is empty")


# --- the script


def test_help_and_version_need_no_jax():
    code = "import sys; sys.path.insert(0, sys.argv[1]); from emojax.cli.stylize import main\n"
    code += "try: main([sys.argv[2]])\nexcept SystemExit: pass\n"
    code += "assert not {'jax', 'flax', 'orbax', 'matplotlib'} & set(sys.modules)"
    for flag, part in (("--help", b"--no-face"), ("--version", emojax.__version__.encode())):
        done = subprocess.run([sys.executable, "-c", code, str(ROOT), flag], capture_output=True, check=False)
        assert done.returncode == 0 and part in done.stdout and done.stderr == b""


def test_the_module_is_the_same_program():
    done = subprocess.run(
        [sys.executable, "-m", "emojax", "stylize", "--help"], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 0 and done.stdout == script("--help").stdout


def test_a_mistake_is_told_before_jax_starts(here, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "nonsense")  # which would be an error
    done = script("--input", "missing.jpg")
    assert done.returncode == 2 and done.stdout == b""
    assert done.stderr == b"emojax: error: cannot read missing.jpg: No such file or directory\n"


PACKAGED = ROOT / "emojax" / "checkpoints"


@pytest.mark.skipif(not (PACKAGED / "styles").exists(), reason="the packaged checkpoints are not there yet")
def test_the_real_thing(here):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (33, 47, 3), dtype=np.uint8)).save(here / "photo.png")
    (here / "broken.png").touch()
    done = script("--input", ".", "--json", "--emotion", "sad")
    assert done.returncode == 1
    assert done.stderr.decode() == "emojax: error: cannot read broken.png: the file is empty\n"
    bad, good = map(json.loads, done.stdout.splitlines())
    assert bad["input"] == "broken.png" and "error" in bad
    assert good["output"] == "photo.sad.png" and good["style"] == {"sad": 1.0} and good["size"] == [47, 33]
    art = read_photo(here / "photo.sad.png").pixels
    assert art.shape == (33, 47, 3) and art.std() > 1
    # the same through a pipe, and with the reading of faces, of which there are none
    done = script("--input", "-", "--output", "-", "--emotion", "sad", input=(here / "photo.png").read_bytes())
    assert done.returncode == 0 and (read_photo(done.stdout).pixels == art).all() and done.stderr == b""
    done = script("--input", "photo.png", "--json")
    row = json.loads(done.stdout)
    assert done.returncode == 0 and row["faces"] == [] and row["style"] == {"neutral": 1.0} and "note" in row
    assert done.stderr.decode().count("\n") == 1 and "neutral" in done.stderr.decode()


@pytest.mark.parametrize("damage", ["truncated", "missing", "config"])
def test_a_damaged_checkpoint_is_one_line(here, damage):
    """By the real program: Orbax's own threads would print tracebacks beside our line."""
    fakes.write_photo(here / "photo.png")
    styles = shutil.copytree(PACKAGED / "styles", here / "styles")
    largest = max((path for path in styles.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    if damage == "truncated":
        largest.write_bytes(largest.read_bytes()[:-2000])
    elif damage == "missing":
        largest.unlink()
    else:
        model = json.loads((styles / "model.json").read_text())
        model["config"]["width"] += 0.0
        (styles / "model.json").write_text(json.dumps(model))
    done = script("--input", "photo.png", "--styles", "styles", "--emotion", "sad")
    assert done.returncode == 2 and done.stdout == b""
    assert done.stderr.decode().count("\n") == 1 and done.stderr.startswith(
        b"emojax: error: checkpoint styles is damaged"
    )
