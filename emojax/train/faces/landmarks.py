"""Landmarks (eyes, nose, mouth) of labelled faces, found once by our detector and then kept in the cache."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from PIL import Image

from emojax.errors import EmojaxError
from emojax.faces.crops import find_landmarks
from emojax.faces.detector import LANDMARKS, WEIGHTS
from emojax.faces.views import FaceDetector
from emojax.train.stream import UNREADABLE
from emojax.util.ahead import map_ahead
from emojax.util.files import cache_folder, write_atomically
from emojax.util.progress import track

METHOD = 1
"""part of the cache key; increase it when the results of `find_landmarks` change, so that old entries are not used"""
_AHEAD = 64  # faces


class FacesWithLandmarks:
    """The faces of a source, each with "landmarks": five (x, y) in pixels of the image, or None if none were found."""

    def __init__(self, name: str, source: Any, detector: FaceDetector) -> None:
        self.source = source
        self.points = landmarks_of(name, source, detector)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        points = self.points[index]
        found = None if np.isnan(points).any() else tuple((float(x), float(y)) for x, y in points)
        return {**self.source[index], "landmarks": found}

    def labels(self) -> Int[np.ndarray, " n"]:
        """The labels of all faces."""
        return np.asarray(self.source.labels())

    def __repr__(self) -> str:
        return repr(self.source)


def landmarks_of(name: str, source: Any, detector: FaceDetector) -> Float[np.ndarray, "n 5 2"]:
    """The landmarks of all faces of a source, NaN where none were found or the face cannot be read.

    They are kept in $EMOJAX_CACHE (by default the user's cache folder), under a hash of the images and the detector. The first
    time takes about 10 ms per face.
    """
    path = cache_folder() / "landmarks" / f"{_fingerprint(source)}.npy"
    try:
        kept = np.load(path, allow_pickle=False)
        if kept.shape == (len(source), LANDMARKS, 2):
            return np.asarray(kept, np.float32)
    except (OSError, ValueError, EOFError):
        pass  # the entry does not exist yet, or is damaged
    rows = track(_found(source, detector), "face", f"landmarks of {name}", len(source))
    points = np.array(list(rows), np.float32).reshape(-1, LANDMARKS, 2)
    buffer = io.BytesIO()
    np.save(buffer, points)
    with contextlib.suppress(EmojaxError):  # a failing cache must not stop the work
        write_atomically(path, buffer.getvalue())
    return points


def _fingerprint(source: Any) -> str:
    digest = hashlib.sha256(f"{METHOD} ".encode() + WEIGHTS.read_bytes())
    for index in range(len(source)):
        face = source[index]
        digest.update(f"\n{face['margin']} {len(face['image'])}\n".encode())
        digest.update(face["image"])
    return digest.hexdigest()


def _found(source: Any, detector: FaceDetector) -> Iterator[Float[np.ndarray, "5 2"]]:
    missing = np.full((LANDMARKS, 2), np.nan, np.float32)

    def find(index: int) -> Float[np.ndarray, "5 2"]:
        face = source[index]
        try:
            with Image.open(io.BytesIO(face["image"])) as picture:
                crop = np.asarray(picture.convert("RGB"))
        except UNREADABLE:
            return missing  # the code that decodes the face for training reports it
        points = find_landmarks(detector, crop, face["margin"])
        return missing if points is None else np.array(points, np.float32)

    yield from map_ahead(find, range(len(source)), _AHEAD, os.cpu_count())
