"""The result of a photo: the picture, and what was read from its faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image

from emojax.emotions import compound, dominant
from emojax.faces.find import Face


@dataclass(frozen=True)
class ReadFace:
    """A face of a photo and what was read from it."""

    face: Face
    emotion: dict[str, float]
    """the seven probabilities"""
    style: dict[str, float] | None = None
    """the weights of the styles that its region is painted in; None if the whole picture has one style"""

    @property
    def dominant(self) -> str:
        """The strongest emotion."""
        return dominant(self.emotion)

    @property
    def compound(self) -> str | None:
        """The compound emotion, such as "happily surprised"; None if it has none."""
        return compound(self.emotion)

    @property
    def x(self) -> float:
        """Left edge of the face's box, in pixels of the photo."""
        return self.face.x

    @property
    def y(self) -> float:
        """Top edge of the face's box."""
        return self.face.y

    @property
    def w(self) -> float:
        """Width of the face's box."""
        return self.face.w

    @property
    def h(self) -> float:
        """Height of the face's box."""
        return self.face.h


@dataclass(frozen=True)
class Result:
    """The result of a photo: the picture, and what was read from its faces."""

    image: Image.Image | None
    """the stylized photo, RGB or RGBA, of the photo's size; None if the photo was skipped or failed"""
    faces: list[ReadFace]
    """the faces that were read, largest first"""
    emotion: dict[str, float] | None
    """the photo's seven probabilities; None if no face was read"""
    style: dict[str, float] | None
    """the weights of the styles used; None if the photo was skipped"""
    note: str | None = None
    """what the user should know, in one line: no face, an animation, ..."""
    painted: dict[str, Any] | None = None
    """how the picture was optimized, if it was: paintings, size, steps, seed, ...; see `pipeline.painting`"""
    painted_share: float | None = None
    """how much of the picture is painted, 0 to 1: the mean of its mask; None without a mask"""
    interrupted: bool = False
    """whether Ctrl-C ended the optimization early"""
    error: str | None = None
    """why there is no picture, in one line; only `Model.stylize_many` returns such results, other methods raise"""

    @property
    def probabilities(self) -> dict[str, float] | None:
        """The photo's seven probabilities, the same as `emotion`."""
        return self.emotion

    @property
    def dominant(self) -> str | None:
        """The strongest emotion; None if no face was read."""
        return None if self.emotion is None else dominant(self.emotion)

    @property
    def compound(self) -> str | None:
        """The compound emotion, such as "happily surprised"; None if it has none, or no face was read."""
        return None if self.emotion is None else compound(self.emotion)
