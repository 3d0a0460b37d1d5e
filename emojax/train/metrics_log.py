"""The log of a run: metrics.jsonl, TensorBoard and curves.png."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from pathlib import Path

from emojax.errors import OutputError
from emojax.util.files import write_atomically


class MetricsLog:
    """Writes metrics.jsonl, TensorBoard and, at the end, curves.png. A run has one writer."""

    def __init__(self, run: Path, start: int) -> None:
        """Opens the log of a run that continues after step `start`, and drops the lines of later steps.

        Raises:
            OutputError: a folder that cannot be written.
        """
        from tensorboardX import SummaryWriter

        self.run, self.path = run, run / "metrics.jsonl"
        try:
            run.mkdir(parents=True, exist_ok=True)
            lines = self.path.read_text().splitlines() if self.path.exists() else []
            kept = [line for line in lines if _step_of(line) <= start]
            write_atomically(self.path, "".join(f"{line}\n" for line in kept).encode())
            self._board = SummaryWriter(str(run / "tensorboard"), purge_step=start + 1 if start else None)
        except OSError as error:
            raise OutputError(f"cannot write to {run}: {error.strerror or error}") from error

    def write(self, step: int, split: str, metrics: Mapping[str, float]) -> None:
        """Adds one line, {"step", "split", metric: value, ...}."""
        try:
            with self.path.open("a") as file:
                file.write(json.dumps({"step": step, "split": split, **metrics}) + "\n")
        except OSError as error:
            raise OutputError(f"cannot write to {self.path}: {error.strerror or error}") from None
        for name, value in metrics.items():
            self._board.add_scalar(f"{split}/{name}", value, step)

    def close(self) -> None:
        """Flushes TensorBoard and draws the curves."""
        self._board.close()
        write_atomically(self.run / "curves.png", plot_curves(self.path))


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):  # a line cut short by a power failure
        return math.inf


def plot_curves(log: Path) -> bytes:
    """Every metric of a metrics.jsonl over the steps, training and validation in one panel, as a PNG."""
    from matplotlib.figure import Figure

    rows = [json.loads(line) for line in log.read_text().splitlines()]
    names = list(dict.fromkeys(name for row in rows for name in row if name not in ("step", "split")))
    figure = Figure(figsize=(5 * max(len(names), 1), 3.5), layout="constrained")
    for axes, name in zip(figure.subplots(1, max(len(names), 1), squeeze=False)[0], names, strict=False):
        for split in ("train", "val"):
            points = [(row["step"], row[name]) for row in rows if row["split"] == split and name in row]
            if points:
                axes.plot(*zip(*points, strict=True), label=split)
        axes.set(title=name, xlabel="step")
        axes.legend()
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()
