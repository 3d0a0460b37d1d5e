"""What a command paints: photos, or clips. The plan of where outputs go is the same for both."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from emojax.images import FORMATS, PHOTO_SUFFIXES, UNMARKED, is_ours, refusal


@dataclass(frozen=True)
class Media:
    """One kind of files."""

    word: str
    """the word for one file in messages"""
    plural: str
    """the word for the files of a folder in messages"""
    read: Collection[str]
    """suffixes of the files of a folder that are painted, or reported if they cannot be"""
    written: Collection[str]
    """suffixes of outputs"""
    keeps: Collection[str]
    """suffixes that an output takes over from its input; others become `default`"""
    default: str
    is_ours: Callable[[str], bool]
    """whether emojax made a file"""
    unmarked: Collection[str]
    """suffixes of outputs that cannot hold emojax's mark"""
    refusal: Callable[[str], str | None]
    """why a file cannot be read, if that is known without decoding it"""


_UNMARKED = frozenset(suffix for suffix, format in FORMATS.items() if format in UNMARKED)
PHOTOS = Media(
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
