"""`python -m benchmarks.actors`: photos a second of `python -m emojax.ray` with several actors, beside the folder command.

Every round runs the whole commands on the same folder, one after the other. A first round fills the cache of compiled
programs. The time includes the start of Ray, so a small folder makes Ray look slower than it is.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.job import MIXED, OURS, command, make_photo, run
from emojax.errors import InputError
from emojax.util.commandline import Parser
from emojax.util.commandline import run as run_command


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = Parser(
        prog="python -m benchmarks.actors",
        description="Times emojax.ray beside the folder command.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--photos", type=int, default=200, help="in the folder")
    parser.add_argument("--side", type=int, help="of the photos; none: mixed sizes")
    parser.add_argument("--actors", nargs="+", type=int, default=[1, 2], help="numbers of actors")
    parser.add_argument("--repeats", type=int, default=3, help="rounds that are timed")
    args = parser.parse_args(argv)
    if min(args.photos, args.repeats, *args.actors) < 1 or (args.side is not None and args.side < 16):
        raise InputError("--photos, --repeats and --actors are at least 1, --side at least 16")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as name:
        (source := Path(name, "photos")).mkdir()
        os.environ["EMOJAX_CACHE"] = str(Path(name, "cache"))
        rng = np.random.default_rng(0)
        for index in range(args.photos):
            size = [args.side] * 2 if args.side else rng.integers(*MIXED, 2).tolist()
            make_photo(source / f"{index:05}.jpg", *size)
        output = Path(name, "out")
        commands = {"folder command": command(OURS, None, source, output, 0)}
        for actors in args.actors:
            start = [sys.executable, "-m", "emojax.ray", str(source), str(output), "--emotion", "happy"]
            share = max(1.0, cores / actors)
            commands[f"emojax.ray, {actors} of {share:g} cores"] = [
                *start,
                "--actors",
                str(actors),
                "--cpus",
                str(share),
            ]
        found: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(1 + args.repeats):
            for what, arguments in commands.items():
                shutil.rmtree(output, ignore_errors=True)
                seconds, _ = run(arguments)
                found[what].extend([args.photos / seconds] * (turn > 0))
                print(f"round {turn}, {what}: {seconds:.1f} s", file=sys.stderr, flush=True)
    for what, rates in found.items():
        low, median, high = np.quantile(rates, [0.25, 0.5, 0.75])
        print(f"{what}: {median:.2f} photos/s ({low:.2f} to {high:.2f}), {args.photos} photos")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
