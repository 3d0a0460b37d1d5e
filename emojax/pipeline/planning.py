"""The programs that a run will need for its photos, chosen in advance."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from emojax.emotions import EMOTIONS, PHOTO
from emojax.images import scaled_size
from emojax.pipeline import tiles
from emojax.pipeline.forward import READ_AT_ONCE
from emojax.pipeline.regions import MAX_REGIONS, Regions

if TYPE_CHECKING:
    from emojax.pipeline.model import Model

FACE_COUNTS = (16, 64, 256)
"""Numbers of faces that programs are compiled for, multiples of `READ_AT_ONCE`. The first suffices for nearly all photos; the
last is the most that the detector finds."""
assert all(places % READ_AT_ONCE == 0 for places in FACE_COUNTS)


def plan_programs(
    model: Model,
    sizes: Iterable[tuple[int, int]],
    read: bool,
    mix: str,
    per_face: bool,
    style_scale: float,
    face_strength: float,
    masked: bool,
) -> list[Callable[[], Any]]:
    """See `Model.plan_sizes`."""
    shape = jax.ShapeDtypeStruct
    size, weights = shape((2,), np.int32), shape((1, len(model.styles.style_names)), np.float32)
    side = model.classifier.size
    faces = shape((FACE_COUNTS[0], side, side, 3), np.uint8), shape((), np.int32), shape((FACE_COUNTS[0],), np.float32)
    neutral = shape((len(EMOTIONS),), np.float32)
    share = shape((), np.float32) if PHOTO in model.styles.style_names else None
    spares = PHOTO in model.styles.style_names and face_strength < 1
    regional = per_face or spares or masked
    boxes = shape((MAX_REGIONS, 4), np.float32) if regional else None
    face_share = share if spares else None
    strengths = shape((MAX_REGIONS,), np.float32) if spares else None
    regions = None if boxes is None else Regions(boxes, None, strengths)
    name = ("whole", mix, per_face, regional, masked, FACE_COUNTS[0]) if read else ("given", regional, masked)

    def compile(bucket: tuple[int, int]) -> None:
        mask = shape((*bucket, 1), np.uint8) if masked else None
        if read:
            program = model.programs.get(name, bucket, model._whole(mix, per_face))
            photo = shape((*bucket, 3), np.uint8)
            program.compile(model.params, photo, *faces, neutral, size, boxes, share, face_share, mask)
        else:
            program = model.programs.get(name, bucket, model._given())
            masks = shape((1, *bucket, 1), np.uint8)
            painted = regions._replace(mask=masks) if masked and regions is not None else regions
            program.compile(model.params["styles"], shape((1, *bucket, 3), np.uint8), weights, size, painted)

    small = (scaled_size(height, width, 1 / style_scale) for height, width in sizes)
    max_pixels = tiles.max_pixels(model.styles)
    fitting = [size for size in small if math.prod(size) <= max_pixels]  # the others are painted in tiles
    sides = [(tiles.network_side(height), tiles.network_side(width)) for height, width in fitting]
    return [functools.partial(compile, bucket) for bucket in model.programs.buckets(name).plan(sides)]
