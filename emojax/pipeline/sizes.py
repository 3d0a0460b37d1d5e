"""Sizes of photos and of compiled programs: a photo is padded to one of a few buckets, so that few programs are compiled."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from emojax.pipeline import tiles

PLANNED, PHOTOS_EACH, MOST_PLANNED = 12, 4, 40
"""At most so many programs for the photos of one run, or one for so many photos, if that is more, but never more than the last.
A model keeps fewer, see `programs.PROGRAMS`; one that was dropped comes back from the disk."""
COMPILATION = 750_000
"""Pixels of padding for which a program is compiled. By time alone it would be 2 million (2 s of one core, while others paint),
but photos would be padded by more than a third."""
_STEP = 32  # of planned buckets' sides: in finer ones, other photos would find fewer of their programs in the cache
_MOST_COMPARED = 256


def bucket_side(side: int) -> int:
    """The side of the bucket: four an octave from 128 up, so that a larger side grows by less than a quarter."""
    power = 128
    while 2 * power <= side:
        power *= 2
    return next(power * step // 4 for step in (4, 5, 6, 7, 8) if power * step // 4 >= side)


def plan_buckets(sizes: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The buckets for photos whose sizes are all known: few of them, and every photo fits one.

    Each photo has its own bucket at first; then, again and again, the two whose union pads the photos least become one, as
    long as that pads less than compiling costs, or there are too many.

    Args:
        sizes: (height, width) of every photo, as the network sees it.

    Returns:
        (height, width) of each bucket, multiples of 32, in no order.
    """
    step, photos = _STEP, Counter(sizes)
    while True:  # coarser for thousands of different sizes, because the time grows with the cube of their number
        own: Counter[tuple[int, int]] = Counter()
        for (h, w), count in photos.items():
            own[-(-h // step) * step, -(-w // step) * step] += count
        if len(own) <= _MOST_COMPARED:
            break
        step *= 2
    if not own:
        return []
    heights, widths = np.array(sorted(own)).T
    counts = np.array([own[bucket] for bucket in sorted(own)])
    most = max(PLANNED, min(counts.sum() // PHOTOS_EACH, MOST_PLANNED))
    while len(counts) > 1:
        tall, wide = np.maximum.outer(heights, heights), np.maximum.outer(widths, widths)
        pixels = heights * widths * counts
        padding = tall * wide * np.add.outer(counts, counts) - np.add.outer(pixels, pixels)
        np.fill_diagonal(padding, np.iinfo(padding.dtype).max)
        i, j = np.unravel_index(padding.argmin(), padding.shape)
        if len(counts) <= most and padding[i, j] >= COMPILATION:
            break
        heights[i], widths[i], counts[i] = tall[i, j], wide[i, j], counts[i] + counts[j]
        heights, widths, counts = (np.delete(values, j) for values in (heights, widths, counts))
    return list(zip(heights.tolist(), widths.tolist(), strict=True))


class Buckets:
    """The sizes that a program was compiled for so far; chooses the one for the next photo.

    Compiling takes seconds, whatever the size, so until a bucket has come `PATIENCE` times, a program that is there already
    serves it, if it has at most twice as many pixels. Sizes that `plan` announces have the buckets of `plan_buckets`. A
    photo's bucket thus depends on the photos before it, and its picture by rounding. Safe from several threads.
    """

    PATIENCE = 8
    """Photos that may cost up to twice their time before they are worth a program of their own; a guess."""

    def __init__(self) -> None:
        self.compiled: set[tuple[int, int]] = set()
        self._wanted: Counter[tuple[int, int]] = Counter()
        self._expected: dict[tuple[int, int], tuple[int, int]] = {}
        self._lock = threading.Lock()

    def plan(self, sizes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Plans the buckets for photos of these (height, width) and returns them in the order in which they come."""
        planned = plan_buckets(sizes)
        with self._lock:
            for h, w in sizes:
                self._expected[h, w] = min(((y, x) for y, x in planned if y >= h and x >= w), key=math.prod)
            return list(dict.fromkeys(self._expected[size] for size in sizes))

    def forget(self, bucket: tuple[int, int]) -> None:
        """A bucket's program is there no more."""
        with self._lock:
            self.compiled.discard(bucket)

    def choose(self, h: int, w: int) -> tuple[int, int]:
        """The (height, width) of the program for a photo of h x w, which counts as compiled from now on."""
        with self._lock:
            return self._choose(h, w)

    def _choose(self, h: int, w: int) -> tuple[int, int]:
        if (h, w) in self._expected:
            self.compiled.add(self._expected[h, w])
            return self._expected[h, w]
        own = bucket_side(h), bucket_side(w)
        self._wanted[own] += 1
        if own not in self.compiled and self._wanted[own] <= self.PATIENCE:
            most = 2 * own[0] * own[1]
            larger = [(y * x, y, x) for y, x in self.compiled if y >= h and x >= w and y * x <= most]
            if larger:
                return min(larger)[1:]
        self.compiled.add(own)
        return own


def pad_to_bucket(photo: np.ndarray, buckets: Buckets) -> tuple[np.ndarray, np.ndarray]:
    """Pads a photo uint8 [H, W, 3] to a bucket: by reflection to a multiple of 4, then with zeros, never seen.

    Returns:
        The padded photo, and int32 [2], how much of it is picture.
    """
    h, w = (tiles.network_side(side) for side in photo.shape[:2])
    return tiles.pad(photo, *buckets.choose(h, w))
