"""The emotion classifier: a cropped face in, probabilities of the seven emotions out.

Crops are uint8 [N, S, S, 3], RGB; the network sees float32 [N, S, S, C] of about -1 to 1, C = 1 (grey) or 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from emojax.emotions import EMOTIONS
from emojax.errors import UserError

_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow and most grey face data sets have it


@dataclass(frozen=True)
class ClassifierConfig:
    """Shape of the classifier, and the crop of a face that it wants."""

    widths: tuple[int, ...] = (32, 64, 128)
    """channels of the blocks"""
    dense: int = 128
    """units of the first dense layer"""
    size: int = 48
    """side of the square input, in pixels"""
    channels: int = 1
    """1: grey, 3: RGB"""
    margin: float = 0.0
    """what the input shows beyond the face's box on each side, as a fraction of the box"""
    conv_dropout: float = 0.25
    """dropout rate at the end of a block"""
    dense_dropout: float = 0.5
    """dropout rate between the dense layers"""

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1 or self.dense < 1:
            raise UserError(f"widths {self.widths} and dense {self.dense}: at least one block, all at least 1")
        if self.size < 2 ** len(self.widths):
            raise UserError(f"size {self.size}: {len(self.widths)} poolings need at least {2 ** len(self.widths)} pixels")
        if self.channels not in (1, 3):
            raise UserError(f"channels {self.channels}: choose 1 (grey) or 3 (RGB)")
        if not self.margin >= 0:
            raise UserError(f"margin {self.margin}: it is at least 0")
        for rate in (self.conv_dropout, self.dense_dropout):
            if not 0 <= rate < 1:
                raise UserError(f"dropout rate {rate}: it is at least 0 and below 1")


class Classifier(nn.Module):
    """The paper's CNN: 21 layers with three blocks.

    A block is convolution 3x3, batch norm, convolution 3x3, batch norm, max pooling, dropout: 18 layers in three; dense,
    dropout and dense(7) make 21. Activations are not counted. The paper (Padalia, Saxena, *Emotion-Based Style Transfer*)
    names the kinds of its 21 layers and no more, so widths, order and rates are ours.

    `axis_name` names the `pmap` axis over which batch norm takes its statistics.
    """

    config: ClassifierConfig
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, faces: Float[Array, "N S S C"], train: bool) -> Float[Array, "N 7"]:
        config, x = self.config, faces.astype(self.dtype)
        for width in config.widths:
            for _ in range(2):
                x = nn.Conv(width, (3, 3), dtype=self.dtype)(x)
                x = nn.BatchNorm(not train, momentum=0.9, dtype=self.dtype, axis_name=self.axis_name)(x)
                x = nn.relu(x)
            x = _MaxPool()(x)
            x = nn.Dropout(config.conv_dropout, deterministic=not train)(x)
        x = x.reshape(x.shape[0], -1)
        x = nn.relu(nn.Dense(config.dense, dtype=self.dtype)(x))
        x = nn.Dropout(config.dense_dropout, deterministic=not train)(x)
        return nn.Dense(len(EMOTIONS), dtype=jnp.float32)(x)


class _MaxPool(nn.Module):
    """2x2 max pooling as a layer of its own; an odd last row or column is dropped."""

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N H2 W2 C"]:
        # A maximum over an axis, because XLA's gradient of a pooling window is slow on CPUs.
        n, h, w, c = x.shape
        return x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))


def init_classifier(config: ClassifierConfig, key: PRNGKeyArray | jax.Array) -> Any:
    """Fresh linen variables, {"params", "batch_stats"}."""
    faces = jnp.zeros((1, config.size, config.size, config.channels))
    return dict(Classifier(config).init(key, faces, train=False))


def network_input(config: ClassifierConfig, crops: UInt8[Array, "N S S 3"]) -> Float[Array, "N S S C"]:
    """Crops as the network sees them: grey by luminance if `config.channels` is 1, scaled from 0..255 to -1..1."""
    x = crops.astype(jnp.float32) / 127.5 - 1
    return x if config.channels == 3 else (x * jnp.array(_LUMINANCE)[None, None, None]).sum(-1, keepdims=True)


def logits(
    config: ClassifierConfig, variables: Mapping[str, Any], crops: UInt8[Array, "N S S 3"]
) -> Float[Array, "N 7"]:
    """Unnormalized log probabilities in evaluation mode. Pure."""
    out = Classifier(config).apply(dict(variables), network_input(config, crops), train=False)
    assert isinstance(out, jax.Array)
    return out


def classify(
    config: ClassifierConfig, variables: Mapping[str, Any], crops: UInt8[Array, "N S S 3"]
) -> Float[Array, "N 7"]:
    """Probabilities of the seven emotions; rows sum to 1. Pure."""
    return jax.nn.softmax(logits(config, variables, crops))
