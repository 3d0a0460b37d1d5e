"""The seven emotions, in ExpW's order, and weights over them. No other module defines either."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from emojax.errors import InputError
from emojax.util.numbers import is_number
from emojax.util.words import nearest

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
NEUTRAL = EMOTIONS.index("neutral")
PHOTO = "photo"
"""The name of the style that leaves the photo unchanged. A transform net that has it uses it for strengths below 1."""

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
for a three-factor theory of emotions", Journal of Research in Personality 11, 273-294. Neutral is the middle of both scales."""

COMPOUNDS = {
    frozenset(("happy", "surprise")): "happily surprised",
    frozenset(("happy", "disgust")): "happily disgusted",
    frozenset(("sad", "fear")): "sadly fearful",
    frozenset(("sad", "angry")): "sadly angry",
    frozenset(("sad", "surprise")): "sadly surprised",
    frozenset(("sad", "disgust")): "sadly disgusted",
    frozenset(("fear", "angry")): "fearfully angry",
    frozenset(("fear", "surprise")): "fearfully surprised",
    frozenset(("fear", "disgust")): "fearfully disgusted",
    frozenset(("angry", "surprise")): "angrily surprised",
    frozenset(("angry", "disgust")): "angrily disgusted",
    frozenset(("disgust", "surprise")): "disgustedly surprised",
}
"""The pairs of emotions with a name in Du, Tao & Martinez 2014, "Compound facial expressions of emotion", PNAS 111 (15). Three
further compounds of the paper (appalled, hatred, awed) combine the same pairs with another emphasis."""
COMPOUND_SHARE = 0.25
"""the minimum probability of each emotion of a compound"""


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
    circumplex model of affect"; taking the mean is ours. The point summarizes the probabilities; it is not a measurement.
    """
    valence, arousal = (sum(probabilities[name] * CIRCUMPLEX[name][axis] for name in EMOTIONS) for axis in (0, 1))
    return valence, arousal


def compound(probabilities: Mapping[str, float]) -> str | None:
    """The compound emotion of a face or photo, such as "happily surprised"; None if it has none.

    Both of its emotions have a probability of at least `COMPOUND_SHARE`. Of several compounds, the likeliest is returned.
    """
    likely = [name for name in EMOTIONS if probabilities.get(name, 0.0) >= COMPOUND_SHARE]
    pairs = [pair for pair in COMPOUNDS if pair <= set(likely)]
    best = max(pairs, key=lambda pair: sum(probabilities[name] for name in pair), default=None)
    return None if best is None else COMPOUNDS[best]


def parse_mood(text: str) -> tuple[float, float]:
    """Reads "VALENCE,AROUSAL", such as "-0.4,0.3".

    Raises:
        InputError: it is not two numbers; see `check_mood`.
    """
    try:
        valence, arousal = map(float, text.split(","))
    except ValueError:
        raise InputError(
            f"`mood` {text!r}: write valence and arousal as two numbers, such as -0.4,0.3", "mood"
        ) from None
    check_mood((valence, arousal))
    return valence, arousal


def check_mood(mood: Sequence[float]) -> None:
    """Raises InputError unless a mood is a valence and an arousal, each -1 to 1."""
    pair = isinstance(mood, Sequence | np.ndarray) and len(mood) == 2 and all(is_number(value) for value in mood)
    if not pair or not all(-1 <= value <= 1 for value in mood):
        raise InputError(f"`mood` {mood!r}: give valence and arousal, each -1 to 1", "mood")


def mood_weights(mood: Sequence[float]) -> dict[str, float]:
    """The mix of emotions for a point (valence, arousal) of the circumplex: weights that sum to 1.

    The weights are inverse squared distances (Shepard 1968). They are smooth, and at an emotion's own point of `CIRCUMPLEX`
    that emotion has all the weight.

    Raises:
        InputError: see `check_mood`.
    """
    check_mood(mood)
    squared = [math.dist(mood, point) ** 2 for point in CIRCUMPLEX.values()]
    # Each 1 / d^2 is multiplied by the product of all d^2, so that nothing is divided by 0.
    products = [math.prod(squared[:index] + squared[index + 1 :]) for index in range(len(squared))]
    return as_dict(product / sum(products) for product in products)
