"""Regions with another style or less strength, for faces or by a mask, with soft borders.

The rest of the picture keeps the photo's style. One forward pass paints everything, so strokes continue where one style
fades into another, or into the photo.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real, UInt8

from emojax.faces.find import Face
from emojax.images import read_mask, to_uint8, to_unit
from emojax.options import StylizeOptions

# Inner and outer radius of the ellipse around a box's centre, in halves of the box's sides: inside the inner one only the
# face's settings count, outside the outer one only the picture's. The box ends at chin and brow. A face's own style includes
# the hair. Less strength covers only the eyes, nose and mouth: with the hair, a grey ring would surround the head.
_STYLE_RADII, STRENGTH_RADII = (1.0, 1.9), (0.8, 1.3)


SPARED = (80.0, 192.0)
"""widths of faces, in pixels: up to the first, faces have the reduced strength; from the second on, the full strength"""
MAX_REGIONS = 16
"""the most faces with a style or strength of their own, largest first; each takes a moment, for every pixel"""


class Regions(NamedTuple):
    """The faces of a picture, and the styles and strengths that they are painted with."""

    boxes: Any
    """float32 [F, 4]: x, y, w, h in pixels; w = 0 for filling"""
    weights: Any = None
    """float32 [F, S]: weights of the styles of each face, rows sum to 1; None: the picture's weights"""
    strength: Any = None
    """float32 [F], 0 to 1: strength of the style in each face, see `spare_faces`; None: full strength"""
    mask: Any = None
    """uint8 [N, H, W, 1]: how much of the picture's N windows is painted, 0 to 255, see `paint_mask`; None: everything"""


def face_strengths(boxes: Float[Any, "F 4"], strength: Float[Any, ""]) -> Float[Any, " F"]:
    """The strength of the style in faces of these boxes: `strength` in small ones, 1 in large ones.

    Strokes have a fixed size in pixels. They hide the eyes of a small face, but only shape the cheek of a large one. A large
    face without strokes would look like a photo pasted into the picture.
    """
    small, large = SPARED
    return 1 - (1 - strength) * ((large - boxes[:, 2]) / (large - small)).clip(0, 1)


def box_array(faces: Sequence[Face], maximum: int) -> Float[np.ndarray, "maximum 4"]:
    """The boxes of faces (x, y, w, h), then filling."""
    boxes = np.zeros((maximum, 4), np.float32)
    for index, face in enumerate(faces[:maximum]):
        boxes[index] = face.x, face.y, face.w, face.h
    return boxes


def scaled_boxes(
    faces: Sequence[Face],
    photo: UInt8[np.ndarray, "H W 3"],
    small: UInt8[np.ndarray, "h w 3"],
    maximum: int = MAX_REGIONS,
) -> Float[np.ndarray, "maximum 4"]:
    """`box_array` of a photo's faces, in pixels of the resized photo `small`."""
    scales = np.array(small.shape[1::-1] * 2) / np.array(photo.shape[1::-1] * 2)
    return (box_array(faces, maximum) * scales).astype(np.float32)


