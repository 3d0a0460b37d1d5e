"""Mistakes in the words after `emojax stylize`: one line on stderr, and no model is loaded for them."""

import os

import pytest
from PIL import Image

from emojax.cli import stylize as program
from emojax.errors import InputError
from tests import fakes
from tests.fakes import told

MISTAKES = [
    ("", "--input"),
    ("--input", "--input"),
    ("--input photo.png --emotion hapy", "unknown emotion 'hapy' (did you mean 'happy'?)"),
    ("--input photo.png --emotion=", "--emotion '': it is empty"),
    ("--input photo.png --emotion happy:-1", "not negative"),
    ("--input photo.png --emotion happy:0,sad:0", "sum to zero"),
    ("--input photo.png --emotion happy:nan", "finite"),
    ("--input photo.png --emotion happy:much", "'much' is not a weight"),
    ("--input photo.png --emotion sad,sad", "twice"),
    ("--input photo.png --mix blend", "dominant"),
    ("--input photo.png --face -1", "--face"),
    ("--input photo.png --face both", "'both' is neither all"),
    ("--input photo.png --no-face ignore", "neutral"),
    ("--input photo.png --max-megapixels 0", "above 0"),
    ("--input photo.png --max-megapixels nan", "above 0"),
    ("--input photo.png --max-megapixels many", "many"),
    ("--input photo.png --forse", "did you mean '--force'?"),
    ("--input photo.png --output art.psd", "cannot write art.psd: the suffix .psd is none of .jpg"),
    ("--input photo.png --output art.pdf", "cannot write art.pdf"),
    ("--input photo.png --output art.jpgg", "(did you mean .jpg?)"),
    ("--input photo.png other.png --output art.jpg", "2 photos: give a folder"),
    ("--input photo.png other.png --output -", "2 photos: give a folder"),
    ("--input photo.png --output - --json", "--json"),
    ("--input -", "--input - needs --output"),
    ("--input - --output - --json", "--json"),
    ("--input photo.png --output photo.png", "links to, an input"),
    ("--input photo.png --output photo.png --force", "links to, an input"),
    ("--input photo.png --output other.png", "exists: choose another output, or replace it with --force"),
    ("--input photo.png --force --skip-existing", "contradict"),
    ("photo.png --forse", "did you mean '--force'?"),
    ("--output art --", "--input"),
    ("--input nul\0.png", "cannot read"),
]


@pytest.mark.parametrize(("arguments", "part"), MISTAKES, ids=[arguments for arguments, _ in MISTAKES])
def test_a_mistake_in_the_request(here, monkeypatch, capsys, arguments, part):
    def load(options, *_):
        raise AssertionError("the mistake can be found without a model")

    monkeypatch.setattr(program, "_load", load)
    for name in ("photo.png", "other.png", "sub/photo.png"):
        fakes.write_photo(here / name)
    before = {name: (here / name).read_bytes() for name in fakes.names(here)}
    assert program.main(arguments.split(" ") if arguments else []) == 2
    assert part in told(capsys)
    assert {name: (here / name).read_bytes() for name in fakes.names(here)} == before


@pytest.mark.parametrize("flag", ["--classifier", "--styles"])
def test_a_bad_checkpoint_is_told_before_any_photo(here, monkeypatch, capsys, flag):
    def load(options, *_):
        raise InputError(f"no checkpoint at {options.styles or options.classifier}")

    monkeypatch.setattr(program, "_load", load)
    fakes.write_photo(here / "a.png")
    fakes.write_photo(here / "b.png")
    assert program.main(["--input", ".", flag, "nowhere"]) == 2
    assert told(capsys) == "emojax: error: no checkpoint at nowhere"
    assert fakes.names(here) == ["a.png", "b.png"]


def test_names_that_are_no_text(here, model, capsys):
    name = os.fsdecode(b"caf\xe9 \n.png")
    Image.new("RGB", (3, 3)).save(os.fsencode(here) + b"/caf\xe9 \n.png")
    (here / "bad.png").touch()
    assert program.main(["--input", ".", "--json"]) == 1
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 2 and (here / name.replace(".png", ".happy.png")).exists()
    assert program.main(["--input", name]) == 2
    assert "exists" in told(capsys)


@pytest.mark.parametrize("control", ["\x1b[31m", "\r", "\n", "\x9b2J", "\u202e"])
def test_control_characters_of_names_are_escaped(here, model, capsys, control):
    fakes.write_photo(here / f"a{control}b.png")
    (here / f"c{control}d.png").touch()
    assert program.main(["."]) == 1
    captured = capsys.readouterr()
    escaped = control.encode("unicode_escape").decode()
    assert f"a{escaped}b.png -> a{escaped}b.happy.png" in captured.out and captured.out.count("\n") == 1
    assert f"cannot read c{escaped}d.png" in captured.err and captured.err.count("\n") == 1
    assert control not in (captured.out + captured.err).replace("\n", "", 2 if control == "\n" else 0)


def test_control_characters_of_arguments_are_escaped(here, model, capsys):
    assert program.main(["photo.png", "--face", "\x1b[31m"]) == 2
    assert "\x1b" not in told(capsys)
    assert program.main(["a.png", "--output", "\x1b]0;title\x07.jpgg"]) == 2
    assert "\x1b" not in told(capsys)
