"""A toy problem for the training loop: a linear function with noise, which is learnt from a stream of numbers."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax

from emojax.nets.stylizer_config import StylizerConfig
from emojax.train.loop import LoopConfig, fit
from emojax.train.optimizer import OptimizerConfig
from emojax.train.parallel import Parallel, mean_over
from emojax.train.progress import Length
from emojax.train.resume import Run
from emojax.train.state import TrainState

CONFIG = StylizerConfig(width=2, blocks=0, style_names=("sad",))  # any model config: the loop only writes it down
RATE = OptimizerConfig(learning_rate=0.05, schedule="cosine", warmup_steps=2, clip_norm=1.0)
OPTIMIZER = RATE.build()
LOOP = LoopConfig(log_every=1, evaluate_every=5, save_every=4)


class Numbers:
    """A data stream whose batch depends on its position alone."""

    def __init__(self, poison=None, on_batch=lambda at: None):
        self.at, self.poison, self.on_batch = 0, poison, on_batch

    def __next__(self):
        self.at += 1
        self.on_batch(self.at)
        x = np.random.default_rng(self.at).normal(size=(4, 3)).astype(np.float32)
        return {"x": x * np.nan if self.at == self.poison else x}

    def get_state(self):
        return {"at": self.at}

    def set_state(self, state):
        self.at = state["at"]


def step(state, constants, batch, axis_name):
    noise = jax.random.normal(jax.random.fold_in(state.key, state.step), (3,))  # resuming must restore the PRNG too

    def loss_of(params):
        return jnp.square(batch["x"] @ (params["w"] - 0.1 * noise) - batch["x"].sum(1) * constants).mean()

    loss, gradients = mean_over(axis_name, jax.value_and_grad(loss_of)(state.params))
    updates, opt_state = OPTIMIZER.update(gradients, state.opt_state, state.params, progress=state.progress)
    params = optax.apply_updates(state.params, updates)
    return state.replace(step=state.step + 1, params=params, opt_state=opt_state), {"loss": loss}


def train(run, steps=10, data=None, loop=LOOP, step=step, settings=None, seconds=None, **more):
    state = TrainState.create({"w": np.zeros(3, np.float32)}, OPTIMIZER, seed=3)
    return fit(
        Run(run, "styles", CONFIG, settings),
        state,
        np.float32(2),
        step,
        data or Numbers(),
        Length(steps, seconds=seconds),
        loop=loop,
        parallel=Parallel(),
        to_params=lambda state, constants, _: state.params,
        **more,
    )


def rows(run, split="train"):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return {row["step"]: row["loss"] for row in map(json.loads, lines) if row["split"] == split}
