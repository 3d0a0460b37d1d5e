"""The seven emotions, in ExpW's order, and weights over them. The only place that defines either."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from emojax.errors import InputError
from emojax.util.numbers import is_number
from emojax.util.words import nearest as nearest

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
NEUTRAL = EMOTIONS.index("neutral")
PHOTO = "photo"
"""The name of a style that is no style: a transform net that has it paints the photo as it is, for strengths below 1."""

CIRCUMPLEX = {
    "angry": (-0.51, 0.59),
    "disgust": (-0.60, 0.35),
    "fear": (-0.64, 0.60),
    "happy": (0.81, 0.51),
    "sad": (-0.63, -0.27),
    "surprise": (0.40, 0.67),
    "neutral": (0.0, 0.0),
}
"""(valence, arousal) of each emotion, -1 to 1: the mean ratings of pleasure and arousal in Russell & Mehrabian 1977, "Evidence
for a three-factor theory of emotions", Journal of Research in Personality 11, 273-294. Neutral is the scales' middle."""


def parse_weights(text: str) -> dict[str, float]:
    """Reads "sad" or "happy:0.6,surprise:0.4" into a mapping from emotion to weight (1 where none is given).

    Raises:
        InputError: a weight is not a number, or an emotion is named twice.
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, colon, number = part.strip().partition(":")
        if name in weights:
            raise InputError(f"emotion {name!r} is named twice in {text!r}: give each emotion once")
        try:
            weights[name] = float(number) if colon else 1.0
        except ValueError:
            raise InputError(
                f"{number!r} is not a weight in {text!r}: write emotions as name:number, such as happy:0.6,sad:0.4"
            ) from None
    return weights


def style_weights(emotion: str | Mapping[str, float], names: Sequence[str] = EMOTIONS) -> np.ndarray:
    """Normalized weights over the names of styles, those of `EMOTIONS` by default.

    Args:
        emotion: a name, a text such as "happy:0.6,surprise:0.4", or a mapping from names to weights >= 0.

    Returns:
        float32 [S], not negative, sums to 1.

    Raises:
        InputError: an unknown emotion, or weights that are negative, not finite or all zero.
    """
    weights = parse_weights(emotion) if isinstance(emotion, str) else emotion
    if not isinstance(weights, Mapping):
        raise InputError(f"emotion {emotion!r}: give a name, or a mapping from names to weights")
    vector = np.zeros(len(names), np.float64)
    for name, weight in weights.items():
        if name not in names:
            raise InputError(f"unknown emotion {name!r}{nearest(str(name), names)}: choose from {', '.join(names)}")
        if not is_number(weight) or weight < 0:
            raise InputError(f"the weight of {name!r} is {weight!r}: weights are finite and not negative")
        vector[names.index(name)] = weight
    if vector.max() <= 0:
        raise InputError("the emotions' weights sum to zero: give at least one a weight above 0")
    vector /= vector.max()  # the sum of very large weights would overflow
    return (vector / vector.sum()).astype(np.float32)


def as_dict(vector: Iterable[Any]) -> dict[str, float]:
    """Seven numbers in the order of `EMOTIONS` -> mapping from emotion to Python float."""
    return {name: float(value) for name, value in zip(EMOTIONS, vector, strict=True)}


def dominant(probabilities: Mapping[str, float]) -> str:
    """The emotion with the largest probability; the first in `EMOTIONS` wins a tie, as argmax does."""
    return max(EMOTIONS, key=lambda name: probabilities.get(name, 0.0))


def valence_arousal(probabilities: Mapping[str, float]) -> tuple[float, float]:
    """A point on the valence-arousal plane: the mean of `CIRCUMPLEX` under the probabilities.

    Valence is -1 (unpleasant) to 1 (pleasant), arousal -1 (calm) to 1 (excited). The plane is that of Russell 1980, "A
    circumplex model of affect"; the expectation is ours. It says what a mixture of labels amounts to, not more.
    """
    valence, arousal = (sum(probabilities[name] * CIRCUMPLEX[name][axis] for name in EMOTIONS) for axis in (0, 1))
    return valence, arousal
