"""Augmentation of faces on the device. Each face has its own PRNG key, so the result does not depend on the device.

Faces are float32 [N, S, S, C], -1 to 1, as `network_input` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt32

from emojax.util.numbers import check_range


@dataclass(frozen=True)
class AugmentConfig:
    """How much each face is changed; 0 switches a change off."""

    flip: bool = True
    """mirror a face with probability 1/2"""
    rotation: float = 10.0
    """largest rotation to either side, in degrees"""
    scale: float = 0.1
    """largest enlargement or reduction, as a fraction"""
    shift: float = 0.06
    """largest shift along either axis, as a fraction of the side"""
    brightness: float = 0.2
    """largest brightening or darkening, where black to white is 2"""
    contrast: float = 0.25
    """largest change of contrast, as a fraction"""
    erase: float = 0.25
    """share of faces in which a rectangle is replaced by a random grey"""
    erase_size: float = 0.33
    """largest side of that rectangle, as a fraction of the side"""
    shrink: float = 0.0
    """share of faces that are reduced to a half, a third or a fifth of their pixels along a side, as small faces are"""

    def __post_init__(self) -> None:
        for field in ("rotation", "shift", "brightness"):
            check_range(field, getattr(self, field), least=0)
        for field in ("contrast", "erase", "erase_size", "shrink"):
            check_range(field, getattr(self, field), least=0, most=1)
        check_range("scale", self.scale, least=0, below=1)


def augment_faces(
    config: AugmentConfig, keys: UInt32[Array, "N 2"], faces: Float[Array, "N S S C"]
) -> Float[Array, "N S S C"]:
    """Flip, rotation, scale and shift in one bilinear sampling; fewer pixels; brightness and contrast; erasing. Pure."""
    return jax.vmap(lambda key, face: _augment(config, key, face))(keys, faces)


def mix_pairs(
    alpha: float, keys: UInt32[Array, "N 2"], faces: Float[Array, "N S S C"], labels: Float[Array, "N K"]
) -> tuple[Float[Array, "N S S C"], Float[Array, "N K"]]:
    """Mixup (Zhang et al. 2018, arXiv:1710.09412): neighbouring faces and labels, mixed by a share ~ Beta(alpha, alpha). Pure.

    Faces 2i and 2i + 1 are mixed with the weights share and 1 - share, drawn with the first face's key. This deviates from the
    paper, which mixes a batch with a permutation of itself. Neighbours are on the same device, so the result does not depend
    on the number of devices.
    """
    share = jax.vmap(lambda key: jax.random.beta(key, alpha, alpha))(keys[::2])

    def mix(x: Array) -> Array:
        one, other = x[::2], x[1::2]
        part = share.reshape(-1, *[1] * (x.ndim - 1))
        return jnp.stack([part * one + (1 - part) * other, part * other + (1 - part) * one], 1).reshape(x.shape)

    return mix(faces), mix(labels)


def _augment(config: AugmentConfig, key: jax.Array, face: Float[Array, "S S C"]) -> Float[Array, "S S C"]:
    geometry, light, patch = jax.random.split(key, 3)
    face = _transform(config, geometry, face)
    if config.shrink:
        face = _shrink(config, jax.random.fold_in(key, 1), face)
    face = _relight(config, light, face)
    return _erase(config, patch, face)


def _transform(config: AugmentConfig, key: jax.Array, face: Array) -> Array:
    side = face.shape[0]
    angle, scale, dy, dx = jax.random.uniform(key, (4,), minval=-1.0)
    angle = jnp.deg2rad(config.rotation) * angle
    scale = 1 + config.scale * scale
    mirror = jnp.where(jax.random.bernoulli(jax.random.fold_in(key, 1)) & config.flip, -1.0, 1.0)
    center = (side - 1) / 2
    y, x = jnp.meshgrid(jnp.arange(side) - center, jnp.arange(side) - center, indexing="ij")
    x = mirror * x
    # The source position of every pixel of the result.
    from_y = (jnp.cos(angle) * y - jnp.sin(angle) * x) / scale + center + config.shift * side * dy
    from_x = (jnp.sin(angle) * y + jnp.cos(angle) * x) / scale + center + config.shift * side * dx
    return _sample(face, from_y, from_x)


def _sample(face: Array, y: Array, x: Array) -> Array:
    """Bilinear interpolation; the border pixels are repeated outside the face."""
    side = face.shape[0]
    y, x = jnp.clip(y, 0, side - 1), jnp.clip(x, 0, side - 1)
    y0 = jnp.clip(jnp.floor(y).astype(jnp.int32), 0, side - 2)
    x0 = jnp.clip(jnp.floor(x).astype(jnp.int32), 0, side - 2)
    fy, fx = (y - y0)[..., None], (x - x0)[..., None]
    top = face[y0, x0] * (1 - fx) + face[y0, x0 + 1] * fx
    bottom = face[y0 + 1, x0] * (1 - fx) + face[y0 + 1, x0 + 1] * fx
    return top * (1 - fy) + bottom * fy


def _shrink(config: AugmentConfig, key: jax.Array, face: Array) -> Array:
    chance, which = jax.random.uniform(key, (2,))
    small = [_fewer_pixels(face, max(1, face.shape[0] // part)) for part in (2, 3, 5)]
    return jnp.where(chance < config.shrink, jnp.stack(small)[(which * len(small)).astype(jnp.int32)], face)


def _fewer_pixels(face: Array, side: int) -> Array:
    small = jax.image.resize(face, (side, side, face.shape[2]), "linear")
    return jax.image.resize(small, face.shape, "linear")


def _relight(config: AugmentConfig, key: jax.Array, face: Array) -> Array:
    brightness, contrast = jax.random.uniform(key, (2,), minval=-1.0)
    mean = face.mean()
    return jnp.clip(mean + (face - mean) * (1 + config.contrast * contrast) + config.brightness * brightness, -1, 1)


def _erase(config: AugmentConfig, key: jax.Array, face: Array) -> Array:
    side = face.shape[0]
    chance, height, width, top, left, grey = jax.random.uniform(key, (6,))
    height, width = height * config.erase_size * side, width * config.erase_size * side
    rows, columns = jnp.arange(side)[:, None], jnp.arange(side)[None, :]
    top, left = top * (side - height), left * (side - width)
    inside = (rows >= top) & (rows < top + height) & (columns >= left) & (columns < left + width)
    return jnp.where((inside & (chance < config.erase))[..., None], 2 * grey - 1, face)
