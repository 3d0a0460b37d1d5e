"""Other styles, or less strength, in the regions of faces, softly masked.

The rest of the picture keeps the photo's style. One forward pass paints all of it, so that strokes run on where one style
fades into another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real, UInt8

from emojax.faces.find import Face

# Radii of the ellipse around a box's centre, in halves of the box's sides: inside the first a region is the face's alone,
# outside the second it is the picture's. The box ends at chin and brow; a style of its own takes the hair in, and less strength
# takes the eyes, nose and mouth: with the hair it leaves a grey ring around the head.
_STYLE_RADII, _STRENGTH_RADII = (1.0, 1.9), (0.8, 1.3)


SPARED = (80.0, 192.0)
"""widths of faces, in pixels: up to the first they have less strength, from the second on all of it"""
MAX_REGIONS = 16
"""Faces that have a style or strength of their own, the largest ones: each has a mask of the picture's size in memory."""


class Regions(NamedTuple):
    """The faces of a picture and what they are painted in."""

    boxes: Any
    """float32 [F, 4]: x, y, w, h in pixels; w = 0 for filling"""
    weights: Any = None
    """float32 [F, S]: weights of the styles of each face, rows sum to 1; None: those of the picture"""
    strength: Any = None
    """float32 [F], 0 to 1: strength of the style in each face, see `spare_faces`; None: all of it"""


def face_strengths(boxes: Float[Any, "F 4"], strength: Float[Any, ""]) -> Float[Any, " F"]:
    """The strength of the style in faces of these boxes: `strength` in small ones, 1 in large ones.

    A stroke has its size in pixels: it hides the eye of a small face, and models the cheek of a large one, which would
    look like a photo pasted into the picture.
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
    """`box_array` of a photo's faces in pixels of its resized version."""
    scales = np.array(small.shape[1::-1] * 2) / np.array(photo.shape[1::-1] * 2)
    return (box_array(faces, maximum) * scales).astype(np.float32)


def face_masks(
    boxes: Float[Array, "F 4"], height: Any, width: Any, factor: int, radii: tuple[float, float] = _STYLE_RADII
) -> Float[Array, "h w F"]:
    """How much every pixel belongs to each face: 0 to 1, at most 1 in all, falling off smoothly around the face.

    Args:
        boxes: in pixels of the height x width picture.
        factor: the masks are this much smaller than the picture, in each direction.
        radii: where the falling off begins and ends, in halves of a box's sides from its centre.
    """
    inner, outer = radii
    x, y, w, h = (side[None, None, :] for side in boxes.T)
    rows = (jnp.arange(height // factor)[:, None, None] + 0.5) * factor
    columns = (jnp.arange(width // factor)[None, :, None] + 0.5) * factor
    across = (columns - (x + w / 2)) / jnp.maximum(w / 2, 1e-6)
    down = (rows - (y + h / 2)) / jnp.maximum(h / 2, 1e-6)
    inside = jnp.clip((outer - jnp.hypot(across, down)) / (outer - inner), 0, 1)
    masks = jnp.where(w > 0, inside * inside * (3 - 2 * inside), 0)  # smoothstep
    return masks / jnp.maximum(masks.sum(-1, keepdims=True), 1)


def weight_changes(
    regions: Regions,
    weights: Float[Array, " S"],
    height: Any,
    width: Any,
    corners: Real[Array, "N 2"] | None = None,
) -> Callable[[int], Float[Array, "N h w S"]]:
    """What the faces' styles add to a picture's weights, for `vary_styles`; exactly 0 where a face has the picture's weights.

    Args:
        corners: (x, y) of the height x width windows of the picture that are wanted; by default one at (0, 0).
    """
    masks = _masks_of(regions, height, width, corners, _STYLE_RADII)
    difference = regions.weights - weights[None]
    return lambda factor: jnp.einsum("nhwf,fs->nhws", masks(factor), difference, precision="highest")


def face_shares(
    regions: Regions, height: Any, width: Any, corners: Real[Array, "N 2"] | None = None
) -> Callable[[int], Float[Array, "N h w 1"]]:
    """How much less strength every pixel has, for `spare_faces`: 1 - the faces' strengths in them, 0 far from them."""
    masks = _masks_of(regions, height, width, corners, _STRENGTH_RADII)
    less = (1 - regions.strength)[None, None, None]
    return lambda factor: (masks(factor) * less).sum(-1, keepdims=True)


def _masks_of(
    regions: Regions, height: Any, width: Any, corners: Real[Array, "N 2"] | None, radii: tuple[float, float]
) -> Callable[[int], Float[Array, "N h w F"]]:
    corners = jnp.zeros((1, 2)) if corners is None else corners
    boxes = regions.boxes[None] - jnp.pad(corners, ((0, 0), (0, 2)))[:, None]
    return lambda factor: jax.vmap(lambda boxes: face_masks(boxes, height, width, factor, radii))(boxes)
