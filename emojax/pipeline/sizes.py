"""Sizes of photos and of compiled programs. Each photo is padded to one of a few buckets, so that few programs are compiled."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from emojax.pipeline import tiles

PLANNED, PHOTOS_PER_PROGRAM, MAX_PLANNED = 12, 4, 40
"""The limit on programs for one run: `PLANNED`, or one program per `PHOTOS_PER_PROGRAM` photos if that is more, but at most
`MAX_PLANNED`. A model keeps only `programs.PROGRAMS` in memory; dropped ones are loaded from disk again."""
COMPILE_COST = 750_000
"""Pixels of padding that justify compiling a program. By time alone it would be 2 million (2 s of one core, while others
paint), but then photos would be padded by more than a third."""
_STEP = 32  # planned buckets' sides are multiples of it; with finer steps, later photos would find fewer programs in the cache
_MAX_COMPARED = 256


def bucket_side(side: int) -> int:
    """The bucket's side for a photo's side: four per octave from 128 up, so sides above 128 grow by less than a quarter."""
    power = 128
    while 2 * power <= side:
        power *= 2
    return next(power * step // 4 for step in (4, 5, 6, 7, 8) if power * step // 4 >= side)


def plan_buckets(sizes: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Plans few buckets for photos whose sizes are all known, such that every photo fits into one.

    At first, each photo has its own bucket. Then the two buckets whose union adds the least padding are merged, repeatedly,
    as long as the padding costs less than compiling, or there are too many buckets.

    Args:
        sizes: (height, width) of every photo, as the network sees it.

    Returns:
        (height, width) of each bucket, multiples of 32, in no particular order.
    """
    step, photos = _STEP, Counter(sizes)
    while True:  # coarser steps for thousands of different sizes: the time grows with the cube of their number
        own: Counter[tuple[int, int]] = Counter()
        for (h, w), count in photos.items():
            own[-(-h // step) * step, -(-w // step) * step] += count
        if len(own) <= _MAX_COMPARED:
            break
        step *= 2
    if not own:
        return []
    heights, widths = np.array(sorted(own)).T
    counts = np.array([own[bucket] for bucket in sorted(own)])
    limit = max(PLANNED, min(counts.sum() // PHOTOS_PER_PROGRAM, MAX_PLANNED))
    while len(counts) > 1:
        tall, wide = np.maximum.outer(heights, heights), np.maximum.outer(widths, widths)
        pixels = heights * widths * counts
        padding = tall * wide * np.add.outer(counts, counts) - np.add.outer(pixels, pixels)
        np.fill_diagonal(padding, np.iinfo(padding.dtype).max)
        i, j = np.unravel_index(padding.argmin(), padding.shape)
        if len(counts) <= limit and padding[i, j] >= COMPILE_COST:
            break
        heights[i], widths[i], counts[i] = tall[i, j], wide[i, j], counts[i] + counts[j]
        heights, widths, counts = (np.delete(values, j) for values in (heights, widths, counts))
    return list(zip(heights.tolist(), widths.tolist(), strict=True))


class Buckets:
    """The sizes that a program has been compiled for so far; chooses the one for the next photo.

    Compiling takes seconds, whatever the size. So the first `PATIENCE` photos of a bucket use an already compiled program, if
    there is one with at most twice as many pixels. Sizes given to `plan` use the buckets of `plan_buckets`. A photo's bucket
    therefore depends on earlier photos, and so does its picture, up to rounding. Thread-safe.
    """

    PATIENCE = 8
    """Photos of one bucket that may take up to twice the time before the bucket gets a program of its own; a guess."""

    def __init__(self) -> None:
        self.compiled: set[tuple[int, int]] = set()
        self._wanted: Counter[tuple[int, int]] = Counter()
        self._expected: dict[tuple[int, int], tuple[int, int]] = {}
        self._lock = threading.Lock()

    def plan(self, sizes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Plans the buckets for photos of these (height, width) and returns them in the order of the photos.

        A single photo has the bucket that it would have without a plan: other commands have compiled it, or will use it.
        """
        if len(sizes) == 1:
            return [self.choose(*sizes[0])]
        planned = plan_buckets(sizes)
        with self._lock:
            for h, w in sizes:
                self._expected[h, w] = min(((y, x) for y, x in planned if y >= h and x >= w), key=math.prod)
            return list(dict.fromkeys(self._expected[size] for size in sizes))

    def forget(self, bucket: tuple[int, int]) -> None:
        """Records that a bucket's program has been dropped."""
        with self._lock:
            self.compiled.discard(bucket)

    def choose(self, h: int, w: int) -> tuple[int, int]:
        """The (height, width) of the program for a photo of h x w; the program counts as compiled from now on."""
        with self._lock:
            return self._choose(h, w)

    def _choose(self, h: int, w: int) -> tuple[int, int]:
        if (h, w) in self._expected:
            self.compiled.add(self._expected[h, w])
            return self._expected[h, w]
        own = bucket_side(h), bucket_side(w)
        self._wanted[own] += 1
        if own not in self.compiled and self._wanted[own] <= self.PATIENCE:
            largest = 2 * own[0] * own[1]
            larger = [(y * x, y, x) for y, x in self.compiled if y >= h and x >= w and y * x <= largest]
            if larger:
                return min(larger)[1:]
        self.compiled.add(own)
        return own


def pad_to_bucket(photo: np.ndarray, buckets: Buckets) -> tuple[np.ndarray, np.ndarray]:
    """Pads a photo uint8 [H, W, 3] to a bucket: by reflection to a multiple of 4, then with zeros, which have no effect.

    Returns:
        The padded photo, and the (height, width) of the picture in it, int32 [2].
    """
    h, w = (tiles.network_side(side) for side in photo.shape[:2])
    return tiles.pad(photo, *buckets.choose(h, w))
