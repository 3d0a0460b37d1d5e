"""The state of a training run: everything that a step changes and a checkpoint keeps."""

from __future__ import annotations

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax


class TrainState(flax.struct.PyTreeNode):
    """What a step reads and replaces; JAX arrays on the devices, NumPy arrays on the host.

    Constants, which a step only reads, such as VGG16, are not part of it; see `emojax.train.loop`.
    """

    step: Any
    """number of steps done, int32 []"""
    params: Any
    """the parameters that are trained"""
    stats: Any
    """running statistics of batch norm, or None"""
    opt_state: Any
    key: Any
    """raw PRNG key, uint32 [2]; it never changes, steps fold in their number"""
    ema: Any = None
    """exponential moving average of (params, stats), or None"""
    progress: Any = 0.0
    """fraction of the run that is done, 0 to 1; the loop sets it before each step"""

    @classmethod
    def create(
        cls,
        params: Any,
        optimizer: optax.GradientTransformation,
        seed: int,
        stats: Any = None,
        with_ema: bool = False,
    ) -> TrainState:
        """The state before the first step."""
        # The average must be a copy: a step donates its state, and a buffer cannot be donated twice.
        return cls(
            step=jnp.zeros((), jnp.int32),
            params=params,
            stats=stats,
            opt_state=optimizer.init(params),
            key=jax.random.PRNGKey(seed),
            ema=jax.tree.map(np.array, (params, stats)) if with_ema else None,
            progress=jnp.zeros((), jnp.float32),
        )

    def with_ema_update(self, decay: float) -> TrainState:
        """The state with `ema` moved towards the parameters and statistics: ema = d * ema + (1 - d) * (params, stats).

        At step n, d = min(decay, (1 + n) / (10 + n)), so that the average of a short run forgets its start.
        """
        steps = self.step.astype(jnp.float32)
        step_size = 1 - jnp.minimum(decay, (1 + steps) / (10 + steps))
        return self.replace(ema=optax.incremental_update((self.params, self.stats), self.ema, step_size))
