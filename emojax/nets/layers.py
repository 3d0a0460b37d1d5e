"""Layers of the networks, as functions of arrays [N, H, W, C]: padding, instance norm, patches, pooling, residual blocks."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

EPSILON = 1e-5
FLAT = 1e-8
"""the largest variance of a channel that counts as flat; convolutions of values around 1 round by at most 1e-5"""


def reflect_pad(
    x: Float[Array, "N H W C"],
    pad: int,
    size: tuple[Int[Array, ""], Int[Array, ""]] | None,
    mode: Literal["reflect", "symmetric"] = "reflect",
) -> Float[Array, "N H2 W2 C"]:
    """Pads the two spatial axes by reflection, which leaves out ("reflect") or repeats ("symmetric") the border itself.

    With `size` = (h, w), the picture is the top left h x w part of x and the rest is filling. The reflection at the bottom
    and right then starts where the picture ends, so that the filling does not affect the picture.
    """
    if pad == 0:
        return x
    if size is None:  # the gradient of `jnp.pad` is cheap
        return jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode=mode)
    n, height, width, channels = x.shape
    rows, columns = (_reflected(extent, pad, end, mode) for extent, end in zip((height, width), size, strict=True))
    positions = (rows[:, None] * width + columns[None, :]).reshape(-1)
    padded = x.reshape(n, height * width, channels).at[:, positions].get(mode="promise_in_bounds")
    return padded.reshape(n, len(rows), len(columns), channels)


def _reflected(extent: int, pad: int, end: Int[Array, ""], mode: str) -> Int[Array, " P"]:
    """The source index of each of the extent + 2 * pad positions of a padded axis; the picture ends at `end`."""
    border = 0 if mode == "reflect" else 1
    index = jnp.arange(-pad, extent + pad)
    index = jnp.where(index < 0, -index - border, index)
    index = jnp.where(index < end, index, 2 * end - 2 + border - index)
    return jnp.clip(index, 0, extent - 1)  # far beyond the picture's end, any index will do


def channel_moments(
    x: Float[Array, "N H W C"], size: tuple[Int[Array, ""], Int[Array, ""]] | None, together: bool = False
) -> dict[str, Float[Array, "#N 1 1 C"]]:
    """Mean and variance of every channel over the h x w picture, in float32; with `together`, over the whole batch."""
    x32, axes = x.astype(jnp.float32), (0, 1, 2) if together else (1, 2)
    if size is None:
        mean = x32.mean(axes, keepdims=True)
        variance = jnp.square(x32 - mean).mean(axes, keepdims=True)
    else:
        inside = (jnp.arange(x.shape[1])[:, None] < size[0]) & (jnp.arange(x.shape[2])[None, :] < size[1])
        inside = inside[None, :, :, None]
        count = (size[0] * size[1]).astype(jnp.float32) * (x.shape[0] if together else 1)
        mean = jnp.where(inside, x32, 0).sum(axes, keepdims=True) / count
        variance = jnp.where(inside, jnp.square(x32 - mean), 0).sum(axes, keepdims=True) / count
    return {"mean": mean, "variance": variance}


def instance_norm(
    x: Float[Array, "N H W C"],
    scale: Float[Array, "*dims C"],
    shift: Float[Array, "*dims C"],
    statistics: Mapping[str, Float[Array, "#N 1 1 C"]],
) -> Float[Array, "N H W C"]:
    """Instance normalization with a given scale and shift, and with given statistics; see `channel_moments`.

    For a flat channel, whose variance is at most 1e-8, the result is the shift. Here we deviate from Ulyanov et al. 2016
    (arXiv:1607.08022), who divide the rounding errors by the root of epsilon.
    """
    x32, mean, variance = x.astype(jnp.float32), statistics["mean"], statistics["variance"]
    # A channel that varies only by rounding is flat; dividing by the root of epsilon would amplify the rounding errors.
    factor = scale * jnp.where(variance > FLAT, jax.lax.rsqrt(variance + EPSILON), 0)
    return (x32 * factor + (shift - mean * factor)).astype(x.dtype)


def space_to_depth(x: Float[Array, "N H W C"], patch: int) -> Float[Array, "N H2 W2 D"]:
    """The pixels of every patch x patch square as the channels of one position, row by row: D = patch^2 C."""
    n, height, width, channels = x.shape
    h, w = height // patch, width // patch
    x = x.reshape(n, h, patch, w, patch, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, h, w, patch * patch * channels)


def depth_to_space(x: Float[Array, "N H2 W2 D"], patch: int) -> Float[Array, "N H W C"]:
    """The inverse of `space_to_depth`."""
    n, h, w, depth = x.shape
    channels = depth // (patch * patch)
    x = x.reshape(n, h, w, patch, patch, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, h * patch, w * patch, channels)


def _stack(*arrays: Array) -> Array:
    """`jnp.stack`, done on flattened arrays: for arrays with four axes, XLA's CPU compiler takes a second."""
    return jnp.stack([array.ravel() for array in arrays]).reshape(len(arrays), *arrays[0].shape)


def apply_blocks(block: Callable, x: Array, blocks: Sequence[Any], loop: bool) -> tuple[Array, list[Any]]:
    """Applies the blocks to x, each with its own layers; returns the output and the further result of each block.

    With `loop`, the blocks are a loop of the compiled program: only one block is compiled, but the gradient takes twice as
    long on a CPU. The blocks are always unrolled where the styles vary over the picture, because a loop would keep the codes
    of all blocks in memory, each as large as the features.
    """
    uniform = all(layer["scale"].shape[1:3] == (1, 1) for layers in blocks for layer in layers.values())
    if len(blocks) > 1 and uniform and loop:
        x, stacked = jax.lax.scan(block, x, jax.tree.map(_stack, *blocks))
        return x, [jax.tree.map(operator.itemgetter(i), stacked) for i in range(len(blocks))]
    found = []
    for layers in blocks:
        x, result = block(x, layers)
        found.append(result)
    return x, found


@jax.custom_vjp
def max_pool(x: Float[Array, "N H W C"]) -> Float[Array, "N H//2 W//2 C"]:
    """Maxima of 2 x 2 squares; an odd last row or column is left out. Equal maxima share the gradient. Reverse mode only.

    It uses slices and its own gradient. On CPUs, the gradient of XLA's pooling windows takes several times as long, and
    the gradient of a reduction holds three more arrays of the input's size.
    """
    return functools.reduce(jnp.maximum, _corners(x))


def _corners(x: Float[Array, "N H W C"]) -> list[Array]:
    height, width = (side // 2 * 2 for side in x.shape[1:3])
    return [x[:, row:height:2, column:width:2] for row in (0, 1) for column in (0, 1)]


def _forward_max_pool(x: Array) -> tuple[Array, tuple[Array, Array]]:
    y = max_pool(x)
    return y, (x, y)


def _backward_max_pool(saved: tuple[Array, Array], change: Array) -> tuple[Array]:
    x, y = saved
    n, h, w, c = y.shape
    change = change / sum((corner == y).astype(change.dtype) for corner in _corners(x))
    squares = x[:, : 2 * h, : 2 * w].reshape(n, h, 2, w, 2, c)
    spread = jnp.where(squares == y[:, :, None, :, None], change[:, :, None, :, None], 0)
    odd = [(0, side - 2 * half) for side, half in zip(x.shape[1:3], (h, w), strict=True)]
    return (jnp.pad(spread.reshape(n, 2 * h, 2 * w, c), ((0, 0), *odd, (0, 0))),)


max_pool.defvjp(_forward_max_pool, _backward_max_pool)
