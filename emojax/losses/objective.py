"""The objective that both training and painting minimize: the weighted terms of Kolkin et al. 2019 (arXiv:1904.12785).

The training of the transform net and the optimization of a single picture (`emojax.paint.painter`) share it. Pictures are
float32 [N, H, W, 3], RGB, 0 to 1; feature maps are VGG16's, see `emojax.nets.vgg16`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emojax.errors import InputError
from emojax.losses.terms import (
    STYLE_LAYERS,
    cosine_distances,
    draw_positions,
    hypercolumns,
    moments_loss,
    palette_loss,
    relaxed_transport,
    self_similarity_loss,
)
from emojax.nets.vgg16 import LAYERS
from emojax.util.numbers import check_range

COLUMN_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_1")
"""The feature maps of a hypercolumn. Deeper maps have little energy and cost a third of VGG16's time."""
STROKE_WEIGHTS = (1.0, 1.0, 0.2, 0.05)
"""Weights of the Gram errors of `COLUMN_LAYERS` that produce strokes: about those of Johnson's absolute loss, in which shallow
layers count the most."""
PAINTING_POSITIONS = 4096
"""number of a painting's positions whose hypercolumns are kept; every step draws some of them"""
CELL = 4
"""side of the cells of the grid that weights random positions, in pixels"""


@dataclass(frozen=True)
class ObjectiveWeights:
    """Weights of the terms: the objective is the sum of each weight times its term. See `emojax.losses.terms` for the terms.

    By default, they are content, style and total variation, as in Johnson et al. 2016.
    """

    content: float = 1.0
    """weight of the relative content loss at relu2_2 (Johnson et al. 2016)"""
    style: float = 3.0
    """weight of the relative Gram errors of the style layers (Johnson et al. 2016), which produce strokes"""
    style_layers: tuple[str, ...] = STYLE_LAYERS
    """feature maps whose Gram matrices are compared"""
    style_layer_weights: tuple[float, ...] = (0.25, 0.25, 0.25, 0.25)
    """weight of each of these layers in the style loss"""
    tv: float = 0.5
    """weight of the total variation of the picture (0 to 1), against grain"""
    similarity: float = 0.0
    """weight of the self-similarity to the photo (Kolkin et al. 2019)"""
    face_similarity: float = 0.0
    """weight of the self-similarity inside faces"""
    transport: float = 0.0
    """weight of the relaxed optimal transport between the features of the picture and the painting (Kolkin et al. 2019)"""
    moments: float = 0.0
    """weight of the difference of those features' means and covariances (Kolkin et al. 2019)"""
    palette: float = 0.0
    """weight of the relaxed optimal transport between the colours of the picture and the painting (Kolkin et al. 2019)"""
    columns: tuple[str, ...] = COLUMN_LAYERS
    """feature maps of a hypercolumn, which self-similarity, transport and moments compare"""
    positions: int = 512
    """number of random positions of each picture that a step compares with twice as many of the painting"""

    def __post_init__(self) -> None:
        check_range("positions", self.positions, least=2, whole=True)
        if len(self.style_layers) != len(self.style_layer_weights):
            raise InputError(
                f"`style_layer_weights` {self.style_layer_weights}: give one for each of the {len(self.style_layers)} "
                "style layers",
                "style_layer_weights",
            )
        for name, value in dataclasses.asdict(self).items():  # also those of derived classes: none may be negative
            if name not in ("style_layers", "columns"):
                check_range(name, value, least=0)
        for layer in (*self.style_layers, *self.columns):
            if layer.removeprefix("relu") not in LAYERS:
                raise InputError(f"layer {layer!r}: choose from relu{', relu'.join(LAYERS)}")


Samples = dict[str, Any]
"""A painting at random positions: "columns" float32 [Q, D], "colors" [Q, 3], "mean" [D] and "covariance" [D, D]; and, where
the loss compares them, "grams": layer -> [C, C]."""


def sample_painting(
    maps: Sequence[Float[Array, "1 _h _w _c"]], pixels: Float[Array, "1 H W 3"], key: jax.Array
) -> Samples:
    """Hypercolumns and colours of a painting at `PAINTING_POSITIONS` random positions. Pure."""
    positions = painting_positions(pixels, key)
    return samples_at(hypercolumns(maps, positions), pixels, positions)


