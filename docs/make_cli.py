"""Writes docs/cli.md from the help of all commands: `python docs/make_cli.py`."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from emojax.cli.main import COMMANDS, dispatch  # noqa: E402 (the path comes first)
from emojax.ray.__main__ import main as paint_with_ray  # noqa: E402

FILE = ROOT / "docs" / "cli.md"
PRESETS = {"train styles": "emotions", "train classifier": "default"}
"""the preset whose fields stand for those of all presets of a command"""
START = """\
# Command-line reference

`python docs/make_cli.py` writes this page from the help of the commands. A command without a verb is `emojax stylize`.
`python -m emojax` is the same as `emojax`. In the repository, three scripts are other names of commands:

| script | command |
| --- | --- |
| `python stylize.py ...` | `emojax stylize ...` |
| `python train_style.py PRESET ...` | `emojax train styles PRESET ...` |
| `python train_style.py evaluate ...` | `emojax evaluate styles ...` |
| `python train_style.py add ...`, `average`, `swatches` | `emojax style add ...`, `average`, `swatches` |
| `python train_classifier.py PRESET ...` | `emojax train classifier PRESET ...` |
| `python train_classifier.py evaluate ...` | `emojax evaluate classifier ...` |
| `python train_classifier.py calibrate ...` | `emojax train calibrate ...` |

Training flags name the fields of a config, such as `--batch-size` and `--data.painting-size`. Underscores are
accepted as well, and so are `--data.find-faces true` and `--data.find-faces false` for `--data.find-faces` and
`--data.no-find-faces`. A field that may be None takes `none`. All presets of a command have the same fields, with
different defaults.
"""


def help_of(words: list[str], command: Callable[[list[str]], int] = dispatch) -> str:
    """Returns the help of a command."""
    printed = io.StringIO()
    width = mock.patch.dict(os.environ, {"COLUMNS": "100"})  # the help is as wide as the terminal
    with width, contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        command([*words, "--help"])
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
        yield f"## python -m emojax.ray\n\n```\n{help_of([], paint_with_ray)}\n```\n"

    return "\n".join(sections())


if __name__ == "__main__":
    FILE.write_text(reference())
