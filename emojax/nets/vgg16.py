"""VGG16 up to relu4_3, whose features the style and content losses compare (Simonyan & Zisserman 2015, arXiv:1409.1556)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
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
    if unknown := [name for name in layers if name.removeprefix("relu") not in LAYERS]:
        raise ValueError(f"unknown feature map {unknown[0]!r}: choose from relu{', relu'.join(LAYERS)}")
    x = images.astype(jnp.float32) - params["mean"].astype(jnp.float32).reshape(1, 1, 1, 3)
    features: dict[str, Array] = {}
    for before, layer in zip(("", *LAYERS), LAYERS, strict=False):
        if len(features) == len(set(layers)):
            break
        if before and before[0] != layer[0]:
            x = max_pool(x)
        kernel, bias = (jnp.asarray(params[f"conv{layer}"][part]) for part in ("kernel", "bias"))
        x = convolve(x.astype(kernel.dtype), kernel, padding=1)
        x = jax.nn.relu(x + bias.reshape(1, 1, 1, -1))
        if (name := f"relu{layer}") in layers:
            features[name] = x
    return features
