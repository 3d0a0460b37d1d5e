"""Scores of a transform net on photos: losses, similarity, nearest painting, emotions kept; means per style."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from emojax.errors import InputError
from emojax.faces.crops import cut_face
from emojax.faces.find import find_faces
from emojax.faces.views import FaceDetector
from emojax.images import to_uint8, to_unit
from emojax.nets.style_code import mix_styles
from emojax.nets.stylizer import choose_network, stylize_with_code
from emojax.nets.stylizer_config import StylizerConfig
from emojax.train.faces.evaluate import classify_crops
from emojax.train.stream import UNREADABLE
from emojax.train.styles.config import painted_styles
from emojax.train.styles.crops import center_crop
from emojax.train.styles.metrics import PixelOptimizer, objective, style_scores
from emojax.train.styles.sources import decode, open_photos
from emojax.util import compiling
from emojax.util.progress import track
from emojax.util.words import tell
from emojax.weights.load import load_classifier

SMALLEST_FACE = 32
"""smallest short side, in pixels, of the box of a face whose emotion counts"""


def read_photos(paths: Sequence[str], size: int, limit: int | None) -> dict[str, np.ndarray]:
    """The centre squares of photos, name -> uint8 [size, size, 3]; those that cannot be read are left out.

    With a `limit`, that many photos, evenly spaced. Smaller photos are enlarged, with a message.

    Raises:
        InputError: no photos, or none that can be read.
    """
    source = open_photos(paths)
    found: dict[str, np.ndarray] = {}
    bad, small = [], 0
    count = len(source) if limit is None else min(limit, len(source))
    for index in np.linspace(0, len(source) - 1, count).round().astype(int).tolist():
        try:
            photo = decode(source[index])
            found[source.name(index)] = center_crop(photo, size)
            small += min(photo.size) < size
        except UNREADABLE as error:
            bad.append(f"{source.name(index)}: {error}")
    if bad:
        tell(f"skipped {len(bad)} photos that cannot be read, first {bad[0]}")
    if small:
        tell(f"enlarged {small} of {len(found)} photos to {size} pixels")
    if not found:
        raise InputError(f"none of the {count} photos can be read: give others")
    return found


def stylize_and_score(
    config: StylizerConfig, params: Any, vgg: Any, grams: Any, photo: UInt8[Array, "1 H W 3"], style: Int[Array, ""]
) -> tuple[Float[Array, "1 H W 3"], dict[str, jax.Array]]:
    """The photo in the style with this number, 0 to 1, and its `style_scores`. Pure."""
    photo = to_unit(photo)
    code = mix_styles(params["style_table"], jax.nn.one_hot(style, len(config.style_names))[None])
    network = choose_network(params["network"], style) if config.network_per_style else params["network"]
    stylized = stylize_with_code(config, network, photo, code)
    return stylized, style_scores(vgg, grams, photo, stylized)


def unstylized_losses(vgg: Any, grams: Any, photo: UInt8[Array, "1 H W 3"]) -> Float[Array, " S"]:
    """The style losses of the photo itself. Pure."""
    unchanged = to_unit(photo)
    return style_scores(vgg, grams, unchanged, unchanged)["style"]


def score_photos(
    config: StylizerConfig,
    params: Any,
    vgg: Any,
    grams: Any,
    photos: Mapping[str, np.ndarray],
    on_photo: Callable[[np.ndarray, np.ndarray], None],
) -> dict[str, dict[str, float]]:
    """Means over the photos, style -> score.

    The scores are those of `style_scores`, where "style" is the loss to the style's own painting; "objective"; "style_ratio"
    and "objective_ratio", the means of their ratios to those of the unstylized photo; and, if there are several styles,
    "nearest_painting", the share of photos whose nearest painting is the style's own.

    Args:
        on_photo: called with each photo uint8 [H, W, 3] and its stylized versions, uint8 [S, H, W, 3].
    """
    stylize, score_unstylized = compiling.jit(stylize_and_score, static_argnums=0), compiling.jit(unstylized_losses)
    styles = painted_styles(config.style_names)
    rows: dict[str, list[dict[str, float]]] = {style: [] for style in styles}
    for photo in track(photos.values(), "photo", "scoring"):
        before = np.asarray(score_unstylized(vgg, grams, photo[None]))
        pictures = np.zeros((len(styles), *photo.shape), np.uint8)
        for index, style in enumerate(styles):
            stylized, scores = stylize(config, params, vgg, grams, photo[None], index)
            pictures[index] = to_uint8(np.asarray(stylized[0]))
            distances = np.asarray(scores["style"])
            row = {name: float(value) for name, value in scores.items() if name != "style"}
            row |= {"style": float(distances[index]), "style_ratio": float(distances[index] / before[index])}
            row["objective"] = objective(row["content"], row["style"])
            row["objective_ratio"] = row["objective"] / float(objective(0.0, before[index]))
            if len(styles) > 1:
                row["nearest_painting"] = float(distances.argmin() == index)
            rows[style].append(row)
        on_photo(photo, pictures)
    return {
        style: {name: float(np.mean([row[name] for row in found])) for name in found[0]}
        for style, found in rows.items()
    }


class Retention:
    """Counts the faces in which the same emotion is read before and after stylization."""

    def __init__(self, classifier: Path, styles: int) -> None:
        """Loads a classifier; raises CheckpointError if there is none."""
        config, variables = load_classifier(classifier)
        self.config, self.variables = config, jax.device_put(variables)
        self.detector = FaceDetector()
        self.faces, self.same = 0, np.zeros(styles, int)

    def add(self, photo: np.ndarray, pictures: np.ndarray) -> None:
        """Adds a photo uint8 [H, W, 3] and its stylized versions, uint8 [S, H, W, 3], which have the photo's boxes."""
        faces = [face for face in find_faces(self.detector, photo) if min(face.w, face.h) >= SMALLEST_FACE]
        if not faces:
            return

        def read(picture: np.ndarray) -> np.ndarray:
            crops = [
                cut_face(picture, face, self.config.margin, self.config.size, self.config.aligned) for face in faces
            ]
            return classify_crops(self.config, self.variables, np.stack(crops)).argmax(1)

        before = read(photo)
        self.faces += len(faces)
        self.same += [int((read(picture) == before).sum()) for picture in pictures]


