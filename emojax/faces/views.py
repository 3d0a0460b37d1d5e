"""Photos -> views -> the faces that the detector finds in them: `plan_views`, then `FaceDetector`.

Photos are uint8 [H, W, 3], RGB, of any size. Faces are in pixels of the photo. A *rotation* says by how many degrees clockwise
the photo is turned before the detector sees it: 0, 90, 180 or 270.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from emojax.faces import detector
from emojax.faces.detector import MULTIPLE, Detections, Numbers
from emojax.util.executables import Compiled

MINIMUM_CONFIDENCE = 0.6
"""YuNet's default threshold"""
WHOLE_SIDE = 640
"""the long side of the *view* of the whole photo, which shows the large faces; smaller photos are not enlarged"""
_SHAPES = 16  # the most shapes of views that programs are kept for, see `bucket`
VIEW_SIDES = (160, 320, 640, 704)
SHORT_SIDES = (0.75, 1.0)
"""Views are padded with zeros, at the right or the bottom, so that few programs are compiled: to one of these long sides, and a
short side that is one of these fractions of it."""

# Small faces are searched in a finer picture, cut into tiles. As one view, it would exceed the CPU's caches and would take
# 1.7 times as long per pixel. The labelled faces of the sample photos were pasted side by side into larger pictures: the
# detector finds 95% of them at 16 pixels, 85% at 12 and 72% at 10 (fewer without neighbours: 80% at 15). So faces of 24 pixels
# have at least 15 pixels in the finer picture, for photos of up to 12 megapixels (4 x 3).
TILE, TILE_OVERLAP, MAX_TILES = 704, 80, 4
"""maximum side and minimum overlap of the tiles, in pixels, and the most tiles along the long side"""
SMALLEST_FACE, SMALLEST_DETECTABLE = 24, 15
LARGEST_IN_TILE = 192
"""pixels; larger boxes are left to the view of the whole photo, because a tile may show only a part of a face"""


@dataclass(frozen=True)
class View:
    """The detector's input: a part of the photo, reduced in size."""

    pixels: UInt8[np.ndarray, "h w 3"]
    start: tuple[int, int]
    """(left, top), in pixels of the view"""
    scale: tuple[float, float]
    """pixels of the photo per pixel of the view, along x and y"""
    largest: float
    """pixels of the view; boxes of a larger height are ignored"""


def plan_views(photo: UInt8[np.ndarray, "H W 3"]) -> list[View]:
    """A view of the whole photo, and tiles of a finer picture unless the whole view shows the smallest faces well enough."""
    needed = max(photo.shape) * SMALLEST_DETECTABLE / SMALLEST_FACE
    if needed <= WHOLE_SIDE:
        return _tiles(_shrink(photo, WHOLE_SIDE), photo.shape, math.inf)
    fine = _shrink(photo, WHOLE_SIDE * min(math.ceil(needed / WHOLE_SIDE), MAX_TILES))
    return _tiles(_shrink(fine, WHOLE_SIDE), photo.shape, math.inf) + _tiles(fine, photo.shape, LARGEST_IN_TILE)


def _shrink(photo: UInt8[np.ndarray, "H W 3"], side: int) -> UInt8[np.ndarray, "h w 3"]:
    height, width = photo.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return photo
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))


def _tiles(picture: UInt8[np.ndarray, "h w 3"], photo: Sequence[int], largest: float) -> list[View]:
    """Cuts a picture of a photo of shape `photo` into evenly spaced tiles; a small picture is a single tile."""
    height, width = picture.shape[:2]
    # Each axis has its own scale, since the picture's sides are whole numbers.
    scale = photo[1] / width, photo[0] / height
    rows, columns = _spans(height), _spans(width)
    return [View(picture[y, x], (x.start, y.start), scale, largest) for y in rows for x in columns]


