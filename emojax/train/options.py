"""Training presets on the command line: every field of a frozen config is a flag, its docstring the flag's help."""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import docstring_parser

from emojax.cli.parser import Parser
from emojax.emotions import nearest
from emojax.errors import UserError

Config = TypeVar("Config")


def parse_preset(
    argv: Sequence[str], presets: Mapping[str, Config], program: str, commands: Sequence[str] = ()
) -> tuple[str, Config]:
    """`[PRESET, --field value, ...]` -> (PRESET, its config with the fields overridden).

    Nested configs are spelt with dots (`--data.root`), tuples take several values, booleans `true` or `false`, and
    a field that may be None takes `none`. `commands` are first words that the script takes besides; help names them.

    Raises:
        UserError: unknown preset or field (with the nearest one), a value of the wrong type, or an invalid config.
    """
    if not argv or argv[0].startswith("-"):
        if any(flag in argv for flag in ("-h", "--help")):
            print(f"usage: {program} PRESET [--field value ...]\n\npresets: {', '.join(presets)}")
            print(f"{program} PRESET --help lists the fields")
            for command in commands:
                print(f"{program} {command} --help: another command")
            raise SystemExit(0)
        raise UserError(f"name a preset first: {program} {{{','.join(presets)}}} [--field value ...]")
    name = argv[0]
    if name not in presets:
        words = [*presets, *commands]
        raise UserError(f"unknown preset {name!r}{nearest(name, words)}: choose from {', '.join(words)}")
    preset = presets[name]
    parser = Parser(prog=f"{program} {name}", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    _add_fields(parser, preset, "")
    return name, _override(preset, vars(parser.parse_args(argv[1:])), "")


def _add_fields(parser: argparse.ArgumentParser, config: Any, prefix: str) -> None:
    docs = {p.arg_name: p.description for p in docstring_parser.parse_from_object(type(config)).params}
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value, flag = getattr(config, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            _add_fields(parser, value, f"{flag}.")
            continue
        help_text = (docs.get(field.name) or "").replace("%", "%%") + " "
        parser.add_argument(f"--{flag}", default=value, help=help_text, **_argument(hints[field.name]))


def _argument(hint: Any) -> dict[str, Any]:
    """The keywords of `add_argument` for a type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):  # X | None
        inner = _argument(next(a for a in arguments if a is not type(None)))
        convert = inner["type"]

        def optional(text: str) -> Any:
            return None if text.lower() == "none" else convert(text)

        optional.__name__ = getattr(convert, "__name__", "value")
        return {**inner, "type": optional}
    if origin is tuple:
        return {**_argument(arguments[0]), "nargs": "*"}
    if origin is Literal:
        return {"type": type(arguments[0]), "choices": arguments}
    if hint is bool:
        return {"type": _boolean, "metavar": "{true,false}"}
    return {"type": hint, "metavar": hint.__name__.upper()}


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


def _override(config: Any, values: Mapping[str, Any], prefix: str) -> Any:
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            changes[field.name] = _override(value, values, f"{prefix}{field.name}.")
        else:
            new = values[f"{prefix}{field.name}"]
            changes[field.name] = tuple(new) if isinstance(new, list) else new
    return dataclasses.replace(config, **changes)
