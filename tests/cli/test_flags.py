"""What the flags of `emojax stylize` make of the model's options."""

import json
import threading

import numpy as np
import pytest
import tiny

from emojax.cli import stylize as program
from emojax.images import is_ours
from emojax.pipeline import Model
from emojax.weights.style_file import StyleFile, write_style_file
from tests import fakes


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
