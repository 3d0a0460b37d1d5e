"""Scores of what people notice first in a model's pictures: faces, steadiness, motifs.

photos -> pictures as users get them (`Model.__call__` with a named style) -> means per style.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from emojax.faces.find import Face, cut_crop, find_faces, overlap
from emojax.pipeline.model import Model
from emojax.train.styles.config import painted_styles
from emojax.train.styles.picture_metrics import motif_strength, noise_gain
from emojax.train.styles.scoring import SMALLEST_FACE
from emojax.util.progress import track

OVERLAP = 0.5
"""smallest intersection over union of two boxes of the same face"""


def score_pictures(
    model: Model, photos: Mapping[str, UInt8[np.ndarray, "H W 3"]], **options: Any
) -> dict[str, dict[str, float]]:
    """Means over the photos, style -> score.

    "faces_found": the share of the faces of at least `SMALLEST_FACE` pixels that the detector finds again. "emotion_kept": the
    share of those faces whose strongest emotion, read at the same place, does not change. Both are left out if there are no
    faces. "noise_gain" and "motif": see `emojax.train.styles.picture_metrics`.

    Args:
        options: of `StylizeOptions`.
    """
    rows: dict[str, dict[str, list[float]]] = {style: defaultdict(list) for style in painted_styles(model.style_names)}
    for photo in track(photos.values(), "photo", "looking at pictures"):
        faces = [face for face in find_faces(model.detector, photo) if min(face.w, face.h) >= SMALLEST_FACE]
        before = _emotions(model, photo, faces)
        for style, row in rows.items():

            def repaint(pixels: np.ndarray, style: str = style) -> np.ndarray:
                return np.asarray(model(pixels, emotion=style, **options).image)

            picture = repaint(photo)
            again = find_faces(model.detector, picture)
            row["faces_found"] += [any(overlap(face, other) > OVERLAP for other in again) for face in faces]
            row["emotion_kept"] += (_emotions(model, picture, faces) == before).tolist()
            row["noise_gain"].append(noise_gain(repaint, photo))
            row["motif"].append(motif_strength(picture, photo))
    return {
        style: {name: float(np.mean(values)) for name, values in row.items() if values} for style, row in rows.items()
    }


def _emotions(model: Model, picture: np.ndarray, faces: Sequence[Face]) -> np.ndarray:
    """The index of the strongest emotion of each face, as read in a picture."""
    margin = model.classifier.margin
    crops = [cut_crop(picture, face, margin, model.classifier.size) for face in faces]
    if not crops:
        return np.zeros(0, int)
    return model.classify(np.stack(crops), margin).argmax(1)
