"""Steady emotions: faces are tracked from key frame to key frame, their readings are smoothed, and styles change gradually.

Faces are found only in *key frames*, about every `analysis.KEY_INTERVAL` seconds; boxes are interpolated linearly in between.
Readings are smoothed by an exponential moving average. The strongest emotion changes only if another is stronger by
`HYSTERESIS`. The painted style moves towards the style of the emotion at a bounded speed: from one style to another in
`TRANSITION` seconds.
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
from emojax.pipeline.forward import style_choice

TIME_CONSTANT = 0.7
"""time constant of the moving average of the readings, in seconds"""
HYSTERESIS = 0.1
"""difference by which another emotion's probability has to be larger to become the strongest"""
TRANSITION = 1.0
"""seconds from one style to another"""
FADE = 0.4
"""seconds in which a face fades in or out"""
MINIMUM_OVERLAP = 0.3
"""smallest intersection over union of two boxes of the same face"""
HOLD = 2.0
"""seconds without a face after which the clip has the emotion of a clip without faces"""

Weights = Float[np.ndarray, " S"]


@dataclass(frozen=True, eq=False)
class SmoothedEmotion:
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
    emotion: SmoothedEmotion
    presence: float = 0.0
    """weight of the face while it fades in or out, 0 to 1"""
    detected: bool = True
    """whether it was found in the last key frame"""


def match_faces(tracks: Sequence[Track], faces: Sequence[Face]) -> dict[int, int]:
    """Assigns faces to tracks: index of the track -> index of the face. Pairs with the largest overlap are assigned first."""
    pairs = [(overlap(track.face, face), t, f) for t, track in enumerate(tracks) for f, face in enumerate(faces)]
    found: dict[int, int] = {}
    for same, t, f in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if same >= MINIMUM_OVERLAP and t not in found and f not in found.values():
            found[t] = f
    return found


def target_style(styles: tuple[str, ...], probabilities: Float[np.ndarray, " 7"], strongest: int, mix: str) -> Weights:
    """The style of an emotion, see `emojax.pipeline.forward.style_choice`, but with a given strongest emotion."""
    if mix == "dominant":
        probabilities = probabilities + np.eye(len(EMOTIONS), dtype=np.float32)[strongest]  # now above all others
    return style_choice(styles, probabilities, mix)


def initial_emotion(styles: tuple[str, ...], probabilities: Float[np.ndarray, " 7"], mix: str) -> SmoothedEmotion:
    """The emotion after a first reading, whose style is used at once."""
    strongest = int(np.argmax(probabilities))
    return SmoothedEmotion(probabilities, strongest, target_style(styles, probabilities, strongest, mix))


def update_emotion(
    emotion: SmoothedEmotion,
    probabilities: Float[np.ndarray, " 7"],
    seconds: float,
    time_constant: float = TIME_CONSTANT,
) -> SmoothedEmotion:
    """The emotion after another reading, `seconds` later; its style does not change yet."""
    share = np.float32(1 - math.exp(-seconds / time_constant)) if time_constant > 0 else np.float32(1)
    mean = emotion.probabilities + share * (probabilities - emotion.probabilities)
    best = int(np.argmax(mean))
    return replace(
        emotion,
        probabilities=mean,
        strongest=best if mean[best] > mean[emotion.strongest] + HYSTERESIS else emotion.strongest,
    )


def move_style(style: Weights, goal: Weights, seconds: float) -> Weights:
    """The style after moving straight towards a goal: half the sum of the changes is at most seconds / `TRANSITION`."""
    distance = np.abs(goal - style).sum() / 2
    if distance <= seconds / TRANSITION:
        return goal
    return (style + (goal - style) * np.float32(seconds / TRANSITION / distance)).astype(np.float32)


def update_tracks(
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
    found = match_faces(tracks, faces)
    kept = []
    for index, track in enumerate(tracks):
        if index in found:
            emotion = update_emotion(track.emotion, probabilities[found[index]], seconds)
            kept.append(replace(track, face=faces[found[index]], emotion=emotion, detected=True))
        elif track.presence > 0:
            kept.append(replace(track, detected=False))
    new = [index for index in range(len(faces)) if index not in found.values()]
    started = [
        Track(first + number, faces[index], initial_emotion(styles, probabilities[index], mix))
        for number, index in enumerate(new)
    ]
    return [*kept, *started]


def advance_track(track: Track, seconds: float, styles: tuple[str, ...], mix: str) -> Track:
    """A track after `seconds`: it fades in or out, and its style moves towards its goal."""
    step = seconds / FADE if track.detected else -seconds / FADE
    goal = target_style(styles, track.emotion.probabilities, track.emotion.strongest, mix)
    emotion = replace(track.emotion, style=move_style(track.emotion.style, goal, seconds))
    return replace(track, emotion=emotion, presence=min(1.0, max(0.0, track.presence + step)))


def interpolate(a: Face, b: Face, share: float) -> Face:
    """Linear interpolation of a face from `a` (share 0) to `b` (share 1)."""

    def mixed(start: float, end: float) -> float:
        return start + share * (end - start)

    points = tuple((mixed(x, u), mixed(y, v)) for (x, y), (u, v) in zip(a.landmarks, b.landmarks, strict=False))
    x, y, w, h = (mixed(getattr(a, side), getattr(b, side)) for side in ("x", "y", "w", "h"))
    return replace(b, x=x, y=y, w=w, h=h, landmarks=points)
