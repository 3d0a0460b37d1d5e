"""Metrics of defects that people see but losses do not: stamped motifs, and sensitivity to noise. NumPy, on the host."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFilter

WINDOW = 128
"""side, in pixels, of the window that is searched for motifs"""
NEAREST = 6
"""smallest distance, in pixels, at which a repetition counts; nearer ones are the strokes themselves"""
NOISE = 2.0
"""standard deviation of the noise, in levels of 255"""


def motif_strength(picture: UInt8[np.ndarray, "H W 3"], photo: UInt8[np.ndarray, "H W 3"] | None = None) -> float:
    """How much a picture repeats itself where its photo is flattest: lattices and stamped motifs are near 1, noise near 0.

    The highest off-centre peak of the autocorrelation of the high-passed lightness, in the window where the photo has the
    least contrast. Without a photo, as for a painting, the window is where the picture itself has the least contrast. If the
    picture is smaller than the window, all of it is used.
    """
    grey = Image.fromarray(picture).convert("L")
    detail = np.asarray(grey, np.float32) - np.asarray(grey.filter(ImageFilter.GaussianBlur(8)), np.float32)
    top, left, side = flattest_window(picture if photo is None else photo)
    part = detail[top : top + side, left : left + side]
    part = part - part.mean()
    energy = np.square(part).sum()
    if energy < 1e-6 * part.size:
        return 0.0
    padded = np.zeros([2 * length for length in part.shape])
    ones = padded.copy()
    padded[: part.shape[0], : part.shape[1]] = part
    ones[: part.shape[0], : part.shape[1]] = 1
    correlation, overlap = (np.fft.irfft2(np.abs(np.fft.rfft2(x)) ** 2, x.shape) for x in (padded, ones))
    rows, columns = (np.minimum(np.arange(n), n - np.arange(n)) for n in padded.shape)
    far = np.maximum(rows[:, None], columns[None, :])
    counted = (far >= NEAREST) & (far <= min(part.shape) // 2)
    share = correlation / np.maximum(overlap, 1) / (energy / part.size)
    return float(np.clip(share[counted].max(initial=0.0), 0, 1))


def flattest_window(photo: UInt8[np.ndarray, "H W 3"]) -> tuple[int, int, int]:
    """(top, left, side) of the square of at most `WINDOW` pixels with the least contrast, on a grid of side / 4."""
    grey = np.asarray(Image.fromarray(photo).convert("L"), np.float32)
    side = min(WINDOW, *grey.shape)
    step = max(1, side // 4)
    places = [
        (t, s) for t in range(0, grey.shape[0] - side + 1, step) for s in range(0, grey.shape[1] - side + 1, step)
    ]
    top, left = min(places, key=lambda place: grey[place[0] : place[0] + side, place[1] : place[1] + side].std())
    return top, left, side


def noise_gain(stylize: Callable[[np.ndarray], np.ndarray], photo: UInt8[np.ndarray, "H W 3"], seed: int = 0) -> float:
    """Mean change of a stylized photo if noise of two levels is added to the photo, divided by the mean size of that noise.

    Args:
        stylize: a photo uint8 [H, W, 3] -> a picture of its size and type.
    """
    noise = np.random.default_rng(seed).normal(0, NOISE, photo.shape)
    noisy = (photo + noise).round().clip(0, 255).astype(np.uint8)
    added = np.abs(noisy.astype(np.float32) - photo).mean()
    change = np.abs(stylize(noisy).astype(np.float32) - stylize(photo)).mean()
    return float(change / max(added, 1e-6))
