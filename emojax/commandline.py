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

USER_ERROR, INTERRUPTED = 2, 130


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
    if not sys.warnoptions:  # what libraries say to developers is not for users, unless asked for by python -W
        warnings.simplefilter("ignore")
        for library in ("absl", "PIL"):
            logging.getLogger(library).setLevel(logging.CRITICAL)
    try:
        return main()
    except UserError as error:
        print(f"emojax: error: {' '.join(str(error).split())}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("emojax: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has gone; nothing is left to say, not even at interpreter exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
