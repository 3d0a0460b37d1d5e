"""One photo to paint, and the name of its output.

`photo.jpg` becomes `photo.EMOTION.jpg`. EMOTION is the style used, or all styles of a mix that have at least a quarter of the
weight, strongest first: `photo.happy+surprise.jpg`. The output keeps the input's suffix. The suffix is `.png` for standard
input, for a format that emojax does not write, and for a format whose metadata cannot hold emojax's mark.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass

from emojax.emotions import EMOTIONS
from emojax.errors import EmojaxError, as_flag, with_flags

STREAM = "-"
"""standard input as an input, standard output as an output"""
DEFAULT_SUFFIX = ".png"
_IN_THE_NAME = 0.25  # the smallest weight of a style that is named


@dataclass(frozen=True)
class Job:
    """One photo to paint."""

    source: str
    """a path, or "-" """
    prefix: str = ""
    suffix: str = DEFAULT_SUFFIX
    """the output is PREFIX.EMOTION + SUFFIX unless `output` is given"""
    output: str | None = None
    """a path, or "-"; None while it depends on an emotion that is not known yet"""
    problem: str | None = None
    """why the photo cannot be painted, if that is known already"""
    below: str = ""
    """the subfolder of an output folder that keeps the input's tree"""
    done: str | None = None
    """the output of an earlier run, which makes this one unnecessary"""

    @property
    def is_open(self) -> bool:
        """Whether the photo still has to be painted."""
        return self.problem is None and self.done is None

    @property
    def done_note(self) -> str:
        """What is said of a photo that is done. A photo that has changed since then is done as well, but named."""
        changed = False
        with contextlib.suppress(OSError):  # it is no file, or has been removed meanwhile
            changed = os.path.getmtime(self.source) > os.path.getmtime(self.done or "")
        return (
            f"done already, see {self.done}" + "; the photo is newer: remove that picture to paint it again" * changed
        )

    @property
    def label(self) -> str:
        """The photo's name in messages."""
        return "standard input" if self.source == STREAM else self.source

    def output_for(self, emotion: str) -> str:
        """Where the picture goes in the style named `emotion`."""
        return self.output or f"{self.prefix}.{emotion}{self.suffix}"


def style_name(style: Mapping[str, float]) -> str:
    """The name of a style or mix in file names: "sad", or "happy+surprise"; see this module."""
    order = {emotion: index for index, emotion in enumerate(EMOTIONS)}
    ranked = sorted(style, key=lambda name: (-round(style[name], 6), order.get(name, len(order)), name))
    total = sum(style.values())
    named = [name for name in ranked if round(style[name] / total, 6) >= _IN_THE_NAME]
    return "+".join(named or ranked[:1])


def compound_name(compound: str) -> str:
    """The name of a compound emotion in file names: "happily-surprised"."""
    return compound.replace(" ", "-")


def reason(error: Exception) -> str:
    """An error's text for users: fields in our errors become flags; system errors become one line without their number."""
    if isinstance(error, EmojaxError):
        return with_flags(str(error), as_flag)  # a file name in the text may contain line breaks
    return " ".join(str(getattr(error, "strerror", None) or error).split())
