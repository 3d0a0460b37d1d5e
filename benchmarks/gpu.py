"""What `--device gpu` measures within a time limit: emojax, and PyTorch if it is installed.

The most important parts come first: the styles' training step, the network at its smallest and largest size, a photo from
file to file, a folder, the classifier's training step, the other sizes of the network. A part that no longer fits is skipped,
with a message. PyTorch compiles for half a minute or more, so it is measured only while enough time is left for emojax's
remaining parts.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.timing import Clock
from benchmarks.training import classifier_config, measure_classifier, measure_style, style_config
from emojax.train.faces.config import ClassifierTraining
from emojax.train.styles.config import StyleTraining

PYTORCH = 75.0
"""approximate seconds that PyTorch takes to compile for a part"""

Rows = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class Part:
    """Something that is measured."""

    name: str
    """its name in `--parts`"""
    what: str
    needs: float
    """approximate seconds that emojax takes, compiling included; the part is skipped if less time is left"""
    measure: Callable[[bool], Rows]
    """takes whether PyTorch is measured, too"""
    has_peers: bool = True


@dataclass(frozen=True)
class Scale:
    """How much is measured; tests use smaller values."""

    sides: tuple[int, ...] = (512, 1024)
    batches: tuple[int, ...] = (1, 16)
    job_sides: tuple[int, ...] = (512, 1024, 2048)
    photos: int = 50
    styles: StyleTraining = style_config(True)  # noqa: RUF009 (a frozen config)
    classifier: ClassifierTraining = classifier_config(True)  # noqa: RUF009
    dtype: str = "bfloat16"
    """of the training steps"""


def parts(
    folder: Path, network: str | None, scale: Scale, device: str, threads: int, repeats: int, clock: Clock
) -> list[Part]:
    """The parts, in the order in which they are measured.

    Args:
        folder: for temporary files.
        network: as `styles` of `emojax.load`.
        device: "cuda", or "cpu" to try the benchmark without a GPU.
    """
    from benchmarks import job
    from benchmarks.network import measure_on_device

    def bare(side: int, count: int) -> Part:
        def rows(peers: bool) -> Rows:
            return measure_on_device(network, side, count, device, peers, repeats, clock)

        return Part("network", f"the network at {side}, {count} at once", 15, rows)

    def steps(what: str, measure: Callable[..., Rows], config: Any) -> Part:
        return Part("training", what, 35, lambda peers: measure(config, scale.dtype, device, peers, repeats, clock))

    def photo(_: bool) -> Rows:
        return job.warm(folder, network, scale.job_sides, threads, repeats, peers=False)

    def mixed(_: bool) -> Rows:
        return job.mixed_folder(folder, network, scale.photos, peers=False)

    sizes = [(side, count) for count in scale.batches for side in scale.sides]
    first, *others, last = sizes if len(sizes) > 1 else [*sizes, *sizes]
    ends = dict.fromkeys([first, last])
    return [
        steps("the styles' training step", measure_style, scale.styles),
        *(bare(*size) for size in ends),
        Part("photo", "a photo, file to file", 30, photo, has_peers=False),
        Part("folder", "a folder", 60, mixed, has_peers=False),
        steps("the classifier's training step", measure_classifier, scale.classifier),
        *(bare(*size) for size in others),
    ]


def measure(found: list[Part], clock: Clock, write: Callable[[list[dict[str, Any]]], None]) -> list[dict[str, Any]]:
    """Measures the parts one after the other; prints every row as it comes, and writes all rows after every part."""
    rows: list[dict[str, Any]] = []
    has_torch = importlib.util.find_spec("torch") is not None
    if not has_torch:
        print("PyTorch is not installed: ours alone", file=sys.stderr)
    for index, part in enumerate(found):
        if not clock.has(part.needs):
            print(f"no time left for {part.what}", file=sys.stderr)
            continue
        # emojax's time for all remaining parts is reserved before PyTorch gets any
        peers = has_torch and part.has_peers and clock.has(PYTORCH + sum(other.needs for other in found[index:]))
        left_out = ", without PyTorch: no time to compile it" if has_torch and part.has_peers and not peers else ""
        print(f"measuring: {part.what}{left_out}", file=sys.stderr)
        for row in part.measure(peers):
            rows.append(row)
            print(f"  {describe(row)}", file=sys.stderr, flush=True)
        write(rows)
    return rows


def describe(row: dict[str, Any]) -> str:
    """A row as one line of text."""
    size = f" {row['side']}" if row["side"] else ""
    text = f"{row['what']}{size}, {row['name']}: {row['seconds'][1]:.4g} s"
    text += f", {row['rate']:.4g} a second" if "rate" in row else ""
    return text + (f", {row['share']:.0%} of the peak" if "share" in row else "")
