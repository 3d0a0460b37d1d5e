"""The image transformation network: a photo and a style code in, a stylized photo out, in one forward pass.

Johnson et al. 2016 (arXiv:1603.08155) with conditional instance normalization (Dumoulin et al. 2017,
arXiv:1610.07629): all styles share the convolutions; a style is a scale and a shift for every channel of every norm
layer. A mix of styles is a mix of scales and shifts, and it may vary over the picture. Input and output photos are float32
[N, H, W, 3], RGB, 0 to 1.

Where we deviate: nearest-neighbour upsampling and a convolution in place of transposed convolutions (no
checkerboard), reflection padding at every layer instead of once at the input, a sigmoid at the end instead of a
scaled tanh. With patches of more than one pixel (Shi et al. 2016, arXiv:1609.05158, at both ends), the network has no layers
at the photo's full size. On a CPU these are the most expensive for their benefit.

`emojax.nets.transform_net` has the layers as a Flax module. It is imported when a network is traced: importing Flax takes a
quarter of a second, and programs that are kept on disk do not need it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from emojax.nets.style_code import Statistics, StyleCode, init_style_table
from emojax.nets.stylizer_config import MINIMUM, StylizerConfig


def remove_checkerboard(config: StylizerConfig, network: dict) -> dict:
    """The parameters, with the last layer changed so that it maps constant features to a constant picture.

    With patches, every pixel of a patch has its own kernel and bias. Where the kernels' sums or the biases differ, flat areas
    show a grid of the patch's size (Aitken et al. 2017, arXiv:1707.02937, who avoid it by initialization). Here the sums of
    each input channel's kernels, and the biases, are replaced by their means over the patch. The function is idempotent; with
    patches of 1 it changes nothing.

    Args:
        network: see `init_stylizer`; leaves of stacked networks have a leading axis.

    Returns:
        The same structure with a new "out": kernel float32 [k, k, C, 3 patch^2], bias [3 patch^2].
    """
    pixels = config.patch**2
    if pixels == 1:
        return network
    kernel, bias = network["out"]["kernel"], network["out"]["bias"]
    kernels, biases = (leaf.reshape(*leaf.shape[:-1], pixels, 3) for leaf in (kernel, bias))
    sums = kernels.mean((-5, -4), keepdims=True)  # over the kernel's rows and columns
    kernels = kernels + (sums.mean(-2, keepdims=True) - sums)
    biases = jnp.broadcast_to(biases.mean(-2, keepdims=True), biases.shape)
    out = {"kernel": kernels.reshape(kernel.shape), "bias": biases.reshape(bias.shape)}
    return {**network, "out": out}


def init_stylizer(config: StylizerConfig, key: PRNGKeyArray | jax.Array) -> dict:
    """Fresh parameters: {"network": convolutions, "style_table": leaves [S, C], see `init_style_table`}.

    With `config.network_per_style`, these are stacked networks with one style each: leaves of "network" have a leading axis S.
    """
    if config.network_per_style:
        keys = jax.random.split(key, len(config.style_names))
        single = dataclasses.replace(config, style_names=("one",), network_per_style=False)
        return stack_networks([init_stylizer(single, key) for key in keys])
    from emojax.nets.transform_net import Stylizer

    network_key, style_key = jax.random.split(key)
    code = jax.tree.map(lambda rows: rows[:1, None, None], init_style_table(config))
    photo = jnp.zeros((1, MINIMUM, MINIMUM, 3))
    network = Stylizer(config).init(network_key, photo, code)["params"]
    return {"network": network, "style_table": init_style_table(config, style_key)}


def stack_networks(singles: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Stacks the parameters of several networks with one style each; see `StylizerConfig.network_per_style`."""
    return {
        "network": jax.tree.map(lambda *leaves: jnp.stack(leaves), *[single["network"] for single in singles]),
        "style_table": jax.tree.map(
            lambda *rows: jnp.concatenate(rows), *[single["style_table"] for single in singles]
        ),
    }


def choose_network(network: Any, index: Int[Array, ""]) -> Any:
    """The parameters of one of several stacked networks."""
    return jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, index, keepdims=False), network)


def stylize_with_code(
    config: StylizerConfig,
    network: dict,
    photos: Float[Array, "N H W 3"],
    code: StyleCode,
    size: tuple[Int[Array, ""], Int[Array, ""]] | None = None,
    dtype: Any = jnp.float32,
    statistics: Statistics | None = None,
) -> Float[Array, "N H W 3"]:
    """Applies `remove_checkerboard` and the network; see `Stylizer`. Pure."""
    from emojax.nets.transform_net import Stylizer

    params = remove_checkerboard(config, network)
    stylized = Stylizer(config, dtype).apply({"params": params}, photos, code, size, statistics)
    assert isinstance(stylized, jax.Array)
    return stylized


def norm_statistics(
    config: StylizerConfig,
    network: dict,
    photos: Float[Array, "N H W 3"],
    code: StyleCode,
    size: tuple[Int[Array, ""], Int[Array, ""]] | None = None,
) -> Statistics:
    """The norms' statistics over several photos together, such as parts of a larger photo. Pure.

    Returns:
        Leaves [1, 1, 1, C].
    """
    from emojax.nets.transform_net import Stylizer

    _, sown = Stylizer(config, together=True).apply({"params": network}, photos, code, size, mutable=["statistics"])
    return sown["statistics"]["norms"]
