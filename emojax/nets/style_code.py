"""Style codes: the scales and shifts that make a style; how they mix, and how they vary over a picture."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from emojax.emotions import PHOTO
from emojax.nets.stylizer_config import DOWN, UP, StylizerConfig

StyleCode = dict[str, dict[str, jax.Array]]
"""Per norm layer {"scale", "shift"}: float32 arrays that broadcast against [N, H, W, C].

[N, 1, 1, C] is one style per photo; [N, H, W, C] lets the style vary over the picture. A *style table* has the
same structure with leaves [S, C], one row per style.
"""

Statistics = dict[str, dict[str, jax.Array]]
"""Per norm layer {"mean", "variance"}: float32 [N, 1, 1, C], or [1, 1, 1, C] over all photos together."""


def init_style_table(config: StylizerConfig, key: PRNGKeyArray | jax.Array | None = None) -> StyleCode:
    """Scales of 1 and shifts of 0, leaves [S, C]; with a key, noise makes the styles' scales differ (deviation 0.01)."""
    rows = len(config.style_names)
    table = {}
    for index, (name, channels) in enumerate(config.norm_layers()):
        noise = jnp.zeros((rows, channels))
        if key is not None:
            noise = 0.01 * jax.random.normal(jax.random.fold_in(key, index), noise.shape)
        table[name] = {"scale": 1 + noise, "shift": jnp.zeros((rows, channels))}
    return table


def mix_styles(table: StyleCode, weights: Float[Array, "N S"]) -> StyleCode:
    """The code of a mix of styles: scales and shifts mix linearly.

    Args:
        table: leaves [S, C].
        weights: float32 [N, S]; rows usually sum to 1 (a one-hot row gives exactly that style).

    Returns:
        Leaves [N, 1, 1, C].
    """
    return jax.tree.map(lambda rows: _mixed(weights[:, None, None, :], rows), table)


def _mixed(weights: Float[Array, "N h w S"], rows: Float[Array, "S C"]) -> Float[Array, "N h w C"]:
    """weights @ rows, written as a sum that XLA fuses into the operation that uses it.

    A matrix product would need its own kernel and an array in memory, and a GPU or TPU would compute it in reduced precision.
    """
    terms = (weights[..., s : s + 1] * row for s, row in enumerate(rows[:, None, None, None]))
    return functools.reduce(operator.add, terms)


def vary_styles(code: StyleCode, table: StyleCode, change: Callable[[int], Float[Array, "N h w S"]]) -> StyleCode:
    """A code that varies over the picture: `code` plus, at every position, a change of the styles' weights.

    Where the change is 0, the code stays exactly the same.

    Args:
        code: leaves [N, 1, 1, C]; see `mix_styles`.
        table: leaves [S, C].
        change: maps a layer's reduction factor (1, 2 or 4 times smaller than the photo) to what is added to the weights.

    Returns:
        Leaves [N, h, w, C] of each layer's own size.
    """
    changes = {factor: change(factor) for factor in {reduction(name) for name in code}}

    return {
        name: {part: plain + _mixed(changes[reduction(name)], table[name][part]) for part, plain in layer.items()}
        for name, layer in code.items()
    }


def spare_faces(
    config: StylizerConfig, code: StyleCode, table: StyleCode, share: Callable[[int], Float[Array, "N h w 1"]]
) -> StyleCode:
    """The code, moved towards that of the style "photo" where `share` is above 0, in the first half of the layers.

    The first layers decide which structures of the photo are kept, the later ones palette and strokes. The later layers keep
    the style, so faces stay clear and are painted like the rest.

    Args:
        code: leaves [N, 1, 1, C], or [N, h, w, C] of each layer's own size.
        table: leaves [S, C], with a row of the style "photo".
        share: maps a layer's reduction factor (1, 2 or 4) to how far the code moves there, 0 to 1.
    """
    photo, early = config.style_names.index(PHOTO), early_layers(config)
    shares = {factor: share(factor) for factor in {reduction(name) for name in early}}

    def towards(name: str, part: str) -> jax.Array:
        plain = code[name][part]
        return plain + shares[reduction(name)] * (table[name][part][photo][None, None, None] - plain)

    return {**code, **{name: {part: towards(name, part) for part in code[name]} for name in early}}


def early_layers(config: StylizerConfig) -> list[str]:
    """The names of the norms in the first half of the layers."""
    names = [name for name, _ in config.norm_layers()]
    last = 2 * (config.blocks // 2)  # the number of norms in half of the blocks
    return names[: next((i for i, name in enumerate(names) if name.startswith("block")), len(names)) + last]


def reduction(norm_layer: str) -> int:
    """A layer's reduction factor: how many times smaller than the photo its output is."""
    return next((factor for names in (DOWN, UP) for factor, name in names.items() if name == norm_layer), 4)
