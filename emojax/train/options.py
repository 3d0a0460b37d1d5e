"""Training presets on the command line: every field of a config is a flag, and its docstring is the flag's help.

tyro parses the flags. This module adds what tyro lacks: one-line errors, and the spellings of version 0.1 (`--batch_size`,
`--data.find_faces true`, `--steps none`, `--data.packs`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import tyro

from emojax.errors import EmojaxError, InputError, as_flag, with_flags
from emojax.util.words import nearest

Config = TypeVar("Config")
RENAMED = {
    "data.packs": "data.archives",
    "pack": "release",
    "model.bank": "model.network_per_style",
    "data.kinds": "data.domains",
    "model.styles": "model.style_names",
    "model.kinds": "model.domains",
}
"""earlier name of a field -> its name today"""


def parse_preset(
    argv: Sequence[str], presets: Mapping[str, Config], program: str, commands: Sequence[str] = ()
) -> tuple[str, Config]:
    """Returns the preset's name and its config, with the fields that the flags override.

    A field of a nested config is a dotted flag (`--data.root`), a tuple takes several values, a boolean is `--flag` or
    `--no-flag`, and a field that may be None takes `none`.

    Args:
        argv: the preset's name, then flags.
        presets: name -> config.
        program: the command, for help and errors.
        commands: other words that the command takes in place of a preset, for help and errors.

    Raises:
        InputError: an unknown preset or field (the message names the nearest one), or a wrong value.
    """
    if not argv or argv[0].startswith("-"):
        if any(flag in argv for flag in ("-h", "--help")):
            print(f"usage: {program} PRESET [--field value ...]\n\npresets: {', '.join(presets)}")
            print(f"{program} PRESET --help lists the fields")
            for command in commands:
                print(f"{program} {command} --help: another command")
            raise SystemExit(0)
        raise InputError(f"name a preset first: {program} {{{','.join(presets)}}} [--field value ...]")
    name = argv[0]
    if name not in presets:
        words = [*presets, *commands]
        raise InputError(f"unknown preset {name!r}{nearest(name, words)}: choose from {', '.join(words)}")
    return name, _parse(argv[1:], presets[name], f"{program} {name}")


def _parse(argv: Sequence[str], preset: Config, program: str) -> Config:
    """Returns the preset with the fields that the flags override."""
    fields = dict(_fields(preset))
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(type(preset), args=list(_as_tyro(argv, fields)), default=preset, prog=program)
    except SystemExit as exit:
        if not exit.code:
            raise
        error: BaseException | None = exit  # tyro prints the error of a config and then exits
        while error is not None and not isinstance(error, EmojaxError):
            error = error.__context__
        message = f"{_in_a_line(said.getvalue())}; see --help" if error is None else str(error)
    except EmojaxError as error:
        message = str(error)
    raise InputError(with_flags(message, lambda field: _flag_of(field, fields)))


def _fields(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the name of each field, with the names of the configs that hold it, and its type."""
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from _fields(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", hints[field.name]


def _as_tyro(argv: Sequence[str], fields: Mapping[str, Any]) -> Iterator[str]:
    """Yields the arguments as tyro spells them.

    Raises:
        InputError: an unknown flag, or a boolean that is neither true nor false.
    """
    kind: Any = None
    words = list(argv)
    while words:
        word = words.pop(0)
        if not word.startswith("--") or word == "--help":
            yield "None" if word.lower() == "none" and _may_be_none(kind) else word
            continue
        flag, equals, value = word.partition("=")
        name = flag.removeprefix("--").replace("-", "_")
        if name not in fields and RENAMED.get(name) in fields:
            name = RENAMED[name]
            flag = as_flag(name)
        kind = fields.get(name)
        if kind is bool:
            if not equals and words and not words[0].startswith("-"):
                equals, value = "=", words.pop(0)
            yield _boolean(flag, value) if equals else flag
        elif kind is not None:
            yield flag
            if equals:
                words.insert(0, value)
        elif fields.get(_without_no(name)) is bool:
            yield flag
        else:
            flags = [as_flag(field) for field in fields]
            raise InputError(f"unrecognized arguments: {flag}{nearest(flag.replace('_', '-'), flags)}; see --help")


def _boolean(flag: str, value: str) -> str:
    """Returns the flag for a boolean's value: `--data.flip false` is `--data.no-flip`."""
    if value.lower() not in ("true", "false"):
        raise InputError(f"{flag}: {value!r} is neither true nor false")
    if value.lower() == "true":
        return flag
    config, dot, name = flag.removeprefix("--").rpartition(".")
    return f"--{config}{dot}no-{name}"


def _without_no(name: str) -> str:
    """Returns the field of a flag that sets it to false: data.no_flip -> data.flip."""
    config, dot, last = name.rpartition(".")
    return f"{config}{dot}{last.removeprefix('no_')}"


def _may_be_none(kind: Any) -> bool:
    """Whether None is a value of a type."""
    return typing.get_origin(kind) in (types.UnionType, typing.Union) and type(None) in typing.get_args(kind)


def _flag_of(field: str, fields: Mapping[str, Any]) -> str:
    """Returns the full flag of a field that was given without its config: learning_rate -> --optimizer.learning-rate."""
    found = [name for name in fields if name == field or name.endswith(f".{field}")]
    return as_flag(found[0] if field not in fields and len(found) == 1 else field)


def _in_a_line(text: str) -> str:
    """Returns the text in tyro's error box: the lines after the title, up to a blank line or a rule."""
    lines = [line.strip("│╭╮╰╯ ") for line in text.strip().splitlines()[1:]]
    words: list[str] = []
    for line in lines:
        if not line.strip("─-"):
            if words:
                break
            continue
        words.append(line)
    message = " ".join(words).rstrip(".").removeprefix("Error parsing ")
    choice = r"no type matching (?:{None}\|)?(\S+) could be instantiated from \['(.*)'\]"
    return re.sub(choice, r"\2 is not \1 or none", message)
