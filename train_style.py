#!/usr/bin/env python3
"""`python train_style.py PRESET` is `emojax train styles PRESET`; the words below are other commands."""

import sys

from emojax.__main__ import entry

COMMANDS = {
    "evaluate": ["evaluate", "styles"],
    "add": ["style", "add"],
    "average": ["style", "average"],
    "swatches": ["style", "swatches"],
}


def main() -> int:
    """Runs the command of the shell's arguments; returns its exit code."""
    first, rest = sys.argv[1:2], sys.argv[2:]
    found = COMMANDS.get(first[0]) if first else None
    return entry([*found, *rest] if found else ["train", "styles", *first, *rest])


if __name__ == "__main__":
    sys.exit(main())
