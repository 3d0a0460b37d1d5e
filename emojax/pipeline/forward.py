"""photo -> faces -> emotion probabilities -> style code -> stylized photo, as pure functions.

Input and output photos are uint8 [H, W, 3], sRGB. `emojax.pipeline.networks` compiles these functions once per size,
and `emojax.pipeline.model` adds decoding and face detection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Real, UInt8

from emojax.emotions import EMOTIONS, NEUTRAL, PHOTO
from emojax.faces.exportable import cut_faces, detect_faces
from emojax.images import to_uint8, to_unit
from emojax.nets.classifier import classify
from emojax.nets.classifier_config import ClassifierConfig
from emojax.nets.steady import stylize_steadily
from emojax.nets.style_code import Statistics, StyleCode, mix_styles, spare_faces, vary_styles
from emojax.nets.stylizer import choose_network, norm_statistics, stylize_with_code
from emojax.nets.stylizer_config import MULTIPLE, StylizerConfig
from emojax.options import StylizeOptions
from emojax.pipeline.regions import MAX_REGIONS, Regions, face_shares, face_strengths, weight_changes

READ_AT_ONCE = 4
"""Faces in a group. Larger groups contain more filling, and smaller groups mean more passes; both cost time."""


class StylizedPhoto(NamedTuple):
    """The result of `classify_then_stylize`; rows after the last face are undefined."""

    picture: UInt8[Array, "H W 3"]
    number: Int[Array, ""]
    """number of faces, at most `emojax.faces.exportable.MAX_FACES`"""
    boxes: Float[Array, "F 4"]
    """(x, y, w, h), largest first"""
    landmarks: Float[Array, "F 5 2"]
    probabilities: Float[Array, "F 7"]
    style: Float[Array, " S"]
    """weights of the photo's styles"""


def classify_then_stylize(
    classifier: ClassifierConfig,
    styles: StylizerConfig,
    mix: str,
    params: Mapping[str, Any],
    photo: UInt8[Array, "H W 3"],
) -> StylizedPhoto:
    """The whole model: finds the faces, aligns and reads them, chooses the style, repaints the photo. Pure.

    It does the same as `Model.__call__` with default options, except that `mix` can be chosen. The first three arguments are
    static. The photo is painted in one pass, so memory limits its size. `emojax.faces.exportable` says which faces are found.

    Args:
        params: {"detector": see `load_detector`, "classifier": linen variables, "stylizer": see `init_stylizer`}.
        photo: of any size from 16 x 16 up; its sides may be symbolic.
    """
    faces = detect_faces(params["detector"], photo)
    crops = cut_faces(photo, faces, classifier.margin, classifier.size, classifier.aligned)
    areas = faces.boxes[:, 2] * faces.boxes[:, 3]
    weights = areas / jnp.maximum(areas.sum(), 1e-9)
    neutral = jax.nn.one_hot(NEUTRAL, len(EMOTIONS))
    reading = read_styles(
        classifier, styles.style_names, mix, params["classifier"], crops, faces.number, weights, neutral
    )
    regions = None
    if PHOTO in styles.style_names:
        boxes, strength = faces.boxes[:MAX_REGIONS], jnp.float32(StylizeOptions.face_strength)
        regions = face_regions(styles.style_names, reading, boxes, None, strength, False)
    picture = stylize_padded(styles, params["stylizer"], photo[None], reading.style[None], regions)[0]
    return StylizedPhoto(picture, faces.number, faces.boxes, faces.landmarks, reading.probabilities, reading.style)


def stylize_padded(
    config: StylizerConfig,
    params: Mapping[str, Any],
    photos: UInt8[Array, "N H W 3"],
    weights: Float[Array, "N S"],
    regions: Regions | None = None,
) -> UInt8[Array, "N H W 3"]:
    """`stylize_photos` for photos of any size from 16 x 16 up, which may be symbolic."""
    height, width = photos.shape[1:3]
    padded = _reflect_to_multiple(_reflect_to_multiple(photos, 1), 2)
    return stylize_photos(config, params, padded, weights, regions=regions)[:, :height, :width]


