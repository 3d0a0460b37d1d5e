"""Content photos and paintings for training the styles. Photos are uint8 [H, W, 3], RGB, as batches for the device.

photos (folder tree, .tar files or a TFDS name) -> Grain: shuffle, random crops -> {"photo": uint8 [N, C, C, 3],
"faces": uint8 [N, C / 4, C / 4], "style": int32 [N]}
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grain
import numpy as np
from PIL import Image

from emojax.emotions import EMOTIONS, nearest
from emojax.errors import UserError
from emojax.faces.find import Face, find_faces, rasterize
from emojax.images import read_photo
from emojax.losses.objective import CELL
from emojax.train.stream import UNREADABLE, Unreadable, batches_of

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")

PAINTING_SIDE = 256
"""short side of the paintings at a style scale of 1, whatever the size of the photos"""


@dataclass(frozen=True)
class PhotoConfig:
    """Where photos and paintings come from."""

    photos: tuple[str, ...] = ()
    """folders (searched recursively), .tar files, single photos, or the name of a TFDS data set such as coco/2017"""
    paintings: tuple[str, ...] = ()
    """folder with a folder of paintings per emotion, or sad=PATH for single ones, which come before the folder's"""
    prefer: tuple[str, ...] = ()
    """file names to take where the folder of an emotion holds several paintings"""
    crop: int = 256
    """side of the square training crops, in pixels; a multiple of 4"""
    scale: tuple[float, ...] = (0.5, 1.0)
    """photos are resized by a factor between these before a crop is cut: above 1 shows the network what larger photos look
    like, smooth from pixel to pixel"""
    painting_size: int = PAINTING_SIDE
    """short side of the paintings, in pixels: larger gives bolder strokes"""
    painting_sizes: tuple[str, ...] = ()
    """other short sides for single paintings, sad=560: what has fine strokes is shown larger"""
    painting_crops: tuple[str, ...] = ()
    """the part of a painting to learn from, happy=0,0.33,1,1: left, top, right, bottom as fractions; none: all of it"""
    find_faces: bool = False
    """whether to find the photos' faces, which the loss can then protect"""
    held_out: int = 8
    """photos kept out of training for the validation loss"""
    workers: int = 2
    """threads that decode"""

    def __post_init__(self) -> None:
        if self.crop < 16 or self.crop % 4:
            raise UserError(f"crop {self.crop}: it has to be a multiple of 4, at least 16")
        if not (len(self.scale) == 2 and 0 < self.scale[0] <= self.scale[1] <= 16):
            raise UserError(f"scale {self.scale}: give two factors, the smaller one first, above 0 and at most 16")
        for entry in self.painting_crops:
            parse_crop(entry)
        for entry in self.painting_sizes:
            parse_size(entry)
        if self.painting_size < 16 or min(self.held_out, self.workers) < 1:
            raise UserError(
                f"painting size {self.painting_size}, {self.held_out} held out, {self.workers} workers: at least 16, 1, 1"
            )


@dataclass(frozen=True)
class _Slice:
    """Where the bytes of a photo lie."""

    path: str
    offset: int = 0
    size: int = -1
    member: str = ""
    """of a tar file"""


class EncodedPhotos:
    """A random access source of encoded photos (bytes): those of folders and tar files, and single ones."""

    def __init__(self, paths: Sequence[str]) -> None:
        """Lists the photos; raises UserError for a path that is missing or damaged, or where there are none."""
        self._slices: list[_Slice] = []
        for path in map(Path, paths):
            if path.is_dir():
                files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
                self._slices += [_Slice(str(p)) for p in files]
            elif path.suffix == ".tar" and path.is_file():
                try:
                    with tarfile.open(path, "r:") as tar:
                        members = [m for m in tar if m.isfile() and Path(m.name).suffix.lower() in SUFFIXES]
                except (tarfile.TarError, OSError) as error:
                    raise UserError(f"cannot read {path}: {error}; it has to be an uncompressed tar file") from None
                self._slices += [_Slice(str(path), m.offset_data, m.size, m.name) for m in members]
            elif path.suffix.lower() in SUFFIXES and path.is_file():
                self._slices.append(_Slice(str(path)))
            else:
                raise UserError(f"no photos at {path}: give a folder, .tar file or photo that exists, or a TFDS name")
        if not self._slices:
            raise UserError(f"no photos in {', '.join(map(str, paths))}: none ends in {', '.join(SUFFIXES)}")

    def __len__(self) -> int:
        return len(self._slices)

    def __getitem__(self, index: int) -> bytes:
        where = self._slices[index]
        with open(where.path, "rb") as file:
            file.seek(where.offset)
            return file.read(where.size)

    def name(self, index: int) -> str:
        """The file that holds photo `index`."""
        where = self._slices[index]
        return f"{where.path}:{where.member}" if where.member else where.path


