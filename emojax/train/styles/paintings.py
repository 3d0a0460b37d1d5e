"""The paintings of the styles: their files, crops and sizes. Paintings are uint8 [H, W, 3], RGB."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from emojax.emotions import EMOTIONS
from emojax.errors import InputError
from emojax.images import read_photo
from emojax.train.styles.config import PAINTING_SIDE, PhotoConfig, parse_crop, parse_size
from emojax.train.styles.sources import SUFFIXES
from emojax.util.words import nearest


def find_paintings(config: PhotoConfig, styles: Sequence[str]) -> dict[str, Path]:
    """The painting of each style: the file that the config names, or a file in the folder of the emotion or style.

    Raises:
        InputError: a painting or folder that is missing, a folder that is empty or holds several paintings of which none
            is preferred, or two folders.
    """
    single = {name: Path(path) for name, _, path in (entry.partition("=") for entry in config.paintings) if path}
    folders = [Path(entry) for entry in config.paintings if "=" not in entry]
    known = dict.fromkeys((*EMOTIONS, *styles))
    if unknown := [name for name in single if name not in known]:
        raise InputError(f"painting for {unknown[0]!r}{nearest(unknown[0], known)}: name one of {', '.join(known)}")
    if len(folders) > 1:
        raise InputError(f"two folders of paintings, {folders[0]} and {folders[1]}: give one")
    found = {}
    for style in styles:
        if style in single:
            if not single[style].is_file():
                raise InputError(f"no painting for {style!r} at {single[style]}: the file does not exist")
            found[style] = single[style]
            continue
        if not folders:
            raise InputError(f"no painting for {style!r}: give a folder with a folder per emotion, or {style}=PATH")
        (root,) = folders
        if not root.is_dir():
            raise InputError(f"no paintings at {root}: the folder does not exist")
        folder = root / style
        if style not in EMOTIONS and not folder.is_dir():  # the painting's own name
            files = sorted(p for p in root.rglob("*") if p.stem == style and p.suffix.lower() in SUFFIXES)
        else:
            files = sorted(p for p in folder.glob("*") if p.suffix.lower() in SUFFIXES)
        preferred = [p for p in files if p.name in config.prefer]
        chosen = preferred or files
        if not chosen:
            hint = nearest(style, [p.name for p in root.iterdir() if p.is_dir()]) if not folder.is_dir() else ""
            raise InputError(f"no painting for {style!r}: put one into {folder}{hint}")
        if len(chosen) > 1:
            names = ", ".join(p.name for p in chosen)
            raise InputError(f"several paintings for {style!r} ({names}): name the one to use, {style}=PATH")
        found[style] = chosen[0]
    return found


def painting_size(style_scale: float, side: int = PAINTING_SIDE) -> int:
    """The short side, in pixels, of a painting at a style scale; at a scale of 1 it is `side`.

    Raises:
        InputError: a scale outside 0.1 to 8.
    """
    if not 0.1 <= style_scale <= 8:
        raise InputError(f"`style_scale` {style_scale}: it is 0.1 to 8")
    return round(side * style_scale)


def read_resized_painting(path: Path, short_side: int, crop: tuple[float, ...] = (0, 0, 1, 1)) -> np.ndarray:
    """A painting, or a part of it, with its short side resized to `short_side` pixels. Returns uint8 [H, W, 3].

    Args:
        crop: left, top, right and bottom, as fractions.

    Raises:
        InputError: a file that cannot be read.
    """
    painting = Image.fromarray(read_photo(path, name=f"the painting {path}").pixels)
    box = tuple(fraction * extent for fraction, extent in zip(crop, painting.size * 2, strict=True))
    width, height = box[2] - box[0], box[3] - box[1]
    scale = short_side / min(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(painting.resize(size, Image.Resampling.LANCZOS, (box[0], box[1], box[2], box[3])))


def read_paintings(config: PhotoConfig, styles: Sequence[str]) -> list[np.ndarray]:
    """The styles' paintings, uint8 [1, H, W, 3] each, as the config says.

    Raises:
        InputError: see `find_paintings`; a painting that cannot be read.
    """
    crops = dict(parse_crop(entry) for entry in config.painting_crops)
    sizes = dict(parse_size(entry) for entry in config.painting_sizes)
    return [
        read_resized_painting(path, sizes.get(style, config.painting_size), crops.get(style, (0, 0, 1, 1)))[None]
        for style, path in find_paintings(config, styles).items()
    ]
