"""Photos -> faces -> crops. Photos and crops are uint8 [H, W, 3], RGB, upright.

A *margin* says what a crop shows beyond the face's box on each side, as a fraction of the box. A *rotation* says by how many
degrees clockwise a photo has to be turned for its faces to be upright: 0, 90, 180 or 270.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from emojax.errors import InputError
from emojax.faces.align import TEMPLATE_SIZE, Similarity, fit_similarity, template
from emojax.faces.views import FaceDetector, plan_views
from emojax.options import check_choice

CONFIDENT = 0.91
"""a photo whose highest face score is below this is also searched in the other orientations"""
CONFIDENT_TURNED = 0.8
"""the minimum score of a face in another orientation for the photo to count as turned"""

# The detector's box compared with ExpW's square, for the 55 labelled faces of the sample photos: the square's side is 1.19
# times the geometric mean of the box's sides (median of mean / side 0.839, quartiles 0.77 and 0.91), and its centre lies higher
# by 7% of its side (median 6.9%; the horizontal offset is 2%).
SQUARE_SCALE, SQUARE_RISE = 1.19, 0.07

# The detector places the landmarks of a tilted face as if it were less tilted: aligned by them, faces tilted by 20, 40 and 60
# degrees are still tilted by 10, 23 and 22 (medians). Detecting them again in the aligned crop, up to three times, leaves 4, 3
# and 4.
MIN_TILT, MAX_REALIGNMENTS = 8, 3
"""the minimum tilt, in degrees, at which landmarks are detected again, and how many times at most"""
REALIGNED_SIZE, REALIGNED_MARGIN = 160, 0.4
"""side of the crop for that, in pixels, and its margin around the template's square"""
_DETAIL = 1.5
"""pixels of the part cut out of a photo per pixel of an aligned crop; enough to rotate it without losing sharpness"""


@dataclass(frozen=True)
class Face:
    """A face and its box, which is in pixels of the photo and lies inside the photo."""

    x: float
    """left edge"""
    y: float
    """top edge"""
    w: float
    h: float
    confidence: float
    """the detector's score, 0 to 1"""
    landmarks: tuple[tuple[float, float], ...] = ()
    """(x, y) of the person's right eye, left eye, nose tip, right and left corner of the mouth, in pixels of the photo"""
    rotation: int = 0
    """by how many degrees clockwise the photo has to be turned for the face to be upright: 0, 90, 180 or 270"""


def find_faces(detector: FaceDetector, photo: UInt8[np.ndarray, "H W 3"], turned: bool = True) -> list[Face]:
    """The faces of a photo, at most `MAXIMUM` of `emojax.faces.detector`, largest first.

    Boxes are squares like those of ExpW, clipped to the photo.
    Faces of about `views.SMALLEST_FACE` pixels are found in photos of up to 4000 x 3000 pixels; in larger photos, faces have to
    be larger in proportion. A photo without a face of score `CONFIDENT` is also searched when turned by 90, 270 and 180
    degrees; the orientation with the highest score gives all faces. Landmarks are also right for tilted faces. The detector's
    memory does not grow with the photo, because it sees one tile at a time.

    Args:
        turned: whether the photo may be turned; frames of a clip are not, because their rotation flag is known.
    """
    views = plan_views(photo)

    def upright(rotation: int) -> list[Face]:
        found = zip(*detector.in_views(views, rotation), strict=True)
        faces = (_face(*face, photo.shape[:2], rotation) for face in found)
        return [face for face in faces if face is not None]

    faces = upright(0)
    for rotation in (90, 270, 180) if turned else ():
        confidence = _highest_confidence(faces)
        if confidence >= CONFIDENT:
            break
        other = upright(rotation)
        if _highest_confidence(other) >= max(CONFIDENT_TURNED, confidence):
            faces = other
    faces = [realign(detector, photo, face) for face in faces]
    return sorted(faces, key=lambda face: (-face.w * face.h, face.x, face.y))


UP = {0: (0, -1), 90: (-1, 0), 180: (0, 1), 270: (1, 0)}
"""rotation -> direction (x, y) from a face's centre to its forehead, in the photo before it is turned"""