def distance_to_optimum(
    config: StylizerConfig, params: Any, vgg: Any, grams: Any, photos: Mapping[str, np.ndarray], max_steps: int
) -> Iterator[dict[str, Any]]:
    """The number of steps that an optimizer needs to reach the network's objective, a row per photo and style."""
    stylize, optimizer = compiling.jit(stylize_and_score, static_argnums=0), PixelOptimizer()
    pairs = [(name, index) for name in photos for index in range(len(painted_styles(config.style_names)))]
    for name, index in track(pairs, "picture", "optimizing"):
        photo = photos[name][None]
        _, scores = stylize(config, params, vgg, grams, photo, index)
        goal = float(objective(scores["content"], scores["style"][index]))
        gram = {layer: gram[index : index + 1] for layer, gram in grams.items()}
        found = optimizer.steps_to_goal(vgg, gram, jnp.asarray(to_unit(photo)), goal, max_steps)
        yield {"photo": name, "style": config.style_names[index], "network": goal, **dataclasses.asdict(found)}


def optimum_summary(rows: Sequence[Mapping[str, Any]], max_steps: int) -> dict[str, float]:
    """Mean steps per style and over the styles; `max_steps` counts if the optimizer did not reach the objective."""
    styles = dict.fromkeys(row["style"] for row in rows)
    counts = [(row["style"], max_steps if row["steps"] is None else row["steps"]) for row in rows]
    means = {style: float(np.mean([count for name, count in counts if name == style])) for style in styles}
    return {**means, "mean": float(np.mean(list(means.values())))}


def even_strengths(scores: Mapping[str, Mapping[str, float]]) -> list[float]:
    """Factors of the strengths for the next training, see `StyleLossConfig`: each style ratio over their mean.

    A style whose loss is large relative to that of the unstylized photos gets more weight.
    """
    ratios = np.array([row["style_ratio"] for row in scores.values()])
    return [round(float(strength), 2) for strength in ratios / ratios.mean()]
