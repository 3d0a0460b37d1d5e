"""Style codes: the scales and shifts that make the transform net's style; how they mix, and how they vary over a picture.

Dumoulin et al. 2017 (arXiv:1610.07629): a style is a scale and a shift for every channel of every norm layer. A mix of
styles is a mix of scales and shifts, and it may vary over the picture. `StylizerConfig` says which norm layers there are.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from emojax.emotions import EMOTIONS, PHOTO
from emojax.errors import InputError
from emojax.util.numbers import check_range, is_whole

StyleCode = dict[str, dict[str, jax.Array]]
"""Per norm layer {"scale", "shift"}: float32 arrays that broadcast against [N, H, W, C].

[N, 1, 1, C] is one style per photo; [N, H, W, C] lets the style vary over the picture. A *style table* has the
same structure with leaves [S, C], one row per style.
"""

Statistics = dict[str, dict[str, jax.Array]]
"""Per norm layer {"mean", "variance"}: float32 [N, 1, 1, C], or [1, 1, 1, C] over all photos together."""

MULTIPLE = 4  # the residual blocks work at a quarter of the size: the network's own sizes are multiples of 4
MINIMUM = 16  # the 9x9 layer reflects 4 pixels, and the residual blocks need at least 2 at a quarter of the size
PATCHES = (1, 2, 4)
_NAME = re.compile(r"\w[\w .-]{0,63}")
DOWN, UP = {1: "down0", 2: "down1", 4: "down2"}, {2: "up0", 1: "up1"}
"""how many times smaller than the photo -> the name of the layer that makes it so"""


@dataclass(frozen=True)
class StylizerConfig:
    """Shape of the transform net. With one style, it is the paper's network for one emotion."""

    width: int = 32
    """channels at the photo's full size; twice as many at half of it, four times as many in the residual blocks"""
    blocks: int = 5
    """residual blocks, at a quarter of the size"""
    style_names: tuple[str, ...] = EMOTIONS
    """one row of scales and shifts each"""
    network_per_style: bool = False
    """whether each style has a network of its own, all stacked, instead of one shared network; see `init_stylizer`"""
    patch: int = 1
    """side of the squares of pixels that the first and the last layer treat as one position: 1, 2 or 4; 2 and 4 save layers"""

    def __post_init__(self) -> None:
        # The config may come from an untrusted checkpoint. The network has to fit into memory; names become file names.
        check_range("width", self.width, least=1, most=1024, whole=True)
        check_range("blocks", self.blocks, least=0, most=100, whole=True)
        if (
            not all(isinstance(name, str) and _NAME.fullmatch(name) for name in self.style_names)
            or len(self.style_names) > 1000
        ):
            raise InputError(
                f"`style_names` {str(self.style_names)[:100]}: names have 1 to 64 letters, digits, spaces, -, _ and .",
                "style_names",
            )
        if not isinstance(self.network_per_style, bool):
            raise InputError(f"`network_per_style` {self.network_per_style!r}: give true or false", "network_per_style")
        if not is_whole(self.patch) or self.patch not in PATCHES:
            raise InputError(f"`patch` {self.patch}: choose from {', '.join(map(str, PATCHES))}", "patch")
        if not self.style_names or len(set(self.style_names)) != len(self.style_names):
            raise InputError(f"`style_names` {self.style_names}: give at least one name, each once", "style_names")

    def channels(self, factor: int) -> int:
        """Channels of the layers that work at 1 / `factor` of the photo's size."""
        return factor * self.width

    def norm_layers(self) -> Iterator[tuple[str, int]]:
        """(name, channels) of every conditional instance norm, in order."""
        sizes = [factor for factor in (1, 2, 4) if factor >= self.patch]
        yield from ((DOWN[factor], self.channels(factor)) for factor in sizes)
        for i in range(self.blocks):
            yield from ((f"block{i}_a", self.channels(4)), (f"block{i}_b", self.channels(4)))
        yield from ((UP[factor], self.channels(factor)) for factor in sizes[-2::-1])

    @property
    def kernel(self) -> int:
        """Side of the kernels of the first and the last layer, in patches; about the same in pixels for all patch sizes."""
        return 8 // self.patch + 1

    @property
    def receptive_radius(self) -> int:
        """The distance in pixels beyond which a cut through the photo, at a multiple of 4, does not change the outputs.

        It holds for given norm statistics. With the photo's own statistics, every output depends on the whole photo.
        """
        radius, factor = self.kernel // 2, self.patch
        while factor < 4:
            radius, factor = radius // 2 + 1, factor * 2  # a layer of stride 2 sees one position before its own two
        radius += 2 * self.blocks
        while factor > self.patch:
            radius, factor = 2 * radius + 1, factor // 2
        return (radius + self.kernel // 2) * self.patch


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
