import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image

import emojax
from emojax.cli import stylize as program
from emojax.images import encode, is_ours, read_photo
from emojax.pipeline import Model
from emojax.weights.style_file import StyleFile, write_style_file
from tests import fakes

ROOT = Path(__file__).parent.parent
PICTURE = encode(Image.new("RGB", (8, 6), (200, 30, 30)), "PNG")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def asked(monkeypatch):
    """A fake model; the options that it was made with."""
    seen = []

    def load(options, *_):
        seen.append(options)
        return lambda photo: fakes.result(photo, options.emotion or "happy", faces=not options.emotion), []

    monkeypatch.setattr(program, "_load", load)
    return seen


def script(*argv, **options):
    """Runs stylize.py as a user does."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "stylize.py"), *argv]
    return subprocess.run(command, env=environment, capture_output=True, timeout=300, check=False, **options)


# --- options


@pytest.mark.parametrize(
    ("flags", "style"),
    [
        ("--emotion happy:0.25,sad:0.75", {"happy": 0.25, "sad": 0.75}),
        ("--style fear", {"fear": 1.0}),
        ("--mood 0.81,0.51", {"happy": 1.0}),  # happy's own point
        ("--mix probabilities --no-face neutral --per-face", {"neutral": 1.0}),
        (
            "--strength 0.5 --colors photo --style-scale 2 --face-strength 1 --background-only --emotion sad",
            {"sad": 1.0},
        ),
    ],
)
def test_the_flags_reach_the_model(here, monkeypatch, capsys, flags, style):
    params = {"classifier": tiny.classifier_variables(), "stylizer": tiny.stylizer_params(apart=0.3)}
    monkeypatch.setattr(program, "load_model", lambda *_: Model(tiny.FACES, tiny.STYLES, params))
    fakes.write_photo(here / "photo.png", size=(32, 32))
    assert program.main(["photo.png", "--json", *flags.split()]) == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert row["style"] == style


def test_a_mood_may_begin_with_a_minus(here, asked):
    fakes.write_photo(here / "photo.png")
    assert program.main(["photo.png", "--mood", "-0.63,-0.27"]) == 0
    assert asked[0].mood == (-0.63, -0.27)
    assert program.main(["photo.png", "--mood", "2,0"]) == 2
    assert program.main(["photo.png", "--mood", "0,0", "--emotion", "sad"]) == 2


def test_compounds_are_named_if_asked(here, asked, monkeypatch):
    monkeypatch.setattr(program, "_load", lambda *_: (lambda photo: fakes.result(photo, "happy:0.6,surprise:0.4"), []))
    fakes.write_photo(here / "photo.png")
    assert program.main(["photo.png", "--name-compounds"]) == 0
    assert fakes.names(here) == ["photo.happily-surprised.png", "photo.png"]
    assert program.main(["photo.png", "--skip-existing"]) == 0
    assert len(fakes.names(here)) == 2


def test_defaults(here, asked):
    fakes.write_photo(here / "photo.png")
    assert program.main(["--input", "photo.png"]) == 0
    (options,) = asked
    chosen = (options.emotion, options.mix, options.face, options.no_face, options.classifier, options.styles)
    assert chosen == (None, "dominant", "all", "neutral", None, None)
    assert fakes.names(here) == ["photo.happy.png", "photo.png"]


def test_every_option(here, asked, capsys):
    fakes.write_photo(here / "in" / "sub" / "photo.png")
    argv = "--input in --output art --emotion fear:3,sad --mix probabilities --face 2 --no-face skip --json --force -q"
    argv += " --recursive --max-megapixels 0.5 --classifier C --styles S"
    assert program.main(argv.split()) == 0
    (options,) = asked
    assert (options.mix, options.face, options.no_face) == ("probabilities", 2, "skip")
    assert (options.classifier, options.styles) == ("C", "S")
    row = json.loads(capsys.readouterr().out)
    assert row["output"] == "art/sub/photo.fear+sad.png" and is_ours(row["output"]) and row["style"]["fear"] == 0.75


def test_input_may_be_given_again(here, asked):
    for name in ("a.png", "b.png", "c.png"):
        fakes.write_photo(here / name)
    assert program.main(["--input", "a.png", "b.png", "--input", "c.png", "--output", "art"]) == 0
    assert len(fakes.names(here / "art")) == 3


@pytest.mark.parametrize(
    "argv",
    [
        "a.png b.png --output art",
        "a.png --output art b.png",
        "--output art a.png b.png",
        "a.png --output art --input b.png",
        "--output art a.png -- b.png",
        "--output art --input -- a.png b.png",
        "--output art -- a.png b.png",
        "--output=art --input=a.png --input=b.png",
    ],
)
def test_photos_by_position(here, asked, argv):
    for name in ("a.png", "b.png"):
        fakes.write_photo(here / name)
    assert program.main(argv.split()) == 0
    assert sorted(asked[0].input) == ["a.png", "b.png"] and fakes.names(here / "art") == ["a.happy.png", "b.happy.png"]


@pytest.mark.parametrize("argv", [["--"], ["--input", "--"], ["--output", "art", "--input", "--"]])
def test_names_that_begin_with_a_dash(here, asked, argv):
    fakes.write_photo(here / "-q.png")
    assert program.main([*argv, "-q.png"]) == 0
    assert [name for name in fakes.names(here) if name.endswith("-q.happy.png")]


def test_a_batch_goes_on(here, asked, capsys):
    fakes.write_photo(here / "in" / "a.png")
    assert program.main(["in", "--output", "art"]) == 0 and len(asked) == 1
    assert program.main(["in", "--output", "art", "--skip-existing"]) == 0
    assert len(asked) == 1  # no model is loaded where nothing is left to do
    fakes.write_photo(here / "in" / "b.png")
    assert program.main(["in", "--output", "art", "--skip-existing", "-q"]) == 0 and len(asked) == 2
    assert fakes.names(here / "art") == ["a.happy.png", "b.happy.png"]


PLAIN = {"style_scale": 1.0, "strength": 1.0, "face_strength": 0.35, "colors": "painting"}
PLAIN |= {"faces_only": False, "background_only": False, "mask": None}


class FakePainter:
    """A model without programs to prepare."""

    def plan_sizes(self, sizes, **options):
        return []


def test_the_real_model_gets_the_options(here, monkeypatch):
    pipeline = pytest.importorskip("emojax.pipeline")
    calls = []

    def load(classifier, styles):
        calls.append((classifier, styles))
        return FakeModel()

    class FakeModel(FakePainter):
        def __call__(self, photo, **options):
            calls.append(options)
            return fakes.result(photo)

    monkeypatch.setattr(pipeline, "load", load)
    monkeypatch.setattr("emojax.util.compiling.enable_cache", lambda: calls.append("cache"))
    fakes.write_photo(here / "photo.png")
    assert program.main(["--input", "photo.png", "--styles", "S", "--face", "largest", "--no-face", "error"]) == 0
    options = {
        "emotion": None,
        "mix": "dominant",
        "face": "largest",
        "no_face": "error",
        "per_face": False,
    }
    assert calls == ["cache", (None, "S"), {**options, **PLAIN}]


def test_a_style_may_be_a_pack(here, monkeypatch, capsys):
    """The mix names the style file by its own name, and the model gets it."""
    pipeline, calls = pytest.importorskip("emojax.pipeline"), []

    class FakeModel(FakePainter):
        def with_style_files(self, style_files):
            calls.append([style_file.name for style_file in style_files])
            return self

        def __call__(self, photo, **options):
            calls.append(options["emotion"])
            return fakes.result(photo)

    monkeypatch.setattr(pipeline, "load", lambda classifier, styles: FakeModel())
    monkeypatch.setattr("emojax.util.compiling.enable_cache", lambda: None)
    fakes.write_photo(here / "photo.png")
    row = {"down0": dict.fromkeys(("scale", "shift"), np.ones(4, np.float32))}
    write_style_file(here / "mine.pack", StyleFile("joy", "f" * 64, row, b""))
    assert program.main(["--input", "photo.png", "--style", "mine.pack:0.5,sad:1.5"]) == 0
    names, weights = calls
    assert names == ["joy"] and {name: weight for name, weight in weights.items() if weight} == {
        "joy": 0.25,
        "sad": 0.75,
    }
    assert fakes.names(here) == ["mine.pack", "photo.png", "photo.sad+joy.png"]
    for style, reason in (
        ("none.pack", "cannot read the style file none.pack"),
        ("mine.pack,mine.pack:2", "named twice"),
        ("joyy", "unknown emotion"),
    ):
        assert program.main(["--input", "photo.png", "--style", style]) == 2
        error = capsys.readouterr().err
        assert reason in error and error.count("\n") == 1


@pytest.mark.parametrize("read", [True, False])
def test_the_model_hears_of_the_sizes_of_the_photos(here, monkeypatch, read):
    pipeline, told, prepared = pytest.importorskip("emojax.pipeline"), [], threading.Event()

    class FakeModel:
        def plan_sizes(self, sizes, **options):
            told.append((sizes, options))
            return [prepared.set]

        def __call__(self, photo, **options):
            assert prepared.wait(300)  # a command that is done before would drop the call
            return fakes.result(photo)

    monkeypatch.setattr(pipeline, "load", lambda classifier, styles: FakeModel())
    monkeypatch.setattr("emojax.util.compiling.enable_cache", lambda: None)
    fakes.write_photo(here / "a.png", size=(30, 20))
    fakes.write_photo(here / "b.png", size=(20, 40))
    (here / "c.png").touch()
    options = ["--style-scale", "2", "--per-face"] if read else ["--emotion", "happy"]
    assert program.main(["--input", "a.png"]) == 0
    assert told.pop()[0] == [(20, 30)]
    prepared.clear()
    assert program.main(["--input", ".", "--force", *options]) == 1
    scale = 2.0 if read else 1.0
    given = {"read": read, "masked": False, "mix": "dominant", "per_face": read, "style_scale": scale}
    given |= {"face_strength": 0.35}
    assert told == [([(20, 30), (40, 20)], given)]


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        ("--emotion sad --style happy", "give one of them"),
        ("--emotion sad --per-face", "leave out --emotion"),
        ("--style sad --per-face", "leave out --emotion"),
        ("--style-scale 9", "0.25 to 4"),
        ("--style-scale nan", "0.25 to 4"),
    ],
)
def test_styles_that_contradict(here, asked, argv, reason, capsys):
    fakes.write_photo(here / "photo.png")
    assert program.main(["--input", "photo.png", *argv.split()]) == 2
    assert reason in capsys.readouterr().err and not asked


def test_json_names_each_faces_style(here, asked, monkeypatch, capsys):
    def load(*_):
        def stylize(photo):
            made = fakes.result(photo, faces=2)
            made.faces[1].style = {"sad": 1.0}
            return made

        return stylize, []

    monkeypatch.setattr(program, "_load", load)
    fakes.write_photo(here / "photo.png")
    assert program.main(["--input", "photo.png", "--per-face", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)["faces"]
    assert "style" not in first and second["style"] == {"sad": 1.0}


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
