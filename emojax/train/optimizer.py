"""The optimizer of both trainings: Adam with warm-up, cosine decay, clipping and weight decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from emojax.errors import InputError
from emojax.util.numbers import check_range


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam with an optional warm-up, cosine decay and decoupled weight decay (Loshchilov & Hutter, arXiv:1711.05101)."""

    learning_rate: float = 1e-3
    """peak learning rate"""
    warmup_steps: int = 0
    """steps of linear warm-up from 0"""
    schedule: str = "constant"
    """constant, or cosine (to 0 at the last step)"""
    clip_norm: float = 0.0
    """largest global norm of the gradient; 0 does not clip"""
    weight_decay: float = 0.0
    """weight decay of the kernels per step, times the learning rate; biases and norms do not decay"""

    def __post_init__(self) -> None:
        if self.schedule not in ("constant", "cosine"):
            raise InputError(f"`schedule` {self.schedule!r}: choose constant or cosine", "schedule")
        check_range("learning_rate", self.learning_rate, above=0)
        check_range("warmup_steps", self.warmup_steps, least=0, whole=True)
        check_range("clip_norm", self.clip_norm, least=0)
        check_range("weight_decay", self.weight_decay, least=0)

    def build(self) -> optax.GradientTransformationExtraArgs:
        """The optimizer; its update takes `progress`, the fraction of the run that is done, 0 to 1."""
        parts = [optax.clip_by_global_norm(self.clip_norm)] if self.clip_norm else []
        parts.append(optax.scale_by_adam())
        if self.weight_decay:
            parts.append(optax.add_decayed_weights(self.weight_decay, mask=_kernels))
        return optax.chain(*parts, self._scale_by_rate())

    def rate(self, count: Any, progress: Any) -> jax.Array:
        """The learning rate after `count` steps, when the fraction `progress` of the run is done."""
        warmup = jnp.minimum(1, count / self.warmup_steps) if self.warmup_steps else 1.0
        decay = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(progress, 0, 1))) if self.schedule == "cosine" else 1.0
        return jnp.asarray(self.learning_rate * warmup * decay, jnp.float32)

    def _scale_by_rate(self) -> optax.GradientTransformationExtraArgs:
        """Scales updates by minus the learning rate; its state is the step count. Optax's schedules do not take `progress`."""

        def update(updates: Any, count: Any, params: Any = None, *, progress: Any, **_: Any) -> tuple[Any, Any]:
            rate = self.rate(count, progress)
            return jax.tree.map(lambda u: -rate * u, updates), count + 1

        return optax.GradientTransformationExtraArgs(lambda _: jnp.zeros((), jnp.int32), update)


def _kernels(params: Any) -> Any:
    """A mask of the parameters that are named "kernel"."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1] == jax.tree_util.DictKey("kernel"), params)