def _spans(length: int) -> list[slice]:
    """The fewest equally long spans of at most `TILE` pixels that overlap by at least `TILE_OVERLAP`."""
    count = max(1, math.ceil((length - TILE_OVERLAP) / (TILE - TILE_OVERLAP)))
    size = math.ceil((length + (count - 1) * TILE_OVERLAP) / count)
    starts = (i * (length - size) // max(count - 1, 1) for i in range(count))
    return [slice(start, start + size) for start in starts]


def bucket(height: int, width: int) -> tuple[int, int]:
    """The (height, width) that a view is padded to."""
    long = next(side for side in VIEW_SIDES if side >= max(height, width))
    shorts = (math.ceil(long * share / MULTIPLE) * MULTIPLE for share in SHORT_SIDES)
    short = next(side for side in shorts if side >= min(height, width))
    return (short, long) if height <= width else (long, short)


class FaceDetector:
    """The detector's weights on the device, and its programs, compiled for the sizes of views (few, see `bucket`). Thread-safe.

    Nothing is loaded or compiled before the first view is searched.
    """

    def __init__(self) -> None:
        self._detect = Compiled(detector.detect, limit=_SHAPES)
        self._suppress = Compiled(detector.suppress, limit=_SHAPES)

    @functools.cached_property
    def _params(self) -> Mapping[str, jax.Array]:
        return jax.device_put(detector.load_detector())  # two threads at once may load them twice, which does no harm

    def in_view(self, pixels: UInt8[np.ndarray, "h w 3"], minimum: float = MINIMUM_CONFIDENCE) -> Detections:
        """The faces of a view with a score of at least `minimum`, in pixels of the view."""
        padded = np.zeros((*bucket(*pixels.shape[:2]), 3), np.uint8)
        padded[: pixels.shape[0], : pixels.shape[1]] = pixels
        found = jax.device_get(self._detect(self._params, padded, np.float32(minimum)))
        count = np.count_nonzero(found.scores)
        # The network's origin is the centre of the first pixel (measured with the same faces at two sizes), ours is its edge.
        return Detections(
            found.scores[:count], found.boxes[:count] + np.float32(0.5), found.landmarks[:count] + np.float32(0.5)
        )

    def in_views(self, views: Sequence[View], rotation: int) -> Detections:
        """The faces of a photo that are upright after a turn by `rotation`, by descending score, at most `detector.MAXIMUM`."""
        return self.merge([self._in_photo(view, rotation) for view in views])

    def _in_photo(self, view: View, rotation: int) -> Detections:
        """The faces in a turned view, in pixels of the photo."""
        found = self.in_view(np.rot90(view.pixels, -rotation // 90))
        small = found.boxes[:, 3] - found.boxes[:, 1] <= view.largest

        def place(points: Numbers) -> np.ndarray:
            points = turn_back(np.asarray(points).reshape(-1, 2), view.pixels.shape[:2], rotation)
            return ((points + np.array(view.start)[None]) * np.array(view.scale)[None]).astype(np.float32)

        corners = place(found.boxes[small]).reshape(-1, 2, 2)
        boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        return Detections(found.scores[small], boxes, place(found.landmarks[small]).reshape(-1, 5, 2))

    def merge(self, found: Sequence[Detections]) -> Detections:
        """Merges the faces of several views; duplicates are suppressed."""
        if len(found) == 1:
            return found[0]
        scores, boxes, landmarks = (np.concatenate(parts) for parts in zip(*found, strict=True))
        room = 2 ** math.ceil(math.log2(max(len(scores), detector.MAXIMUM)))  # a power of 2: few programs are compiled
        empty = room - len(scores)
        padded = (np.pad(part, [(0, empty)] + [(0, 0)] * (part.ndim - 1)) for part in (scores, boxes, landmarks))
        kept = jax.device_get(self._suppress(Detections(*padded), np.float32(MINIMUM_CONFIDENCE)))
        return Detections(*(part[: np.count_nonzero(kept.scores)] for part in kept))


def turn_back(points: Float[np.ndarray, "N 2"], size: tuple[int, int], rotation: int) -> Float[np.ndarray, "N 2"]:
    """Maps points (x, y) of a picture that was turned clockwise to points of the original, of (height, width) `size`."""
    height, width = size
    x, y = points.T
    back = {0: (x, y), 90: (y, height - x), 180: (width - x, height - y), 270: (width - y, x)}
    return np.stack(back[rotation], axis=1)
