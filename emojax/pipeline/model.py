"""`Model`: photos in, results out. It adds decoding, face detection and finishing to `Networks`."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emojax.emotions import EMOTIONS, NEUTRAL, PHOTO, as_dict
from emojax.errors import EmojaxError, InputError, NoFaceError
from emojax.faces.crops import cut_face, detect_and_convert_crop
from emojax.faces.find import Face, face_weights, find_faces
from emojax.faces.views import FaceDetector
from emojax.images import ArrayLike, Photo, PhotoLike, read_photo, rescale, resize_like, to_picture
from emojax.images.finish import finish
from emojax.nets.classifier import classify
from emojax.nets.stylizer_config import StylizerConfig
from emojax.options import StylizeOptions, options_of
from emojax.pipeline.forward import face_regions, with_strength
from emojax.pipeline.inputs import as_pictures, as_style_files, check_many
from emojax.pipeline.networks import FACE_COUNTS, Networks
from emojax.pipeline.programs import Programs
from emojax.pipeline.regions import MAX_REGIONS, Regions, face_strengths, paint_mask, scaled_boxes
from emojax.pipeline.result import ReadFace, Result
from emojax.pipeline.styles import check_options, code_and_amount, explicit_style, spares_faces, style_dict
from emojax.util.ahead import map_ahead
from emojax.util.batches import map_batches
from emojax.util.compiling import as_resource_errors
from emojax.util.numbers import is_number
from emojax.weights.load import add_style_files
from emojax.weights.style_file import StyleFile

CLASSIFY_BATCH = 32
"""Crops that `Model.classify` reads at once."""


@dataclass(frozen=True, eq=False)
class Model(Networks):
    """A classifier and a transform net, ready for photos. `load` makes one. Thread-safe."""

    detector: FaceDetector = field(default_factory=FaceDetector, repr=False)

    @property
    def styles(self) -> StylizerConfig:
        """The name of `stylizer` in version 0.1."""
        warnings.warn("Model.styles is Model.stylizer since version 0.2", DeprecationWarning, stacklevel=2)
        return self.stylizer

    def __repr__(self) -> str:
        width, blocks = self.stylizer.width, self.stylizer.blocks
        return f"Model({self.classifier.architecture}, {len(self.style_names)} styles, width {width}, {blocks} blocks)"

    @as_resource_errors()
    def __call__(self, photo: PhotoLike | Photo, **options: Any) -> Result:
        """Repaints a photo in the style of the emotion on its faces.

        Args:
            photo: a path, a PIL image, uint8 [H, W, 3], bytes, an open file, or what `images.read_photo` returned.
            options: fields of `StylizeOptions`.

        Raises:
            InputError: a photo that cannot be read, or an unknown choice.
            NoFaceError: no face with no_face="error".
            ResourceError: too little memory, or a process that was forked after JAX had started.
        """
        chosen = options_of(options)
        check_options(self.stylizer, chosen)
        photo = photo if isinstance(photo, Photo) else read_photo(photo)
        notes = [photo.note] if photo.note else []
        if PHOTO not in self.style_names and chosen.face_strength not in (StylizeOptions.face_strength, 1):
            notes.append("this network has no style of the name photo: `face_strength` changes nothing")
        if (given := chosen.style_given) is not None:
            weights = explicit_style(self.stylizer, given)
            picture, share = self._stylize_given(photo.pixels, weights, chosen)
            if chosen.faces_only and share == 0:
                notes.append("no face found, nothing is painted")
            style, note = style_dict(self.stylizer, weights), "; ".join(notes) or None
            return Result(to_picture(picture, photo.alpha), [], None, style, note, painted_share=share)
        faces = find_faces(self.detector, photo.pixels)
        if not faces:
            if chosen.no_face == "error":
                raise NoFaceError("no face found: choose another `no_face`, or name a style with `emotion`")
            if chosen.no_face == "skip":
                return Result(None, [], None, None, "; ".join([*notes, "no face found, skipped"]))
            if EMOTIONS[NEUTRAL] not in self.style_names and sum(s in EMOTIONS for s in self.style_names) > 1:
                raise NoFaceError(
                    "no face found, and no neutral style: choose skip for `no_face`, or a style with `emotion`"
                )
            notes.append("no face found, " + ("nothing is painted" if chosen.faces_only else "used the neutral style"))
        if chosen.per_face and len(faces) > MAX_REGIONS:
            notes.append(f"{len(faces)} faces found, the {MAX_REGIONS} largest have a style of their own")
        return self._read_and_repaint(photo, faces[: FACE_COUNTS[-1]], chosen, notes)

    def _read_and_repaint(
        self, photo: Photo, faces: Sequence[Face], options: StylizeOptions, notes: list[str]
    ) -> Result:
        """Reads the faces and repaints the photo."""
        config = self.classifier
        crops = [cut_face(photo.pixels, face, config.margin, config.size, config.aligned) for face in faces]
        weights = face_weights(faces, options.face, len(faces))
        reading = self._read(crops, weights, options.mix)
        small = rescale(photo.pixels, 1 / options.style_scale)
        mask = paint_mask(options, faces, photo.pixels.shape[:2])
        share, amount = code_and_amount(self.stylizer, options.strength)
        regions, names = None, self.style_names
        if self._is_regional(options, mask):
            boxes = scaled_boxes(faces, photo.pixels, small)
            face_share = np.float32(options.face_strength) if spares_faces(self.stylizer, options) else None
            regions = face_regions(names, reading, boxes, share, face_share, options.per_face)
        stylized = self._repaint(small, with_strength(names, reading.style, share), regions, mask)
        stylized = resize_like(stylized, photo.pixels)
        found_faces = [
            ReadFace(
                face,
                as_dict(row),
                style_dict(self.stylizer, style) if options.per_face and index < MAX_REGIONS else None,
            )
            for index, (face, row, style) in enumerate(
                zip(faces, reading.probabilities, reading.face_styles, strict=False)
            )
        ]
        return Result(
            to_picture(finish(photo.pixels, stylized, amount, options.colors, mask), photo.alpha),
            found_faces,
            as_dict(weights @ reading.probabilities[: len(faces)]) if faces else None,
            style_dict(self.stylizer, reading.style),
            "; ".join(notes) or None,
            painted_share=_share(mask),
        )

    def stylize_many(self, photos: Iterable[PhotoLike | Photo], **options: Any) -> Iterator[Result]:
        """`__call__` for many photos, in their order. While one photo is painted, the next one is read.

        A photo that fails does not stop the others: its result has no image, and `error` says why.

        Raises:
            InputError: an option that is wrong whatever the photo, or a single photo instead of several.
        """
        check_options(self.stylizer, options_of(options))
        check_many(photos)
        return self._stylize_each(photos, options)

    def _stylize_each(self, photos: Iterable[PhotoLike | Photo], options: Mapping[str, Any]) -> Iterator[Result]:
        def read(photo: PhotoLike | Photo) -> Photo | EmojaxError:
            try:
                return photo if isinstance(photo, Photo) else read_photo(photo)
            except EmojaxError as error:
                return error

        def repaint(photo: Photo | EmojaxError) -> Result:
            try:
                if isinstance(photo, EmojaxError):
                    raise photo
                return self(photo, **options)
            except EmojaxError as error:
                return Result(None, [], None, None, error=str(error))

        with contextlib.closing(map_ahead(read, photos)) as ready:
            yield from map(repaint, ready)

    @as_resource_errors()
    def paint(self, photo: PhotoLike | Photo, painting: PhotoLike | Photo | None = None, **options: Any) -> Result:
        """Paints a photo by optimizing its pixels, in the style of any painting or of the emotion's painting; takes minutes.

        See `emojax.pipeline.painting.paint_photo` for the options, the result and the errors.
        """
        from emojax.pipeline.painting import paint_photo  # imports optax, which takes a while

        return paint_photo(self, self.detector, photo, painting, **options)

    @as_resource_errors()
    def classify(self, crops: ArrayLike | Sequence[PhotoLike], margin: float = 0.0) -> np.ndarray:
        """Reads the emotions of cropped faces.

        Args:
            crops: uint8 [N, H, W, 3], RGB, of any size; or a list of pictures, each as in `__call__`.
            margin: what the crops show beyond the face's box on each side, as a fraction of the box (ExpW crops: 0.2,
                FER+ faces: 0).

        Returns:
            float32 [N, 7], rows sum to 1, in the order of `EMOTIONS`.

        Raises:
            InputError: crops of another dtype or shape, or a margin that is not 0 to 10.
        """
        if not is_number(margin) or not 0 <= margin <= 10:
            raise InputError(f"`margin` {margin!r}: it is a fraction of the face's box, 0 to 10", "margin")
        pictures = as_pictures(crops)
        config = self.classifier
        target = config.margin, config.size, config.aligned
        ready = [detect_and_convert_crop(self.detector, crop, margin, *target) for crop in pictures]
        if not ready:
            return np.zeros((0, len(EMOTIONS)), np.float32)
        program = self.programs.get("classify", None, lambda: functools.partial(classify, config))
        return map_batches(functools.partial(program, self.params["classifier"]), np.stack(ready), CLASSIFY_BATCH)

    @as_resource_errors()
    def find_faces(self, photo: PhotoLike | Photo) -> list[Face]:
        """The faces of a photo (as in `__call__`), largest first; see `emojax.faces.find.find_faces`.

        Raises:
            InputError: a photo that cannot be read.
        """
        pixels = (photo if isinstance(photo, Photo) else read_photo(photo, math.inf)).pixels
        return find_faces(self.detector, pixels)

    @as_resource_errors()
    def stylize(self, photo: PhotoLike | Photo, emotion: str | Mapping[str, float]) -> np.ndarray:
        """Repaints a photo (as in `__call__`) in a given style or mix; returns uint8 [H, W, 3].

        Raises:
            InputError: a photo that cannot be read, or a style that is unknown or that the network does not have.
        """
        photo = photo if isinstance(photo, Photo) else read_photo(photo, math.inf)
        return self._stylize_given(photo.pixels, explicit_style(self.stylizer, emotion), StylizeOptions())[0]

    def with_style_files(self, style_files: Sequence[StyleFile | str | os.PathLike]) -> Model:
        """This model with further styles, each a row of scales and shifts; paths are read.

        Raises:
            CheckpointError: a style file that cannot be read or was made for another network, or a name that is taken.
            InputError: something that is not a style file.
        """
        read = as_style_files(style_files)
        stylizer, params = add_style_files(self.stylizer, self.params["stylizer"], read)
        params = {**self.params, "stylizer": params}
        return dataclasses.replace(self, stylizer=stylizer, params=params, programs=Programs())

    def _stylize_given(
        self, photo: np.ndarray, weights: np.ndarray, options: StylizeOptions
    ) -> tuple[np.ndarray, float | None]:
        """Repaints a photo uint8 [H, W, 3] in a given style; also returns the painted share, or None without a mask."""
        share, amount = code_and_amount(self.stylizer, options.strength)
        small, regions = rescale(photo, 1 / options.style_scale), None
        spares, of_faces = spares_faces(self.stylizer, options), options.faces_only or options.background_only
        faces = find_faces(self.detector, photo) if spares or of_faces else []
        mask = paint_mask(options, faces, photo.shape[:2])
        if self._is_regional(options, mask):
            boxes = scaled_boxes(faces, photo, small)
            strengths = face_strengths(boxes, np.float32(options.face_strength))
            regions = Regions(boxes, None, strengths if spares else None)
        stylized = self._repaint(small, with_strength(self.style_names, weights, share), regions, mask)
        return finish(photo, resize_like(stylized, photo), amount, options.colors, mask), _share(mask)

    def _is_regional(self, options: StylizeOptions, mask: np.ndarray | None) -> bool:
        """Whether the style code varies over the picture."""
        return options.per_face or spares_faces(self.stylizer, options) or mask is not None


def _share(mask: np.ndarray | None) -> float | None:
    return None if mask is None else float(mask.mean()) / 255
