"""The classifier's loss."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def cross_entropy(
    logits: Float[Array, "N K"],
    labels: Float[Array, "N K"],
    class_weights: Float[Array, " K"] | None = None,
) -> Float[Array, " N"]:
    """Cross-entropy with soft labels, per example.

    Args:
        logits: unnormalized log probabilities.
        labels: rows of probabilities; one-hot for hard labels.
        class_weights: a factor for every class, >= 0; an example counts as much as its (soft) classes do.
    """
    losses = -(labels * jax.nn.log_softmax(logits.astype(jnp.float32))).sum(-1)
    return losses if class_weights is None else losses * (labels * class_weights[None, :]).sum(-1)
