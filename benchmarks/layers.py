"""`python -m benchmarks.layers`: where the transform net's time goes on the CPU, layer by layer, and what its forms save.

Every layer of the default network is timed alone, convolutions in the plain form and in the one of `emojax.convolutions`.
Milliseconds are medians of interleaved rounds; GFLOP are those of the plain convolution, a multiplication and an addition
being 2.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.timing import interleaved
from emojax.commandline import Parser, run
from emojax.errors import UserError


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = Parser(
        prog="python -m benchmarks.layers",
        description="Times the transform net's layers on the CPU.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--side", type=int, default=512, help="of the photo, a multiple of 4")
    parser.add_argument("--repeats", type=int, default=7, help="rounds that are timed")
    args = parser.parse_args(argv)
    if args.side % 4 or args.side < 16 or args.repeats < 1:
        raise UserError(f"--side {args.side}, --repeats {args.repeats}: a multiple of 4 from 16 up, and at least 1")
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax
    import jax.numpy as jnp

    from emojax import compiling
    from emojax.convolutions import convolve, enlarge_and_convolve
    from emojax.stylizer import StylizerConfig, instance_norm, moments

    config, rng = StylizerConfig(), np.random.default_rng(0)
    options: dict[str, Any] = {"padding": "VALID", "dimension_numbers": ("NHWC", "HWIO", "NHWC")}

    def array(*shape: int) -> jax.Array:
        return jnp.asarray(rng.standard_normal(shape, np.float32))

    def plain(x: jax.Array, kernel: jax.Array, strides: tuple[int, int]) -> jax.Array:
        return jax.lax.conv_general_dilated(x, kernel, strides, **options)

    def plain_enlarge(x: jax.Array, kernel: jax.Array, strides: tuple[int, int]) -> jax.Array:
        return plain(x.repeat(2, 1).repeat(2, 2)[:, 1:-1, 1:-1], kernel, strides)

    def norm(x: jax.Array, scale: jax.Array) -> jax.Array:
        return jax.nn.relu(instance_norm(x, scale, scale, moments(x, None)))

    def milliseconds(functions: Sequence[Callable[..., Any]], *operands: jax.Array) -> list[float]:
        programs = [compiling.jit(function) for function in functions]
        runners = {str(i): lambda p=program: p(*operands).block_until_ready() for i, program in enumerate(programs)}
        return [1e3 * seconds[1] for seconds in interleaved(runners, args.repeats).values()]

    square = array(2048, 2048)
    (product,) = milliseconds([jnp.matmul], square, square)
    print(f"a matrix product of {len(square)}: {2 * len(square) ** 3 / product / 1e6:.0f} GFLOP/s\n")
    print("| layer | times | GFLOP | plain, ms | as it is, ms | GFLOP/s |\n| --- | --- | --- | --- | --- | --- |")
    w, side, sums = config.width, args.side, np.zeros(3)
    layers = [
        # name, how often, side of the input, kernel, channels in and out, stride, enlarging
        ("down0", 1, side, 9, 3, w, 1, False),
        ("down1", 1, side, 3, w, 2 * w, 2, False),
        ("down2", 1, side // 2, 3, 2 * w, 4 * w, 2, False),
        ("block", 2 * config.blocks, side // 4, 3, 4 * w, 4 * w, 1, False),
        ("up0", 1, side // 4, 3, 4 * w, 2 * w, 1, True),
        ("up1", 1, side // 2, 3, 2 * w, w, 1, True),
        ("out", 1, side, 9, w, 3, 1, False),
    ]
    for name, times, length, kernel, inputs, outputs, stride, enlarge in layers:
        padded = length + 2 * (kernel // 2)
        forms = (plain_enlarge, enlarge_and_convolve) if enlarge else (plain, convolve)
        functions = [
            partial(forms[0], strides=(stride, stride)),
            partial(forms[1], strides=(stride, stride), **options),
        ]
        found = milliseconds(functions, array(1, padded, padded, inputs), array(kernel, kernel, inputs, outputs))
        end = 2 * length if enlarge else length // stride
        gflop = 2e-9 * end**2 * kernel**2 * inputs * outputs
        sums += times * np.array([gflop, *found])
        print(f"| {name} | {times} | {gflop:.2f} | {found[0]:.1f} | {found[1]:.1f} | {1e3 * gflop / found[1]:.0f} |")
    for name, times, length, channels in (
        ("norm and ReLU, full size", 2, side, w),
        ("norm and ReLU, half", 2, side // 2, 2 * w),
        ("norm and ReLU, quarter", 1 + 2 * config.blocks, side // 4, 4 * w),
    ):
        (found_norm,) = milliseconds([norm], array(1, length, length, channels), array(1, 1, 1, channels))
        sums[1:] += times * found_norm
        print(f"| {name} | {times} | | {found_norm:.1f} | {found_norm:.1f} | |")
    print(f"| sum | | {sums[0]:.1f} | {sums[1]:.0f} | {sums[2]:.0f} | {1e3 * sums[0] / sums[2]:.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
