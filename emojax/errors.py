"""The exceptions that emojax raises. Each message is one line that names the wrong value and the way out.

The library's messages name options as fields in backquotes, such as `style_scale`. The command line shows them as flags,
such as --style-scale.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

_FIELD = re.compile(r"(?<![\w./`])`([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*)`(?![\w./`])")


class EmojaxError(Exception):
    """The base of all errors of emojax. The commands print it on stderr, without a traceback, and exit with code 2."""


class InputError(EmojaxError, ValueError):
    """A value, file or combination of options that emojax cannot work with."""

    def __init__(self, message: str, field: str | None = None) -> None:
        """Takes the message, and the option's field if one option is at fault, such as "style_scale"."""
        super().__init__(message)
        self.field = field


class CheckpointError(EmojaxError):
    """A checkpoint that is missing, damaged, or of another kind or shape."""


class NoFaceError(EmojaxError):
    """A photo without a face, where the caller asks for that to be an error."""


class OutputError(EmojaxError):
    """An output that cannot be written: no permission, a full disk, or a format that cannot hold it."""


class ResourceError(EmojaxError):
    """The machine lacks something: memory, threads, or the requested device."""


if not TYPE_CHECKING:  # for type checkers, every name would exist

    def __getattr__(name: str) -> Any:
        if name == "UserError":
            warnings.warn("UserError is EmojaxError since version 0.2", DeprecationWarning, stacklevel=2)
            return EmojaxError
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def as_flag(field: str) -> str:
    """The flag of an option's field: max_megapixels -> --max-megapixels."""
    return "--" + field.replace("_", "-")


def with_flags(message: str, flag: Callable[[str], str]) -> str:
    """Replaces the fields in a message with their flags, such as `style_scale` with --style-scale."""
    return _FIELD.sub(lambda match: flag(match[1]), message)
