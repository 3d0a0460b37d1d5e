"""What a command paints: photos, or clips. The plan of where outputs go is the same for both."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from emojax.images import FORMATS, PHOTO_SUFFIXES, UNMARKED, is_ours, refusal


@dataclass(frozen=True)
class Kind:
    """One kind of files."""

    word: str
    """how messages call one of them"""
    plural: str
    """how they call the files of a folder"""
    read: Collection[str]
    """suffixes of the files of a folder that are painted, or named with the reason"""
    written: Collection[str]
    """suffixes of outputs"""
    keeps: Collection[str]
    """suffixes that an output has from its input; others become `default`"""
    default: str
    is_ours: Callable[[str], bool]
    """whether emojax made a file"""
    unmarked: Collection[str]
    """suffixes of outputs that do not tell who made them"""
    refusal: Callable[[str], str | None]
    """why a file cannot be read, where that is known without decoding it"""


_UNMARKED = frozenset(suffix for suffix, format in FORMATS.items() if format in UNMARKED)
PHOTOS = Kind(
    "photo",
    "images",
    PHOTO_SUFFIXES,
    tuple(FORMATS),
    frozenset(FORMATS) - _UNMARKED,
    ".png",
    is_ours,
    _UNMARKED,
    refusal,
)
