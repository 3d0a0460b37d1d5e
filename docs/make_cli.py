"""Writes docs/cli.md from the help of all commands: `python docs/make_cli.py`."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from emojax.cli.main import COMMANDS, dispatch  # noqa: E402 (the path comes first)

FILE = ROOT / "docs" / "cli.md"
PRESETS = {"train styles": "emotions", "train classifier": "default"}
"""the preset whose fields stand for those of all presets of a command"""
START = """\
# Command-line reference

This page is made from the help of the commands by `python docs/make_cli.py`. A command without a verb is `emojax stylize`.
`python -m emojax` is the same as `emojax`. In a checkout, three scripts are shorter names:

| script | command |
| --- | --- |
| `python stylize.py ...` | `emojax stylize ...` |
| `python train_style.py PRESET ...` | `emojax train styles PRESET ...` |
| `python train_style.py evaluate ...` | `emojax evaluate styles ...` |
| `python train_style.py add ...`, `average`, `swatches` | `emojax style add ...`, `average`, `swatches` |
| `python train_classifier.py PRESET ...` | `emojax train classifier PRESET ...` |
| `python train_classifier.py evaluate ...` | `emojax evaluate classifier ...` |
| `python train_classifier.py calibrate ...` | `emojax train calibrate ...` |

Training flags name the fields of a config: `--batch-size`, `--data.painting-size`. Underscores are accepted, too, and
so are `--data.find-faces true` and `false` for `--data.find-faces` and `--data.no-find-faces`. A field that may be None takes
`none`. Every preset of a command has the same fields, with other defaults.
"""


def help_of(words: list[str]) -> str:
    """Returns the help of a command."""
    printed = io.StringIO()
    width = mock.patch.dict(os.environ, {"COLUMNS": "100"})  # the help is as wide as the terminal
    with width, contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        dispatch([*words, "--help"])
    return "\n".join(line.rstrip() for line in printed.getvalue().splitlines()).strip()


def reference() -> str:
    """Returns the page."""

    def sections() -> Iterator[str]:
        yield START
        commands: list[str] = ["", *COMMANDS]
        for name in commands:
            yield f"## emojax {name}".rstrip() + f"\n\n```\n{help_of(name.split())}\n```\n"
            if preset := PRESETS.get(name):
                yield f"### emojax {name} {preset}\n\n```\n{help_of([*name.split(), preset])}\n```\n"

    return "\n".join(sections())


if __name__ == "__main__":
    FILE.write_text(reference())
