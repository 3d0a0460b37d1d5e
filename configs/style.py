"""The presets of `emojax train styles`; see `emojax.train.presets.style`."""

from emojax.train.presets.style import (
    ADD,
    DEFAULT_MODEL,
    EMOTION_MIXES,
    EMOTIONS,
    FAST,
    GPU,
    LEARNED_PAINTINGS,
    PAPER,
    PRESETS,
    PRIMARY_PAINTINGS,
    TINY,
)

__all__ = [
    "ADD",
    "DEFAULT_MODEL",
    "EMOTIONS",
    "EMOTION_MIXES",
    "FAST",
    "GPU",
    "LEARNED_PAINTINGS",
    "PAPER",
    "PRESETS",
    "PRIMARY_PAINTINGS",
    "TINY",
]
