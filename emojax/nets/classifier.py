"""Faces -> probabilities of the seven emotions: the paper's 21 layers, VGG16's first layers, or MobileFaceNet.

Face crops are uint8 [N, S, S, 3], RGB; the network's input is float32 [N, S, S, channels], -1 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from emojax.emotions import EMOTIONS
from emojax.errors import UserError
from emojax.images import to_grey, to_signed
from emojax.nets.layers import max_pool
from emojax.nets.mobilefacenet import REDUCTION, STAGES, MobileFaceNet
from emojax.util.numbers import is_number, is_whole

ARCHITECTURES = ("paper", "vgg16", "mobilefacenet")
VGG16_DEPTHS = (2, 2, 3, 1)
"""convolutions of each block of the architecture vgg16: as in VGG16, but only the first one of block 4"""

AT_ONCE = 4
"""faces that mobilefacenet reads at once on a CPU; more do not fit into a core's cache and take three times as long"""


@dataclass(frozen=True)
class ClassifierConfig:
    """Shape of the classifier, and the crop of a face that it is trained on."""

    architecture: Literal["paper", "vgg16", "mobilefacenet"] = "paper"
    """the paper's 21 layers, VGG16's first convolutions, or MobileFaceNet"""
    widths: tuple[int, ...] = (32, 64, 128)
    """channels of the blocks' convolutions; every block halves the picture (vgg16: each but the last); mobilefacenet:
    channels of the three stages"""
    dense: int = 128
    """units of the hidden dense layer (vgg16 has none; mobilefacenet: number of features)"""
    size: int = 48
    """side of the input, in pixels"""
    channels: int = 1
    """1: grey, 3: colour"""
    margin: float = 0.0
    """margin of the crop around the face's box on each side, as a fraction of the box"""
    aligned: bool = False
    """whether crops are aligned by the eyes, nose and mouth (`emojax.faces.align`) instead of cut by the face's box"""
    domains: int = 1
    """number of domains, such as FER+'s faces and ExpW's, each with its own last layer, see `mix_domains`; only mobilefacenet
    can have several"""
    conv_dropout: float = 0.25
    """dropout rate after each block (vgg16: each but the last)"""
    dense_dropout: float = 0.5
    """dropout rate after the hidden dense layer (vgg16: after the global average)"""

    def __post_init__(self) -> None:
        # The config may come from an untrusted checkpoint: the limits keep the network small enough for memory.
        wholes = (*self.widths, self.dense, self.size, self.channels) if isinstance(self.widths, tuple) else ("",)
        if not all(is_whole(number) and number <= 4096 for number in wholes) or len(self.widths) > 8:
            raise UserError(
                f"widths {self.widths!r}, dense {self.dense!r}, size {self.size!r}: whole numbers up to 4096, at most 8 widths"
            )
        if not all(is_number(number) for number in (self.margin, self.conv_dropout, self.dense_dropout)):
            raise UserError(
                f"margin {self.margin!r}, dropout {self.conv_dropout!r}, {self.dense_dropout!r}: give numbers"
            )
        if self.architecture not in ARCHITECTURES:
            raise UserError(f"architecture {self.architecture!r}: choose from {', '.join(ARCHITECTURES)}")
        if self.architecture == "vgg16" and len(self.widths) > len(VGG16_DEPTHS):
            raise UserError(f"widths {self.widths}: vgg16 has at most {len(VGG16_DEPTHS)} blocks")
        if self.architecture == "mobilefacenet" and (len(self.widths) != len(STAGES) or self.size < REDUCTION):
            raise UserError(
                f"widths {self.widths} and size {self.size}: mobilefacenet has {len(STAGES)} stages and faces of at least "
                f"{REDUCTION} pixels"
            )
        if self.domains < 1 or (self.domains > 1 and self.architecture != "mobilefacenet"):
            raise UserError(f"domains {self.domains}: at least 1, and only mobilefacenet has more than 1")
        if not self.widths or min(self.widths) < 1 or self.dense < 1:
            raise UserError(
                f"widths {self.widths} and dense {self.dense}: give at least one block, each at least 1 wide"
            )
        if self.size < 2 ** len(self.widths):
            raise UserError(f"size {self.size}: {len(self.widths)} blocks need at least {2 ** len(self.widths)} pixels")
        if self.channels not in (1, 3):
            raise UserError(f"channels {self.channels}: choose 1 (grey) or 3 (colour)")
        if not 0 <= self.margin <= 2:
            raise UserError(f"margin {self.margin}: it is a fraction of the face's box, 0 to 2")
        if not (0 <= self.conv_dropout < 1 and 0 <= self.dense_dropout < 1):
            raise UserError(f"dropout {self.conv_dropout} and {self.dense_dropout}: rates are at least 0 and below 1")


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
    emotions = rows[:, : config.domains * len(EMOTIONS)].reshape(len(rows), config.domains, len(EMOTIONS))
    domains = rows[:, emotions[0].size :] if config.domains > 1 else jnp.zeros((len(rows), 1))
    return jax.nn.log_softmax(emotions), jax.nn.log_softmax(domains)


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


def layer_names(config: ClassifierConfig) -> tuple[str, ...]:
    """The names of the network's layers in the order in which they run ("Conv_0", "BatchNorm_0", ...)."""
    names: list[str] = []

    def record(run: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if context.method_name == "__call__" and not isinstance(
            context.module, (Classifier, PaperNet, Vgg16Net, FaceNet, MobileFaceNet)
        ):
            names.append(context.module.name or type(context.module).__name__)
        return run(*args, **kwargs)

    with nn.intercept_methods(record):
        jax.eval_shape(lambda: init_classifier(config, jax.random.PRNGKey(0)))
    return tuple(names)


def init_classifier(config: ClassifierConfig, key: PRNGKeyArray | jax.Array) -> dict[str, Any]:
    """Fresh linen variables and the temperature: {"params": ..., "batch_stats": ..., "temperature": float32 []}."""
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
