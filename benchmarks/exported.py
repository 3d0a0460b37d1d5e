"""`python -m benchmarks.exported`: the exported ONNX model beside a graph of one style and one size, in ONNX Runtime.

Both are the same network (`benchmarks/peers.py` writes the other graph); the exported one also converts the pixels, pads them,
and mixes the styles. Prints medians of interleaved runs, with the quartiles, and the largest difference in grey levels. The
times are CPU time on one core, so other programs on the machine do not count.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.peers import onnx_graph
from benchmarks.timing import interleaved
from emojax.errors import InputError
from emojax.util.commandline import Parser, run


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = Parser(
        prog="python -m benchmarks.exported",
        description="Times the exported ONNX model beside a graph of one style and one size.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--styles", help="fast, a checkpoint or run; none: the packaged default")
    parser.add_argument("--sides", nargs="+", type=int, default=[256, 512, 1024], help="of the photos")
    parser.add_argument("--repeats", type=int, default=15, help="rounds that are timed")
    args = parser.parse_args(argv)
    if min(args.sides) < 64 or any(side % 4 for side in args.sides) or args.repeats < 1:
        raise InputError("--sides are multiples of 4 from 64 up, and --repeats at least 1")
    os.environ["JAX_PLATFORMS"] = "cpu"
    for side in args.sides:
        found = runners(args.styles, side)
        pictures = [(runner() * np.float32(255)).round() for runner in found.values()]
        seconds = interleaved(found, args.repeats, clock=time.process_time)
        (_, written, _), (_, exported, _) = seconds.values()
        print(f"{side} x {side}", *(f"{name} {_line(values)}" for name, values in seconds.items()), sep=", ", end=", ")
        difference = np.abs(np.subtract(*pictures)).max()
        print(f"{exported / written:.2f} of the time, {difference:.0f} grey levels apart", flush=True)
    return 0


def runners(styles: str | None, side: int) -> dict[str, Callable[[], np.ndarray]]:
    """Both graphs by name: nothing -> float32 [1, 3, side, side], 0 to 1, of the same photo in the first style."""
    import onnxruntime

    from benchmarks.network import load_network
    from emojax.export import export_onnx_stylize

    config, params = load_network(styles)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1

    def open_model(graph: bytes) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    written = open_model(onnx_graph(config, params, 0, side, side))
    exported = open_model(export_onnx_stylize(config, params))
    pixels = np.random.default_rng(0).integers(0, 256, (1, side, side, 3)).astype(np.uint8)
    photo = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)) / np.float32(255)
    weights = np.eye(len(config.style_names), dtype=np.float32)[:1]

    def unit(stylized: np.ndarray) -> np.ndarray:
        return stylized.transpose(0, 3, 1, 2) / np.float32(255)

    return {
        "written for it": lambda: np.asarray(written.run(None, {"photo": photo})[0]),
        "exported": lambda: unit(exported.run(None, {"photos": pixels, "weights": weights})[0]),
    }


def _line(seconds: Sequence[float]) -> str:
    low, median, high = (value * 1e3 for value in seconds)
    return f"{median:.1f} ms ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    sys.exit(run(main))
