"""One photo to do, and what its outputs are called.

`photo.jpg` becomes `photo.EMOTION.jpg`. EMOTION is the style used, or all styles of a mix that have at least a quarter of the
weight, strongest first: `photo.happy+surprise.jpg`. The output keeps the input's suffix. The suffix is `.png` for standard
input, for a format that emojax does not write, and for a format that has no place for the mark of emojax.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emojax.cli.parser import flag
from emojax.emotions import EMOTIONS
from emojax.errors import EmojaxError, with_flags

STREAM = "-"
"""standard input as an input, standard output as an output"""
DEFAULT_SUFFIX = ".png"
_IN_THE_NAME = 0.25  # the smallest weight of a style that is named


@dataclass(frozen=True)
class Job:
    """One photo to do."""

    source: str
    """a path, or "-" """
    prefix: str = ""
    suffix: str = DEFAULT_SUFFIX
    """the output is PREFIX.EMOTION + SUFFIX, unless it is given:"""
    output: str | None = None
    """a path, or "-"; None as long as it depends on the emotion"""
    problem: str | None = None
    """why it cannot be done, where that is known already"""
    below: str = ""
    """the subfolder of an output folder that keeps the input's tree"""
    done: str | None = None
    """the output of an earlier run, which makes this one unnecessary"""

    @property
    def is_open(self) -> bool:
        """Whether there is something to do."""
        return self.problem is None and self.done is None

    @property
    def label(self) -> str:
        """How messages call the photo."""
        return "standard input" if self.source == STREAM else self.source

    def output_for(self, emotion: str) -> str:
        """Where the picture goes in the style named `emotion`."""
        return self.output or f"{self.prefix}.{emotion}{self.suffix}"


def style_name(style: Mapping[str, float]) -> str:
    """What names call a style or mix: "sad", or "happy+surprise"; see this module."""
    order = {emotion: index for index, emotion in enumerate(EMOTIONS)}
    ranked = sorted(style, key=lambda name: (-round(style[name], 6), order.get(name, len(order)), name))
    total = sum(style.values())
    named = [name for name in ranked if round(style[name] / total, 6) >= _IN_THE_NAME]
    return "+".join(named or ranked[:1])


def compound_name(compound: str) -> str:
    """What names call a compound emotion: "happily-surprised"."""
    return compound.replace(" ", "-")


def reason(error: Exception) -> str:
    """An error as users read it: the fields of ours are flags, those of the system are one line without their number."""
    if isinstance(error, EmojaxError):
        return with_flags(str(error), flag)  # a file that it names may have line breaks
    return " ".join(str(getattr(error, "strerror", None) or error).split())
