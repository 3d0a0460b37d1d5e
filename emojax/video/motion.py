"""Compares a frame with the previous one: the camera's motion, where both show the same, and whether there is a cut.

The motion of the camera is an affine map: a translation by phase correlation, refined by the least squares of Lucas and Kanade
(Baker & Matthews 2004, doi:10.1023/B:VISI.0000011205.11775.fd). Objects that move by themselves do not fit the map and are
painted anew. All computations use small pictures, so they cost little compared with painting.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageFilter

SIDE, MIN_SIDE = 256, 8
"""long side of the small pictures, in pixels; short side in pixels below which no motion is estimated"""
STEPS, CONVERGED = 6, 0.01
"""largest number of refinement steps; step size, in pixels of the small picture, below which the refinement ends"""
MIN_ROTATION = 0.05
"""pixels of the small picture; a turn or zoom that moves its corners by less is ignored"""
MIN_MOTION, WHOLE_PIXEL = 0.15, 0.1
"""pixels of the frame; smaller motions than the first are ignored, and a translation that is closer than the second to whole
pixels is rounded to them"""
CUT = 22.0
"""levels; two frames are of different scenes if their mean difference after motion compensation is larger and their colours
differ, too"""
CUT_COLOUR_CHANGE = 0.35
"""smallest share of the pixels whose colours differ after a cut"""
SAME, OTHER = 4.0, 14.0
"""levels of the local mean difference: up to the first a place shows the same, from the second on something else"""
MAX_NOISE = 6.0

Affine = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f): the point at (x, y) was at (a x + b y + c, d x + e y + f) in the previous frame, in pixels"""
IDENTITY: Affine = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True, eq=False)
class SmallFrame:
    """A small version of a frame."""

    pixels: UInt8[np.ndarray, "h w 3"]
    grey: Float[np.ndarray, "h w"]
    scale: tuple[float, float]
    """pixels of the painted frame per pixel of the small one, along x and y"""


@dataclass(frozen=True, eq=False)
class Change:
    """The change from one frame to the next."""

    cut: bool
    motion: Affine
    same: Float[np.ndarray, "h w"]
    """1 where the frame shows the same as the moved previous one, 0 elsewhere, on the grid of the small picture"""


