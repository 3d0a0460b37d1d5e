"""`emojax style average`: the mean of the weights of several runs, often better than each run.

The runs have to start from the same weights (Wortsman et al. 2022, "Model soups", arXiv:2203.05482).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from emojax.errors import CheckpointError
from emojax.util.commandline import Parser
from emojax.util.words import tell
from emojax.weights import store
from emojax.weights.load import load_styles


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code.

    Raises:
        EmojaxError: checkpoints that cannot be read or are not alike, an output that exists or cannot be written.
    """
    parser = Parser(
        prog="emojax style average",
        description="Writes the mean of the weights of several transform nets that started from the same weights.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--checkpoints", type=Path, nargs="+", required=True, help="checkpoints or runs' folders")
    parser.add_argument("--output", type=Path, required=True, help="the checkpoint to write")
    parser.add_argument("--force", action="store_true", help="replace an existing one")
    args = parser.parse_args(argv)
    sources = [store.read_checkpoint(path, "styles").path for path in args.checkpoints]
    store.check_new_checkpoint(args.output, sources, args.force)
    (config, first), *others = map(load_styles, sources)
    for source, (other, _) in zip(sources[1:], others, strict=True):
        if other != config:
            raise CheckpointError(
                f"{sources[0]} is a {config}, {source} a {other}: only networks of one shape have a mean"
            )
    params = jax.tree.map(lambda *leaves: np.mean(leaves, axis=0), first, *[params for _, params in others])
    store.save_checkpoint(args.output, "styles", config, params)
    tell(f"wrote {args.output}")
    return 0
