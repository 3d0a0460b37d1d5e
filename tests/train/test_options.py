from dataclasses import dataclass, field
from typing import Literal

import pytest

from emojax.errors import UserError
from emojax.train.options import parse_preset


@dataclass(frozen=True)
class Data:
    """Data."""

    root: str = "here"
    """where the data lies"""
    packs: tuple[str, ...] = ()
    """several files"""


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
            raise UserError(f"rate {self.rate}: above 0")


PRESETS = {"small": Config(steps=3), "large": Config(steps=30)}


def parse(*argv):
    return parse_preset(argv, PRESETS, "train.py")


def test_a_preset_alone():
    assert parse("large") == ("large", PRESETS["large"])


def test_every_kind_of_field_can_be_overridden():
    argv = ["small", "--steps", "none", "--rate", "2", "--flip", "false", "--mode", "pmap"]
    argv += ["--data.root", "there", "--data.packs", "a", "b"]
    assert parse(*argv)[1] == Config(None, 2.0, False, "pmap", Data("there", ("a", "b")))
    assert hash(parse(*argv)[1])


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (["smal"], "unknown preset 'smal'.*'small'"),
        ([], "name a preset first"),
        (["--steps", "3"], "name a preset first"),
        (["small", "--data.rot", "x"], "--data.rot.*did you mean '--data.root'"),
        (["small", "--steps", "many"], "--steps.*'many'"),
        (["small", "--flip", "maybe"], "neither true nor false"),
        (["small", "--mode", "vmap"], "invalid choice .vmap."),
        (["small", "--rate", "-1"], "rate -1.0: above 0"),
    ],
)
def test_mistakes(argv, part):
    with pytest.raises(UserError, match=part):
        parse(*argv)


def test_help_is_made_of_the_docstrings(capsys):
    with pytest.raises(SystemExit, match="0"):
        parse("small", "--help")
    shown = " ".join(capsys.readouterr().out.split())
    assert "where the data lies (default: here)" in shown and "100% of cases" in shown
    with pytest.raises(SystemExit, match="0"):
        parse("--help")
    assert "small, large" in capsys.readouterr().out
