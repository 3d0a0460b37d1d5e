"""`python stylize.py`, `python -m emojax`, or `emojax` where it is installed: Ctrl-C first, then the program."""

import sys

from emojax.util.interrupts import exit_on_interrupt


def entry() -> int:
    """The program with the arguments of the shell; returns its exit code."""
    exit_on_interrupt()
    from emojax.cli.stylize import main  # takes a moment, in which one may change one's mind

    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(entry())
