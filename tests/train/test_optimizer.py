"""The optimizer's steps: schedule, warm-up, weight decay, and the average of the parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import compiled
from toy import OPTIMIZER

from emojax.errors import EmojaxError
from emojax.train.optimizer import OptimizerConfig
from emojax.train.state import TrainState


def test_weight_decay_shrinks_kernels_alone():
    optimizer = OptimizerConfig(learning_rate=0.1, weight_decay=0.5).build()
    params = {"kernel": np.ones((2, 2)), "bias": np.ones(2), "scale": np.ones((7, 2))}

    @compiled
    def update(params):
        return optimizer.update(jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params, progress=0.0)

    updates, _ = update(params)
    np.testing.assert_allclose(updates["kernel"], -0.05, rtol=1e-6)
    np.testing.assert_array_equal(updates["bias"], 0)
    np.testing.assert_array_equal(updates["scale"], 0)  # of a conditional norm, [S, C]


def test_the_average_of_constant_parameters_is_those_and_else_a_mean_that_forgets_the_start():
    w = np.zeros(2, np.float32)
    state = TrainState.create({"w": w}, OPTIMIZER, 0, stats={"m": w[:1]}, with_ema=True)
    update, expected = compiled(lambda state: state.with_ema_update(0.9)), 0.0
    for number in range(1, 51):
        value = np.float32(number % 3)
        state = update(state.replace(step=np.int32(number), params={"w": w + value}, stats={"m": w[:1] + value}))
        decay = min(0.9, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * value
    for tree in state.ema:
        np.testing.assert_allclose(jax.tree.leaves(tree)[0], expected, rtol=1e-5)
    assert TrainState.create({"w": w}, OPTIMIZER, 0).ema is None


def test_the_schedule_warms_up_and_decays():
    """By steps; and the optimizer's own count of steps is what the warm-up follows."""
    config = OptimizerConfig(learning_rate=1.0, schedule="cosine", warmup_steps=2)
    optimizer = config.build()
    update = compiled(lambda state, progress: optimizer.update(jnp.ones(1), state, progress=progress))
    state, sizes = optimizer.init(jnp.zeros(1)), []
    for number in range(6):
        found, state = update(state, np.float32(number / 6))
        sizes.append(-float(found[0]))
    expected = [0, 0.466506, 0.75, 0.5, 0.25, 0.066987]
    np.testing.assert_allclose(sizes, expected, atol=1e-5)
    rate = compiled(config.rate)
    np.testing.assert_allclose([rate(np.int32(n), np.float32(n / 6)) for n in range(6)], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "rates"),
    [
        (OptimizerConfig(0.1), [0.1, 0.1, 0.1]),
        (OptimizerConfig(0.1, warmup_steps=100), [0.0, 0.05, 0.1]),
        (OptimizerConfig(0.1, schedule="cosine"), [0.1, 0.05, 0.0]),
    ],
)
def test_the_rate_by_steps_and_by_progress(config, rates):
    """Beyond the end it stays what it was there."""
    rate = compiled(config.rate)
    found = [rate(np.int32(n), np.float32(p)) for n, p in ((0, 0.0), (50, 0.5), (100, 1.0))]
    np.testing.assert_allclose(found, rates, atol=1e-8)
    np.testing.assert_allclose(rate(np.int32(300), np.float32(1.5)), rates[-1], atol=1e-8)


@pytest.mark.parametrize("bad", [{"schedule": "linear"}, {"learning_rate": 0}, {"clip_norm": -1}, {"warmup_steps": -1}])
def test_invalid_optimizers(bad):
    with pytest.raises(EmojaxError, match=f"^`{next(iter(bad))}` "):
        OptimizerConfig(**bad)
