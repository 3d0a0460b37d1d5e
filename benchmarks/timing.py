"""Interleaved timing: every runner once per round, so that a machine that slows down slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

REST = 0.1  # seconds; the threads of some runners go on spinning for a while after a run, and would take the next one's cores


def interleaved(
    runners: Mapping[str, Callable[[], Any]],
    repeats: int,
    warm_up: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each runner, by its name: [first quartile, median, third quartile] of `repeats` rounds after warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for turn in range(warm_up + repeats):
        for name, runner in runners.items():
            time.sleep(REST)
            start = clock()
            runner()
            if turn >= warm_up:
                seconds[name].append(clock() - start)
    return {name: np.quantile(values, [0.25, 0.5, 0.75]).tolist() for name, values in seconds.items()}
