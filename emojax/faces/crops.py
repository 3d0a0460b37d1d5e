"""Faces -> the crops that a classifier reads: cut by the box, or aligned by the landmarks.

Photos and crops are uint8 [H, W, 3], RGB. A *margin* says what a crop shows beyond the face's box on each side, as a fraction
of the box. For an aligned crop, the template's square takes the place of the box.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from emojax.faces.find import Face, cut_aligned, cut_crop, realign, resize_margin
from emojax.faces.views import FaceDetector

Landmarks = tuple[tuple[float, float], ...]

_SIDE, _MARGIN = 256, 0.5
"""side in pixels, and margin, of the detector's input for a face whose box is known"""
_CONFIDENCE = 0.3
"""lower than the detector's own threshold, because there is known to be a face"""
_AWAY = 0.2
"""how far the detected face's centre may be from the input's centre, as a share of the input's side"""


def find_landmarks(detector: FaceDetector, crop: UInt8[np.ndarray, "H W 3"], margin: float) -> Landmarks | None:
    """The five landmarks of the face in a crop, in pixels of the crop; None if the detector finds no face at its centre.

    Args:
        crop: of any size; it is resized to a square, which undoes distortion only if the face's box was square.
        margin: what the crop shows beyond the face's box.
    """
    seen = resize_margin(crop, margin, _MARGIN, _SIDE)
    found = detector.in_view(seen, _CONFIDENCE)
    away = np.abs((found.boxes[:, :2] + found.boxes[:, 2:]) / 2 - _SIDE / 2).max(axis=1)
    near = np.flatnonzero(away < _AWAY * _SIDE)
    if not len(near):
        return None
    best = near[0]  # the one with the highest score
    points = tuple((float(x), float(y)) for x, y in found.landmarks[best])
    face = realign(detector, seen, Face(0, 0, _SIDE, _SIDE, float(found.scores[best]), points))
    size, share = np.array([crop.shape[1], crop.shape[0]]), (1 + 2 * _MARGIN) / (1 + 2 * margin)
    points = (np.array(face.landmarks) / _SIDE - 0.5) * size[None] * share + size[None] / 2
    return tuple((float(x), float(y)) for x, y in points)


def cut_face(
    photo: UInt8[np.ndarray, "H W 3"], face: Face, margin: float, size: int, aligned: bool
) -> UInt8[np.ndarray, "S S 3"]:
    """The crop of a face in a photo, size x size; aligned if `aligned` is set and the face has landmarks."""
    if aligned and face.landmarks:
        return cut_aligned(photo, face.landmarks, size, margin)
    return cut_crop(photo, face, margin, size)


def convert_crop(
    crop: UInt8[np.ndarray, "H W 3"],
    margin: float,
    landmarks: Landmarks | None,
    to_margin: float,
    size: int,
    aligned: bool,
) -> UInt8[np.ndarray, "S S 3"]:
    """Converts a crop that shows `margin` around a face to the crop that a classifier reads, size x size.

    Args:
        landmarks: landmarks of the face, in pixels of the crop; None: the crop is cut by the box even if `aligned` is set.
    """
    if aligned and landmarks is not None:
        return cut_aligned(crop, landmarks, size, to_margin)
    return resize_margin(crop, margin, to_margin, size)


def detect_and_convert_crop(
    detector: FaceDetector,
    crop: UInt8[np.ndarray, "H W 3"],
    margin: float,
    to_margin: float,
    size: int,
    aligned: bool,
) -> UInt8[np.ndarray, "S S 3"]:
    """`convert_crop` for a crop whose landmarks are unknown: they are detected if needed."""
    landmarks = find_landmarks(detector, crop, margin) if aligned else None
    return convert_crop(crop, margin, landmarks, to_margin, size, aligned)
