"""A photo's faces and their crops as one pure function, for programs that run without emojax.

In photos of up to 1024 pixels, it finds the same faces as `emojax.faces.find`. In larger photos it uses only the view of the
whole photo, without tiles, so faces have to be at least 24/1024 of the long side. Photos are uint8 [H, W, 3], RGB; H and W may
be symbolic.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, UInt8

from emojax.faces import detector, find, views
from emojax.faces.align import TEMPLATE_SIZE, Similarity, fit_similarity, sample, template
from emojax.faces.detector import Detections

MAX_FACES = 64
"""the maximum number of faces; of more, those with the lowest scores are left out"""
FINEST = 8
"""the most samples per pixel and direction that are averaged when a photo is reduced"""


class DetectedFaces(NamedTuple):
    """Faces, largest first; rows after the last face are undefined unless stated otherwise."""

    number: Int[Array, ""]
    boxes: Float[Array, "F 4"]
    """(x, y, w, h): squares like ExpW's, clipped to the photo; 0 after the last face"""
    landmarks: Float[Array, "F 5 2"]
    scores: Float[Array, " F"]
    squares: Float[Array, "F 3"]
    """(x and y of the centre, side) of the squares before they are clipped"""
    rotation: Int[Array, ""]
    """by how many degrees clockwise the photo has to be turned for the faces to be upright"""


def detect_faces(params: Mapping[str, Any], photo: UInt8[Array, "H W 3"]) -> DetectedFaces:
    """The faces of a photo; see `emojax.faces.find.find_faces`. Pure.

    Args:
        params: see `emojax.faces.detector.load_detector`.
    """
    height, width = (jnp.asarray(side, jnp.float32) for side in photo.shape[:2])
    scale = jnp.maximum(jnp.maximum(height, width) / views.WHOLE_SIDE, 1)
    sides = jnp.maximum(jnp.round(jnp.stack([width, height]) / scale), 1)  # of the view, in its pixels
    scales = jnp.stack([width, height]) / sides
    view = _view(photo, scales, sides)

    def unsure(state: tuple[Array, DetectedFaces]) -> Array:
        number, faces = state
        return (number < 4) & (faces.scores.max() < find.CONFIDENT)

    def try_orientation(state: tuple[Array, DetectedFaces]) -> tuple[Array, DetectedFaces]:
        number, best = state
        turned = lax.switch(number, [lambda view, k=k: jnp.rot90(view, -k) for k in QUARTERS], view)
        found = detector.detect(params, turned, views.MINIMUM_CONFIDENCE)
        faces = _upright(found, number, scales, jnp.stack([width, height]))
        least = jnp.where(number > 0, jnp.maximum(find.CONFIDENT_TURNED, best.scores.max()), 0)
        better = faces.scores.max() >= least
        return number + 1, jax.tree.map(lambda new, old: jnp.where(better, new, old), faces, best)

    nothing = DetectedFaces(
        jnp.int32(0),
        jnp.zeros((MAX_FACES, 4)),
        jnp.zeros((MAX_FACES, 5, 2)),
        jnp.zeros(MAX_FACES),
        jnp.zeros((MAX_FACES, 3)),
        jnp.int32(0),
    )
    _, faces = lax.while_loop(unsure, try_orientation, (jnp.int32(0), nothing))
    points = lax.fori_loop(
        0,
        faces.number,
        lambda index, points: points.at[index].set(_realign(params, photo, points[index], faces.rotation)),
        faces.landmarks,
    )
    return faces._replace(landmarks=points)


QUARTERS = (0, 1, 3, 2)
"""quarter turns, in the order in which orientations are tried"""


def _view(photo: UInt8[Array, "H W 3"], scales: Float[Array, " 2"], sides: Float[Array, " 2"]) -> UInt8[Array, "S S 3"]:
    """The photo, reduced in size, at the top left of a square of zeros."""
    pixels = jnp.arange(views.WHOLE_SIDE, dtype=jnp.float32)
    grid = jnp.stack(jnp.meshgrid(pixels, pixels), axis=-1)
    shown = _averaged(photo, grid, scales.max(), lambda points: points * scales[None, None])
    inside = (grid < sides[None, None]).all(axis=-1, keepdims=True)
    return jnp.where(inside, jnp.round(shown), 0).astype(jnp.uint8)


