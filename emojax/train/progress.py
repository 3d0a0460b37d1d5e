"""The length and the progress of a run: in steps, passes over the data, or seconds."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass

import jax

from emojax.errors import InputError


@dataclass(frozen=True)
class Length:
    """When a run ends: after `steps` steps, after `epochs` passes over the data, or after `seconds`.

    If both steps and epochs are given, `steps` counts, and `epochs` records what it was computed from.
    """

    steps: int | None = None
    epochs: float | None = None
    seconds: float | None = None
    """summed over all starts of the run"""

    def __post_init__(self) -> None:
        """Raises ValueError for steps and seconds, or neither; InputError for seconds on several hosts."""
        if (self.steps is None and self.epochs is None) == (self.seconds is None):
            raise ValueError(f"{self.steps} steps, {self.epochs} epochs, {self.seconds} seconds: give one of them")
        if self.seconds is not None and jax.process_count() > 1:
            raise InputError(
                "several hosts cannot train by the clock, which they do not share: give steps instead of minutes"
            )

    def in_steps(self, steps_per_epoch: float) -> Length:
        """The length with `steps` computed from `epochs`, at least 1; unchanged if that is not needed."""
        if self.epochs is None or self.steps is not None:
            return self
        return dataclasses.replace(self, steps=max(1, round(self.epochs * steps_per_epoch)))


class Timer:
    """The time that a run has taken over all its starts, and the fraction of the run that is done."""

    def __init__(self, length: Length, elapsed: float = 0.0, started: float | None = None) -> None:
        """Starts the timer.

        Args:
            elapsed: seconds of the earlier starts.
            started: `time.monotonic()` when this start began; None: now.
        """
        self.length = length
        self._origin = (time.monotonic() if started is None else started) - elapsed

    def elapsed(self) -> float:
        """Seconds so far, over all starts."""
        return time.monotonic() - self._origin

    def progress(self, step: int) -> float:
        """The fraction of the run that is done after `step` steps; above 1 when the time is over."""
        if self.length.seconds is not None:
            return self.elapsed() / self.length.seconds
        assert self.length.steps is not None, "epochs are converted by `in_steps` first"
        return step / self.length.steps
