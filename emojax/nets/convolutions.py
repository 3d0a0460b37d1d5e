"""Convolutions of the transform net and VGG16, in forms that are fast on a CPU.

Each function equals a plain convolution up to rounding. On a GPU or TPU it is a plain convolution. The platform is chosen when
a program is compiled, so an exported program is right and fast on all platforms. Precisions other than float32 always use the
plain form, because the CPU forms would amplify their rounding errors. Where Winograd's method is used, only reverse-mode
gradients are defined. Arrays are [N, H, W, C], kernels [k, k, C, D]; `padding` is the number of zeros on every side.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

_LAYOUT = ("NHWC", "HWIO", "NHWC")

# Winograd's F(4, 3) computes 4 outputs of a 3-tap kernel from 6 inputs with 6 multiplications instead of 12. The matrices
# that transform inputs, kernel and outputs are those of Lavin & Gray 2016 (arXiv:1509.09308, section 4.1).
_INPUTS = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    np.float32,
)
_KERNEL = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], np.float32) / 24
_OUTPUTS = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], np.float32)

# A 3-tap kernel on a picture enlarged by 2 equals two 2-tap kernels on the small picture: odd outputs combine a pixel and its
# right neighbour, even outputs the left neighbour and the pixel. [odd or even, tap of the small kernel, tap of the kernel]
_PHASES = np.array([[[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]], np.float32)


def plain(
    x: Float[Array, "N H W C"], kernel: Float[Array, "k l C D"], stride: int = 1, padding: int = 0
) -> Float[Array, "N H2 W2 D"]:
    """XLA's convolution."""
    return lax.conv_general_dilated(x, kernel, (stride, stride), [(padding, padding)] * 2, dimension_numbers=_LAYOUT)


def convolve(
    x: Float[Array, "N H W C"], kernel: Float[Array, "k k C D"], stride: int = 1, padding: int = 0
) -> Float[Array, "N H2 W2 D"]:
    """A convolution. On a CPU, it uses Winograd's method or `by_rows` where these are faster."""
    side, _, channels, outputs = kernel.shape
    if stride == 1 and x.dtype == kernel.dtype == jnp.float32:
        if side == 3 and padding <= 2 and min(channels, outputs) >= 48:
            return _convolve_3x3(padding, x, kernel)
        if side > 3 and outputs < 8 and not padding:
            return lax.platform_dependent(x, kernel, cpu=by_rows, default=plain)
    return plain(x, kernel, stride, padding)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _convolve_3x3(
    padding: int, x: Float[Array, "N H W C"], kernel: Float[Array, "3 3 C D"]
) -> Float[Array, "N H2 W2 D"]:
    """A 3 x 3 convolution, on a CPU by Winograd's method, and so is its gradient with respect to x. Reverse mode only."""
    form, default = (functools.partial(method, padding=padding) for method in (winograd, plain))
    return lax.platform_dependent(x, kernel, cpu=form, default=default)


def _forward_3x3(padding: int, x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _convolve_3x3(padding, x, kernel), (x, kernel)


def _backward_3x3(padding: int, saved: tuple[Array, Array], change: Array) -> tuple[Array, Array]:
    x, kernel = saved
    mirrored = kernel[::-1, ::-1].swapaxes(2, 3)
    of_kernel = jax.linear_transpose(lambda kernel: plain(x, kernel, padding=padding), kernel)
    return _convolve_3x3(2 - padding, change, mirrored), *of_kernel(change)


_convolve_3x3.defvjp(_forward_3x3, _backward_3x3)


def enlarge_and_convolve(x: Float[Array, "N H W C"], kernel: Float[Array, "3 3 C D"]) -> Float[Array, "N H2 W2 D"]:
    """Nearest-neighbour upsampling by 2, cropping by one pixel at every border, and a 3 x 3 convolution.

    For an input that is padded by one pixel, this convolves the enlarged picture padded by one pixel: H2 = 2 (H - 2).
    """

    def enlarged(x: Array, kernel: Array) -> Array:
        return plain(x.repeat(2, axis=1).repeat(2, axis=2)[:, 1:-1, 1:-1], kernel)

    if x.dtype != jnp.float32:
        return enlarged(x, kernel)
    return lax.platform_dependent(x, kernel, cpu=by_phases, default=enlarged)


def winograd(
    x: Float[Array, "N H W C"], kernel: Float[Array, "3 3 C D"], padding: int = 0
) -> Float[Array, "N H2 W2 D"]:
    """A 3 x 3 convolution with half of the multiplications: F(4, 3) along the rows, plain along the columns.

    Winograd's method along both axes would halve the multiplications again, but moving the data costs the time that it saves.
    """
    width = x.shape[2] - 2 + 2 * padding
    tiles = (width + 3) // 4
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding + 4 * tiles - width), (0, 0)))
    inputs = [lax.slice_in_dim(x, i, i + 4 * tiles - 3, 4, axis=2) for i in range(6)]
    kernels = jnp.einsum("tj,ijcd->ticd", _KERNEL, kernel)
    products = [plain(_combine(row, inputs), taps[:, None]) for row, taps in zip(_INPUTS, kernels, strict=True)]
    y = jnp.stack([_combine(row, products) for row in _OUTPUTS], axis=3)
    return y.reshape(*y.shape[:2], 4 * tiles, y.shape[-1])[:, :, :width]


def by_rows(x: Float[Array, "N H W C"], kernel: Float[Array, "k k C D"]) -> Float[Array, "N H2 W2 D"]:
    """A convolution with few outputs: one convolution with the kernel's rows as channels, which fill a vector, and a sum."""
    side, _, channels, outputs = kernel.shape
    rows = kernel.transpose(1, 2, 0, 3).reshape(1, side, channels, side * outputs)
    y = plain(x, rows)
    height = x.shape[1] - side + 1
    return functools.reduce(operator.add, (y[:, i : i + height, :, i * outputs :][..., :outputs] for i in range(side)))


def by_phases(x: Float[Array, "N H W C"], kernel: Float[Array, "3 3 C D"]) -> Float[Array, "N H2 W2 D"]:
    """Upsampling and convolution as four 2 x 2 convolutions of the small picture, with 4/9 of the multiplications."""
    channels, outputs = kernel.shape[2:]
    phases = jnp.einsum("pyi,qxj,ijcd->yxcpqd", _PHASES, _PHASES, kernel).reshape(2, 2, channels, 4 * outputs)
    y = plain(x, phases)
    n, height, width, _ = y.shape
    y = y.reshape(n, height, width, 2, 2, outputs).transpose(0, 1, 3, 2, 4, 5)
    return y.reshape(n, 2 * height, 2 * width, outputs)[:, 1:-1, 1:-1]


def _combine(factors: np.ndarray, arrays: Sequence[Array]) -> Array:
    """The weighted sum of arrays; most factors are 0 or 1, and cost nothing."""
    terms = [array if factor == 1 else factor * array for factor, array in zip(factors, arrays, strict=True) if factor]
    return functools.reduce(operator.add, terms)
