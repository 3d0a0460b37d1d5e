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
    spares = PHOTO in model.styles.style_names and face_strength < 1
    regions = None
    if per_face or spares or masked:
        own = shape((MAX_REGIONS, *weights.shape[1:]), np.float32) if per_face and read else None
        strengths = shape((MAX_REGIONS,), np.float32) if spares else None
        regions = Regions(shape((MAX_REGIONS, 4), np.float32), own, strengths)
    name = painting_name(regions, masked)

    def compile_reader() -> None:
        side, places = model.classifier.size, FACE_COUNTS[0]
        program = model.programs.get(("read", mix, places), None, model._reader(mix))
        faces = shape((places, side, side, 3), np.uint8), shape((), np.int32), shape((places,), np.float32)
        program.compile(model.params["classifier"], *faces, shape((len(EMOTIONS),), np.float32))

    def compile_painter(bucket: tuple[int, int]) -> None:
        program = model.programs.get(name, bucket, model._painter())
        masks = shape((1, *bucket, 1), np.uint8)
        painted = regions._replace(mask=masks) if masked and regions is not None else regions
        program.compile(model.params["styles"], shape((1, *bucket, 3), np.uint8), weights, size, painted)

    small = (scaled_size(height, width, 1 / style_scale) for height, width in sizes)
    max_pixels = tiles.max_pixels(model.styles)
    fitting = [size for size in small if math.prod(size) <= max_pixels]  # the others are painted in tiles
    sides = [(tiles.network_side(height), tiles.network_side(width)) for height, width in fitting]
    found: list[Callable[[], Any]] = [
        functools.partial(compile_painter, bucket) for bucket in model.programs.buckets(name).plan(sides)
    ]
    # The first painter comes before the reader, which the thread that finds the first faces compiles meanwhile.
    return [*found[:1], compile_reader, *found[1:]] if read else found


def painting_name(regions: Regions | None, masked: bool) -> tuple[object, ...]:
    """The name, in `Programs`, of the function that repaints photos with regions of this kind."""
    kind = None if regions is None else tuple(part is not None for part in regions)
    return ("paint", kind, masked)
