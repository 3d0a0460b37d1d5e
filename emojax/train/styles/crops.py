"""Batches of square crops of content photos, uint8, RGB.

source -> Grain: shuffle, random crops -> {"photo": uint8 [N, C, C, 3], "faces": uint8 [N, C / 4, C / 4], "style": int32 [N]}
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grain
import numpy as np
from PIL import Image

from emojax.errors import InputError
from emojax.faces.find import find_faces, rasterize
from emojax.faces.views import FaceDetector
from emojax.losses.objective import CELL
from emojax.train.stream import UNREADABLE, Unreadable, batches_of
from emojax.train.styles.config import PhotoConfig
from emojax.train.styles.sources import EncodedPhotos, TfdsPhotos, decode, open_photos
from emojax.util.files import write_atomically
from emojax.util.progress import track

Box = tuple[float, float, float, float]
"""left, top, width and height of a face, in pixels of the photo"""


def _boxes(detector: FaceDetector, photo: Image.Image) -> list[Box]:
    return [(face.x, face.y, face.w, face.h) for face in find_faces(detector, np.asarray(photo))]


def content_id(data: bytes | np.ndarray) -> str:
    """An identifier of a photo that does not depend on its path: 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(data if isinstance(data, bytes) else np.ascontiguousarray(data).tobytes()).hexdigest()[:16]


def known_faces(source: EncodedPhotos | TfdsPhotos, path: Path, detector: FaceDetector) -> dict[str, list[Box]]:
    """The boxes of the faces of all photos, by `content_id`: read from a JSON file, or found and written there.

    A photo that cannot be read has none. The file may also contain the faces of other photos. If it lacks a photo, the
    faces of that photo are found when it is drawn.

    Raises:
        InputError: a file that is not of this kind.
    """
    if path.exists():
        try:
            found = json.loads(path.read_text())
            return {
                str(name): [(float(x), float(y), float(w), float(h)) for x, y, w, h in boxes]
                for name, boxes in found.items()
            }
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(f"{path} has no faces ({error}): delete it, and they are found again") from None
    found = {}
    for index in track(range(len(source)), "photo", "finding faces:"):
        data = source[index]
        with contextlib.suppress(*UNREADABLE):
            boxes = _boxes(detector, decode(data))
            found[content_id(data)] = [tuple(round(number, 1) for number in box) for box in boxes]
    write_atomically(path, json.dumps(found).encode())
    return found


@dataclass(frozen=True)
class Square:
    """A square of a photo, and whether it is mirrored."""

    left: float
    top: float
    side: float
    mirrored: bool = False

    def cut(self, photo: Image.Image, size: int) -> np.ndarray:
        """The square, resized. Returns uint8 [size, size, 3]."""
        box = (self.left, self.top, self.left + self.side, self.top + self.side)
        array = np.asarray(photo.resize((size, size), Image.Resampling.BICUBIC, box))
        return np.ascontiguousarray(array[:, ::-1]) if self.mirrored else array

    def face_map(self, faces: Sequence[Box], size: int) -> np.ndarray:
        """The map of the faces in the square: uint8 [size, size], see `rasterize`."""
        scale = size / self.side
        boxes = [((x - self.left) * scale, (y - self.top) * scale, w * scale, h * scale) for x, y, w, h in faces]
        found = rasterize(boxes, (size, size))
        return np.ascontiguousarray(found[:, ::-1]) if self.mirrored else found


def random_square(
    size: tuple[int, int], crop: int, rng: np.random.Generator, scale: tuple[float, ...] = (0.5, 1.0)
) -> Square:
    """A random square of a photo of `size` (width, height) that is resized by a random factor; maybe mirrored.

    The factor is log-uniform. A photo too small for the square at that factor is enlarged until its short side fills it.
    """
    factor = np.exp(rng.uniform(*np.log(scale)))
    side = min(crop / factor, *size)
    left, top = (rng.uniform(0, extent - side) for extent in size)
    return Square(left, top, side, bool(rng.random() < 0.5))


def center_square(size: tuple[int, int], crop: int, factor: float = 0.0) -> Square:
    """The centred square after a resize by a factor, or the largest one if that is larger."""
    side = min(crop / factor, *size) if factor else min(size)
    left, top = ((extent - side) / 2 for extent in size)
    return Square(left, top, side)


