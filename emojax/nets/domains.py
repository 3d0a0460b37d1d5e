"""What the outputs of a classifier's last layer mean, if it has learned from faces of one or several domains."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from emojax.emotions import EMOTIONS
from emojax.nets.classifier_config import ClassifierConfig


def readout_width(config: ClassifierConfig) -> int:
    """Outputs of the last layer: seven for each domain, and one more for each domain if there are several."""
    return config.domains * (len(EMOTIONS) + (config.domains > 1))


def mix_domains(config: ClassifierConfig, rows: Float[Array, "N R"]) -> Float[Array, "N 7"]:
    """Logits from the last layer's outputs: with several domains, log p(emotion) = log sum_k p(k) p(emotion | k).

    The faces of FER+ and ExpW differ in how certain their labels are, in the frequencies of the classes, and in what the
    annotators call an expression: they are two domains. So each domain has its own last layer, and p(domain) is predicted from
    the face's features: a mixture of experts (Jacobs et al. 1991) with linear experts.
    """
    if config.domains == 1:
        return rows
    emotions, domains = split_domains(config, rows)
    return jax.nn.logsumexp(emotions + domains[:, :, None], axis=1)


def split_domains(
    config: ClassifierConfig, rows: Float[Array, "N R"]
) -> tuple[Float[Array, "N K 7"], Float[Array, "N K"]]:
    """log p(emotion | domain) and log p(domain) from the last layer's outputs."""
    rows = rows.astype(jnp.float32)
    count = rows.shape[0]  # not `len`: an exported program has any number of faces
    emotions = rows[:, : config.domains * len(EMOTIONS)].reshape(count, config.domains, len(EMOTIONS))
    domains = rows[:, config.domains * len(EMOTIONS) :] if config.domains > 1 else jnp.zeros((count, 1))
    return jax.nn.log_softmax(emotions), jax.nn.log_softmax(domains)
