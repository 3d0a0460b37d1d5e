"""The transform net on the frames of a clip: norm statistics that follow the frames slowly, so that the paint does not flicker.

Instance norm (see `emojax.nets.stylizer`) normalizes every frame by its own statistics, so that a small change anywhere in the
frame changes the paint everywhere. Here they are an exponential mean over time, and the pass that paints a frame measures it.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from emojax.nets.stylizer import Statistics, StyleCode, Stylizer, StylizerConfig, remove_checkerboard


def stylize_steadily(
    config: StylizerConfig,
    network: dict,
    photos: Float[Array, "N H W 3"],
    code: StyleCode,
    size: tuple[Int[Array, ""], Int[Array, ""]] | None,
    statistics: Statistics,
    rate: Float[Array, ""],
) -> tuple[Float[Array, "N H W 3"], Statistics]:
    """`stylize_with_code` for a frame of a clip: its norm statistics are those of the frame before, moved towards its
    own. Pure.

    Args:
        statistics: that this returned for the frame before.
        rate: how far they move, 0 to 1; 1 for the first frame and after a cut, whatever `statistics` are.

    Returns:
        The stylized frame, and the statistics that it was painted with.
    """
    variables = {"params": remove_checkerboard(config, network)}
    stylized, sown = Stylizer(config).apply(variables, photos, code, size, statistics, rate, mutable=["statistics"])
    return stylized, sown["statistics"]["norms"]


def empty_statistics(config: StylizerConfig) -> Statistics:
    """Statistics to begin with in `stylize_steadily`: zeros."""
    zeros = {name: jnp.zeros((1, 1, 1, channels)) for name, channels in config.norm_layers()}
    return {name: {"mean": leaf, "variance": leaf} for name, leaf in zeros.items()}
