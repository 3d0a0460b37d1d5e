"""Steady emotion: faces are followed from key frame to key frame, their readings smoothed, and styles glide.

A *key frame* is one in which faces are looked for, some four times a second; between two of them boxes move evenly. Readings
follow new ones by an exponential mean. The strongest emotion changes only if another is stronger by `MARGIN` (hysteresis), and
the style that is painted moves towards its own at a bounded speed: from one style to another in `GLIDE` seconds.
All is pure: states in, states out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from emojax.emotions import EMOTIONS
from emojax.faces.find import Face

MEMORY = 0.7
"""seconds: the time constant of the readings' mean"""
MARGIN = 0.1
"""by which another emotion's probability has to be larger before it is the strongest"""
GLIDE = 1.0
"""seconds from one style to another"""
FADE = 0.4
"""seconds in which a face comes, or goes"""
SAME = 0.3
"""intersection over union from which on two boxes are one face's"""
HOLD = 2.0
"""seconds without a face after which a clip's emotion is that of no face"""

Weights = Float[np.ndarray, " S"]


@dataclass(frozen=True, eq=False)
class Mood:
    """An emotion in time, and the style that it is painted in."""

    probabilities: Float[np.ndarray, " 7"]
    strongest: int
    """index of the emotion that counts as the strongest"""
    style: Weights
    """weights of the styles, on the way to those of the emotion"""


@dataclass(frozen=True, eq=False)
class Track:
    """A face that is followed."""

    number: int
    """no other face of the clip has it"""
    face: Face
    mood: Mood
    presence: float = 0.0
    """how much it counts, 0 to 1, while it comes and goes"""
    seen: bool = True
    """whether it was found in the last key frame"""


def overlap(a: Face, b: Face) -> float:
    """Intersection over union of two faces' boxes, 0 to 1."""
    width = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    height = min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
    shared = max(0.0, width) * max(0.0, height)
    return shared / (a.w * a.h + b.w * b.h - shared)


def match(tracks: Sequence[Track], faces: Sequence[Face]) -> dict[int, int]:
    """Which face each track has: index of the track -> index of the face. The pairs that overlap most come first."""
    pairs = [(overlap(track.face, face), t, f) for t, track in enumerate(tracks) for f, face in enumerate(faces)]
    found: dict[int, int] = {}
    for same, t, f in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if same >= SAME and t not in found and f not in found.values():
            found[t] = f
    return found


def target(styles: tuple[str, ...], probabilities: Float[np.ndarray, " 7"], strongest: int, mix: str) -> Weights:
    """The style of an emotion, as `emojax.pipeline.forward.style_choice` has it, with a strongest emotion that is given."""
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
    """The mood of a first reading: its style is painted at once."""
    strongest = int(np.argmax(probabilities))
    return Mood(probabilities, strongest, target(styles, probabilities, strongest, mix))


def felt(mood: Mood, probabilities: Float[np.ndarray, " 7"], seconds: float, memory: float = MEMORY) -> Mood:
    """A mood after another reading, so many seconds later; its style stays."""
    share = np.float32(1 - math.exp(-seconds / memory)) if memory > 0 else np.float32(1)
    mean = mood.probabilities + share * (probabilities - mood.probabilities)
    best = int(np.argmax(mean))
    return replace(
        mood, probabilities=mean, strongest=best if mean[best] > mean[mood.strongest] + MARGIN else mood.strongest
    )


def glide(style: Weights, goal: Weights, seconds: float) -> Weights:
    """A style so many seconds later on its straight way to a goal: half the sum of the changes is at most seconds / `GLIDE`."""
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
    """The tracks at a key frame, so many seconds after the one before.

    Args:
        faces: that were found in it, largest first, with their readings.
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
    """A track so many seconds later: it comes or goes, and its style glides."""
    step = seconds / FADE if track.seen else -seconds / FADE
    goal = target(styles, track.mood.probabilities, track.mood.strongest, mix)
    mood = replace(track.mood, style=glide(track.mood.style, goal, seconds))
    return replace(track, mood=mood, presence=min(1.0, max(0.0, track.presence + step)))


def between(a: Face, b: Face, share: float) -> Face:
    """A face on the way from one place to another, 0 to 1."""

    def mixed(start: float, end: float) -> float:
        return start + share * (end - start)

    points = tuple((mixed(x, u), mixed(y, v)) for (x, y), (u, v) in zip(a.landmarks, b.landmarks, strict=False))
    x, y, w, h = (mixed(getattr(a, side), getattr(b, side)) for side in ("x", "y", "w", "h"))
    return replace(b, x=x, y=y, w=w, h=h, landmarks=points)
