"""The speed of training, beside that of the devices."""

import jax
import numpy as np
import pytest

from emojax.train.parallel import Parallel
from emojax.train.throughput import Stopwatch, describe_speed, measure_matmul_peak


def test_a_stopwatch_leaves_out_what_is_between_pauses(monkeypatch):
    now = iter([10.0, 12.0, 13.0, 100.0, 101.0])
    monkeypatch.setattr("emojax.train.throughput.time.perf_counter", lambda: next(now))
    watch = Stopwatch()
    watch.read(1)  # compiled by now
    watch.read(5)
    watch.read(7)
    watch.pause()
    assert (watch.steps, watch.seconds, watch.runs) == (6, 3.0, False)
    watch.read(8)
    watch.read(9)
    assert (watch.steps, watch.seconds) == (7, 4.0)


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_the_speed_is_that_of_all_devices(mode, monkeypatch):
    """Two devices, each with a 64 x 64 x 64 product for each of its 3 examples."""
    parallel = Parallel(mode, jax.devices()[:2])

    def step(state, constants, batch, axis_name):
        return state, {"loss": (batch["x"] @ state).mean()}

    compiled, state = parallel.compile(step), parallel.place_state(np.ones((64, 64), np.float32))
    batch = parallel.place_batch({"x": np.ones((6 * 64, 64), np.float32)})
    flops = parallel.count_flops(compiled, state, None, batch)
    np.testing.assert_allclose(flops, 6 * 2 * 64**3, rtol=0.02)
    watch = Stopwatch()
    watch.steps, watch.seconds = 10, 5.0
    monkeypatch.setattr("emojax.train.throughput.measure_matmul_peak", lambda dtype: flops)
    text = describe_speed(watch, parallel, compiled, (state, None, batch), "float32")
    assert f"at 0.5 s, without compiling, evaluating and saving: {6 * 64 / 0.5:g} images/s" in text
    assert "100% of the" in text  # 2 x flops a second, of twice one device's peak


def test_a_matrix_product_is_timed():
    assert 1e8 < measure_matmul_peak("float32") < 1e16