def _averaged(
    photo: UInt8[Array, "H W 3"], corners: Float[Array, "h w 2"], scale: Float[Array, ""], to_photo: Any
) -> Float[Array, "h w 3"]:
    """The photo's colours at pixels with these top left corners: each is the mean of about one sample per covered pixel."""
    each = jnp.clip(jnp.ceil(scale), 1, FINEST).astype(jnp.int32)

    def add(index: Array, total: Array) -> Array:
        inside = (jnp.stack([index % each, index // each]) + 0.5) / each
        return total + sample(photo, to_photo(corners + inside[None, None]))

    total = lax.fori_loop(0, each * each, add, jnp.zeros((*corners.shape[:2], 3)))
    return total / (each * each)


def _upright(found: Detections, number: Array, scales: Array, limits: Array) -> DetectedFaces:
    """Converts faces of a turned view to faces of the photo, see `emojax.faces.find`; faces outside it are dropped."""
    side = views.WHOLE_SIDE
    quarters = jnp.array(QUARTERS)[number]

    def back(points: Array) -> Array:  # to points of the unturned view, then of the photo
        x, y = points[..., 0], points[..., 1]
        turns = [(x, y), (y, side - x), (side - x, side - y), (side - y, x)]
        xs, ys = (jnp.stack([turn[axis] for turn in turns])[quarters] for axis in (0, 1))
        return jnp.stack([xs, ys], axis=-1) * scales.reshape([1] * (points.ndim - 1) + [2])

    scores, boxes, points = (jnp.asarray(part)[:MAX_FACES] for part in found)
    boxes, points = back((boxes + 0.5).reshape(-1, 2, 2)), back(points + 0.5)
    low, high = boxes.min(axis=1), boxes.max(axis=1)
    length = find.SQUARE_SCALE * jnp.sqrt((high - low).prod(axis=1))
    up = jnp.array([find.UP[rotation] for rotation in (0, 90, 180, 270)], jnp.float32)[quarters]
    centre = (low + high) / 2 + find.SQUARE_RISE * length[:, None] * up[None]
    start = jnp.maximum(centre - length[:, None] / 2, 0)
    extent = jnp.minimum(centre + length[:, None] / 2, limits[None]) - start
    good = (scores > 0) & (extent.min(axis=1) >= 1)
    order = jnp.argsort(jnp.where(good, -extent.prod(axis=1), jnp.inf))
    rows = [jnp.where(good, scores, 0), jnp.where(good[:, None], jnp.concatenate([start, extent], axis=1), 0)]
    scores, boxes, points, squares = (
        part[order] for part in (*rows, points, jnp.concatenate([centre, length[:, None]], axis=1))
    )
    return DetectedFaces(
        good.sum().astype(jnp.int32), boxes, points, scores, squares, (quarters * 90).astype(jnp.int32)
    )


def _realign(
    params: Mapping[str, Any], photo: UInt8[Array, "H W 3"], points: Float[Array, "5 2"], rotation: Array
) -> Float[Array, "5 2"]:
    """Corrects the landmarks of a tilted face; see `emojax.faces.find.realign`."""
    size = find.REALIGNED_SIZE

    def again(state: tuple[Array, Array]) -> Array:
        number, points = state
        factor, _ = fit_similarity(points, template(TEMPLATE_SIZE)).inverse()
        tilt = -jnp.rad2deg(jnp.angle(factor)) - rotation
        return (number < find.MAX_REALIGNMENTS) & (jnp.abs((tilt + 180) % 360 - 180) >= find.MIN_TILT)

    def once(state: tuple[Array, Array]) -> tuple[Array, Array]:
        number, points = state
        to_photo = fit_similarity(points, template(size, find.REALIGNED_MARGIN)).inverse()
        crop = cut(photo, to_photo, size)
        found = detector.detect(params, crop, views.MINIMUM_CONFIDENCE)
        boxes = jnp.asarray(found.boxes) + 0.5
        away = jnp.abs((boxes[:, :2] + boxes[:, 2:]) / 2 - size / 2).max(axis=1)
        away = jnp.where(jnp.asarray(found.scores) > 0, away, jnp.inf)
        sure = away.min() <= size / 8
        better = to_photo(jnp.asarray(found.landmarks)[away.argmin()] + 0.5)
        return jnp.where(sure, number + 1, find.MAX_REALIGNMENTS), jnp.where(sure, better, points)

    return lax.while_loop(again, once, (jnp.int32(0), points))[1]


def cut(photo: UInt8[Array, "H W 3"], to_photo: Similarity, size: int) -> UInt8[Array, "S S 3"]:
    """The crop of size x size at the place that the similarity from crop to photo gives; edges are repeated outside."""
    pixels = jnp.arange(size, dtype=jnp.float32)
    grid = jnp.stack(jnp.meshgrid(pixels, pixels), axis=-1)
    return jnp.round(_averaged(photo, grid, jnp.abs(to_photo.factor), to_photo)).astype(jnp.uint8)


def cut_faces(
    photo: UInt8[Array, "H W 3"], faces: DetectedFaces, margin: float, size: int, aligned: bool
) -> UInt8[Array, "F S S 3"]:
    """The crops of faces, see `emojax.faces.crops.cut_face`; black after the last face."""

    def crop(index: Array, crops: Array) -> Array:
        if aligned:
            to_photo = fit_similarity(faces.landmarks[index], template(size, margin)).inverse()
        else:
            x, y, side = faces.squares[index]
            angle = -jnp.deg2rad(faces.rotation.astype(jnp.float32))
            factor = lax.complex(jnp.cos(angle), jnp.sin(angle)) * (side * (1 + 2 * margin) / size)
            to_photo = Similarity(factor, lax.complex(x, y) - factor * np.complex64(complex(size / 2, size / 2)))
        return crops.at[index].set(cut(photo, to_photo, size))

    return lax.fori_loop(0, faces.number, crop, jnp.zeros((MAX_FACES, size, size, 3), jnp.uint8))
