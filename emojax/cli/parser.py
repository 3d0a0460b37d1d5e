"""What the commands share: a parser whose errors are one line, and the exit codes."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable
from typing import NoReturn

from emojax.emotions import nearest
from emojax.errors import UserError
from emojax.util.interrupts import INTERRUPTED

USER_ERROR = 2
# C0, C1, line separators, and what changes the direction of writing
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises `UserError` in one line, with the nearest flag for a misspelt one."""

    def __init__(self, *args, **kwargs) -> None:
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        message = " ".join(message.split())
        if match := re.match(r"unrecognized arguments: (\S+)", message):
            flag = match[1].partition("=")[0]
            flags = [option for action in self._actions for option in action.option_strings]
            raise UserError(f"{message}{nearest(flag, flags)}; --help lists what there is")
        raise UserError(f"{message}; see --help")


def run(main: Callable[[], int]) -> int:
    """Runs a command and returns its exit code: its own, 2 for a `UserError` (one line on stderr), 130 for Ctrl-C."""
    _open_streams()
    with warnings.catch_warnings():
        if not sys.warnoptions:  # what libraries say to developers is not for users, unless asked for by python -W
            warnings.simplefilter("ignore")
            for library in ("absl", "PIL"):
                logging.getLogger(library).setLevel(logging.CRITICAL)
        try:
            return main()
        except UserError as error:
            return _fail(str(error))
        except KeyboardInterrupt:
            print("emojax: interrupted", file=sys.stderr)
            return INTERRUPTED
        except BrokenPipeError:
            # Whoever read our output has gone; nothing is left to say, not even at interpreter exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except OSError as error:  # a path that nobody foresaw
            if error.filename is None:
                raise
            return _fail(f"{error.filename}: {error.strerror}")


def printable(text: str) -> str:
    """Escapes what a terminal would obey instead of showing it: control characters, such as those of file names."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def _fail(message: str) -> int:
    print(f"emojax: error: {printable(' '.join(message.split()))}", file=sys.stderr)
    return USER_ERROR


def _open_streams() -> None:
    """Gives the standard outputs that were closed when the process began a place to go; input stays closed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (until the end of the process)