def _face(
    score: np.floating,
    box: Float[np.ndarray, " 4"],
    landmarks: Float[np.ndarray, "5 2"],
    size: tuple[int, int],
    rotation: int,
) -> Face | None:
    """A face with a square box like those of ExpW; None if it lies outside the photo of (height, width) `size`."""
    side = SQUARE_SCALE * math.sqrt((box[2:] - box[:2]).prod())
    centre = (box[:2] + box[2:]) / 2 + SQUARE_RISE * side * np.array(UP[rotation])
    left, top = np.maximum(centre - side / 2, 0)
    right, bottom = np.minimum(centre + side / 2, size[::-1])
    if min(right - left, bottom - top) < 1:
        return None
    points = tuple((float(x), float(y)) for x, y in landmarks)
    x, y, w, h = map(float, (left, top, right - left, bottom - top))
    return Face(x, y, w, h, min(float(score), 1.0), points, rotation)


def realign(detector: FaceDetector, photo: UInt8[np.ndarray, "H W 3"], face: Face) -> Face:
    """Corrects the landmarks of a tilted face: they are detected again in the crop that the old landmarks align."""
    for _ in range(MAX_REALIGNMENTS):
        factor, _ = _to_photo(face.landmarks, TEMPLATE_SIZE, 0.0)
        tilt = -math.degrees(cmath.phase(complex(factor))) - face.rotation  # the factor maps to the photo
        if abs((tilt + 180) % 360 - 180) < MIN_TILT:
            break
        crop, to_photo = _aligned(photo, face.landmarks, REALIGNED_SIZE, REALIGNED_MARGIN)
        found = detector.in_view(crop)
        away = np.abs((found.boxes[:, :2] + found.boxes[:, 2:]) / 2 - REALIGNED_SIZE / 2).max(axis=1)
        if not len(away) or away.min() > REALIGNED_SIZE / 8:
            break
        points = to_photo(found.landmarks[away.argmin()])
        face = replace(face, landmarks=tuple((float(x), float(y)) for x, y in points))
    return face


def _highest_confidence(faces: Sequence[Face]) -> float:
    return max((face.confidence for face in faces), default=0.0)


def cut_box(
    picture: UInt8[np.ndarray, "H W 3"], box: tuple[float, float, float, float], size: int
) -> UInt8[np.ndarray, "S S 3"]:
    """The part of a picture inside a box (left, top, right, bottom), resized to size x size; edges are repeated outside.

    The resampling is bicubic, with a filter as wide as the reduction requires (no aliasing). Every crop in emojax is cut here,
    so that the network's input looks the same in training and in use.
    """
    height, width = picture.shape[:2]
    left, top, right, bottom = box
    # All pixels that the filter uses: the box and the filter's support, two pixels of the result on each side.
    reach_x, reach_y = (2 * max(1.0, (b - a) / size) for a, b in ((left, right), (top, bottom)))
    columns = np.arange(math.floor(left - reach_x), math.ceil(right + reach_x))
    rows = np.arange(math.floor(top - reach_y), math.ceil(bottom + reach_y))
    part = picture[np.clip(rows, 0, height - 1)[:, None], np.clip(columns, 0, width - 1)[None, :]]
    shifted = (left - columns[0], top - rows[0], right - columns[0], bottom - rows[0])
    return np.asarray(Image.fromarray(part).resize((size, size), Image.Resampling.BICUBIC, shifted))