def painting_positions(pixels: Float[Array, "1 H W 3"], key: jax.Array) -> Float[Array, "1 Q 2"]:
    """`PAINTING_POSITIONS` random positions, evenly spread over a painting. Pure."""
    cells = jnp.ones((1, max(1, pixels.shape[1] // CELL), max(1, pixels.shape[2] // CELL)))
    return draw_positions(key, cells, PAINTING_POSITIONS)


def samples_at(
    columns: Float[Array, "1 Q D"], pixels: Float[Array, "1 H W 3"], positions: Float[Array, "1 Q 2"]
) -> Samples:
    """The samples of a painting whose hypercolumns at some positions are known. Pure."""
    return {"columns": columns[0], "colors": hypercolumns([pixels], positions)[0], **_moments(columns[0])}


def mix_samples(samples: Sequence[Samples], weights: Sequence[float]) -> Samples:
    """Mixes several paintings: each contributes positions in proportion to its weight, and Gram matrices are averaged.

    Args:
        weights: not negative, with a sum above 0.
    """
    shares = (np.asarray(weights, np.float64) / np.sum(weights)).astype(np.float32)
    counts = np.diff(np.round(np.cumsum([0, *shares]) * PAINTING_POSITIONS).astype(int))
    columns, colors = (
        jnp.concatenate([sample[name][:count] for sample, count in zip(samples, counts, strict=True)])
        for name in ("columns", "colors")
    )
    mixed = {"columns": columns, "colors": colors, **_moments(columns)}
    if "grams" in samples[0]:
        grams = (sample["grams"] for sample in samples)
        mixed["grams"] = jax.tree.map(lambda *leaves: jnp.einsum("s,scd->cd", shares, jnp.stack(leaves)), *grams)
    return mixed


def _moments(columns: Float[Array, "Q D"]) -> dict[str, jax.Array]:
    mean = columns.mean(0)
    centred = (columns - mean[None]) / np.float32(np.sqrt(len(columns)))
    return {"mean": mean, "covariance": jnp.einsum("pd,pe->de", centred, centred)}


def transport_terms(
    weights: ObjectiveWeights,
    features: Mapping[str, jax.Array],
    photo_features: Mapping[str, jax.Array],
    picture: Float[Array, "N H W 3"],
    samples: Mapping[str, Any],
    faces: Float[Array, "N h w"],
    key: jax.Array,
    where: Float[Array, "N h w"] | None = None,
) -> dict[str, jax.Array]:
    """The terms whose weight is not 0, by name, per example [N]. Pure.

    Args:
        features, photo_features: maps of the picture and of the photo; at least `weights.columns`.
        samples: `Samples` of one painting per example, with a leading axis N.
        faces: weights of the cells of a grid in the face term; 0 outside faces.
        key: PRNG key of the positions.
        where: weights of the cells of the same grid in the comparison with the painting; by default 1.
    """
    maps, photo_maps = ([found[layer] for layer in weights.columns] for found in (features, photo_features))
    positions = term_positions(weights, faces, key, where)
    joined, split = join(positions)
    columns, photo_columns = (split(hypercolumns(of, joined)) for of in (maps, photo_maps))
    colors = hypercolumns([picture], style_part(positions))
    return terms_at(weights, columns, photo_columns, colors, samples, faces, key)


def term_positions(
    weights: ObjectiveWeights, faces: Float[Array, "N h w"], key: jax.Array, where: Float[Array, "N h w"] | None = None
) -> dict[str, Float[Array, "N P 2"]]:
    """The random positions of the terms of `transport_terms`; arguments as there. Pure.

    Returns:
        "photo", in the whole picture; "faces", in its faces, if they count; "style", where the picture is compared with the
        painting, only with `where`: else "photo" is used.
    """
    keys = jax.random.split(key, 4)
    positions = {"photo": draw_positions(keys[0], jnp.ones_like(faces), weights.positions)}
    if weights.face_similarity:
        positions["faces"] = draw_positions(keys[1], faces, weights.positions // 2)
    if where is not None:
        positions["style"] = draw_positions(keys[2], where, weights.positions)
    return positions


def style_part(found: Mapping[str, Array]) -> Array:
    """The part for the comparison with the painting: "style" if it is there, else "photo"; see `term_positions`."""
    return found.get("style", found["photo"])


def join(positions: Any) -> tuple[Float[Array, "N P 2"], Callable[[Array], Any]]:
    """All leaves [N, p, 2] of a pytree of positions in one array, and the function that splits results [N, P, ...] again.

    One gather has one scatter as its gradient: one array of a map's size, instead of one for every set of positions.
    """
    leaves, structure = jax.tree.flatten(positions)
    ends = np.cumsum([leaf.shape[1] for leaf in leaves])[:-1]
    return jnp.concatenate(leaves, axis=1), lambda found: jax.tree.unflatten(structure, jnp.split(found, ends, axis=1))


def terms_at(
    weights: ObjectiveWeights,
    columns: Mapping[str, Float[Array, "N _p D"]],
    photo_columns: Mapping[str, Float[Array, "N _p D"]],
    colors: Float[Array, "N P 3"],
    samples: Mapping[str, Any],
    faces: Float[Array, "N h w"],
    key: jax.Array,
) -> dict[str, jax.Array]:
    """The terms of `transport_terms` for the hypercolumns of picture and photo at `term_positions`. Pure.

    Args:
        colors: the picture's colours at the positions that are compared with the painting.
        key: the one given to `term_positions`; another part of it draws the painting's positions.
    """
    terms = {}
    if weights.similarity:
        terms["similarity"] = self_similarity_loss(columns["photo"], photo_columns["photo"])
    if weights.face_similarity:
        similarity = self_similarity_loss(columns["faces"], photo_columns["faces"])
        terms["face_similarity"] = jnp.where(faces.max((1, 2)) > 0, similarity, 0.0)
    style_key = jax.random.split(key, 4)[3]
    return terms | style_terms(weights, style_part(columns), colors, samples, style_key)


def style_terms(
    weights: ObjectiveWeights,
    columns: Float[Array, "N P D"],
    colors: Float[Array, "N P 3"],
    samples: Mapping[str, Any],
    key: jax.Array,
) -> dict[str, jax.Array]:
    """The terms of `transport_terms` that compare with a painting, per example [N]. Pure."""
    drawn = jax.random.choice(key, samples["columns"].shape[1], (2 * weights.positions,))
    terms = {}
    if weights.transport:
        terms["transport"] = relaxed_transport(cosine_distances(columns, samples["columns"][:, drawn]))
    if weights.moments:
        terms["moments"] = moments_loss(columns, samples["mean"], samples["covariance"])
    if weights.palette:
        terms["palette"] = palette_loss(colors, samples["colors"][:, drawn])
    return terms
