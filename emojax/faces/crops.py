"""Faces -> the crops that a classifier reads: cut by the box, or by the landmarks.

Photos and crops are uint8 [H, W, 3], RGB. A *margin* says what a crop shows beyond the face's box on each side, as a fraction
of the box; of an aligned crop, beyond the square of the template.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from emojax.faces import views
from emojax.faces.find import Face, cut_aligned, cut_crop, resize_margin, straighten

Landmarks = tuple[tuple[float, float], ...]

_SIDE, _MARGIN = 256, 0.5
"""pixels of what the detector sees of a face whose box is known, and its margin"""
_CONFIDENCE = 0.3
"""lower than the detector's own: that there is a face is known"""
_AWAY = 0.2
"""how far the found face's middle may be from the crop's, as a share of what the detector sees"""


def find_landmarks(crop: UInt8[np.ndarray, "H W 3"], margin: float) -> Landmarks | None:
    """The five landmarks of the face in a crop, in pixels of the crop; None if the detector sees no face in its middle.

    Args:
        crop: of any size; aspects that a clipped box has bent are bent back only as far as the crop is square.
        margin: what it shows beyond the face's box.
    """
    seen = resize_margin(crop, margin, _MARGIN, _SIDE)
    found = views.look(seen, _CONFIDENCE)
    away = np.abs((found.boxes[:, :2] + found.boxes[:, 2:]) / 2 - _SIDE / 2).max(axis=1)
    near = np.flatnonzero(away < _AWAY * _SIDE)
    if not len(near):
        return None
    best = near[0]  # the surest
    points = tuple((float(x), float(y)) for x, y in found.landmarks[best])
    face = straighten(seen, Face(0, 0, _SIDE, _SIDE, float(found.scores[best]), points))
    size, share = np.array([crop.shape[1], crop.shape[0]]), (1 + 2 * _MARGIN) / (1 + 2 * margin)
    points = (np.array(face.landmarks) / _SIDE - 0.5) * size[None] * share + size[None] / 2
    return tuple((float(x), float(y)) for x, y in points)


def cut_face(
    photo: UInt8[np.ndarray, "H W 3"], face: Face, margin: float, size: int, aligned: bool
) -> UInt8[np.ndarray, "S S 3"]:
    """The crop of a face in a photo, size x size; aligned if so asked and the face has landmarks."""
    if aligned and face.landmarks:
        return cut_aligned(photo, face.landmarks, size, margin)
    return cut_crop(photo, face, margin, size)


def recut(
    crop: UInt8[np.ndarray, "H W 3"],
    margin: float,
    landmarks: Landmarks | None,
    to_margin: float,
    size: int,
    aligned: bool,
) -> UInt8[np.ndarray, "S S 3"]:
    """From a crop that shows `margin` around a face to one as a classifier wants it, size x size.

    Args:
        landmarks: of the face, in pixels of the crop; None: it is cut by its box even if an aligned one is wanted.
    """
    if aligned and landmarks is not None:
        return cut_aligned(crop, landmarks, size, to_margin)
    return resize_margin(crop, margin, to_margin, size)


def recut_found(
    crop: UInt8[np.ndarray, "H W 3"], margin: float, to_margin: float, size: int, aligned: bool
) -> UInt8[np.ndarray, "S S 3"]:
    """`recut` of a crop whose landmarks are not known yet."""
    landmarks = find_landmarks(crop, margin) if aligned else None
    return recut(crop, margin, landmarks, to_margin, size, aligned)
