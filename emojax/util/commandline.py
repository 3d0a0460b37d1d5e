"""What all commands share: a parser whose errors are one line, and the exit codes."""

from __future__ import annotations

import argparse
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from emojax.errors import EmojaxError, InputError, as_flag, with_flags
from emojax.util.files import PACKAGED
from emojax.util.interrupts import INTERRUPTED
from emojax.util.machine import lack
from emojax.util.words import nearest, tell

USER_ERROR = 2


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises `InputError` in one line, with the nearest flag for a misspelt one."""

    def __init__(self, *args, **kwargs) -> None:
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)

    def format_help(self) -> str:
        """Returns the help, without empty defaults, and with the names of packaged files instead of their paths."""
        for action in self._actions:
            if isinstance(action.default, Path) and action.default.is_relative_to(PACKAGED):
                action.default = f"packaged {action.default.name}"
            elif (not action.default and not isinstance(action.default, int | float)) or action.default is False:
                action.default = argparse.SUPPRESS
        return super().format_help()

    def parse_args(self, *args, **kwargs) -> Any:
        return self._without_empty(super().parse_args(*args, **kwargs))

    def parse_intermixed_args(self, *args, **kwargs) -> Any:
        return self._without_empty(super().parse_intermixed_args(*args, **kwargs))

    def _without_empty(self, options: argparse.Namespace) -> argparse.Namespace:
        """The options. Raises InputError for an empty text, which scripts give by mistake: --output "$unset"."""
        for action in self._actions:
            value = getattr(options, action.dest, None)
            if (value == "" and action.default != "") or (isinstance(value, list) and "" in value):
                raise InputError(
                    f"{(action.option_strings or [action.dest])[-1]} '': it is empty, give a value or leave it out"
                )
        return options

    def error(self, message: str) -> NoReturn:
        message = " ".join(message.split())
        if match := re.match(r"unrecognized arguments: (\S+)", message):
            flag = match[1].partition("=")[0]
            flags = [option for action in self._actions for option in action.option_strings]
            raise InputError(f"{message}{nearest(flag, flags)}; --help lists what there is")
        raise InputError(f"{message}; see --help")


def run(main: Callable[[], int]) -> int:
    """Runs a command and returns its exit code: its own, 2 for an `EmojaxError` (one line on stderr), 130 for Ctrl-C."""
    _open_streams()
    with warnings.catch_warnings():
        if not sys.warnoptions:  # library warnings are for developers, who enable them with python -W
            warnings.simplefilter("ignore")
            for library in ("absl", "PIL"):
                logging.getLogger(library).setLevel(logging.CRITICAL)
        try:
            return main()
        except EmojaxError as error:
            return _fail(with_flags(str(error), as_flag))
        except KeyboardInterrupt:
            tell("emojax: interrupted")
            return INTERRUPTED
        except BrokenPipeError:
            # Nobody reads the output any more, so print nothing, not even when the interpreter exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except Exception as error:  # only errors about a path that no check covers, or about what the machine lacks
            if isinstance(error, OSError) and error.filename is not None:
                return _fail(f"{error.filename}: {error.strerror}")
            if (reason := lack(error)) is None:
                raise
            return _fail(reason)
        finally:
            _give_up_streams()


def _fail(message: str) -> int:
    tell(f"emojax: error: {' '.join(message.split())}")
    return USER_ERROR


def _give_up_streams() -> None:
    """Keeps Python from reporting at its exit that a standard output cannot be written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def check_stdout() -> None:
    """Raises InputError if the process was started with a closed standard output, which has to take the result."""
    if sys.__stdout__ is None:
        raise InputError("cannot write to standard output: it is closed")


def _open_streams() -> None:
    """Replaces closed standard outputs by the null device; standard input stays closed.

    Characters that the encoding of an output lacks, such as those of file names, are escaped.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (until the end of the process)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