def center_crop(photo: Image.Image, size: int, factor: float = 0.0) -> np.ndarray:
    """`center_square`, cut. Returns uint8 [size, size, 3]."""
    return center_square(photo.size, size, factor).cut(photo, size)


class _Crops:
    """Decodes a photo, cuts a random crop and draws a style; a photo that cannot be read is replaced by a random one."""

    def __init__(
        self, source: EncodedPhotos | TfdsPhotos, photos: np.ndarray, config: PhotoConfig, styles: int
    ) -> None:
        self.source, self.photos, self.config, self.styles = source, photos, config, styles
        self.faces: dict[int, Sequence[Box]] = {}  # faces of the photos that were drawn before
        self.detector = FaceDetector()
        self.known: dict[str, list[Box]] = {}
        if config.find_faces and config.faces:
            self.known = known_faces(source, Path(config.faces), self.detector)
        self.bad = Unreadable("training photos", len(source))

    def __call__(self, element: int | np.integer, rng: np.random.Generator) -> dict[str, Any]:
        while True:
            index = int(element)
            try:
                photo = decode(self.source[index])
                square = random_square(photo.size, self.config.crop, rng, self.config.scale)
                return {**self.example(index, photo, square), "style": np.int32(rng.integers(self.styles))}
            except UNREADABLE as error:
                self.bad.report(index, self.source.name(index), error)
                element = rng.choice(self.photos)

    def example(self, index: int, photo: Image.Image, square: Square) -> dict[str, Any]:
        """A square of photo number `index`, and where its faces are."""
        if self.config.find_faces and index not in self.faces:
            known = self.known.get(content_id(self.source[index])) if self.known else None
            self.faces[index] = _boxes(self.detector, photo) if known is None else known
        size = self.config.crop
        faces = square.face_map(self.faces.get(index, []), size // CELL)
        return {"photo": square.cut(photo, size), "faces": faces}


@dataclass(frozen=True)
class PhotoBatches:
    """The training stream, its photos and the held-out ones."""

    iterator: Any
    held_out: dict[str, np.ndarray]
    """photos that are never drawn, and their faces; leaves as in a batch"""
    photos: int
    """number of photos that are drawn"""
    skipped: Callable[[], int]
    """returns how many of them could not be read so far"""


def photo_batches(config: PhotoConfig, batch_size: int, styles: int, seed: int) -> PhotoBatches:
    """Endless batches {"photo", "faces", "style"}, of this host's share N of `batch_size`.

    photo: uint8 [N, C, C, 3]; faces: uint8 [N, C / 4, C / 4], see `Square.face_map`; style: int32 [N].

    Every photo comes once per epoch, in an order that the seed determines. The shares of all hosts at a step together are the
    batch that a single host would draw.

    Raises:
        InputError: see `open_photos`; no more photos than are held out; no photo that can be read.
    """
    source = open_photos(config.photos)
    if len(source) <= config.held_out:
        raise InputError(f"{len(source)} photos with {config.held_out} held out: give more photos, or hold out fewer")
    order = np.random.default_rng(seed).permutation(len(source))
    held_out: list[dict[str, np.ndarray]] = []
    taken = 0
    crops = _Crops(source, np.sort(order[config.held_out :]), config, styles)
    for index in order:  # a photo that cannot be read is replaced by the next one
        if len(held_out) == config.held_out:
            break
        taken += 1
        try:
            photo = decode(source[int(index)])
            square = center_square(photo.size, config.crop, float(np.sqrt(np.prod(config.scale))))
            held_out.append(crops.example(int(index), photo, square))
        except UNREADABLE as error:
            crops.bad.report(int(index), source.name(int(index)), error)
    indices = crops.photos = np.sort(order[taken:])
    crops.bad.total = len(indices) + len(crops.bad)
    if not len(indices):
        raise InputError(f"no photos are left to train on: only {len(held_out)} of {len(source)} can be read")
    draws = grain.MapDataset.source(indices).seed(seed).shuffle().repeat()
    stream = batches_of(draws, crops, batch_size, seed, config.workers)
    stacked = {name: np.stack([example[name] for example in held_out]) for name in held_out[0]}
    return PhotoBatches(stream, stacked, len(indices), lambda: len(crops.bad))
