"""`python -m benchmarks.classify`: the classifier's time per face on one core, and its arithmetic.

Prints the median over `--repeats` batches, with the quartiles, after warm-up. The process pins itself to one core.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emojax.errors import InputError
from emojax.util.commandline import Parser, run


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = Parser(
        prog="python -m benchmarks.classify",
        description="Times the classifier on one CPU core.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--checkpoint", type=Path, default=None, help="a checkpoint or run; none: the packaged one")
    parser.add_argument("--batch", type=int, default=32, help="faces at once")
    parser.add_argument("--repeats", type=int, default=50, help="batches that are timed")
    args = parser.parse_args(argv)
    os.environ["JAX_PLATFORMS"] = "cpu"
    if min(args.batch, args.repeats) < 1:
        raise InputError(f"--batch {args.batch}, --repeats {args.repeats}: at least 1 each")
    pinned = hasattr(os, "sched_setaffinity")  # Linux
    if pinned:  # before JAX counts the cores
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    import jax

    from emojax.nets.classifier import classify
    from emojax.util import compiling
    from emojax.util.files import PACKAGED
    from emojax.weights.load import load_classifier

    config, variables = load_classifier(args.checkpoint or PACKAGED / "classifier")
    variables = jax.device_put(variables)
    crops = np.random.default_rng(0).integers(0, 256, (args.batch, config.size, config.size, 3)).astype(np.uint8)
    # Of one face: in a batch, the cost analysis counts a loop over groups of faces as one group.
    lowered = jax.jit(lambda variables, crops: classify(config, variables, crops)).lower(variables, crops[:1])
    flops = (lowered.cost_analysis() or {}).get("flops", float("nan"))
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    program, seconds = compiling.jit(functools.partial(classify, config)), []
    for _ in range(3 + args.repeats):
        start = time.perf_counter()
        program(variables, crops).block_until_ready()
        seconds.append((time.perf_counter() - start) / args.batch)
    low, median, high = np.quantile(seconds[3:], [0.25, 0.5, 0.75])
    print(f"{config.architecture}, {config.size} x {config.size}: {parameters / 1e6:.2f} M parameters", end=", ")
    print(f"{flops / 1e9:.3f} GFLOP a face (a multiplication and an addition are 2)")
    where = "one CPU core" if pinned else "the CPU, not pinned to one core"
    print(f"batches of {args.batch} on {where}: {median * 1e3:.2f} ms a face", end=" ")
    print(f"({low * 1e3:.2f} to {high * 1e3:.2f}), {flops / median / 1e9:.0f} GFLOP/s")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
