"""The presets of `emojax train styles`; see `emojax.train.presets.style`."""

from emojax.train.presets.style import (
    ADD,
    DEFAULT_MODEL,
    EMOTIONS,
    GPU,
    PAPER,
    PRESETS,
    PRIMARY_PAINTINGS,
    REFINE,
    SHIPPED_MODEL,
    TINY,
)

__all__ = [
    "ADD",
    "DEFAULT_MODEL",
    "EMOTIONS",
    "GPU",
    "PAPER",
    "PRESETS",
    "PRIMARY_PAINTINGS",
    "REFINE",
    "SHIPPED_MODEL",
    "TINY",
]
