"""The speed of a run: examples per second, and FLOP/s relative to those of a plain matrix product."""

from __future__ import annotations

import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp

from emojax.train.parallel import Parallel

TIMED_STEPS = 20
"""smallest number of timed steps for which a run reports its speed"""


class Stopwatch:
    """Measures the time of steps, without that of compiling, evaluating and saving."""

    def __init__(self) -> None:
        self.steps, self.seconds = 0, 0.0
        self._last: tuple[int, float] | None = None

    @property
    def runs(self) -> bool:
        """Whether a step's time is being measured."""
        return self._last is not None

    def read(self, step: int) -> None:
        """Records that `step` has ended on the device, and continues."""
        now = time.perf_counter()
        if self._last is not None:
            self.steps += step - self._last[0]
            self.seconds += now - self._last[1]
        self._last = step, now

    def pause(self) -> None:
        """Excludes the time until the next `read`."""
        self._last = None


def measure_matmul_peak(dtype: str) -> float:
    """FLOP/s of one device in a large square matrix product, the median of five."""
    side = 2048 if jax.default_backend() == "cpu" else 8192
    x = jnp.ones((side, side), dtype)
    product = jax.jit(lambda x: x @ x)
    product(x).block_until_ready()
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        product(x).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / statistics.median(seconds)


def describe_speed(watch: Stopwatch, parallel: Parallel, compiled: Any, arguments: tuple[Any, ...], dtype: str) -> str:
    """One line: seconds a step, examples a second, FLOP/s, and their share of `measure_matmul_peak` on all devices."""
    seconds = watch.seconds / watch.steps
    rate = parallel.examples(arguments[-1]) / seconds
    text = f"{watch.steps} steps at {seconds:.3g} s, without compiling, evaluating and saving: {rate:.4g} images/s"
    flops = parallel.count_flops(compiled, *arguments)
    if not flops:  # not every backend counts them
        return text
    devices = len(parallel.devices)
    peak = measure_matmul_peak(dtype) * devices
    reached = f"{flops / seconds / 1e9:.4g} GFLOP/s, {flops / seconds / peak:.0%} of the {peak / 1e9:.4g}"
    return f"{text}, {reached} that a {dtype} matrix product reaches on {devices} devices"
