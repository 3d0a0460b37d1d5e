"""The shape of the transform net: its layers, and the names of its styles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from emojax.emotions import EMOTIONS
from emojax.errors import InputError
from emojax.util.numbers import check_range, is_whole

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
