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
        class_weights: a factor >= 0 for every class; the weight of an example is the mean over its (soft) label.
    """
    losses = -(labels * jax.nn.log_softmax(logits.astype(jnp.float32))).sum(-1)
    return losses if class_weights is None else losses * (labels * class_weights[None, :]).sum(-1)


def kinds_cross_entropy(
    emotions: Float[Array, "N K 7"],
    kinds: Float[Array, "N K"],
    labels: Float[Array, "N 7"],
    of_kind: Float[Array, "N K"],
) -> Float[Array, " N"]:
    """Cross-entropy of the emotion, given the kind of the face, and of the kind: minus log p(kind) p(emotion | kind).

    Args:
        emotions: log p(emotion | kind); see `emojax.nets.classifier.split_kinds`.
        kinds: log p(kind).
        labels: rows of probabilities.
        of_kind: rows of probabilities of the kind of the face.
    """
    given = -(labels[:, None] * emotions).sum(-1)
    return (of_kind * (given - kinds)).sum(-1)