def cut_crop(photo: UInt8[np.ndarray, "H W 3"], face: Face, margin: float, size: int) -> UInt8[np.ndarray, "S S 3"]:
    """The face's box, grown by `margin` on each side, resized to size x size and turned so that the face is upright.

    Edges are repeated outside the photo. A box that the photo's edge has clipped is completed to its original square, so that
    faces keep their aspect ratio.
    """
    side = max(face.w, face.h)
    left = _unclipped(face.x, face.w, side, photo.shape[1])
    top = _unclipped(face.y, face.h, side, photo.shape[0])
    grow = margin * side
    crop = cut_box(photo, (left - grow, top - grow, left + side + grow, top + side + grow), size)
    return np.rot90(crop, -face.rotation // 90)


def cut_aligned(
    photo: UInt8[np.ndarray, "H W 3"],
    landmarks: Sequence[tuple[float, float]],
    size: int = TEMPLATE_SIZE,
    margin: float = 0.0,
) -> UInt8[np.ndarray, "S S 3"]:
    """The aligned crop (`emojax.faces.align`) of a face in a photo of any size.

    The part that the crop shows is first cut out and reduced to a fixed size, so that large faces have no aliasing.

    Args:
        photo: RGB.
        landmarks: the five landmarks of a `Face`.
        size: side of the result, in pixels.
        margin: what the result shows beyond the template's square on each side, as a fraction of the square.
    """
    return _aligned(photo, landmarks, size, margin)[0]


def _aligned(
    photo: UInt8[np.ndarray, "H W 3"], landmarks: Sequence[tuple[float, float]], size: int, margin: float
) -> tuple[UInt8[np.ndarray, "S S 3"], Similarity]:
    """The crop of `cut_aligned`, and the similarity that maps points of the crop to points of the photo."""
    to_photo = _to_photo(landmarks, size, margin)
    factor, shift = complex(to_photo.factor), complex(to_photo.shift)
    centre = factor * complex(size / 2, size / 2) + shift
    half = abs(factor) * size / math.sqrt(2)  # the crop may be rotated by 45 degrees
    left, top = centre.real - half, centre.imag - half
    side = math.ceil(math.sqrt(2) * size * _DETAIL)
    part = Image.fromarray(cut_box(photo, (left, top, left + 2 * half, top + 2 * half), side))
    factor, shift = (z * side / (2 * half) for z in (factor, shift - complex(left, top)))
    to_part = (factor.real, -factor.imag, shift.real, factor.imag, factor.real, shift.imag)
    crop = part.transform((size, size), Image.Transform.AFFINE, to_part, Image.Resampling.BILINEAR)
    return np.asarray(crop), to_photo


def _to_photo(landmarks: Sequence[tuple[float, float]], size: int, margin: float) -> Similarity:
    """The similarity that maps points of an aligned crop to points of the photo."""
    return fit_similarity(np.array(landmarks, np.float32), template(size, margin)).inverse()


def _unclipped(start: float, length: float, side: float, limit: int) -> float:
    """The original start of a span of length `side`, given the part that clipping at 0 and `limit` has left."""
    at_start, at_end = start <= 0, start + length >= limit
    if at_start == at_end:
        return start - (side - length) / 2
    return start + length - side if at_start else start


def resize_margin(
    crop: UInt8[np.ndarray, "H W 3"], margin: float, to_margin: float, size: int
) -> UInt8[np.ndarray, "S S 3"]:
    """Converts a crop that shows `margin` around a face to size x size showing `to_margin`; edges are repeated outside."""
    height, width = crop.shape[:2]
    share = (1 + 2 * to_margin) / (1 + 2 * margin)
    left, top = width * (1 - share) / 2, height * (1 - share) / 2
    return cut_box(crop, (left, top, width - left, height - top), size)


def overlap(one: Face, other: Face) -> float:
    """The intersection over union of two faces' boxes, 0 to 1."""
    width = min(one.x + one.w, other.x + other.w) - max(one.x, other.x)
    height = min(one.y + one.h, other.y + other.h) - max(one.y, other.y)
    both = max(width, 0.0) * max(height, 0.0)
    return both / (one.w * one.h + other.w * other.h - both)


def rasterize(boxes: Sequence[tuple[float, float, float, float]], grid: tuple[int, int]) -> UInt8[np.ndarray, "h w"]:
    """Weights of the cells of a grid: 0 outside faces, 1 in a face's box, 3 from its brows to its mouth.

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
        float32 [maximum], sums to 1, 0 after the last face; all 0 if there is no face.

    Raises:
        InputError: an unknown choice, or a number that no face has.
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
        raise InputError(f"`face` {choice}: this photo's faces have the numbers 0 to {len(faces) - 1}")
    weights[index] = 1
    return weights
