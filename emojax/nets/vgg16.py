"""VGG16 up to relu4_3, whose features the style and content losses compare (Simonyan & Zisserman 2015, arXiv:1409.1556).

`vgg16_features` returns whole feature maps; `vgg16_sums` returns sums over them, in little memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emojax.nets.convolutions import convolve
from emojax.nets.layers import max_pool

_WIDTHS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512)
LAYERS = ("1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1", "4_2", "4_3")
FEATURES = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
"""The last feature map of each block, before the pooling."""


def shapes(narrower: int = 1) -> dict[str, tuple[int, ...]]:
    """`SHAPES` for a network whose channels are divided by `narrower`."""
    widths = (3, *(width // narrower for width in _WIDTHS[1:]))
    return {
        name: shape
        for layer, inputs, outputs in zip(LAYERS, widths, widths[1:], strict=False)
        for name, shape in ((f"conv{layer}/kernel", (3, 3, inputs, outputs)), (f"conv{layer}/bias", (outputs,)))
    }


SHAPES = shapes()
"""The tensors of a weights file in our layout: name -> shape, kernels HWIO."""


def vgg16_features(
    params: Mapping[str, Any], images: Float[Array, "N H W 3"], layers: Sequence[str] = FEATURES
) -> dict[str, Array]:
    """The named feature maps of photos. The forward pass ends at the deepest of them. Pure.

    Args:
        params: see `load_vgg16`; layers after the deepest one may be missing. The dtype of the kernels is the dtype of the
            computation; float16 overflows.
        images: RGB in 0..255, H and W at least 2, 4 or 8 for maps of the second, third or fourth block.
        layers: names such as "relu3_1", of `LAYERS`.

    Returns:
        Layer -> [N, H / 2^i, W / 2^i, C] in block i + 1, not negative, in the kernels' dtype; in the network's order.

    Raises:
        ValueError: an unknown name.
    """
    x, features = _centred(params, images), {}
    for block in _blocks(layers):
        if block[0] != LAYERS[0]:
            x = max_pool(x)
        for layer in block:
            x = _activations(params, layer, x)
            if (name := f"relu{layer}") in layers:
                features[name] = x
    return features


Tap = Callable[[Array, Any, Any], Any]
"""(rows of a map [N, h, W, C], the same rows of further arrays, index of the first row) -> a pytree of sums over the rows"""
STRIP = 2**24
"""the number of values above which `vgg16_sums` does not hold a feature map at once"""


def vgg16_sums(
    params: Mapping[str, Any],
    images: Float[Array, "N H W 3"],
    taps: Mapping[str, Tap],
    beside: Mapping[str, Any],
    strip: int = STRIP,
) -> dict[str, Any]:
    """Sums over feature maps of photos. Pure.

    Maps of more than `strip` values are computed in strips of rows, and once more in the backward pass instead of being kept
    (Chen et al. 2016, arXiv:1604.06174), so memory hardly grows with the photo. The result is that of whole maps, up to
    rounding.

    Args:
        params, images: see `vgg16_features`.
        taps: name of a map -> its sums, which must be additive over rows. Rows outside the photo are zeros, in the map and
            beside it, and must add nothing.
        beside: each name of `taps` -> a pytree of arrays [_, H / 2^i, W / 2^i, ...] whose rows the tap sees beside the map's.
        strip: the most values of a photo's map that are held at once.

    Returns:
        Name -> the sums over all rows.

    Raises:
        ValueError: an unknown name.
    """
    sums: dict[str, Any] = {}
    x, blocks = _centred(params, images), _blocks(taps)
    for block in blocks:
        found, x = _block_sums(params, x, block, taps, beside, strip, pooled=block is not blocks[-1])
        sums |= found
    return sums


def _block_sums(
    params: Mapping[str, Any],
    x: Array,
    block: Sequence[str],
    taps: Mapping[str, Tap],
    beside: Mapping[str, Any],
    strip: int,
    pooled: bool,
) -> tuple[dict[str, Any], Any]:
    """The sums of one block of layers, and the input of the next block, `pooled`; None for the last block."""
    n, height, width, _ = x.shape
    count = -(-height * width * params[f"conv{block[0]}"]["bias"].size // strip)
    names, found = {layer: f"relu{layer}" for layer in block if f"relu{layer}" in taps}, {}
    if count == 1:
        for layer in block:
            x = _activations(params, layer, x)
            if layer in names:
                found[names[layer]] = taps[names[layer]](x, beside[names[layer]], 0)
        return found, max_pool(x) if pooled else None
    rows = 2 * -(-height // (2 * count))  # of a strip; even, so that pooling never crosses its border
    count = -(-height // rows)

    def padded(x: Any, border: int) -> Array:
        sides = [(0, 0), (border, border + count * rows - height), *((0, 0) for _ in x.shape[2:])]
        return jnp.pad(x, sides)

    whole = padded(x, len(block))
    others = {name: jax.tree.map(lambda x: padded(x, 0), beside[name]) for name in names.values()}

    @jax.checkpoint
    def one(first: Array) -> tuple[dict[str, Any], Any]:
        part, found = jax.lax.dynamic_slice_in_dim(whole, first, rows + 2 * len(block), axis=1), {}
        for border, layer in zip(reversed(range(len(block))), block, strict=True):
            part = _activations(params, layer, part)[:, 1:-1]
            row = first - border + np.arange(rows + 2 * border)
            # A convolution pads with zeros at the photo's edge. Rows outside hold relu(bias) and more: they are set to zero.
            inside = ((row >= 0) & (row < height)).astype(part.dtype)
            part = part * inside.reshape(1, -1, 1, 1)
            if name := names.get(layer):
                own = part[:, border : border + rows]
                same = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, first, rows, axis=1), others[name])
                found[name] = taps[name](own, same, first)
        return found, max_pool(part) if pooled else None

    parts, outputs = jax.lax.map(one, rows * np.arange(count))
    sums = jax.tree.map(lambda x: x.sum(0), parts)
    if outputs is None:
        return sums, None
    return sums, jnp.moveaxis(outputs, 0, 1).reshape(n, -1, *outputs.shape[3:])[:, : height // 2]


def _blocks(names: Sequence[str] | Mapping[str, Any]) -> list[list[str]]:
    """The layers up to the deepest of the named maps, by block.

    Raises:
        ValueError: an unknown name.
    """
    if unknown := [name for name in names if name.removeprefix("relu") not in LAYERS]:
        raise ValueError(f"unknown feature map {unknown[0]!r}: choose from relu{', relu'.join(LAYERS)}")
    depth = 1 + max((LAYERS.index(name.removeprefix("relu")) for name in names), default=-1)
    return [list(block) for _, block in itertools.groupby(LAYERS[:depth], lambda layer: layer[0])]


def map_size(name: str, height: int, width: int) -> tuple[int, int]:
    """The height and width of the named map of a photo of a size: each block after the first halves them, rounded down."""
    halvings = int(name.removeprefix("relu")[0]) - 1
    return height >> halvings, width >> halvings


def _centred(params: Mapping[str, Any], images: Array) -> Array:
    return images.astype(jnp.float32) - params["mean"].astype(jnp.float32).reshape(1, 1, 1, 3)


def _activations(params: Mapping[str, Any], layer: str, x: Array) -> Array:
    kernel, bias = (jnp.asarray(params[f"conv{layer}"][part]) for part in ("kernel", "bias"))
    return jax.nn.relu(convolve(x.astype(kernel.dtype), kernel, padding=1) + bias.reshape(1, 1, 1, -1))