def spread_over_faces(
    boxes: Float[Array, "N F 4"],
    values: Float[Array, "F V"],
    height: Any,
    width: Any,
    factor: int,
    radii: tuple[float, float] = _STYLE_RADII,
) -> Float[Array, "N h w V"]:
    """The values of the face that a pixel belongs to. They fade smoothly to 0 around a face, and mix where faces meet.

    The function has no reverse-mode gradient.

    Args:
        boxes: x, y, w, h in pixels of the N height x width pictures; all show the same faces, at least one; w = 0 for filling.
        factor: the result is smaller than the picture by this factor, in each direction.
        radii: where the fading begins and ends, in halves of a box's sides from its centre.
    """
    values = jnp.asarray(values)
    rows = (jnp.arange(height // factor)[None, :, None, None] + 0.5) * factor
    columns = (jnp.arange(width // factor)[None, None, :, None] + 0.5) * factor

    def add(face: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        sums, total = state
        x, y, w, h = (side[:, None, None, None] for side in boxes[:, face].T)
        across = (columns - (x + w / 2)) / jnp.maximum(w / 2, 1e-6)
        down = (rows - (y + h / 2)) / jnp.maximum(h / 2, 1e-6)
        mask = jnp.where(w > 0, _fade(across, down, radii), 0)
        return sums + mask * values[face][None, None, None], total + mask

    # A loop over the faces that there are, because most photos have one, and all masks together would need much memory.
    count = jnp.max(jnp.where(boxes[0, :, 2] > 0, jnp.arange(1, boxes.shape[1] + 1), 0))
    shape = boxes.shape[0], height // factor, width // factor
    sums, total = jax.lax.fori_loop(0, count, add, (jnp.zeros((*shape, values.shape[1])), jnp.zeros((*shape, 1))))
    return sums / jnp.maximum(total, 1)


def _fade(across: Any, down: Any, radii: tuple[float, float]) -> Any:
    """1 inside the first radius, 0 outside the second, a smoothstep in between; for NumPy or JAX arrays."""
    inner, outer = radii
    inside = ((outer - (across**2 + down**2) ** 0.5) / (outer - inner)).clip(0, 1)
    return inside * inside * (3 - 2 * inside)


def soft_faces(
    faces: Sequence[Face], size: tuple[int, int], presence: Sequence[float] | None = None
) -> UInt8[np.ndarray, "H W"]:
    """How much every pixel of a (height, width) picture belongs to any of its faces, hair included: 0 to 255.

    Args:
        presence: how much each face counts, 0 to 1; by default 1.
    """
    found, outer = np.zeros(size, np.float32), _STYLE_RADII[1]
    for face, present in zip(faces, presence or [1.0] * len(faces), strict=True):
        x, y, half_w, half_h = face.x + face.w / 2, face.y + face.h / 2, face.w / 2, face.h / 2
        top, bottom = (int(np.clip(y + side * outer * half_h, 0, size[0])) for side in (-1, 1))
        left, right = (int(np.clip(x + side * outer * half_w, 0, size[1])) for side in (-1, 1))
        part = found[top : bottom + 1, left : right + 1]
        rows, columns = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
        own = present * _fade((columns + 0.5 - x) / half_w, (rows + 0.5 - y) / half_h, _STYLE_RADII)
        part += (1 - part) * own  # the union of fuzzy sets
    return to_uint8(found)


def paint_mask(
    options: StylizeOptions, faces: Sequence[Face], size: tuple[int, int], presence: Sequence[float] | None = None
) -> UInt8[np.ndarray, "H W"] | None:
    """How much of every pixel of a (height, width) photo is painted, 0 to 255; None if the whole photo is painted.

    Args:
        presence: see `soft_faces`.

    Raises:
        InputError: the mask's file cannot be read, or the mask does not fit the photo.
    """
    mask = None if options.mask is None else to_uint8(read_mask(options.mask, size))
    if options.faces_only or options.background_only:
        own = soft_faces(faces, size, presence)
        own = own if options.faces_only else 255 - own
        mask = own if mask is None else np.minimum(mask, own)
    return mask


def weight_changes(
    regions: Regions,
    weights: Float[Array, " S"],
    height: Any,
    width: Any,
    corners: Real[Array, "N 2"] | None = None,
    photo: Float[Array, " S"] | None = None,
) -> Callable[[int], Float[Array, "N h w S"]]:
    """What the faces' styles and the mask add to a picture's weights, for `vary_styles`; exactly 0 where nothing changes.

    Args:
        corners: (x, y) of the height x width windows of the picture; by default a single window at (0, 0).
        photo: the weights where the mask is 0; None: the mask is ignored.
    """

    def of_faces(factor: int) -> Float[Array, "N h w S"] | float:
        if regions.weights is None:
            return 0.0
        return spread_over_faces(_boxes_in(regions, corners), regions.weights - weights[None], height, width, factor)

    if regions.mask is None or photo is None:
        return lambda factor: jnp.asarray(of_faces(factor))  # without a mask, the faces have weights

    def change(factor: int) -> Float[Array, "N h w S"]:
        n, h, w, _ = regions.mask.shape
        squares = to_unit(regions.mask).reshape(n, h // factor, factor, w // factor, factor, 1)
        painted = squares.mean((2, 4))
        return painted * of_faces(factor) + (1 - painted) * (photo - weights)[None, None, None]

    return change


def face_shares(
    regions: Regions, height: Any, width: Any, corners: Real[Array, "N 2"] | None = None
) -> Callable[[int], Float[Array, "N h w 1"]]:
    """How much the strength is reduced in every pixel, for `spare_faces`: 1 - a face's strength inside it, 0 far from faces."""
    boxes, less = _boxes_in(regions, corners), (1 - regions.strength)[:, None]
    return lambda factor: spread_over_faces(boxes, less, height, width, factor, STRENGTH_RADII)


def _boxes_in(regions: Regions, corners: Real[Array, "N 2"] | None) -> Float[Array, "N F 4"]:
    """The boxes in pixels of windows; see `weight_changes`."""
    corners = jnp.zeros((1, 2)) if corners is None else corners
    return regions.boxes[None] - jnp.pad(corners, ((0, 0), (0, 2)))[:, None]
