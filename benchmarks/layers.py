"""`python -m benchmarks.layers`: the transform net's time on the CPU by layer, and what faster convolutions save.

Every layer is timed alone. Convolutions are timed in the plain form and in the form of `emojax.nets.convolutions`.
Milliseconds are medians of interleaved rounds. GFLOP are those of the plain convolution; a multiplication and an addition
count as 2.
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
from emojax.errors import InputError
from emojax.util.commandline import Parser, run


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = Parser(
        prog="python -m benchmarks.layers",
        description="Times the transform net's layers on the CPU.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--styles", help="the network: a checkpoint or run, or the name of a packaged one; none: the default"
    )
    parser.add_argument("--side", type=int, default=512, help="of the photo, a multiple of 4")
    parser.add_argument("--repeats", type=int, default=7, help="rounds that are timed")
    args = parser.parse_args(argv)
    if args.side % 4 or args.side < 16 or args.repeats < 1:
        raise InputError(f"--side {args.side}, --repeats {args.repeats}: a multiple of 4 from 16 up, and at least 1")
    os.environ["JAX_PLATFORMS"] = "cpu"
    _print_table(args.styles, args.side, args.repeats)
    return 0


def _print_table(styles: str | None, side: int, repeats: int) -> None:
    """Times a network's layers for a photo of `side` x `side` and prints them, from the first to their sum."""
    import jax
    import jax.numpy as jnp

    from emojax.nets.convolutions import convolve, enlarge_and_convolve, plain
    from emojax.nets.layers import channel_moments, instance_norm
    from emojax.util import compiling
    from emojax.weights.load import find_styles, load_styles

    config, rng = load_styles(find_styles(styles))[0], np.random.default_rng(0)

    def array(*shape: int) -> jax.Array:
        return jnp.asarray(rng.standard_normal(shape, np.float32))

    def plain_enlarge(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return plain(x.repeat(2, 1).repeat(2, 2)[:, 1:-1, 1:-1], kernel)

    def norm(x: jax.Array, scale: jax.Array) -> jax.Array:
        return jax.nn.relu(instance_norm(x, scale, scale, channel_moments(x, None)))

    def milliseconds(functions: Sequence[Callable[..., Any]], *operands: jax.Array) -> list[float]:
        programs = [compiling.jit(function) for function in functions]
        runners = {str(i): lambda p=program: p(*operands).block_until_ready() for i, program in enumerate(programs)}
        return [1e3 * seconds[1] for seconds in interleaved(runners, repeats).values()]

    square = array(2048, 2048)
    (product,) = milliseconds([jnp.matmul], square, square)
    print(f"a matrix product of {len(square)}: {2 * len(square) ** 3 / product / 1e6:.0f} GFLOP/s\n")
    print("| layer | times | GFLOP | plain, ms | as it is, ms | GFLOP/s |\n| --- | --- | --- | --- | --- | --- |")
    patch, sums = config.patch, np.zeros(3)
    sizes = [factor for factor in (1, 2, 4) if factor >= patch]
    ends, w = (config.kernel, 3 * patch**2), config.channels
    layers = [
        # name, count, downscaling factor of its input, kernel, channels in, channels out, stride, whether it upsamples
        ("first", 1, patch, ends[0], ends[1], w(patch), 1, False),
        *((f"down to 1/{2 * n}", 1, n, 3, w(n), w(2 * n), 2, False) for n in sizes[:-1]),
        ("block", 2 * config.blocks, 4, 3, w(4), w(4), 1, False),
        *((f"up to 1/{n // 2}", 1, n, 3, w(n), w(n // 2), 1, True) for n in sizes[:0:-1]),
        ("out", 1, patch, ends[0], w(patch), ends[1], 1, False),
    ]
    for name, times, factor, kernel, inputs, outputs, stride, enlarge in layers:
        length = side // factor
        padded = length + 2 * (kernel // 2)
        functions: list[Callable[..., Any]] = [plain_enlarge, enlarge_and_convolve]
        if not enlarge:
            functions = [partial(form, stride=stride) for form in (plain, convolve)]
        found = milliseconds(functions, array(1, padded, padded, inputs), array(kernel, kernel, inputs, outputs))
        end = 2 * length if enlarge else length // stride
        gflop = 2e-9 * end**2 * kernel**2 * inputs * outputs
        sums += times * np.array([gflop, *found])
        print(f"| {name} | {times} | {gflop:.2f} | {found[0]:.1f} | {found[1]:.1f} | {1e3 * gflop / found[1]:.0f} |")
    for n in sizes:
        times, length = 2 * config.blocks + 1 if n == 4 else 2, side // n
        (found_norm,) = milliseconds([norm], array(1, length, length, w(n)), array(1, 1, 1, w(n)))
        sums[1:] += times * found_norm
        print(f"| norm and ReLU, 1/{n} | {times} | | {found_norm:.1f} | {found_norm:.1f} | |")
    print(f"| sum | | {sums[0]:.1f} | {sums[1]:.0f} | {sums[2]:.0f} | {1e3 * sums[0] / sums[2]:.0f} |")


if __name__ == "__main__":
    sys.exit(run(main))