class TfdsPhotos:
    """A random access source of decoded photos, the `image` feature of a TFDS data set's train split."""

    def __init__(self, name: str) -> None:
        """Opens a data set, which TFDS downloads and prepares first where it has to.

        Raises:
            UserError: an unknown name, a data set that cannot be prepared, or one that has no images.
        """
        import tensorflow_datasets as tfds

        try:
            self._source: Any = tfds.data_source(name, split="train")
        except Exception as error:  # TFDS has no common base class: unknown names, failed downloads, file formats
            reason = " ".join(str(error).split())[:80]
            raise UserError(
                f"no photos at {name!r}: no such folder, .tar file or photo, and no data set that TFDS can open ({reason})"
            ) from None
        if "image" not in self._source.dataset_info.features:
            raise UserError(f"the TFDS data set {name!r} has no feature 'image': choose one that has")
        self._label = name

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._source[index]["image"]

    def name(self, index: int) -> str:
        """A label for photo `index`."""
        return f"{self._label}[{index}]"


def open_photos(paths: Sequence[str]) -> EncodedPhotos | TfdsPhotos:
    """The source for `PhotoConfig.photos`.

    Raises:
        UserError: nothing given, a missing path, an empty folder, an unknown data set.
    """
    if not paths:
        raise UserError("no content photos: give `data.photos` a folder, .tar files or a TFDS name such as coco/2017")
    first = paths[0]
    if (
        len(paths) == 1
        and not Path(first).exists()
        and not first.startswith((".", "/"))
        and Path(first).suffix != ".tar"
    ):
        return TfdsPhotos(first)
    return EncodedPhotos(paths)


def decode(data: bytes | np.ndarray) -> Image.Image:
    """A photo as an RGB picture; raises what Pillow raises for damaged data."""
    if isinstance(data, np.ndarray):
        return Image.fromarray(data[..., 0] if data.shape[-1] == 1 else data).convert("RGB")
    return Image.open(io.BytesIO(data)).convert("RGB")


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

    def face_map(self, faces: Sequence[Face], size: int) -> np.ndarray:
        """Where the square shows faces: uint8 [size, size], see `rasterize`."""
        scale = size / self.side
        boxes = [((f.x - self.left) * scale, (f.y - self.top) * scale, f.w * scale, f.h * scale) for f in faces]
        found = rasterize(boxes, (size, size))
        return np.ascontiguousarray(found[:, ::-1]) if self.mirrored else found


