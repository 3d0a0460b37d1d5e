"""Faces -> aligned crops, in which eyes and mouth have fixed positions, however the head is tilted.

Coordinates are (x, y) in pixels, with pixel edges at whole numbers: the centre of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Real

Numbers = Array | np.ndarray
TEMPLATE_SIZE = 112
# The landmarks (right eye, left eye, nose tip, right and left corner of the mouth) in a crop of 112 x 112 pixels, for networks
# of the OpenCV model zoo. The zoo's coordinates have the centre of the first pixel at (0, 0), hence the 0.5.
TEMPLATE = np.array([(38.29, 51.70), (73.53, 51.50), (56.03, 71.74), (41.55, 92.37), (70.73, 92.20)], np.float32) + 0.5


class Similarity(NamedTuple):
    """A rotation, a uniform scale and a shift: z -> factor z + shift, with points as complex numbers x + iy."""

    factor: Any
    """complex scalar, like the shift"""
    shift: Any

    def inverse(self) -> Similarity:
        return Similarity(1 / self.factor, -self.shift / self.factor)

    def __call__(self, points: Float[Numbers, "*N 2"]) -> Float[Numbers, "*N 2"]:
        moved = self.factor * _as_complex(points) + self.shift
        return _library(moved).stack([moved.real, moved.imag], axis=-1)


def fit_similarity(points: Float[Numbers, "N 2"], targets: Float[Numbers, "N 2"]) -> Similarity:
    """The similarity that maps points to targets with the least sum of squared errors; a shift if all points coincide.

    It is computed with NumPy if both are NumPy arrays, which is faster for single faces and compiles nothing, else with JAX.
    """
    library, z, w = _library(points, targets), _as_complex(points), _as_complex(targets)
    centre, target = z.mean(), w.mean()
    spread = (abs(z - centre) ** 2).sum()
    product = ((z - centre).conj() * (w - target)).sum()
    factor = library.where((spread > 0) & (product != 0), product / library.where(spread > 0, spread, 1), 1)
    return Similarity(factor, target - factor * centre)


def _library(*arrays: Any) -> Any:
    """`jax.numpy` if one of the arrays is JAX's, else NumPy."""
    return jnp if any(isinstance(array, jax.Array) for array in arrays) else np


def _as_complex(points: Float[Numbers, "*N 2"]) -> Any:
    if isinstance(points, jax.Array):
        return lax.complex(points[..., 0], points[..., 1])
    return points[..., 0] + 1j * points[..., 1]


def template(size: int, margin: float = 0.0) -> Float[np.ndarray, "5 2"]:
    """The landmarks' positions in an aligned crop of size x size that shows a margin around the template's square."""
    scale = size / (TEMPLATE_SIZE * (1 + 2 * margin))
    return ((TEMPLATE + margin * TEMPLATE_SIZE) * scale).astype(np.float32)


def align(
    picture: Float[Numbers, "H W C"],
    landmarks: Float[Numbers, "5 2"],
    size: int = TEMPLATE_SIZE,
    margin: float = 0.0,
) -> Float[Array, "S S C"]:
    """Cuts out a face such that its landmarks lie where `template` has them: bilinear; edges are repeated outside.

    Args:
        picture: values of any range; the result has the same range.
        landmarks: landmarks of the upright or tilted face, in pixels of the picture.
        size: side of the result, in pixels.
        margin: what the result shows beyond the template's square on each side, as a fraction of the square.
    """
    centres = jnp.arange(size) + 0.5
    grid = jnp.stack(jnp.meshgrid(centres, centres), axis=-1)
    return sample(picture, fit_similarity(landmarks, template(size, margin)).inverse()(grid))


def sample(picture: Real[Numbers, "H W C"], points: Float[Numbers, "h w 2"]) -> Float[Array, "h w C"]:
    """The colours of a picture at points: bilinear between pixel centres; edges are repeated outside."""
    picture = jnp.asarray(picture)
    last = jnp.stack([jnp.asarray(side - 1) for side in picture.shape[1::-1]])  # sides may be symbolic
    points = jnp.clip(points - 0.5, 0, last[None, None])
    low = jnp.floor(points).astype(jnp.int32)
    high = jnp.minimum(low + 1, last[None, None])
    x, y = jnp.split(points - low, 2, axis=-1)
    (left, top), (right, bottom) = ((corner[..., 0], corner[..., 1]) for corner in (low, high))
    above = picture[top, left] * (1 - x) + picture[top, right] * x
    below = picture[bottom, left] * (1 - x) + picture[bottom, right] * x
    return above * (1 - y) + below * y
