"""How a picture is optimized: weights, scales and steps."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from emojax.errors import InputError
from emojax.losses.objective import COLUMN_LAYERS, STROKE_WEIGHTS, ObjectiveWeights
from emojax.losses.terms import CONTENT_LAYER
from emojax.paint import descent
from emojax.paint.limits import SMALLEST
from emojax.util.numbers import check_range

MULTIPLE = 8
"""pixels; the sides at every scale are multiples of it, so that the cells of all feature maps are aligned"""


@dataclass(frozen=True)
class PaintConfig(ObjectiveWeights):
    """The objective's weights, and how it is minimized."""

    content: float = 5.0
    style: float = 15.0
    style_layers: tuple[str, ...] = COLUMN_LAYERS
    style_layer_weights: tuple[float, ...] = STROKE_WEIGHTS
    tv: float = 5.0
    similarity: float = 8.0
    face_similarity: float = 12.0
    transport: float = 6.0
    moments: float = 4.0
    palette: float = 8.0
    positions: int = 1024
    """the most random positions that a step compares; there is one for every 64 pixels, but at least 256"""
    style_scale: float = 1.4
    """size of the painting relative to the picture; larger values make larger strokes; a painting is not enlarged for that"""
    margin: float = 0.06
    """share of the painting's sides that is ignored along each border, where there are frames, canvas edges and signatures"""
    steps: tuple[int, ...] = (60, 100, 150, 200, 250)
    """steps at the finest scale, at the next coarser one, and so on; the last number also holds for all coarser ones"""
    coarsest: int = SMALLEST
    """approximate long side of the coarsest scale; larger values keep the layout of large areas"""
    learning_rate: float = descent.LEARNING_RATE
    """Adam's learning rate at the start of every scale; it falls to a fiftieth, so that the random positions leave no grain"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.steps:
            raise InputError("`steps` is empty: give the steps of at least one scale", "steps")
        check_range("steps", self.steps, least=1, whole=True)
        check_range("positions", self.positions, least=8, whole=True)
        check_range("coarsest", self.coarsest, least=1, whole=True)
        check_range("learning_rate", self.learning_rate, above=0)
        check_range("style_scale", self.style_scale, above=0)
        check_range("margin", self.margin, least=0, below=0.5)

    @property
    def layers(self) -> tuple[str, ...]:
        """The feature maps that the terms compare."""
        return tuple(dict.fromkeys((CONTENT_LAYER, *self.columns, *self.style_layers)))

    def at(self, height: int, width: int) -> PaintConfig:
        """The config with the number of positions for a picture of this size."""
        fewer = max(min(256, self.positions), min(self.positions, height * width // 64))
        return dataclasses.replace(self, positions=fewer)

    def scales(self, height: int, width: int) -> list[tuple[int, int]]:
        """The (height, width) of every scale, coarsest first; the finest is the given size, rounded to multiples of 8."""
        sides: list[tuple[int, int]] = []
        factor = 1.0
        while not sides or max(height, width) * factor >= 0.75 * self.coarsest:
            rows, columns = (max(2 * MULTIPLE, MULTIPLE * round(x * factor / MULTIPLE)) for x in (height, width))
            sides.append((rows, columns))
            factor /= 2
        return list(dict.fromkeys(reversed(sides)))