def _reflect_to_multiple(x: Array, axis: int) -> Array:
    """Pads the end of an axis by reflection of up to 3 pixels; the length may be symbolic, unlike for `jnp.pad`."""
    length = x.shape[axis]
    index = jnp.arange((length + MULTIPLE - 1) // MULTIPLE * MULTIPLE)
    return jnp.take(x, jnp.where(index < length, index, 2 * (length - 1) - index), axis=axis)


class Reading(NamedTuple):
    """What was read from a photo's faces."""

    probabilities: Float[Any, "F 7"]
    """of every face; undefined for filling"""
    style: Float[Any, " S"]
    """weights of the photo's styles"""
    face_styles: Float[Any, "F S"]
    """weights of each face's styles"""


def read_styles(
    classifier: ClassifierConfig,
    styles: tuple[str, ...],
    mix: str,
    variables: Any,
    crops: UInt8[Array, "F P P 3"],
    count: Int[Array, ""],
    weights: Float[Array, " F"],
    fallback: Float[Array, " 7"],
) -> Reading:
    """Reads the cropped faces and chooses the style. Pure; the first three arguments are static.

    Args:
        variables: the classifier's linen variables.
        crops: faces cut as the classifier needs them; F is a multiple of `READ_AT_ONCE`.
        count: how many of the crops are faces; the rest is filling.
        weights: weights of the faces in the photo's emotion; they sum to 1, and are 0 for filling; all 0 if there is no face.
        fallback: the emotion if there is no face.
    """
    probabilities = read_faces(classifier, variables, crops, count)
    mean = jnp.matmul(weights, probabilities, precision=jax.lax.Precision.HIGHEST)
    emotion = jnp.where(weights.sum() > 0, mean, fallback)
    choices = jax.vmap(lambda row: style_choice(styles, row, mix))(probabilities)
    return Reading(probabilities, style_choice(styles, emotion, mix), choices)


def read_faces(
    classifier: ClassifierConfig, variables: Any, crops: UInt8[Array, "F S S 3"], count: Int[Array, ""]
) -> Float[Array, "F 7"]:
    """The probabilities of the first `count` crops, read in as many groups as needed. Pure; the first argument is static."""
    groups = crops.reshape(-1, READ_AT_ONCE, *crops.shape[1:])

    def read(index: Int[Array, ""], probabilities: Float[Array, "G R 7"]) -> Float[Array, "G R 7"]:
        return probabilities.at[index].set(classify(classifier, variables, groups[index]))

    empty = jnp.zeros((*groups.shape[:2], len(EMOTIONS)))
    return jax.lax.fori_loop(0, -(-count // READ_AT_ONCE), read, empty).reshape(len(crops), -1)


def style_choice(styles: tuple[str, ...], emotion: Float[Any, " 7"], mix: str) -> Float[Any, " S"]:
    """Weights over a network's styles from weights over the emotions.

    "dominant" gives all weight to the strongest emotion's style, as in the paper; "probabilities" blends the styles.
    Emotions without a style in the network are left out, and so are styles without an emotion. A network with one style
    (as in the paper) uses it for every emotion. NumPy arrays give a NumPy array.
    """
    if len(styles) == 1:
        return 0 * emotion[:1] + 1  # of the kind of array that is given
    columns = np.array([EMOTIONS.index(style) if style in EMOTIONS else 0 for style in styles])
    own = emotion[columns] * np.array([style in EMOTIONS for style in styles], np.float32)
    if mix == "dominant":
        return (np.arange(len(styles)) == own.argmax()).astype(np.float32)
    return own / own.sum().clip(1e-12)


def face_regions(
    styles: tuple[str, ...],
    reading: Reading,
    boxes: Float[Any, "R 4"],
    strength: Float[Any, ""] | None,
    face_strength: Float[Any, ""] | None,
    per_face: bool,
) -> Regions:
    """How the first R faces of a reading are painted, with `boxes`; NumPy arrays give NumPy arrays.

    Args:
        strength: strength of the style, 0 to 1; see `with_strength`.
        face_strength: strength of the style in small faces, as a share of `strength`; see `face_strengths`.
        per_face: whether they are painted in the styles of their own emotions.
    """
    own = with_strength(styles, reading.face_styles[: len(boxes)], strength) if per_face else None
    return Regions(boxes, own, None if face_strength is None else face_strengths(boxes, face_strength))


def with_strength(
    styles: tuple[str, ...], weights: Float[Any, "*dims S"], strength: Float[Any, ""] | None
) -> Float[Any, "*dims S"]:
    """Mixes weights of styles with the style "photo", to the share 1 - strength; unchanged if the network lacks that style."""
    if strength is None or PHOTO not in styles:
        return weights
    photo = np.eye(len(styles), dtype=np.float32)[styles.index(PHOTO)]
    return strength * weights + (1 - strength) * photo.reshape([1] * (weights.ndim - 1) + [-1])


def stylize_photos(
    config: StylizerConfig,
    params: Mapping[str, Any],
    photos: UInt8[Array, "N H W 3"],
    weights: Float[Array, "N S"],
    size: Int[Array, " 2"] | None = None,
    regions: Regions | None = None,
    statistics: Statistics | None = None,
    corners: Real[Array, "N 2"] | None = None,
) -> UInt8[Array, "N H W 3"]:
    """Repaints photos whose sides are multiples of 4 and at least 16. Pure.

    A set of one network per style cannot mix styles: the network with the largest weight is used.

    Args:
        size: (h, w), how much of the photos is picture.
        regions: where the weights differ, for a single photo and a shared network.
        statistics: statistics of the norms, for a single photo; by default the photos' own.
        corners: (x, y) of the photo in the photo that `regions` refers to, if it is a window of that photo.
    """
    ends = None if size is None else (size[0], size[1])

    def repaint(photos: Array, weights: Array) -> Array:
        network, code = _network_and_code(config, params, photos, weights, regions, corners)
        return to_uint8(stylize_with_code(config, network, to_unit(photos), code, ends, statistics=statistics))

    if not config.network_per_style:
        return repaint(photos, weights)
    return jax.lax.map(lambda one: repaint(one[0][None], one[1][None])[0], (photos, weights))


def stylize_frame(
    config: StylizerConfig,
    params: Mapping[str, Any],
    photo: UInt8[Array, "H W 3"],
    weights: Float[Array, " S"],
    regions: Regions | None,
    statistics: Statistics,
    rate: Float[Array, ""],
    before: UInt8[Array, "H W 3"],
    trust: Float[Array, "h w"],
) -> tuple[UInt8[Array, "H W 3"], Statistics]:
    """Repaints a frame of a clip, whose sides are multiples of 4 and at least 16. Pure.

    Args:
        photo, weights, regions: as for `stylize_photos`.
        statistics, rate: see `stylize_steadily`.
        before: the previous stylized frame, warped to align with this frame.
        trust: how much of `before` stays in the new frame, 0 to 1, on a grid over the frame.

    Returns:
        The stylized frame, and its norm statistics.
    """
    network, code = _network_and_code(config, params, photo[None], weights[None], regions, None)
    painted, used = stylize_steadily(config, network, to_unit(photo[None]), code, None, statistics, rate)
    kept = jax.image.resize(trust, photo.shape[:2], "linear")[..., None]
    return to_uint8(painted[0] + kept * (to_unit(before) - painted[0])), used


def measure_statistics(
    config: StylizerConfig,
    params: Mapping[str, Any],
    photos: UInt8[Array, "N H W 3"],
    weights: Float[Array, " S"],
    size: Int[Array, " 2"],
    regions: Regions | None = None,
    corners: Real[Array, "N 2"] | None = None,
) -> Statistics:
    """The norms' statistics over one photo, or over windows of one photo; arguments as for `stylize_photos`. Pure."""
    network, code = _network_and_code(config, params, photos, weights[None], regions, corners)
    return norm_statistics(config, network, to_unit(photos), code, (size[0], size[1]))


def _network_and_code(
    config: StylizerConfig,
    params: Mapping[str, Any],
    photos: Array,
    weights: Array,
    regions: Regions | None,
    corners: Array | None,
) -> tuple[Any, StyleCode]:
    """The network and the style code for photos.

    Args:
        weights: [N, S], or [1, S] for all photos; with one network per style, the first row chooses the network.
    """
    if config.network_per_style:
        index = weights[0].argmax()
        code = mix_styles(params["style_table"], jax.nn.one_hot(index, len(config.style_names))[None])
        return choose_network(params["network"], index), code
    code = mix_styles(params["style_table"], weights)
    photo = (
        jax.nn.one_hot(config.style_names.index(PHOTO), len(config.style_names))
        if PHOTO in config.style_names
        else None
    )
    if regions is not None and (regions.weights is not None or (regions.mask is not None and photo is not None)):
        change = weight_changes(regions, weights[0], photos.shape[1], photos.shape[2], corners, photo)
        code = vary_styles(code, params["style_table"], change)
    if regions is not None and regions.strength is not None and PHOTO in config.style_names:
        share = face_shares(regions, photos.shape[1], photos.shape[2], corners)
        code = spare_faces(config, code, params["style_table"], share)
    return params["network"], code
