"""Sources of content photos: random access to the photos of folders, .tar files and TFDS data sets."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from emojax.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class _Slice:
    """The place of a photo's bytes in a file."""

    path: str
    offset: int = 0
    size: int = -1
    member: str = ""
    """name in the tar file, if it is one"""


class EncodedPhotos:
    """A random access source of encoded photos (bytes) from folders, tar files and single files."""

    def __init__(self, paths: Sequence[str]) -> None:
        """Lists the photos; raises InputError for a path that is missing or damaged, or where there are none."""
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
                    raise InputError(f"cannot read {path}: {error}; it has to be an uncompressed tar file") from None
                self._slices += [_Slice(str(path), m.offset_data, m.size, m.name) for m in members]
            elif path.suffix.lower() in SUFFIXES and path.is_file():
                self._slices.append(_Slice(str(path)))
            else:
                raise InputError(f"no photos at {path}: give a folder, .tar file or photo that exists, or a TFDS name")
        if not self._slices:
            raise InputError(f"no photos in {', '.join(map(str, paths))}: none ends in {', '.join(SUFFIXES)}")

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
        """Opens a data set; TFDS downloads and prepares it first if needed.

        Raises:
            InputError: an unknown name, a data set that cannot be prepared, or one that has no images.
        """
        import tensorflow_datasets as tfds

        try:
            self._source: Any = tfds.data_source(name, split="train")
        except Exception as error:  # TFDS has no common base class: unknown names, failed downloads, file formats
            reason = " ".join(str(error).split())[:80]
            raise InputError(
                f"no photos at {name!r}: no such folder, .tar file or photo, and no data set that TFDS can open ({reason})"
            ) from None
        if "image" not in self._source.dataset_info.features:
            raise InputError(f"the TFDS data set {name!r} has no feature 'image': choose one that has")
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
        InputError: nothing given, a missing path, an empty folder, an unknown data set.
    """
    if not paths:
        raise InputError("no content photos: give `data.photos` a folder, .tar files or a TFDS name such as coco/2017")
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
    """A photo as an RGB picture; raises Pillow's errors for damaged data."""
    if isinstance(data, np.ndarray):
        return Image.fromarray(data[..., 0] if data.shape[-1] == 1 else data).convert("RGB")
    return Image.open(io.BytesIO(data)).convert("RGB")
