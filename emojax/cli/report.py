"""Reports about a photo: a line on stdout, notes on stderr, or one JSON object."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from emojax.cli.job import STREAM, Job, style_name
from emojax.emotions import compound, dominant, valence_arousal
from emojax.errors import OutputError
from emojax.util.words import printable

if TYPE_CHECKING:  # it imports JAX, which is slow; mistakes in the request are reported before that
    from emojax.pipeline import ReadFace, Result


def report(job: Job, row: Mapping[str, Any], as_json: bool, quiet: bool, summary: str = "") -> None:
    """Prints the report about a photo: `row` as JSON or a line, notes unless `quiet`, and an error if there is one.

    Args:
        summary: the result in a few words; empty: the summary of a photo.
    """
    for line in _messages(job, row, quiet):
        _say(line, sys.stderr)
    if as_json:
        say_json(row)
    elif row["output"] not in (None, STREAM) and not job.done and not quiet:
        _say(f"{job.label} -> {row['output']} ({summary or _summary(row)})", sys.stdout)


def say_json(row: Mapping[str, Any]) -> None:
    """Prints an object on standard output, as one line."""
    _say(json.dumps(row, allow_nan=False), sys.stdout)


def reading(result: Result) -> dict[str, Any]:
    """The entries for the faces, the probabilities and the style of a result."""
    row = {"faces": faces_of(enumerate(result.faces)), **emotional_state(result.emotion), "style": result.style}
    row |= {"painted": result.painted} if result.painted else {}
    row |= {} if result.painted_share is None else {"painted_share": round(result.painted_share, 3)}
    return row | ({"note": result.note} if result.note else {})


def faces_of(faces: Iterable[tuple[int, ReadFace]]) -> list[dict[str, Any]]:
    """The entries of faces, each with its number."""
    return [
        {
            "id": index,
            "region": {side: round(float(getattr(read.face, side)), 1) for side in ("x", "y", "w", "h")},
            "face_confidence": float(read.face.confidence),
            "landmarks": [[round(float(x), 1), round(float(y), 1)] for x, y in read.face.landmarks],
            "rotation": read.face.rotation,
            **emotional_state(read.emotion),
            **({"style": read.style} if read.style else {}),
        }
        for index, read in faces
    ]


def emotional_state(emotion: dict[str, float] | None) -> dict[str, Any]:
    """The entries for the probabilities of a face or photo; all None if no face was read."""
    if emotion is None:
        return dict.fromkeys(("emotion", "dominant_emotion", "compound_emotion", "valence", "arousal"))
    valence, arousal = valence_arousal(emotion)
    names = {"dominant_emotion": dominant(emotion), "compound_emotion": compound(emotion)}
    return {"emotion": emotion, **names, "valence": valence, "arousal": arousal}


def _messages(job: Job, row: Mapping[str, Any], quiet: bool) -> list[str]:
    """The lines for stderr about a photo."""
    lines = [] if quiet or "note" not in row else [f"emojax: {job.label}: {row['note']}"]
    if "error" in row:
        named = row["error"] if job.label in row["error"] else f"{job.label}: {row['error']}"
        lines.append(f"emojax: error: {named}")
    return lines


def _summary(row: Mapping[str, Any]) -> str:
    """The result in a few words, such as "happy 0.93, 2 faces"."""
    if row["emotion"] is None:
        return style_name(row["style"])
    count = len(row["faces"])
    strongest = row["dominant_emotion"]
    return f"{strongest} {row['emotion'][strongest]:.2f}, {count} face{'s' * (count > 1)}"


def _say(line: str, stream: Any) -> None:
    """Prints a line at once, above the progress bar.

    Raises:
        EmojaxError: standard output cannot be written, for example because the disk is full.
    """
    try:
        with tqdm.external_write_mode(file=stream):
            print(printable(line), file=stream, flush=True)
    except OSError as error:
        if stream is sys.stderr:  # there is no place to say it, and it must not stop the other photos
            return
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(f"cannot write to standard output: {error.strerror or error}") from None
