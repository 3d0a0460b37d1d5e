"""The transform net on the frames of a clip: norm statistics that follow the frames slowly, so that the paint does not flicker.

Instance norm (see `emojax.nets.stylizer`) normalizes every frame by its own statistics, so a small change anywhere in the frame
changes the paint everywhere. Here the statistics are an exponential mean over time. The pass that paints a frame updates it.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from emojax.nets.style_code import Statistics, StyleCode
from emojax.nets.stylizer import remove_checkerboard
from emojax.nets.stylizer_config import StylizerConfig


def stylize_steadily(
    config: StylizerConfig,
    network: dict,
    photos: Float[Array, "N H W 3"],
    code: StyleCode,
    size: tuple[Int[Array, ""], Int[Array, ""]] | None,
    statistics: Statistics,
    rate: Float[Array, ""],
) -> tuple[Float[Array, "N H W 3"], Statistics]:
    """`stylize_with_code` for a frame of a clip, with the previous frame's norm statistics moved towards its own. Pure.

    Args:
        statistics: what this function returned for the previous frame.
        rate: how far the statistics move, 0 to 1; 1 for the first frame and after a cut, where `statistics` have no effect.

    Returns:
        The stylized frame, and the statistics that it was painted with.
    """
    from emojax.nets.transform_net import Stylizer

    variables = {"params": remove_checkerboard(config, network)}
    stylized, sown = Stylizer(config).apply(variables, photos, code, size, statistics, rate, mutable=["statistics"])
    return stylized, sown["statistics"]["norms"]


def empty_statistics(config: StylizerConfig) -> Statistics:
    """Zeros, the statistics for the first frame of `stylize_steadily`."""
    zeros = {name: jnp.zeros((1, 1, 1, channels)) for name, channels in config.norm_layers()}
    return {name: {"mean": leaf, "variance": leaf} for name, leaf in zeros.items()}
