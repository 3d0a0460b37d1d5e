from dataclasses import dataclass, field
from typing import Literal

import pytest

from emojax.errors import EmojaxError, InputError
from emojax.train.options import parse_preset


@dataclass(frozen=True)
class Data:
    """Data."""

    root: str = "here"
    """where the data lies"""
    archives: tuple[str, ...] = ()
    """several files"""
    soft_labels: bool = True
    """use votes"""
    crop_size: int = 8
    """in pixels"""

    def __post_init__(self):
        if self.crop_size < 1:
            raise InputError(f"`crop_size` {self.crop_size}: above 0", "crop_size")


@dataclass(frozen=True)
class Config:
    """A run."""

    steps: int | None = None
    """how many"""
    rate: float = 0.1
    """how fast, in 100% of cases"""
    flip: bool = True
    """mirror"""
    mode: Literal["jit", "pmap"] = "jit"
    """how"""
    data: Data = field(default_factory=Data)

    def __post_init__(self):
        if self.rate <= 0:
            raise EmojaxError(f"rate {self.rate}: above 0")


PRESETS = {"small": Config(steps=3), "large": Config(steps=30)}


def parse(*argv):
    return parse_preset(argv, PRESETS, "train.py")


def test_a_preset_alone():
    assert parse("large") == ("large", PRESETS["large"])


def test_every_kind_of_field_can_be_overridden():
    argv = ["small", "--steps", "none", "--rate", "2", "--flip", "false", "--mode", "pmap"]
    argv += ["--data.root", "there", "--data.archives", "a", "b"]
    assert parse(*argv)[1] == Config(None, 2.0, False, "pmap", Data("there", ("a", "b")))
    assert hash(parse(*argv)[1])


@pytest.mark.parametrize(
    "argv",
    [
        "--no-flip --data.no-soft-labels --steps None --data.crop-size 5",
        "--flip false --data.soft_labels false --steps none --data.crop_size 5",
        "--flip=False --data.soft-labels=FALSE --steps=none --data.crop-size=5",
    ],
)
def test_spellings(argv):
    expected = Config(None, flip=False, data=Data(soft_labels=False, crop_size=5))
    assert parse("small", *argv.split())[1] == expected
    assert parse("small", *argv.split(), "--flip", "--data.soft_labels", "true", "--steps", "3")[1] == Config(
        3, data=Data(crop_size=5)
    )


def test_a_boolean_flag_takes_no_other_value():
    assert parse("small", "--flip", "--data.archives", "a")[1].data.archives == ("a",)


def test_a_value_that_looks_like_none_is_one_where_that_is_allowed():
    assert parse("small", "--data.root", "none")[1].data.root == "none"


def test_errors_of_a_config_name_the_flag():
    with pytest.raises(InputError, match="^--data.crop-size 0: above 0$"):
        parse("small", "--data.crop_size", "0")


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (["smal"], "unknown preset 'smal'.*'small'"),
        ([], "name a preset first"),
        (["--steps", "3"], "name a preset first"),
        (["small", "--data.rot", "x"], "--data.rot.*did you mean '--data.root'"),
        (["small", "--steps", "many"], "--steps: many is not INT or none; see --help"),
        (["small", "--rate", "fast"], "--rate: could not convert string to float: 'fast'; see --help"),
        (["small", "--lr", "1"], "unrecognized arguments: --lr"),
        (["small", "stray"], "stray"),
        (["small", "--data.archives", "--rate"], "--rate"),
        (["small", "--steps"], "Missing value for argument '--steps'"),
        (["small", "--flip", "maybe"], "neither true nor false"),
        (["small", "--mode", "vmap"], "invalid choice .vmap."),
        (["small", "--rate", "-1"], "rate -1.0: above 0"),
    ],
)
def test_mistakes(argv, part):
    with pytest.raises(InputError, match=part):
        parse(*argv)


def test_help_is_made_of_the_docstrings(capsys):
    with pytest.raises(SystemExit, match="0"):
        parse("small", "--help")
    shown = " ".join(capsys.readouterr().out.split())
    assert "where the data lies (default: here)" in shown and "100% of cases" in shown
    with pytest.raises(SystemExit, match="0"):
        parse("--help")
    assert "small, large" in capsys.readouterr().out
