"""The layers of the transform net as a Flax module; see `emojax.nets.stylizer` for what it does and where it deviates."""

from __future__ import annotations

import operator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from emojax.nets.convolutions import convolve, enlarge_and_convolve
from emojax.nets.layers import (
    apply_blocks,
    channel_moments,
    depth_to_space,
    instance_norm,
    reflect_pad,
    space_to_depth,
)
from emojax.nets.style_code import Statistics, StyleCode
from emojax.nets.stylizer_config import DOWN, MINIMUM, MULTIPLE, UP, StylizerConfig


class ConvolutionParams(nn.Module):
    """The parameters of a convolution: a kernel, and with `bias` a bias (a norm's shift otherwise replaces it)."""

    shape: tuple[int, int, int, int]
    bias: bool = False

    @nn.compact
    def __call__(self) -> dict[str, Array]:
        made = {"kernel": self.param("kernel", nn.initializers.lecun_normal(), self.shape)}
        return made | ({"bias": self.param("bias", nn.initializers.zeros_init(), self.shape[-1:])} if self.bias else {})


def _convolve(
    x: Float[Array, "N H W C"],
    kernel: Float[Array, "k k C D"],
    ends: tuple[Array, Array] | None,
    stride: int = 1,
    enlarge: bool = False,
) -> Float[Array, "N H2 W2 D"]:
    """A convolution with reflected borders, of the picture enlarged twofold with `enlarge`; for `ends` see `reflect_pad`."""
    # Enlarging repeats the border: "symmetric" padding before it equals "reflect" padding of the enlarged picture.
    x = reflect_pad(x, kernel.shape[0] // 2, ends, "symmetric" if enlarge else "reflect")
    return enlarge_and_convolve(x, kernel) if enlarge else convolve(x, kernel, stride)


class Stylizer(nn.Module):
    """Johnson's residual transform net. Its parameters are the convolutions; the style is an input, a code.

    Inputs are photos float32 [N, H, W, 3] in 0 to 1, H and W multiples of 4 and at least 16, and a `StyleCode`; the output
    has the shape and range of the photos. `size` = (h, w), int32 scalars that are multiples of 4 and at least 16, limits the
    picture to the top left h x w of a larger bucket. With `size`, the residual blocks are a loop, which compiles faster but has
    a slow gradient. The norms' statistics are each photo's own, those of all photos `together`, or the given `statistics`. A
    `rate`, 0 to 1, moves the given statistics that far towards the measured ones. Statistics that are not simply the given ones
    are sown into the collection "statistics". `dtype` is the precision of the convolutions. `stylize_with_code` first applies
    `remove_checkerboard` to the parameters.
    """

    config: StylizerConfig
    dtype: Any = jnp.float32
    together: bool = False

    @nn.compact
    def __call__(
        self,
        photos: Float[Array, "N H W 3"],
        code: StyleCode,
        size: tuple[Int[Array, ""], Int[Array, ""]] | None = None,
        statistics: Statistics | None = None,
        rate: Float[Array, ""] | None = None,
    ) -> Float[Array, "N H W 3"]:
        height, width = photos.shape[1:3]
        if height % MULTIPLE or width % MULTIPLE or height < MINIMUM or width < MINIMUM:
            raise ValueError(f"photos of {height}x{width}: pad both sides to a multiple of {MULTIPLE}, >= {MINIMUM}")
        config, patch = self.config, self.config.patch
        channels = dict(config.norm_layers())

        def ends(factor: int) -> tuple[Array, Array] | None:
            # A shift, because XLA turns a floored division into ten operations, in every layer that uses it.
            shift = factor.bit_length() - 1
            return None if size is None else (size[0] >> shift, size[1] >> shift)

        def layer(name, inputs, side=3):
            kernel = ConvolutionParams((side, side, inputs, channels[name]), name=name)()["kernel"]
            return {"kernel": kernel, **code[name], "statistics": None if statistics is None else statistics[name]}

        def conv_norm(x, layer, factor, stride=1, enlarge=False):
            before = factor * 2 if enlarge else factor // stride
            x = _convolve(x, layer["kernel"].astype(self.dtype), ends(before), stride, enlarge)
            used = layer["statistics"]
            if used is None or rate is not None:
                own = channel_moments(x, ends(factor), self.together)
                used = own if used is None else jax.tree.map(lambda old, new: old + rate * (new - old), used, own)
            return instance_norm(x, layer["scale"], layer["shift"], used), used

        def block(x, layers):
            y, a = conv_norm(x, layers["a"], 4)
            y, b = conv_norm(nn.relu(y), layers["b"], 4)
            return x + y, {"a": a, "b": b}

        found = {}
        x = space_to_depth(photos.astype(self.dtype) - 0.5, patch)
        for factor in (f for f in (1, 2, 4) if f >= patch):
            name = DOWN[factor]
            side, stride = (config.kernel, 1) if factor == patch else (3, 2)
            x, found[name] = conv_norm(x, layer(name, x.shape[-1], side), factor, stride)
            x = nn.relu(x)
        blocks = [{part: layer(f"block{i}_{part}", x.shape[-1]) for part in "ab"} for i in range(config.blocks)]
        x, of_blocks = apply_blocks(block, x, blocks, loop=size is not None)
        found |= {f"block{i}_{part}": used for i, both in enumerate(of_blocks) for part, used in both.items()}
        for factor in (f for f in (2, 1) if f >= patch):
            x, found[UP[factor]] = conv_norm(x, layer(UP[factor], x.shape[-1]), factor, enlarge=True)
            x = nn.relu(x)
        if statistics is None or rate is not None:
            self.sow("statistics", "norms", found, init_fn=dict, reduce_fn=operator.or_)
        out = ConvolutionParams((config.kernel, config.kernel, x.shape[-1], 3 * patch * patch), bias=True, name="out")()
        x = _convolve(x, out["kernel"].astype(self.dtype), ends(patch)) + out["bias"][None, None, None].astype(
            self.dtype
        )
        return nn.sigmoid(depth_to_space(x, patch).astype(jnp.float32))
