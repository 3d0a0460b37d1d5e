"""The options of a stylized photo, validated when built. The module does not import JAX, so a mistake is reported at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np

from emojax.emotions import check_mood, mood_weights
from emojax.errors import InputError
from emojax.images import MaskLike, check_style_scale
from emojax.images.finish import check_finish, check_share
from emojax.util.numbers import is_whole
from emojax.util.words import nearest

Mix = Literal["dominant", "probabilities"]
NoFace = Literal["neutral", "skip", "error"]


@dataclass(frozen=True)
class StylizeOptions:
    """How a photo is repainted.

    Raises:
        InputError: a value out of range, an unknown choice, or options that exclude each other.
    """

    emotion: str | Mapping[str, float] | None = None
    """a style, or weights of styles, by name; None reads the faces"""
    mood: tuple[float, float] | None = None
    """a point (valence, arousal) of the circumplex, each -1 to 1, that chooses a mix of styles; see `mood_weights`"""
    mix: str = "dominant"
    """"dominant" uses the strongest emotion's style, "probabilities" blends the styles by the reading"""
    face: str | int = "all"
    """the faces that count: "all" (weighted by area), "largest", or the number of a face, from 0"""
    no_face: str = "neutral"
    """for a photo without a face: the "neutral" style, "skip", or "error\""""
    per_face: bool = False
    """paint the region of every face in the style of its own emotion, and the rest in the style of the photo"""
    style_scale: float = 1.0
    """size of the strokes, 0.25 to 4: above 1 details are lost, below 1 it takes more time and memory"""
    strength: float = 1.0
    """strength of the style: 0 is the photo itself, 1 the full style"""
    face_strength: float = 0.35
    """how much the style may change the features of small faces, as a share of `strength`, 0 to 1; palette and strokes stay"""
    colors: str = "painting"
    """"painting", or "photo" for the painting's lightness in the photo's own colours"""
    faces_only: bool = False
    """paint the faces alone, with soft borders; the rest stays the photo"""
    background_only: bool = False
    """paint all but the faces, with soft borders"""
    mask: MaskLike | None = None
    """where to paint, a grey picture or float [H, W] in 0 to 1: white is the full style, black the unchanged photo;
    `faces_only` or `background_only` limits it further"""

    def __post_init__(self) -> None:
        for value, choices, name in ((self.mix, get_args(Mix), "mix"), (self.no_face, get_args(NoFace), "no_face")):
            if not isinstance(value, str) or value not in choices:
                raise InputError(f"`{name}` {value!r}: choose from {', '.join(choices)}", name)
        check_choice(self.face)
        check_style_scale(self.style_scale)
        check_finish(self.strength, self.colors)
        check_share(self.face_strength, "face_strength")
        for name in ("per_face", "faces_only", "background_only"):
            if not isinstance(value := getattr(self, name), bool | np.bool_):
                raise InputError(f"`{name}` {value!r}: give True or False", name)
        if self.faces_only and self.background_only:
            raise InputError(
                "`faces_only` and `background_only` leave nothing to paint: give one of them", "faces_only"
            )
        if self.mood is not None:
            check_mood(self.mood)
            if self.emotion is not None:
                raise InputError("`mood` and `emotion` both name the style: give one of them", "mood")
        if self.per_face and self.style_given is not None:
            name = "emotion" if self.mood is None else "mood"
            raise InputError(f"`per_face` reads the faces: leave out `{name}`", "per_face")

    @property
    def style_given(self) -> str | Mapping[str, float] | None:
        """The style that `emotion` or `mood` names; None if the faces are read."""
        return self.emotion if self.mood is None else mood_weights(self.mood)


def options_of(given: Mapping[str, Any], further: Iterable[str] = ()) -> StylizeOptions:
    """The options of a call, by name.

    Args:
        further: the other options that the call takes, for the message.

    Raises:
        InputError: a name that is not an option, and what `StylizeOptions` raises.
    """
    check_names(given, further)
    return StylizeOptions(**given)


def check_names(given: Iterable[str], further: Iterable[str] = ()) -> None:
    """Raises InputError for a name that is neither a field of `StylizeOptions` nor one of the `further` options."""
    names = list(dict.fromkeys([*(field.name for field in fields(StylizeOptions)), *further]))
    if unknown := [name for name in given if name not in names]:
        raise InputError(f"unknown option {unknown[0]!r}{nearest(unknown[0], names)}: choose from {', '.join(names)}")


def check_choice(choice: str | int) -> None:
    """Raises InputError unless `face_weights` accepts `choice`; does not check that a photo has that face."""
    if not (isinstance(choice, str) or is_whole(choice)) or (
        choice not in ("all", "largest") and not re.fullmatch("[0-9]{1,9}", str(choice))
    ):
        raise InputError(f"`face` {choice!r}: choose all, largest or the number of a face, from 0", "face")
