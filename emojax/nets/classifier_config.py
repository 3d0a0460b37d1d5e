"""The shape of the classifier, and the crops of faces that it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from emojax.errors import InputError
from emojax.util.numbers import check_range, is_whole

ARCHITECTURES = ("paper", "vgg16", "mobilefacenet")
VGG16_DEPTHS = (2, 2, 3, 1)
"""convolutions of each block of the architecture vgg16: as in VGG16, but only the first one of block 4"""

STAGES = ((5, 2), (7, 2), (3, 4))
"""(blocks, expansion factor of the first block) of each stage of mobilefacenet; the other blocks expand by 2"""
REDUCTION = 2 ** (1 + len(STAGES))
"""pixels of mobilefacenet's input per pixel of its last stage"""


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
        if self.architecture not in ARCHITECTURES:
            raise InputError(
                f"`architecture` {self.architecture!r}: choose from {', '.join(ARCHITECTURES)}", "architecture"
            )
        check_range("widths", self.widths, least=1, most=4096, whole=True)
        if not isinstance(self.widths, tuple) or not 1 <= len(self.widths) <= self._most_blocks():
            raise InputError(
                f"`widths` {self.widths}: give the channels of 1 to {self._most_blocks()} blocks", "widths"
            )
        if self.architecture == "mobilefacenet" and len(self.widths) != len(STAGES):
            raise InputError(f"`widths` {self.widths}: mobilefacenet has {len(STAGES)} stages", "widths")
        pixels = REDUCTION if self.architecture == "mobilefacenet" else 2 ** len(self.widths)
        check_range("size", self.size, least=pixels, most=4096, whole=True)  # the last block has at least one position
        check_range("dense", self.dense, least=1, most=4096, whole=True)
        if not is_whole(self.channels) or self.channels not in (1, 3):
            raise InputError(f"`channels` {self.channels}: choose 1 (grey) or 3 (colour)", "channels")
        check_range("margin", self.margin, least=0, most=2)
        check_range("model.domains", self.domains, least=1, whole=True)  # the data's config also has `domains`
        if self.domains > 1 and self.architecture != "mobilefacenet":
            raise InputError(f"`model.domains` {self.domains}: only mobilefacenet has more than 1", "model.domains")
        check_range("conv_dropout", self.conv_dropout, least=0, below=1)
        check_range("dense_dropout", self.dense_dropout, least=0, below=1)

    def _most_blocks(self) -> int:
        return len(VGG16_DEPTHS) if self.architecture == "vgg16" else 8
