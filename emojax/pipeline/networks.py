"""`Networks`: the classifier and the transform net with their compiled programs; arrays in, arrays out.

It pads the arrays, so that few programs are compiled: for some numbers of faces, and some sizes of photos. A photo that is too
large for one pass is painted in tiles.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from emojax.emotions import EMOTIONS, NEUTRAL, PHOTO, style_weights
from emojax.images import resize_mask, scaled_size
from emojax.nets.classifier_config import ClassifierConfig
from emojax.nets.stylizer_config import StylizerConfig
from emojax.options import StylizeOptions
from emojax.pipeline import tiles
from emojax.pipeline.forward import READ_AT_ONCE, Reading, read_faces, read_styles, stylize_photos
from emojax.pipeline.large import stylize_in_tiles
from emojax.pipeline.programs import Programs
from emojax.pipeline.regions import MAX_REGIONS, Regions
from emojax.pipeline.sizes import pad_to_bucket

FACE_COUNTS = (16, 64, 256)
"""Numbers of faces that programs are compiled for, multiples of `READ_AT_ONCE`. The first suffices for nearly all photos; the
last is the most that the detector finds."""
assert all(places % READ_AT_ONCE == 0 for places in FACE_COUNTS)


@dataclass(frozen=True, eq=False)
class Networks:
    """A classifier and a transform net. Thread-safe."""

    classifier: ClassifierConfig
    stylizer: StylizerConfig
    params: Mapping[str, Any] = field(repr=False)
    """{"classifier": see `init_classifier`, "stylizer": see `init_stylizer`}"""
    programs: Programs = field(default_factory=Programs, repr=False)

    @property
    def style_names(self) -> tuple[str, ...]:
        """The names of the styles that the transform net paints, in the order of their weights."""
        return self.stylizer.style_names

    def plan_sizes(
        self,
        sizes: Iterable[tuple[int, int]],
        *,
        read: bool = True,
        mix: str = "dominant",
        per_face: bool = False,
        style_scale: float = 1.0,
        face_strength: float = StylizeOptions.face_strength,
        masked: bool = False,
    ) -> list[Callable[[], Any]]:
        """Chooses the programs for a series of photos, so that few programs are compiled and photos are padded little.

        Args:
            sizes: (height, width) of every photo, in the order in which they will be painted.
            read: whether their faces will be read, that is, no emotion will be given.
            mix, per_face, style_scale, face_strength: the options that will be given.
            masked: whether a mask, `faces_only` or `background_only` will be given.

        Returns:
            A function for each program, in the order of need, that compiles it. Calling these in another thread while photos
            are painted is optional.
        """
        shape = jax.ShapeDtypeStruct
        size, weights = shape((2,), np.int32), shape((1, len(self.style_names)), np.float32)
        spares = PHOTO in self.style_names and face_strength < 1
        regions = None
        if per_face or spares or masked:
            own = shape((MAX_REGIONS, *weights.shape[1:]), np.float32) if per_face and read else None
            strengths = shape((MAX_REGIONS,), np.float32) if spares else None
            regions = Regions(shape((MAX_REGIONS, 4), np.float32), own, strengths)

        def compile_reader() -> None:
            side, places = self.classifier.size, FACE_COUNTS[0]
            faces = shape((places, side, side, 3), np.uint8), shape((), np.int32), shape((places,), np.float32)
            self._reader(mix, places).compile(self.params["classifier"], *faces, shape((len(EMOTIONS),), np.float32))

        def compile_repainter(bucket: tuple[int, int]) -> None:
            masks = shape((1, *bucket, 1), np.uint8)
            painted = regions._replace(mask=masks) if masked and regions is not None else regions
            photos = shape((1, *bucket, 3), np.uint8)
            self._repainter(name, bucket).compile(self.params["stylizer"], photos, weights, size, painted)

        name = _repainter_name(regions, masked)
        small = (scaled_size(height, width, 1 / style_scale) for height, width in sizes)
        max_pixels = tiles.max_pixels(self.stylizer)
        fitting = [size for size in small if math.prod(size) <= max_pixels]  # the others are painted in tiles
        sides = [(tiles.network_side(height), tiles.network_side(width)) for height, width in fitting]
        found: list[Callable[[], Any]] = [
            functools.partial(compile_repainter, bucket) for bucket in self.programs.buckets(name).plan(sides)
        ]
        # The first of them comes before the reader, which the thread that finds the first faces compiles meanwhile.
        return [*found[:1], compile_reader, *found[1:]] if read else found

    def read_crops(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """The probabilities float32 [N, 7] of at most `FACE_COUNTS[-1]` faces, cut as the classifier needs them."""
        filled = self._filled(crops)
        program = self.programs.get("faces", len(filled), lambda: functools.partial(read_faces, self.classifier))
        return np.asarray(program(self.params["classifier"], filled, np.int32(len(crops))))[: len(crops)]

    def _read(self, crops: Sequence[np.ndarray], weights: np.ndarray, mix: str) -> Reading:
        """Reads at most `FACE_COUNTS[-1]` faces, cut as the classifier needs them, with their weights, float32 [N].

        Returns:
            NumPy arrays; the first N rows are the faces'.
        """
        filled, neutral = self._filled(crops), style_weights(EMOTIONS[NEUTRAL])
        padded = np.pad(weights, (0, len(filled) - len(crops)))
        program = self._reader(mix, len(filled))
        reading = program(self.params["classifier"], filled, np.int32(len(crops)), padded, neutral)
        return jax.tree.map(np.asarray, jax.device_get(reading))

    def _filled(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """The crops, followed by black ones up to the next of `FACE_COUNTS`."""
        places = next(places for places in FACE_COUNTS if places >= len(crops))
        filled = np.zeros((places, self.classifier.size, self.classifier.size, 3), np.uint8)
        if len(crops):
            filled[: len(crops)] = np.stack(crops)
        return filled

    def _repaint(
        self, photo: np.ndarray, weights: np.ndarray, regions: Regions | None, mask: np.ndarray | None
    ) -> np.ndarray:
        """Repaints a photo uint8 [H, W, 3]: at once if it is small enough, else in tiles.

        Args:
            weights: of the styles, [S].
            regions: where they differ, without a mask.
            mask: how much of the photo is painted, uint8, of any size; needs regions.
        """
        code, mask = np.asarray(weights, np.float32), None if mask is None else resize_mask(mask, photo.shape[:2])
        regions = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), regions)
        params = self.params["stylizer"]
        if not tiles.fits(photo, tiles.max_pixels(self.stylizer)):
            return stylize_in_tiles(self.programs, self.stylizer, params, photo, code, regions, mask=mask)
        name = _repainter_name(regions, mask is not None)
        padded, size = pad_to_bucket(photo, self.programs.buckets(name))
        if regions is not None and mask is not None:
            regions = regions._replace(mask=tiles.pad_mask(mask, padded)[None])
        stylized = self._repainter(name, padded.shape[:2])(params, padded[None], code[None], size, regions)
        return np.asarray(stylized)[0, : photo.shape[0], : photo.shape[1]]

    def _reader(self, mix: str, places: int) -> Any:
        """The program that reads `places` crops, some of which may be filling."""
        names = self.style_names
        return self.programs.get(
            ("read", mix, places), None, lambda: functools.partial(read_styles, self.classifier, names, mix)
        )

    def _repainter(self, name: tuple[object, ...], bucket: tuple[int, ...]) -> Any:
        """The program that repaints photos of a padded size; see `_repainter_name`."""
        return self.programs.get(name, bucket, lambda: functools.partial(stylize_photos, self.stylizer))


def _repainter_name(regions: Regions | None, masked: bool) -> tuple[object, ...]:
    """The name, in `Programs`, of the function that repaints photos with regions of this kind."""
    kind = None if regions is None else tuple(part is not None for part in regions)
    return ("paint", kind, masked)
