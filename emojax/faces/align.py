"""Faces -> crops in which the eyes and the mouth lie where they always lie, however the head was tilted.

Coordinates are (x, y) in pixels, edges at whole numbers: the centre of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, UInt8

from emojax.faces.find import cut_box
from emojax.util.compiling import jit

TEMPLATE_SIZE = 112
# Where the landmarks (right eye, left eye, nose tip, right and left corner of the mouth) lie in a crop of 112 x 112 for the
# networks of the OpenCV model zoo, whose coordinates have the centre of the first pixel at (0, 0).
TEMPLATE = np.array([(38.29, 51.70), (73.53, 51.50), (56.03, 71.74), (41.55, 92.37), (70.73, 92.20)], np.float32) + 0.5
_DETAIL = 1.5
"""pixels of what is cut out of a photo per pixel of the crop: enough that turning it takes no sharpness"""


class Similarity(NamedTuple):
    """A rotation, one scale and a shift: z -> factor z + shift, with points as complex numbers x + iy."""

    factor: Array
    shift: Array

    def inverse(self) -> Similarity:
        return Similarity(1 / self.factor, -self.shift / self.factor)

    def __call__(self, points: Float[Array | np.ndarray, "*N 2"]) -> Float[Array, "*N 2"]:
        moved = self.factor * _as_complex(points) + self.shift
        return jnp.stack([moved.real, moved.imag], axis=-1)


def _as_complex(points: Float[Array | np.ndarray, "*N 2"]) -> Array:
    return lax.complex(*jnp.moveaxis(jnp.asarray(points), -1, 0))


def fit_similarity(points: Float[Array | np.ndarray, "N 2"], targets: Float[Array | np.ndarray, "N 2"]) -> Similarity:
    """The similarity that takes points to targets with the least sum of squared errors; a shift if all points are one."""
    z, w = _as_complex(points), _as_complex(targets)
    centre, target = z.mean(), w.mean()
    spread = (jnp.abs(z - centre) ** 2).sum()
    product = ((z - centre).conj() * (w - target)).sum()
    factor = jnp.where((spread > 0) & (product != 0), product / jnp.where(spread > 0, spread, 1), 1)
    return Similarity(factor, target - factor * centre)


def template(size: int) -> Float[np.ndarray, "5 2"]:
    """Where the landmarks lie in an aligned crop of size x size."""
    return TEMPLATE * np.float32(size / TEMPLATE_SIZE)


def align(
    picture: Float[Array | np.ndarray, "H W C"], landmarks: Float[Array | np.ndarray, "5 2"], size: int = TEMPLATE_SIZE
) -> Float[Array, "S S C"]:
    """The part of a picture that has its landmarks where `template` has them: bilinear, edges are repeated outside.

    Args:
        picture: of any range, which is kept.
        landmarks: of the upright or tilted face, in pixels of the picture.
        size: of the result.
    """
    centres = jnp.arange(size) + 0.5
    grid = jnp.stack(jnp.meshgrid(centres, centres), axis=-1)
    return sample(picture, fit_similarity(landmarks, template(size)).inverse()(grid))


def sample(
    picture: Float[Array | np.ndarray, "H W C"], points: Float[Array | np.ndarray, "h w 2"]
) -> Float[Array, "h w C"]:
    """The colours of a picture at points: bilinear between the centres of the pixels, edges are repeated outside."""
    picture = jnp.asarray(picture)
    last = jnp.array(picture.shape[1::-1]) - 1
    points = jnp.clip(points - 0.5, 0, last[None, None])
    low = jnp.floor(points).astype(jnp.int32)
    high = jnp.minimum(low + 1, last[None, None])
    x, y = jnp.split(points - low, 2, axis=-1)
    (left, top), (right, bottom) = ((corner[..., 0], corner[..., 1]) for corner in (low, high))
    above = picture[top, left] * (1 - x) + picture[top, right] * x
    below = picture[bottom, left] * (1 - x) + picture[bottom, right] * x
    return above * (1 - y) + below * y


@functools.cache
def _programs(size: int) -> tuple[Callable[..., Similarity], Callable[..., Float[Array, "S S 3"]]]:
    """Where the crop lies in a photo, and what it shows as whole numbers."""

    def place(landmarks: Array) -> Similarity:
        return fit_similarity(landmarks, template(size)).inverse()

    def show(picture: Array, landmarks: Array) -> Array:
        return jnp.round(align(picture.astype(jnp.float32), landmarks, size)).astype(jnp.uint8)

    return jit(place), jit(show)


def cut_aligned(
    photo: UInt8[np.ndarray, "H W 3"], landmarks: Sequence[tuple[float, float]], size: int = TEMPLATE_SIZE
) -> UInt8[np.ndarray, "S S 3"]:
    """The aligned crop of a face in a photo of any size.

    What the crop shows is first cut out and made as small as it needs to be, so that large faces keep no aliasing and one
    program serves all photos.

    Args:
        photo: RGB.
        landmarks: the five of `Face.landmarks`.
        size: of the result.
    """
    place, show = _programs(size)
    points = np.array(landmarks, np.float32)
    factor, shift = (complex(number) for number in jax.device_get(place(points)))
    centre, half = (
        factor * complex(size / 2, size / 2) + shift,
        abs(factor) * size / math.sqrt(2),
    )  # the crop may lie on its corner
    left, top = centre.real - half, centre.imag - half
    side = math.ceil(math.sqrt(2) * size * _DETAIL)
    part = cut_box(photo, (left, top, left + 2 * half, top + 2 * half), side)
    inside = (points - np.array([[left, top]])) * (side / (2 * half))
    return np.asarray(show(part, inside.astype(np.float32)))
