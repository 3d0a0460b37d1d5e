"""Photos that are too large for one pass: their norm statistics, and the windows that are painted with them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from emojax.images import rescale, resize_mask
from emojax.nets.style_code import Statistics
from emojax.nets.stylizer_config import StylizerConfig
from emojax.pipeline import tiles
from emojax.pipeline.forward import measure_statistics, stylize_photos
from emojax.pipeline.programs import Programs
from emojax.pipeline.regions import Regions
from emojax.pipeline.sizes import pad_to_bucket


def stylize_in_tiles(
    programs: Programs,
    config: StylizerConfig,
    params: Mapping[str, Any],
    photo: UInt8[np.ndarray, "H W 3"],
    weights: Float[Any, " S"],
    regions: Regions | None = None,
    max_pixels: int | None = None,
    max_side: int = tiles.MAX_SIDE,
    mask: UInt8[np.ndarray, "H W"] | None = None,
    statistics: Statistics | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """Repaints a photo window by window, all with the same norm statistics; see `stylize_photos` and `emojax.pipeline.tiles`.

    Args:
        regions: regions without a mask.
        max_pixels: pixels of the largest photo whose statistics are measured at once; by default `tiles.max_pixels`.
        max_side: the largest side of a window.
        mask: how much of the photo is painted, see `paint_mask`.
        statistics: by default those of `estimate_statistics`.
    """
    if statistics is None:
        statistics = estimate_statistics(programs, config, params, photo, weights, regions, max_pixels, mask)

    def painter(window: np.ndarray, size: np.ndarray, corner: np.ndarray) -> np.ndarray:
        name = ("window", mask is not None)
        program = programs.get(name, window.shape, lambda: functools.partial(stylize_photos, config))
        local = _with_mask(regions, mask, corner, *window.shape[1:3])
        return np.asarray(program(params, window, weights[None], size, local, statistics, corner))[0]

    return tiles.paint(photo, config.receptive_radius, painter, max_side)


def estimate_statistics(
    programs: Programs,
    config: StylizerConfig,
    params: Mapping[str, Any],
    photo: UInt8[np.ndarray, "H W 3"],
    weights: Float[Any, " S"],
    regions: Regions | None = None,
    max_pixels: int | None = None,
    mask: UInt8[np.ndarray, "H W"] | None = None,
) -> Statistics:
    """Estimates the norm statistics of a photo of any size from one pass over the photo, halved until it is small enough.

    A photo of half the size has sharper detail, so every halving changes the statistics. A correction is measured on windows
    that are spread over the photo, at both sizes (a control variate; with several halvings, the multilevel Monte Carlo method
    of Giles 2008, doi:10.1287/opre.1070.0496, with fixed samples).
    """
    max_pixels, name = max_pixels or tiles.max_pixels(config), ("statistics", mask is not None)

    def measure(photos: np.ndarray, size: np.ndarray, *others: Any) -> Statistics:
        program = programs.get(name, photos.shape[1:3], lambda: functools.partial(measure_statistics, config))
        return program(params, photos, weights, size, *others)

    if tiles.fits(photo, max_pixels):
        padded, size = pad_to_bucket(photo, programs.buckets(name))
        return measure(padded[None], size, _with_mask(regions, mask, np.zeros((1, 2), np.int32), *padded.shape[:2]))
    half = rescale(photo, 0.5)
    half_mask = None if mask is None else resize_mask(mask, half.shape[:2])
    halved = None if regions is None else regions._replace(boxes=regions.boxes / 2)
    side, corners = tiles.sample_windows(photo.shape[0], photo.shape[1], max_pixels)

    def sample(
        photo: np.ndarray, corners: np.ndarray, side: int, regions: Regions | None, mask: np.ndarray | None
    ) -> Statistics:
        windows, size = tiles.cut(photo, corners, side, side)
        return measure(windows, size, _with_mask(regions, mask, corners, side, side), corners)

    windows = sample(photo, corners, side, regions, mask)
    halves = sample(half, corners // 2, side // 2, halved, half_mask)
    of_half = estimate_statistics(programs, config, params, half, weights, halved, max_pixels, half_mask)
    return tiles.corrected(of_half, halves, windows)


def _with_mask(
    regions: Regions | None, mask: UInt8[np.ndarray, "H W"] | None, corners: np.ndarray, height: int, width: int
) -> Regions | None:
    """The regions with the part of the photo's mask that the windows show."""
    if mask is None:
        return regions
    assert regions is not None  # a mask needs regions
    return regions._replace(mask=tiles.cut(mask[..., None], corners, height, width)[0])
