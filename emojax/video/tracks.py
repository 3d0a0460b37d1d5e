"""Steady emotions: faces are tracked from key frame to key frame, their readings are smoothed, and styles change gradually.

Faces are found only in *key frames*, about every `seen.KEY` seconds; boxes are interpolated linearly in between. Readings are
smoothed by an exponential moving average. The strongest emotion changes only if another is stronger by `MARGIN` (hysteresis).
The painted style moves towards the style of the emotion at a bounded speed: from one style to another in `GLIDE` seconds.
All functions are pure: states in, states out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from emojax.emotions import EMOTIONS
from emojax.faces.find import Face, overlap

MEMORY = 0.7
"""time constant of the moving average of the readings, in seconds"""
MARGIN = 0.1
"""difference by which another emotion's probability has to be larger to become the strongest"""
GLIDE = 1.0
"""seconds from one style to another"""
FADE = 0.4
"""seconds in which a face fades in or out"""
SAME = 0.3
"""smallest intersection over union of two boxes of the same face"""
HOLD = 2.0
"""seconds without a face after which the clip has the emotion of a clip without faces"""

Weights = Float[np.ndarray, " S"]


@dataclass(frozen=True, eq=False)
class Mood:
    """A smoothed emotion, and the style in which it is painted."""

    probabilities: Float[np.ndarray, " 7"]
    strongest: int
    """index of the emotion that counts as the strongest"""
    style: Weights
    """weights of the styles, which move towards those of the emotion"""


@dataclass(frozen=True, eq=False)
class Track:
    """A tracked face."""

    number: int
    """unique among the faces of the clip"""
    face: Face
    mood: Mood
    presence: float = 0.0
    """weight of the face while it fades in or out, 0 to 1"""
    seen: bool = True
    """whether it was found in the last key frame"""


def match(tracks: Sequence[Track], faces: Sequence[Face]) -> dict[int, int]:
    """Assigns faces to tracks: index of the track -> index of the face. Pairs with the largest overlap are assigned first."""
    pairs = [(overlap(track.face, face), t, f) for t, track in enumerate(tracks) for f, face in enumerate(faces)]
    found: dict[int, int] = {}
    for same, t, f in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if same >= SAME and t not in found and f not in found.values():
            found[t] = f
    return found


def target(styles: tuple[str, ...], probabilities: Float[np.ndarray, " 7"], strongest: int, mix: str) -> Weights:
    """The style of an emotion, as in `emojax.pipeline.forward.style_choice`, but with a given strongest emotion."""
    weights = np.zeros(len(styles), np.float32)
    if len(styles) == 1:
        return weights + 1
    if mix == "dominant":
        if EMOTIONS[strongest] in styles:
            weights[styles.index(EMOTIONS[strongest])] = 1
            return weights
        own = [probabilities[EMOTIONS.index(style)] if style in EMOTIONS else 0.0 for style in styles]
        weights[int(np.argmax(own))] = 1
        return weights
    for index, style in enumerate(styles):
        weights[index] = probabilities[EMOTIONS.index(style)] if style in EMOTIONS else 0
    return weights / max(weights.sum(), 1e-12)


def begin(styles: tuple[str, ...], probabilities: Float[np.ndarray, " 7"], mix: str) -> Mood:
    """The mood after a first reading, whose style is used at once."""
    strongest = int(np.argmax(probabilities))
    return Mood(probabilities, strongest, target(styles, probabilities, strongest, mix))


def felt(mood: Mood, probabilities: Float[np.ndarray, " 7"], seconds: float, memory: float = MEMORY) -> Mood:
    """The mood after another reading, `seconds` later; its style does not change yet."""
    share = np.float32(1 - math.exp(-seconds / memory)) if memory > 0 else np.float32(1)
    mean = mood.probabilities + share * (probabilities - mood.probabilities)
    best = int(np.argmax(mean))
    return replace(
        mood, probabilities=mean, strongest=best if mean[best] > mean[mood.strongest] + MARGIN else mood.strongest
    )


def glide(style: Weights, goal: Weights, seconds: float) -> Weights:
    """The style after moving straight towards a goal: half the sum of the absolute changes is at most seconds / `GLIDE`."""
    distance = np.abs(goal - style).sum() / 2
    if distance <= seconds / GLIDE:
        return goal
    return (style + (goal - style) * np.float32(seconds / GLIDE / distance)).astype(np.float32)


def follow(
    tracks: Sequence[Track],
    faces: Sequence[Face],
    probabilities: Float[np.ndarray, "F 7"],
    seconds: float,
    styles: tuple[str, ...],
    mix: str,
    first: int,
) -> list[Track]:
    """The tracks at a key frame, `seconds` after the previous one.

    Args:
        faces: the faces found in the key frame, largest first.
        probabilities: the readings of these faces.
        first: the number of the next new face.
    """
    found = match(tracks, faces)
    kept = []
    for index, track in enumerate(tracks):
        if index in found:
            mood = felt(track.mood, probabilities[found[index]], seconds)
            kept.append(replace(track, face=faces[found[index]], mood=mood, seen=True))
        elif track.presence > 0:
            kept.append(replace(track, seen=False))
    new = [index for index in range(len(faces)) if index not in found.values()]
    started = [
        Track(first + number, faces[index], begin(styles, probabilities[index], mix))
        for number, index in enumerate(new)
    ]
    return [*kept, *started]


def advance(track: Track, seconds: float, styles: tuple[str, ...], mix: str) -> Track:
    """A track after `seconds`: it fades in or out, and its style moves towards its goal."""
    step = seconds / FADE if track.seen else -seconds / FADE
    goal = target(styles, track.mood.probabilities, track.mood.strongest, mix)
    mood = replace(track.mood, style=glide(track.mood.style, goal, seconds))
    return replace(track, mood=mood, presence=min(1.0, max(0.0, track.presence + step)))


def between(a: Face, b: Face, share: float) -> Face:
    """Linear interpolation of a face from `a` (share 0) to `b` (share 1)."""

    def mixed(start: float, end: float) -> float:
        return start + share * (end - start)

    points = tuple((mixed(x, u), mixed(y, v)) for (x, y), (u, v) in zip(a.landmarks, b.landmarks, strict=False))
    x, y, w, h = (mixed(getattr(a, side), getattr(b, side)) for side in ("x", "y", "w", "h"))
    return replace(b, x=x, y=y, w=w, h=h, landmarks=points)
