"""The classifier's loss."""

from __future__ import annotations

from jaxtyping import Array, Float


def cross_entropy(
    emotions: Float[Array, "N K C"],
    domains: Float[Array, "N K"],
    labels: Float[Array, "N C"],
    of_domain: Float[Array, "N K"],
    class_weights: Float[Array, " C"] | None = None,
) -> Float[Array, " N"]:
    """Cross-entropy of the emotion, given the face's domain, and of the domain: minus log p(domain) p(emotion | domain).

    With one domain, this is the cross-entropy of the emotion.

    Args:
        emotions: log p(emotion | domain); see `emojax.nets.domains.split_domains`.
        domains: log p(domain).
        labels: rows of probabilities; one-hot for hard labels.
        of_domain: rows of probabilities of the face's domain.
        class_weights: a factor >= 0 for every class; the weight of an example is the mean over its (soft) label.
    """
    given = -(labels[:, None] * emotions).sum(-1)
    losses = (of_domain * (given - domains)).sum(-1)
    return losses if class_weights is None else losses * (labels * class_weights[None, :]).sum(-1)
