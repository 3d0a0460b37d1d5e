"""The presets of `emojax train styles`, for `from configs.style import PRESETS`.

They are defined, with their commands, hardware and scores, in `emojax/train/presets/style.py`, which is also installed.
"""

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