def grid_shape(height: int, width: int) -> tuple[int, int]:
    """The (height, width) of the small picture of a frame."""
    factor = min(1.0, SIDE / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def shrink(frame: UInt8[np.ndarray, "H W 3"], painted: tuple[int, int] | None = None) -> SmallFrame:
    """A frame at the size at which motion is estimated; `painted`: (height, width) of the painted frame, by default its own."""
    height, width = frame.shape[:2]
    size = grid_shape(height, width)[::-1]
    picture = Image.fromarray(frame)
    small = picture if size == (width, height) else picture.resize(size, Image.Resampling.BOX)
    grey = np.asarray(small.convert("L"), np.float32)
    rows, columns = painted or (height, width)
    return SmallFrame(np.asarray(small), grey, (columns / size[0], rows / size[1]))


def compare(before: SmallFrame, after: SmallFrame) -> Change:
    """The change between two frames."""
    motion = estimate_motion(before.grey, after.grey)
    moved = np.asarray(warp(before.pixels, motion))
    difference = np.abs(moved.astype(np.int16) - after.pixels).mean(-1).astype(np.float32)
    inside = _inside(motion, after.grey.shape)
    seen = difference[inside] if inside.any() else difference.ravel()
    if float(seen.mean()) > CUT and _other_colours(before.pixels, after.pixels) > CUT_COLOUR_CHANGE:
        return Change(True, IDENTITY, np.zeros(after.grey.shape, np.float32))
    noise = min(2 * float(np.median(seen)), MAX_NOISE)
    quarters = Image.fromarray(np.uint8(np.minimum(4 * difference, 255)))
    around = np.asarray(quarters.filter(ImageFilter.BoxBlur(1)), np.float32) / 4  # averages the noise out
    same = ((OTHER + noise - around) / (OTHER - SAME)).clip(0, 1) * inside
    whole = Image.fromarray(np.uint8(same * 255)).filter(ImageFilter.MinFilter(3)).filter(ImageFilter.BoxBlur(1))
    return Change(False, _in_frame(motion, after), np.asarray(whole, np.float32) / 255 * inside)


def warp(picture: UInt8[np.ndarray, "H W 3"], motion: Affine) -> UInt8[np.ndarray, "H W 3"]:
    """A picture moved by a motion, with its border repeated outside. A translation by whole pixels keeps the pixels' values.

    A picture is moved many times in a row, so the filter must neither blur nor sharpen. Lanczos' filter does neither, but
    Pillow supports it only for motions without rotation. With rotation, the results of Pillow's other two filters are averaged:
    bilinear blurs, bicubic sharpens.
    """
    if motion == IDENTITY:
        return picture
    height, width = picture.shape[:2]
    # The centre of the first pixel is (0.5, 0.5) in Pillow and (0, 0) here.
    a, b, c, d, e, f = motion
    left, top = c + 0.5 - 0.5 * (a + b), f + 0.5 - 0.5 * (d + e)
    right, bottom = left + a * width, top + e * height
    margin = math.ceil(max(0.0, -left, -top, right - width, bottom - height, 0.0)) + 1
    padded = Image.fromarray(np.pad(picture, ((margin, margin), (margin, margin), (0, 0)), mode="edge"))
    if max(abs(b) * height, abs(d) * width) < MIN_MOTION:
        box = (left + margin, top + margin, right + margin, bottom + margin)
        return np.asarray(padded.resize((width, height), Image.Resampling.LANCZOS, box))
    data = (a, b, left + margin, d, e, top + margin)
    soft, sharp = (
        padded.transform((width, height), Image.Transform.AFFINE, data, kind)
        for kind in (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
    )
    return np.asarray(Image.blend(soft, sharp, 0.5))


def estimate_motion(before: Float[np.ndarray, "h w"], after: Float[np.ndarray, "h w"]) -> Affine:
    """The motion between two small grey pictures, in pixels of these pictures."""
    if min(after.shape) < MIN_SIDE:
        return IDENTITY
    rows, columns = np.mgrid[: after.shape[0], : after.shape[1]].astype(np.float32)
    dx, dy = _translation(before, after)
    matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float64)
    slope_y, slope_x = np.gradient(before)
    for _ in range(STEPS):
        x = matrix[0, 0] * columns + matrix[0, 1] * rows + matrix[0, 2]
        y = matrix[1, 0] * columns + matrix[1, 1] * rows + matrix[1, 2]
        inside = (x >= 0) & (x <= before.shape[1] - 1) & (y >= 0) & (y <= before.shape[0] - 1)
        if inside.sum() < 64:
            break
        value, gx, gy = _sample((before, slope_x, slope_y), x[inside], y[inside])
        error = after[inside] - value
        error -= np.median(error)  # a change of brightness is no motion
        spread = max(1.0, 2.5 * float(np.median(np.abs(error))))
        weights = np.minimum(1, spread / np.maximum(np.abs(error), 1e-6))  # Huber's: moving objects get little weight
        u, v = columns[inside], rows[inside]
        basis = np.stack([gx * u, gx * v, gx, gy * u, gy * v, gy], axis=1).astype(np.float64)
        normal = (basis * weights[:, None]).T @ basis
        normal[np.diag_indices(6)] += 1e-3 * np.trace(normal) / 6 * np.array([1e-3, 1e-3, 1e-6, 1e-3, 1e-3, 1e-6])
        try:
            step = np.linalg.solve(normal, (basis * weights[:, None]).T @ error)
        except np.linalg.LinAlgError:  # a flat picture
            break
        matrix += step.reshape(2, 3)
        corner = np.abs(step.reshape(2, 3) @ np.array([after.shape[1], after.shape[0], 1.0])).max()
        if corner < CONVERGED:
            break
    centre = np.array([(after.shape[1] - 1) / 2, (after.shape[0] - 1) / 2])
    turning = matrix[:, :2] - np.eye(2)
    if np.abs(turning @ centre).max() < MIN_ROTATION:
        return (
            1.0,
            0.0,
            float((turning @ centre + matrix[:, 2])[0]),
            0.0,
            1.0,
            float((turning @ centre + matrix[:, 2])[1]),
        )
    a, b, c, d, e, f = matrix.ravel().tolist()
    return a, b, c, d, e, f


def _translation(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """The offset (x, y) from a point of the second picture to the same point of the first, in whole pixels, by phase
    correlation."""
    window = np.hanning(before.shape[0])[:, None] * np.hanning(before.shape[1])[None]
    a, b = (np.fft.rfft2((x - x.mean()) * window) for x in (before, after))
    product = a * b.conj()
    peak = np.fft.irfft2(product / (np.abs(product) + 1e-3 * np.abs(product).max() + 1e-9), before.shape)
    y, x = np.unravel_index(peak.argmax(), peak.shape)
    h, w = before.shape
    dy, dx = (int(y) + h // 2) % h - h // 2, (int(x) + w // 2) % w - w // 2
    rows, columns = slice(max(0, -dy), h - max(0, dy)), slice(max(0, -dx), w - max(0, dx))
    moved = before[max(0, dy) : h + min(0, dy), max(0, dx) : w + min(0, dx)]
    if not moved.size or abs(dx) > w // 2 or abs(dy) > h // 2:
        return 0.0, 0.0
    better = np.abs(moved - after[rows, columns]).mean() < np.abs(before - after).mean()
    return (float(dx), float(dy)) if better else (0.0, 0.0)


def _sample(pictures: tuple[np.ndarray, ...], x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Bilinear interpolation in pictures of the same size."""
    h, w = pictures[0].shape
    left, top = np.minimum(x.astype(np.int32), w - 2), np.minimum(y.astype(np.int32), h - 2)
    u, v = (x - left).astype(np.float32), (y - top).astype(np.float32)
    place = top * w + left
    found = []
    for picture in pictures:
        flat = picture.ravel()
        upper = flat[place] * (1 - u) + flat[place + 1] * u
        lower = flat[place + w] * (1 - u) + flat[place + w + 1] * u
        found.append(upper * (1 - v) + lower * v)
    return found


def _inside(motion: Affine, size: tuple[int, ...]) -> np.ndarray:
    """A mask of the pixels whose source under a motion is inside the picture."""
    rows, columns = np.ogrid[: size[0], : size[1]]
    x = motion[0] * columns + motion[1] * rows + motion[2]
    y = motion[3] * columns + motion[4] * rows + motion[5]
    return (x > -0.5) & (x < size[1] - 0.5) & (y > -0.5) & (y < size[0] - 0.5)


def _other_colours(before: np.ndarray, after: np.ndarray) -> float:
    """The share of pixels whose colours differ: half the L1 distance of colour histograms with 64 bins, 0 to 1."""

    def histogram(pixels: np.ndarray) -> np.ndarray:
        bins = (pixels >> 6).astype(np.int32) @ np.array([16, 4, 1], np.int32)
        return np.bincount(bins.ravel(), minlength=64) / bins.size

    return float(np.abs(histogram(before) - histogram(after)).sum() / 2)


def _in_frame(motion: Affine, small: SmallFrame) -> Affine:
    """Converts a motion of small pictures to pixels of the frame, with the roundings of `MIN_MOTION` and `WHOLE_PIXEL`."""
    a, b, c, d, e, f = motion
    sx, sy = small.scale
    # The frame's x is sx * (x of the small picture + 0.5) - 0.5.
    c = sx * c + (0.5 * sx - 0.5) * (1 - a) - b * sx / sy * (0.5 * sy - 0.5)
    f = sy * f + (0.5 * sy - 0.5) * (1 - e) - d * sy / sx * (0.5 * sx - 0.5)
    b, d = b * sx / sy, d * sy / sx
    height, width = small.grey.shape[0] * sy, small.grey.shape[1] * sx
    corners = [(x, y) for x in (0, width) for y in (0, height)]
    moves = [((a - 1) * x + b * y + c, d * x + (e - 1) * y + f) for x, y in corners]
    if max(abs(m) for move in moves for m in move) < MIN_MOTION:
        return IDENTITY
    whole = round(moves[0][0]), round(moves[0][1])
    if all(abs(m - n) < WHOLE_PIXEL for move in moves for m, n in zip(move, whole, strict=True)):
        return (1.0, 0.0, float(whole[0]), 0.0, 1.0, float(whole[1]))
    return a, b, c, d, e, f