def random_square(
    size: tuple[int, int], crop: int, rng: np.random.Generator, scale: tuple[float, ...] = (0.5, 1.0)
) -> Square:
    """A random square of a photo of `size` (width, height) that is resized by a random factor; maybe mirrored.

    All scales alike (log-uniform). A photo too small for the square at that factor is enlarged until its short side fills it.
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
    """Decodes a photo, cuts a random crop and draws a style; another photo takes the place of an unreadable one."""

    def __init__(
        self, source: EncodedPhotos | TfdsPhotos, photos: np.ndarray, config: PhotoConfig, styles: int
    ) -> None:
        self.source, self.photos, self.config, self.styles = source, photos, config, styles
        self.faces: dict[int, list[Face]] = {}  # of the photos that were drawn before
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
            self.faces[index] = find_faces(np.asarray(photo))
        size = self.config.crop
        faces = square.face_map(self.faces.get(index, []), size // CELL)
        return {"photo": square.cut(photo, size), "faces": faces}


@dataclass(frozen=True)
class PhotoBatches:
    """The training stream and what it was made from."""

    iterator: Any
    held_out: dict[str, np.ndarray]
    """photos that are never drawn, and their faces, as in a batch"""
    photos: int
    """photos that are drawn"""
    skipped: Callable[[], int]
    """how many of them could not be read so far"""


def photo_batches(config: PhotoConfig, batch_size: int, styles: int, seed: int) -> PhotoBatches:
    """Endless batches {"photo", "faces", "style"}, of this host's share N of `batch_size`.

    photo: uint8 [N, C, C, 3]; faces: uint8 [N, C / 4, C / 4], see `Square.face_map`; style: int32 [N].

    Every photo comes once per epoch, in an order that the seed decides. The hosts' shares of step k are together what a
    single host would draw for step k.

    Raises:
        UserError: see `open_photos`; no more photos than are held out; no photo that can be read.
    """
    source = open_photos(config.photos)
    if len(source) <= config.held_out:
        raise UserError(f"{len(source)} photos with {config.held_out} held out: give more photos, or hold out fewer")
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
        raise UserError(f"no photos are left to train on: only {len(held_out)} of {len(source)} can be read")
    draws = grain.MapDataset.source(indices).seed(seed).shuffle().repeat()
    stream = batches_of(draws, crops, batch_size, seed, config.workers)
    stacked = {name: np.stack([example[name] for example in held_out]) for name in held_out[0]}
    return PhotoBatches(stream, stacked, len(indices), lambda: len(crops.bad))


def find_paintings(config: PhotoConfig, styles: Sequence[str]) -> dict[str, Path]:
    """The painting of each style.

    Raises:
        UserError: a painting or folder that is missing, a folder that is empty or holds several paintings of which none
            is preferred, or two folders.
    """
    single = {name: Path(path) for name, _, path in (entry.partition("=") for entry in config.paintings) if path}
    folders = [Path(entry) for entry in config.paintings if "=" not in entry]
    known = dict.fromkeys((*EMOTIONS, *styles))
    if unknown := [name for name in single if name not in known]:
        raise UserError(f"painting for {unknown[0]!r}{nearest(unknown[0], known)}: name one of {', '.join(known)}")
    if len(folders) > 1:
        raise UserError(f"two folders of paintings, {folders[0]} and {folders[1]}: give one")
    found = {}
    for style in styles:
        if style in single:
            if not single[style].is_file():
                raise UserError(f"no painting for {style!r} at {single[style]}: the file does not exist")
            found[style] = single[style]
            continue
        if not folders:
            raise UserError(f"no painting for {style!r}: give a folder with a folder per emotion, or {style}=PATH")
        (root,) = folders
        if not root.is_dir():
            raise UserError(f"no paintings at {root}: the folder does not exist")
        folder = root / style
        files = sorted(p for p in folder.glob("*") if p.suffix.lower() in SUFFIXES)
        preferred = [p for p in files if p.name in config.prefer]
        chosen = preferred or files
        if not chosen:
            hint = nearest(style, [p.name for p in root.iterdir() if p.is_dir()]) if not folder.is_dir() else ""
            raise UserError(f"no painting for {style!r}: put one into {folder}{hint}")
        if len(chosen) > 1:
            names = ", ".join(p.name for p in chosen)
            raise UserError(f"several paintings for {style!r} ({names}): name the one to use, {style}=PATH")
        found[style] = chosen[0]
    return found


def painting_size(style_scale: float) -> int:
    """The short side, in pixels, of a painting at a style scale.

    Raises:
        UserError: a scale outside 0.1 to 8.
    """
    if not 0.1 <= style_scale <= 8:
        raise UserError(f"`style_scale` {style_scale}: it is 0.1 to 8")
    return round(PAINTING_SIDE * style_scale)


def parse_size(entry: str) -> tuple[str, int]:
    """ "sad=560" -> ("sad", 560); raises UserError for what is no size of at least 16 pixels."""
    style, _, text = entry.partition("=")
    if not (text.isdecimal() and int(text) >= 16):
        raise UserError(f"painting size {entry!r}: write STYLE=PIXELS, at least 16")
    return style, int(text)


def parse_crop(entry: str) -> tuple[str, tuple[float, ...]]:
    """ "happy=0,0.33,1,1" -> ("happy", (0, 0.33, 1, 1)); raises UserError for what is no such part."""
    style, _, text = entry.partition("=")
    try:
        left, top, right, bottom = box = tuple(float(number) for number in text.split(","))
    except ValueError:
        raise UserError(f"painting crop {entry!r}: write STYLE=LEFT,TOP,RIGHT,BOTTOM") from None
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise UserError(
            f"painting crop {entry!r}: fractions of the painting, 0 to 1, left before right, top before bottom"
        )
    return style, box


def read_painting(path: Path, short_side: int, crop: tuple[float, ...] = (0, 0, 1, 1)) -> np.ndarray:
    """A painting, or a part of it, with its short side resized to `short_side` pixels. Returns uint8 [H, W, 3].

    Args:
        crop: left, top, right and bottom, as fractions.

    Raises:
        UserError: a file that cannot be read.
    """
    painting = Image.fromarray(read_photo(path, name=f"the painting {path}").pixels)
    box = tuple(fraction * extent for fraction, extent in zip(crop, painting.size * 2, strict=True))
    width, height = box[2] - box[0], box[3] - box[1]
    scale = short_side / min(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(painting.resize(size, Image.Resampling.LANCZOS, (box[0], box[1], box[2], box[3])))
