"""What all commands share: a parser whose errors are one line, and the exit codes."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from emojax.errors import EmojaxError, InputError, with_flags
from emojax.util.files import PACKAGED
from emojax.util.interrupts import INTERRUPTED
from emojax.util.words import nearest

USER_ERROR = 2
# C0, C1, line separators, and what changes the direction of writing
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises `InputError` in one line, with the nearest flag for a misspelt one."""

    def __init__(self, *args, **kwargs) -> None:
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)

    def format_help(self) -> str:
        """Returns the help. It leaves out empty defaults, and names a packaged file instead of the place where that is."""
        for action in self._actions:
            if isinstance(action.default, Path) and action.default.is_relative_to(PACKAGED):
                action.default = f"packaged {action.default.name}"
            elif (not action.default and not isinstance(action.default, int | float)) or action.default is False:
                action.default = argparse.SUPPRESS
        return super().format_help()

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
        if not sys.warnoptions:  # warnings of libraries are for developers, who ask for them by python -W
            warnings.simplefilter("ignore")
            for library in ("absl", "PIL"):
                logging.getLogger(library).setLevel(logging.CRITICAL)
        try:
            return main()
        except EmojaxError as error:
            return _fail(with_flags(str(error), flag))
        except KeyboardInterrupt:
            print("emojax: interrupted", file=sys.stderr)
            return INTERRUPTED
        except BrokenPipeError:
            # Nobody reads the output any more: print nothing, not even at the exit of the interpreter.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except OSError as error:  # of a path that no check covers
            if error.filename is None:
                raise
            return _fail(f"{error.filename}: {error.strerror}")
        finally:
            _give_up_stdout()


def flag(field: str) -> str:
    """The flag of an option's field: max_megapixels -> --max-megapixels."""
    return "--" + field.replace("_", "-")


def printable(text: str) -> str:
    """Escapes control characters, such as those in file names, which a terminal would obey."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def _fail(message: str) -> int:
    print(f"emojax: error: {printable(' '.join(message.split()))}", file=sys.stderr)
    return USER_ERROR


def _give_up_stdout() -> None:
    """Keeps Python from complaining at its exit about a standard output that cannot be written."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_streams() -> None:
    """Replaces standard outputs that are closed by the null device; standard input stays closed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (until the end of the process)
