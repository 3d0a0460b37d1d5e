"""MobileFaceNet: a small network for aligned faces, as linen modules.

S. Chen, Y. Liu, X. Gao, Z. Han, "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile Devices",
CCBR 2018, arXiv:1804.07573, in the variant of the OpenCV model zoo: batch norms are folded into the convolutions, which all
have a bias, and the numbers of blocks and the strides are those of the zoo.
"""

from __future__ import annotations

import functools
import operator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from emojax.nets.classifier_config import STAGES

BLOCKS = sum(blocks for blocks, _ in STAGES)
_SLOPE = 0.25  # initial slope of the PReLUs (He et al. 2015, arXiv:1502.01852)


class Layer(nn.Module):
    """A convolution with a bias, followed by a PReLU unless `linear`: 1 x 1, 3 x 3 of stride 2, or depthwise.

    Each convolution is a matrix product or a sum of shifted products, because XLA's grouped convolutions are several times
    slower on a CPU, forward and backward.
    """

    width: int
    """channels of the result; a depthwise convolution has as many as its input"""
    side: int = 1
    """side of the kernel, in pixels"""
    stride: int = 1
    depthwise: bool = False
    linear: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N H2 W2 D"]:
        inputs = 1 if self.depthwise else x.shape[-1]
        shape = (self.side, self.side, inputs, self.width)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape).astype(x.dtype)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.width,)).astype(x.dtype)
        if not self.depthwise:
            y = _dense(x, kernel, self.stride)
        elif self.side == x.shape[1]:
            y = (x * kernel[None, :, :, 0]).sum((1, 2), keepdims=True)
        else:
            y = _depthwise(x, kernel, self.stride)
        y = y + bias[None, None, None]
        if self.linear:
            return y
        slope = self.param("prelu", nn.initializers.constant(_SLOPE), (self.width,)).astype(x.dtype)
        return jnp.maximum(y, 0) + slope[None, None, None] * jnp.minimum(y, 0)


def _taps(x: Float[Array, "N H W C"], side: int, stride: int) -> list[Float[Array, "N H2 W2 C"]]:
    """The input values that each kernel entry multiplies, row by row; the input is padded by (side - 1) / 2 zeros."""
    height, width = x.shape[1:3]
    pad = (side - 1) // 2
    x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    return [x[:, i : i + height : stride, j : j + width : stride] for i in range(side) for j in range(side)]


def _dense(x: Float[Array, "N H W C"], kernel: Float[Array, "k k C D"], stride: int) -> Float[Array, "N H2 W2 D"]:
    taps = jnp.concatenate(_taps(x, len(kernel), stride), axis=-1) if len(kernel) > 1 else x
    flat = taps.reshape(-1, taps.shape[-1]) @ kernel.reshape(-1, kernel.shape[-1])
    return flat.reshape(*taps.shape[:3], -1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _depthwise(x: Float[Array, "N H W C"], kernel: Float[Array, "k k 1 C"], stride: int) -> Float[Array, "N H2 W2 C"]:
    # Without the barrier, XLA recomputes the preceding PReLU for each shift.
    x = lax.optimization_barrier(x)
    entries = kernel.reshape(-1, 1, 1, 1, kernel.shape[-1])
    return functools.reduce(operator.add, map(operator.mul, _taps(x, len(kernel), stride), entries))


def _depthwise_forward(x: Array, kernel: Array, stride: int) -> tuple[Array, tuple[Array, Array]]:
    return _depthwise(x, kernel, stride), (x, kernel)


def _depthwise_backward(stride: int, inputs: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    """The gradients, also as sums of shifted products: XLA's own, with nine paddings, take three times as long on a CPU."""
    x, kernel = inputs
    gradient = lax.optimization_barrier(gradient)
    of_kernel = jnp.stack([(tap * gradient).sum((0, 1, 2)) for tap in _taps(x, len(kernel), stride)])
    gap = stride - 1
    behind = [
        extent - 1 - (shorter - 1) * stride for extent, shorter in zip(x.shape[1:3], gradient.shape[1:3], strict=True)
    ]
    spread = [(0, 0, 0), (0, behind[0], gap), (0, behind[1], gap), (0, 0, 0)]
    apart = lax.pad(gradient, jnp.zeros((), gradient.dtype), spread)
    return _depthwise(apart, kernel[::-1, ::-1], 1), of_kernel.reshape(kernel.shape)


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)


class Block(nn.Module):
    """Expand, depthwise, project (Sandler et al. 2018, arXiv:1801.04381); the input is added where the stride is 1."""

    inside: int
    width: int
    stride: int

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N H2 W2 D"]:
        y = Layer(self.inside, name="expand")(x)
        y = Layer(self.inside, 3, self.stride, depthwise=True, name="depth")(y)
        y = Layer(self.width, linear=True, name="project")(y)
        return x + y if self.stride == 1 else y


class Head(nn.Module):
    """The last stage's output -> features: expand, a depthwise convolution as large as the input, project."""

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N F"]:
        x = Layer(self.features, name="expand")(x)
        x = Layer(self.features, x.shape[1], depthwise=True, linear=True, name="depth")(x)
        return Layer(self.features, linear=True, name="project")(x).reshape(x.shape[0], -1)


class MobileFaceNet(nn.Module):
    """Faces float [N, S, S, 3], -1 to 1 -> features [N, F]. The layers are named like the zoo's weights.

    With `begin`, the network takes the input of the block of that number; with `end`, it returns the input of block `end`.
    """

    widths: tuple[int, ...]
    """channels of the stages"""
    features: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"], begin: int = 0, end: int | None = None) -> Float[Array, N * dims]:
        x = x.astype(self.dtype)
        if not begin:
            x = Layer(self.widths[0], 3, 2, name="stem")(x)
            x = Layer(self.widths[0], 3, depthwise=True, name="stem_depth")(x)
        shapes = [
            (width * (2 if index else first), width, 1 if index else 2)
            for (blocks, first), width in zip(STAGES, self.widths, strict=True)
            for index in range(blocks)
        ]
        for number in range(begin, BLOCKS if end is None else end):
            x = Block(*shapes[number], name=f"block{number}")(x)
        return Head(self.features, name="head")(x) if end is None else x


def layers_before(begin: int) -> tuple[str, ...]:
    """The names of the layers before block `begin`."""
    return ("stem", "stem_depth", *(f"block{number}" for number in range(begin))) if begin else ()
