"""ExpW's list of labelled faces, and the crop of each. Crops are uint8 [s, s, 3], RGB.

The label's box is made square around its centre and enlarged by 20% on each side (`MARGIN`). Outside the photo its edges are
replicated, so the aspect of a face never changes. Crops above 112 pixels are shrunk to 112; smaller ones are not enlarged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from emojax.emotions import EMOTIONS
from emojax.errors import InputError

MARGIN = 0.2
SIZE = 112
FIELDS = "name face_id top left right bottom confidence label"


@dataclass(frozen=True)
class FaceLabel:
    """A line of `label.lst`; the box is in pixels of the photo, `right` and `bottom` excluded."""

    photo: str
    face_id: int
    top: int
    left: int
    right: int
    bottom: int
    confidence: float
    label: int


def _parse_line(line: str) -> FaceLabel:
    """Parses one line of `label.lst`; raises ValueError with the reason if it is malformed."""
    fields = line.split()
    if len(fields) != 8:
        raise ValueError(f"{len(fields)} fields instead of 8 ({FIELDS})")
    name, (face_id, top, left, right, bottom, label) = fields[0], _numbers(int, fields[1:6] + fields[7:])
    (confidence,) = _numbers(float, fields[6:7])
    if Path(name).name != name:
        raise ValueError(f"{name!r} is not the name of a photo in origin/")
    if not 0 <= label < len(EMOTIONS):
        raise ValueError(f"label {label} is outside 0 to {len(EMOTIONS) - 1}")
    if right <= left or bottom <= top:
        raise ValueError(f"empty box: top {top}, left {left}, right {right}, bottom {bottom}")
    return FaceLabel(name, face_id, top, left, right, bottom, confidence, label)


def _numbers(kind: type, fields: Sequence[str]) -> list[Any]:
    numbers = []
    for field in fields:
        try:
            numbers.append(kind(field))
            finite = math.isfinite(numbers[-1])
        except (ValueError, OverflowError):
            finite = False
        if not finite:
            raise ValueError(f"{field!r} is not {'an integer' if kind is int else 'a finite number'}")
    return numbers


def parse_labels(path: Path) -> list[FaceLabel]:
    """The faces of a `label.lst`, sorted and without duplicates; empty lines are ignored.

    Raises:
        InputError: a missing, unreadable or empty file, or malformed lines: file, line number and reason of the first five.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError(f"{path} is missing: give the folder of ExpW that holds label.lst and origin/") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path} ({error}): restore ExpW's own file") from None
    faces, wrong = set(), []
    for number, line in enumerate(lines, 1):
        try:
            if line.strip():
                faces.add(_parse_line(line))
        except ValueError as error:
            wrong.append(f"{path}:{number}: {error}")
    if wrong:
        more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise InputError("; ".join(wrong[:5]) + f"{more}: correct or remove these lines")
    if not faces:
        raise InputError(f"{path} lists no faces: restore ExpW's own file")
    return sorted(faces, key=astuple)


def cut_labelled_face(photo: Image.Image, face: FaceLabel) -> UInt8[np.ndarray, "s s 3"]:
    """The square around a face's box with `MARGIN` on each side, edges replicated, at most `SIZE` pixels a side.

    Raises:
        ValueError: the box is centred outside the photo, or much larger than it.
    """
    width, height = photo.size
    box = max(face.right - face.left, face.bottom - face.top)
    x, y = (face.left + face.right) / 2, (face.top + face.bottom) / 2
    if not (0 <= x < width and 0 <= y < height and box <= 2 * max(width, height)):
        raise ValueError(f"the box of face {face.face_id} lies outside the photo of {width}x{height} pixels")
    side = round(box * (1 + 2 * MARGIN))
    left, top = round(x - side / 2), round(y - side / 2)
    # Only the part inside the photo is converted to RGB; the rest repeats its edges.
    known = (max(left, 0), max(top, 0), min(left + side, width), min(top + side, height))
    pixels = np.asarray(photo.crop(known).convert("RGB"))
    rows = np.clip(np.arange(top, top + side), known[1], known[3] - 1) - known[1]
    columns = np.clip(np.arange(left, left + side), known[0], known[2] - 1) - known[0]
    crop = pixels[np.ix_(rows, columns)]
    if side <= SIZE:
        return crop
    return np.asarray(Image.fromarray(crop).resize((SIZE, SIZE), Image.Resampling.LANCZOS))
