"""The layers of the classifiers as Flax modules; see `emojax.nets.classifier`."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from emojax.emotions import EMOTIONS
from emojax.nets.classifier_config import VGG16_DEPTHS, ClassifierConfig
from emojax.nets.domains import mix_domains, readout_width
from emojax.nets.layers import max_pool
from emojax.nets.mobilefacenet import MobileFaceNet


class MaxPool(nn.Module):
    """`max_pool` as a module, so that it counts as a layer."""

    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N H2 W2 C"]:
        return max_pool(x)


class PaperNet(nn.Module):
    """Three blocks of (conv 3x3, batch norm, conv 3x3, batch norm, max pool, dropout), then dense, dropout, dense.

    These are the paper's 21 layers, counted without activations and reshaping. The paper gives the kinds and the number
    of layers, not their order or widths; this arrangement is ours. A ReLU follows each norm, and a leaky ReLU the hidden
    dense layer.
    """

    config: ClassifierConfig
    dtype: Any
    axis_name: str | None

    @nn.compact
    def __call__(self, x: Float[Array, "N S S C"], train: bool = False) -> Float[Array, "N 7"]:
        config = self.config
        for width in config.widths:
            for _ in range(2):
                x = nn.Conv(width, (3, 3), use_bias=False, dtype=self.dtype)(x)  # the norm's shift is the bias
                norm = nn.BatchNorm(momentum=0.9, dtype=self.dtype, axis_name=self.axis_name)
                x = nn.relu(norm(x, use_running_average=not train))
            x = MaxPool()(x)
            x = nn.Dropout(config.conv_dropout)(x, deterministic=not train)
        x = x.reshape(x.shape[0], -1)
        # The ReLU is leaky because the layer has thousands of non-negative inputs: Adam's first steps can push units far
        # below 0, where a plain ReLU has no gradient. In a run with a plain ReLU, 4 of 128 units were alive at the end.
        x = nn.leaky_relu(nn.Dense(config.dense, dtype=self.dtype)(x), 0.1)
        x = nn.Dropout(config.dense_dropout)(x, deterministic=not train)
        return nn.Dense(len(EMOTIONS), dtype=self.dtype)(x)


class Vgg16Net(nn.Module):
    """The first eight convolutions of VGG16 (Simonyan & Zisserman, arXiv:1409.1556), then global average, dropout, dense.

    Its convolutions have VGG16's names ("conv1_1", ...) and shapes, so that they can start from its weights; see
    `emojax.train.faces.transfer`. A ReLU follows each convolution. Batch norm follows each of the last two blocks, because
    VGG16's activations are in the hundreds. Max pooling and dropout follow each block but the last.
    """

    config: ClassifierConfig
    dtype: Any
    axis_name: str | None

    @nn.compact
    def __call__(self, x: Float[Array, "N S S C"], train: bool = False) -> Float[Array, "N 7"]:
        config = self.config
        for block, width in enumerate(config.widths):
            if block:
                x = MaxPool()(x)
                x = nn.Dropout(config.conv_dropout)(x, deterministic=not train)
            for index in range(VGG16_DEPTHS[block]):
                x = nn.relu(nn.Conv(width, (3, 3), dtype=self.dtype, name=f"conv{block + 1}_{index + 1}")(x))
            if block >= len(config.widths) - 2:
                norm = nn.BatchNorm(momentum=0.9, dtype=self.dtype, axis_name=self.axis_name)
                x = norm(x, use_running_average=not train)
        x = x.mean((1, 2))
        x = nn.Dropout(config.dense_dropout)(x, deterministic=not train)
        return nn.Dense(len(EMOTIONS), dtype=self.dtype)(x)


class FaceNet(nn.Module):
    """MobileFaceNet, dropout, and one dense layer whose outputs are the logits of each domain and of the domains."""

    config: ClassifierConfig
    dtype: Any
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "N H W C"], train: bool = False, begin: int = 0, mixed: bool = True
    ) -> Float[Array, "N R"]:
        """Logits float [N, 7], or the input of `mix_domains` if not `mixed`; see `MobileFaceNet` for `begin`."""
        config = self.config
        network = MobileFaceNet(config.widths, config.dense, self.dtype)
        nn.share_scope(self, network)
        x = nn.Dropout(config.dense_dropout)(network(x, begin), deterministic=not train)
        rows = nn.Dense(readout_width(config), dtype=self.dtype)(x)
        return mix_domains(config, rows) if mixed else rows


class Classifier(nn.Module):
    """The network that a config names: `PaperNet`, `Vgg16Net` or `FaceNet`.

    `__call__` takes the float [N, S, S, channels] that `network_input` returns, and returns logits float32 [N, 7]. With
    `train`, batch norm uses the batch's statistics and dropout needs an rng "dropout".
    """

    config: ClassifierConfig
    dtype: Any = jnp.float32
    """precision of the computation; parameters, norm statistics and logits are float32"""
    axis_name: str | None = None
    """mapped axis over which batch norm averages its statistics under `pmap`"""

    @nn.compact
    def __call__(self, x: Float[Array, "N S S C"], train: bool = False) -> Float[Array, "N 7"]:
        expected = (self.config.size, self.config.size, self.config.channels)
        if x.shape[1:] != expected:
            raise ValueError(f"input of shape {x.shape}: this classifier takes (N, {', '.join(map(str, expected))})")
        network = {"paper": PaperNet, "vgg16": Vgg16Net, "mobilefacenet": FaceNet}[self.config.architecture]
        nn.share_scope(self, module := network(self.config, self.dtype, self.axis_name))
        return module(x.astype(self.dtype), train).astype(jnp.float32)
