"""Photos that are too large for one pass: windows of the photo, painted one by one.

With given norm statistics, an output depends only on pixels within `StylizerConfig.receptive_radius`. So a window includes a
*halo* of at least that width around the part that is kept, except at the photo's own borders, and the kept parts join without a
seam. This module handles sizes, cutting and statistics; `emojax.pipeline.large` runs the networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Int32, UInt8

from emojax.nets.layers import EPSILON
from emojax.nets.style_code import Statistics
from emojax.nets.stylizer_config import MINIMUM, MULTIPLE, StylizerConfig

MAX_VALUES = 34_000_000
"""the maximum number of values in the largest layer of a photo that is painted in one pass, see `max_pixels`; the command
then takes 0.8 GB, or 1.0 GB with a style per face"""
MAX_SIDE = 1088
"""side of the largest window, a multiple of `STEP`"""
STEP = 64
"""The sides of windows are multiples of this, so that few programs serve all photos and little is painted twice."""
SAMPLES, MIN_SAMPLE_SIDE = 4, 192
"""windows along each axis that sample a photo, and their minimum side in pixels; near its border, a window shows a reflection
instead of the photo, so the statistics of small windows are biased"""


class Span(NamedTuple):
    """A window along one axis of a photo, in pixels."""

    start: int
    """where the window begins, a multiple of 4; all windows of a photo have the same length"""
    first: int
    last: int
    """the part that is kept: from `first` up to, but excluding, `last`"""


def max_pixels(config: StylizerConfig) -> int:
    """Pixels of the largest photo that is painted in one pass: 4.25 million for the packaged default network."""
    return MAX_VALUES * config.patch**2 // config.channels(config.patch)


def fits(photo: UInt8[np.ndarray, "H W 3"], max_pixels: int) -> bool:
    """Whether a photo has at most `max_pixels` pixels."""
    return photo.shape[0] * photo.shape[1] <= max_pixels


def network_side(side: int) -> int:
    """The side that the network sees: the next multiple of 4, at least 16."""
    return max(MINIMUM, _up(side, MULTIPLE))


def spans(length: int, halo: int, max_length: int = MAX_SIDE) -> tuple[int, list[Span]]:
    """The windows along an axis: as few as possible, and no longer than necessary.

    Args:
        length: length of the axis.
        halo: a multiple of 4.
        max_length: length of the longest window, a multiple of `STEP`; it is raised where the halos take more than half of it.

    Returns:
        The windows' length, a multiple of `STEP`; and the windows, of which the last may reach beyond a short axis.
    """
    max_length = max(max_length, _up(4 * halo, STEP))
    inside = network_side(length)  # the picture as the network sees it in one pass; the last window ends there
    count = max(1, -(-(inside - 2 * halo) // (max_length - 2 * halo)))
    side = _up(-(-(inside - 2 * halo) // count) + 2 * halo, STEP)
    end = max(0, inside - side)
    starts = [*range(0, end, max(MULTIPLE, side - 2 * halo)), end]
    cuts = [0, *(start + side - halo for start in starts[:-1]), length]
    return side, [Span(*span) for span in zip(starts, cuts, cuts[1:], strict=False)]


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def pad(photo: UInt8[np.ndarray, "H W C"], height: int, width: int) -> tuple[np.ndarray, Int32[np.ndarray, " 2"]]:
    """Pads a photo to height x width: by reflection to what the network sees, then with zeros, which have no effect.

    Returns:
        The padded photo, and the (height, width) of the picture in it, int32 [2].
    """
    h, w = (network_side(side) for side in photo.shape[:2])
    picture = np.pad(photo, ((0, h - photo.shape[0]), (0, w - photo.shape[1]), (0, 0)), mode="reflect")
    return np.pad(picture, ((0, height - h), (0, width - w), (0, 0))), np.array([h, w], np.int32)


def pad_mask(mask: np.ndarray | None, padded: np.ndarray) -> Any:
    """A mask uint8 [H, W] as [H2, W2, 1], padded like its photo uint8 [H2, W2, 3]."""
    return None if mask is None else pad(mask[..., None], *padded.shape[:2])[0]


def cut(
    photo: UInt8[np.ndarray, "H W C"], corners: Int[np.ndarray, "N 2"], height: int, width: int
) -> tuple[UInt8[np.ndarray, "N height width C"], Int32[np.ndarray, " 2"]]:
    """Cuts windows out of a photo at their top left corners (x, y); all must show equally much of the photo. See `pad`."""
    windows, sizes = zip(*(pad(photo[y : y + height, x : x + width], height, width) for x, y in corners), strict=True)
    return np.stack(windows), sizes[0]


def paint(
    photo: UInt8[np.ndarray, "H W 3"],
    radius: int,
    painter: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    max_side: int = MAX_SIDE,
) -> UInt8[np.ndarray, "H W 3"]:
    """Repaints a photo window by window.

    Args:
        radius: how far, in pixels, the kept part of a window depends on its surroundings.
        painter: (window uint8 [1, h, w, 3]; (height, width) of the picture in it, int32 [2]; its corner (x, y) in the photo,
            int [1, 2]) -> the repainted window, uint8 [h, w, 3].
        max_side: the largest side of a window.
    """
    halo = _up(radius, MULTIPLE)
    (height, rows), (width, columns) = (spans(length, halo, max_side) for length in photo.shape[:2])
    painted = np.empty_like(photo)
    for y, top, bottom in rows:
        for x, left, right in columns:
            corner = np.array([[x, y]], np.int32)
            kept = painter(*cut(photo, corner, height, width), corner)[top - y : bottom - y, left - x : right - x]
            painted[top:bottom, left:right] = kept
    return painted


def sample_windows(height: int, width: int, max_pixels: int) -> tuple[int, Int32[np.ndarray, "N 2"]]:
    """The windows that sample a photo, spread evenly over it. Few large windows are better than many small ones.

    Args:
        max_pixels: pixels that fit into one pass; all windows together have at most that many, unless
            `MIN_SAMPLE_SIDE` makes them larger.

    Returns:
        The windows' side, and their distinct corners (x, y). All are multiples of 8, so that their halves are multiples of 4.
        Along an axis that is not longer than a window, there is one window.
    """
    side = max(MIN_SAMPLE_SIDE, math.isqrt(max_pixels) // SAMPLES // 8 * 8)
    rows, columns = (
        np.unique(np.clip((np.arange(SAMPLES) + 0.5) * length / SAMPLES - side / 2, 0, max(0, length - side)) // 8 * 8)
        for length in (height, width)
    )
    return side, np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2).astype(np.int32)


@jax.jit  # one program instead of one per operation
def corrected(whole: Statistics, before: Statistics, after: Statistics) -> Statistics:
    """The statistics of a whole photo after a change, from those before it and from those of a sample before and after.

    Means change by the sample's difference. Variances change by the sample's ratio, which is near 1 where all of them are far
    below the norms' epsilon.
    """
    return {
        name: {
            "mean": layer["mean"] + after[name]["mean"] - before[name]["mean"],
            "variance": _changed(layer["variance"], before[name]["variance"], after[name]["variance"]),
        }
        for name, layer in whole.items()
    }


def _changed(whole: Array, before: Array, after: Array) -> Array:
    return jnp.maximum((whole + EPSILON) * (after + EPSILON) / (before + EPSILON) - EPSILON, 0)
