"""`emojax style swatches`: textures with a painting's colours and brushwork.

paintings of a style's mix -> optimization of noise without a photo -> EMOTION.jpg. `stylize.py --quality best` uses the
swatches as styles, so the package contains no painting. The method is texture synthesis by optimization (Gatys, Ecker, Bethge
2015, arXiv:1505.07376) with the terms of Kolkin et al. 2019.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from emojax.emotions import EMOTIONS
from emojax.errors import InputError
from emojax.images import write_image
from emojax.paint.config import PaintConfig
from emojax.paint.painter import Painter, Region
from emojax.train.styles.config import StyleTraining
from emojax.train.styles.paintings import read_paintings
from emojax.util.commandline import Parser
from emojax.util.files import make_folder, refuse_existing
from emojax.util.progress import track
from emojax.util.words import tell
from emojax.weights.vgg16_file import find_vgg16, load_vgg16

CONFIG = PaintConfig(content=0.0, similarity=0.0, face_similarity=0.0, style_scale=1.0, steps=(60, 150), coarsest=160)
"""no coarse scales, so that a swatch shows brushwork, palette and fragments, but not the composition"""


def synthesize(painter: Painter, region: Region, size: int, seed: int = 0) -> np.ndarray:
    """A square texture uint8 [size, size, 3] of paintings; the painter's config must have no weight on content."""
    rng = np.random.default_rng(seed)
    pixels = np.concatenate([painting.reshape(-1, 3) for painting in region.paintings])
    noise = pixels[rng.integers(len(pixels), size=(size // 8, size // 8))]
    blank = np.asarray(Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC))
    *_, last = painter.paint(blank, [region], size=size, start=blank, seed=seed)
    return last.picture()


def main(argv: Sequence[str], defaults: StyleTraining) -> int:
    """The command; returns its exit code.

    Args:
        defaults: the training config with the paintings, their crops and the mixes.

    Raises:
        InputError: paintings that are missing, a size out of range, an output that exists.
    """
    parser = Parser(
        prog="emojax style swatches",
        description="Makes the textures that --quality best uses as styles.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--paintings", nargs="+", required=True, help="a folder, or NAME=PATH ..., as in training")
    parser.add_argument(
        "--emotions", nargs="+", default=EMOTIONS, choices=EMOTIONS, help="the emotions to make textures for"
    )
    parser.add_argument("--size", type=int, default=512, help="side in pixels")
    parser.add_argument("--vgg16", help="VGG16 weights; none: the packaged ones")
    parser.add_argument("--output", type=Path, required=True, help="the folder for EMOTION.jpg")
    parser.add_argument("--force", action="store_true", help="replace existing pictures")
    args = parser.parse_args(argv)
    if not 64 <= args.size <= 2048:
        raise InputError(f"--size {args.size}: it is 64 to 2048")
    make_folder(args.output)
    targets = {emotion: args.output / f"{emotion}.jpg" for emotion in args.emotions}
    for path in targets.values():
        refuse_existing(path, args.force)
    mixes = defaults.release_styles()
    trained = np.array(defaults.resolved_model().style_names)
    data = dataclasses.replace(defaults.data, paintings=tuple(args.paintings), painting_size=args.size)
    painter = Painter(load_vgg16(find_vgg16(args.vgg16)), CONFIG)
    for emotion, path in track(targets.items(), "texture"):
        used = mixes[emotion] > 0
        paintings = tuple(painting[0] for painting in read_paintings(data, trained[used].tolist()))
        region = Region(paintings, tuple(mixes[emotion][used].tolist()))
        write_image(Image.fromarray(synthesize(painter, region, args.size)), path)
        tell(f"wrote {path}")
    return 0
