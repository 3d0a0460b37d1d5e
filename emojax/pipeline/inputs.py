"""Conversion and checks of the pictures and style files that callers pass to a model."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from emojax.errors import InputError
from emojax.images import ArrayLike, read_photo
from emojax.images.opening import BinaryFile
from emojax.weights.style_file import StyleFile, read_style_file


def as_pictures(crops: Any) -> Sequence[np.ndarray]:
    """Converts crops (an array uint8 [N, H, W, 3] or a list of pictures of any kind) to arrays uint8 [H, W, 3].

    Raises:
        InputError: something else, or a picture that cannot be read.
    """
    if isinstance(crops, Sequence) and not isinstance(crops, str | bytes | bytearray | memoryview):
        return [read_photo(crop, math.inf, name=f"crop {index}").pixels for index, crop in enumerate(crops)]
    if not isinstance(crops, ArrayLike) or isinstance(crops, Image.Image):
        raise InputError(f"crops are a {type(crops).__name__}: give uint8 [N, H, W, 3], or a list of pictures")
    array = np.asarray(crops)
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] != 3 or 0 in array.shape[1:]:
        raise InputError(f"crops are {array.dtype} {list(array.shape)}: give uint8 [N, H, W, 3]")
    return list(array)


def as_style_files(given: Any) -> list[StyleFile]:
    """Returns style files; paths are read.

    Raises:
        InputError: something that is not a list of style files and paths.
        CheckpointError: a file that cannot be read.
    """
    if isinstance(given, str | bytes | os.PathLike) or not isinstance(given, Iterable):
        raise InputError(f"style_files is one {type(given).__name__}: give a list of style files")
    return [_style_file(one) for one in given]


def check_many(photos: Any) -> None:
    """Raises InputError unless `photos` is an iterable of photos, not a single one.

    An array is one if it has four axes, as uint8 [N, H, W, 3], or if it has one, of paths or other objects.
    """
    single = str | bytes | bytearray | memoryview | os.PathLike | Image.Image | BinaryFile
    if isinstance(photos, ArrayLike) and not isinstance(photos, Image.Image):
        is_one = np.ndim(photos) != 4 and not (np.ndim(photos) == 1 and np.asarray(photos).dtype.kind in "UTO")
    else:
        is_one = isinstance(photos, single) or not isinstance(photos, Iterable)
    if is_one:
        raise InputError(f"photos is one {type(photos).__name__}: give a list of photos, or call the model itself")


def _style_file(given: Any) -> StyleFile:
    if isinstance(given, StyleFile):
        return given
    if isinstance(given, str | os.PathLike):
        return read_style_file(given)
    raise InputError(f"a style file is a {type(given).__name__}: give a path, or what read_style_file returned")
