"""Faces -> probabilities of the seven emotions: the paper's 21 layers, VGG16's first layers, or MobileFaceNet.

Face crops are uint8 [N, S, S, 3], RGB; the network's input is float32 [N, S, S, channels], -1 to 1.
`emojax.nets.classifier_nets` has the layers as Flax modules; see `emojax.nets.stylizer` for why they are imported late.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from emojax.images import to_grey, to_signed
from emojax.nets.classifier_config import ClassifierConfig

AT_ONCE = 4
"""faces that mobilefacenet reads at once on a CPU; more do not fit into a core's cache and take three times as long"""


def init_classifier(config: ClassifierConfig, key: PRNGKeyArray | jax.Array) -> dict[str, Any]:
    """Fresh linen variables and the temperature: {"params": ..., "batch_stats": ..., "temperature": float32 []}."""
    from emojax.nets.classifier_nets import Classifier

    faces = jnp.zeros((1, config.size, config.size, config.channels))
    variables = Classifier(config).init(key, faces)
    return {
        "params": variables["params"],
        "batch_stats": variables.get("batch_stats", {}),  # MobileFaceNet's norms are folded into its convolutions
        "temperature": jnp.ones(()),
    }


def network_input(config: ClassifierConfig, crops: UInt8[Array, "N S S 3"]) -> Float[Array, "N S S C"]:
    """The network's input for crops: float32, -1 to 1; luma (see `to_grey`) if the network has one channel."""
    x = to_signed(crops)
    return to_grey(x) if config.channels == 1 else x


def classify(
    config: ClassifierConfig, variables: Mapping[str, Any], crops: UInt8[Array, "N S S 3"]
) -> Float[Array, "N 7"]:
    """Probabilities of the seven emotions, in the order of `EMOTIONS`; rows sum to 1. Pure.

    The logits are first divided by the checkpoint's temperature (Guo et al. 2017, arXiv:1706.04599). Training or `calibrate`
    fits the temperature on validation faces, so that the probabilities are calibrated.

    Args:
        variables: {"params", "batch_stats"} of `Classifier(config)`, and "temperature", above 0.
        crops: faces of `config.size` pixels, cut with `config.margin`, and aligned if `config.aligned`.
    """
    return jax.nn.softmax(classifier_logits(config, variables, crops) / variables["temperature"])


def classifier_logits(
    config: ClassifierConfig, variables: Mapping[str, Any], crops: UInt8[Array, "N S S 3"]
) -> Float[Array, "N 7"]:
    """The logits of `classify` before they are divided by the temperature. Pure."""
    from emojax.nets.classifier_nets import Classifier

    network = {name: variables.get(name, {}) for name in ("params", "batch_stats")}

    def read(x: Array) -> Array:
        logits = Classifier(config).apply(network, x)
        assert isinstance(logits, jax.Array)
        return logits

    def in_groups(x: Array) -> Array:
        groups = x.reshape(-1, AT_ONCE, *x.shape[1:])
        return jax.lax.map(read, groups).reshape(len(x), -1)

    x, count = network_input(config, crops), crops.shape[0]
    # The remainder of a symbolic number of faces is unknown.
    if config.architecture != "mobilefacenet" or not isinstance(count, int) or count % AT_ONCE or count == AT_ONCE:
        return read(x)
    return jax.lax.platform_dependent(x, cpu=in_groups, default=read)
