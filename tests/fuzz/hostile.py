"""Hostile files and command lines, drawn from a seed."""

import argparse
import random
from pathlib import Path

from emojax.cli.stylize_parser import parser

_NUMBERS = ("0", "1", "0.5", "-1", "nan", "inf", "1e400", "4", "", "x", "00", "9" * 30, "0.25", "64", "1_0", "٣")
_TEXTS = (
    "",
    "happy",
    "sad:0.5,happy",
    "sad:nan",
    "photo",
    "a.pack",
    "a.pack:0.5,sad",
    ",",
    ":",
    "\x1b[31m",
    "x" * 5000,
    "../x",
    "-",
)
_NAMES = (
    "{}",
    "-{}",
    "é {}",
    "a,b:{}",
    "\x1b[2J{}",
    "new\nline {}",
    "{}.JPG",
    "{}.png",
    "{}.webp",
    "x",
    "CON {}",
    "%s{}",
)
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 20000, 9000)


def mutate(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """A file with one to four kinds of damage; now and then a sound one."""
    if rng.random() < 0.05:
        return data
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if not data:
            break
        at, length = rng.randrange(len(data)), rng.choice((1, 2, 4, 16, len(data) // 4 + 1))
        early = rng.randrange(min(64, len(data)))
        kind = rng.randrange(11)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[early] = rng.randrange(256)
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            data[at:at] = rng.randbytes(length)
        elif kind == 5:
            data[at : at + length] = bytes(len(data[at : at + length]))
        elif kind == 6:
            data[at:at] = data[at : at + length]
        elif kind == 7:
            other = rng.choice(others)
            data[at:] = other[rng.randrange(len(other)) :]
        elif kind in (8, 9):
            size, order = rng.choice((1, 2, 4)), rng.choice(("little", "big"))
            start = early if kind == 8 else at
            data[start : start + size] = (rng.choice(_EXTREMES) % 256**size).to_bytes(size, order)
        else:
            data += bytes(rng.choice((1, 40))) + rng.randbytes(rng.choice((0, 300)))
    return bytes(data)


def name_for(rng: random.Random, name: str) -> str:
    """A file name, sometimes an awkward one."""
    return rng.choice(_NAMES).format(name) if rng.random() < 0.3 else name


def flags(rng: random.Random, folder: Path) -> list[str]:
    """A few flags of the command line with values, right and wrong, as its own parser has them."""
    argv: list[str] = []
    actions = [
        action
        for action in parser()._actions
        if action.option_strings and not isinstance(action, argparse._HelpAction | argparse._VersionAction)
    ]
    for action in rng.sample(actions, rng.choice((0, 0, 0, 0, 1, 1, 2, 6))):
        option = rng.choice(action.option_strings)
        if option == "--input":
            continue
        argv.append(option)
        if action.nargs != 0:
            argv.append(_value(rng, action, folder))
    return argv


def _value(rng: random.Random, action: argparse.Action, folder: Path) -> str:
    if action.dest == "output":
        return rng.choice(
            ("out", "out/deep", "new.png", "new.jpg", "new.gif", "new.webp", "new.psd", ".", "out/", "taken.png", "-")
        )
    if action.choices:
        return rng.choice([*action.choices, "other"])
    if action.type in (int, float):
        return rng.choice(_NUMBERS)
    if action.metavar in ("DIR", "FILE"):
        return rng.choice(("nothing", ".", "taken.png", str(folder)))
    return rng.choice((*_TEXTS, *_NUMBERS))
