"""The installed command `emojax`, and `python -m emojax`. Handles Ctrl-C first, then imports the command."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from emojax.util.interrupts import exit_on_interrupt


def entry(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code; by default the command line's arguments are used."""
    exit_on_interrupt()
    from emojax.cli.main import main  # may take a moment; Ctrl-C works already

    code = main(sys.argv[1:] if argv is None else argv)
    gc.freeze()  # or else Python would look through all objects of JAX before it ends
    return code


if __name__ == "__main__":
    sys.exit(entry())
