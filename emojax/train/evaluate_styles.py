"""`python train_style.py evaluate`: a style checkpoint's scores on photos, as a table, metrics.json and a contact sheet.

checkpoint, photos, paintings -> stylized photos -> losses, similarity, nearest painting, emotions kept -> means per style.
With `--optimum N` also how long an optimizer takes for what the network does in one pass, on the first N photos at 256 x 256.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
from tqdm import tqdm

from emojax import compiling
from emojax.commandline import Parser
from emojax.errors import UserError
from emojax.faces import Face, cut_crop, find_faces
from emojax.files import write_atomically
from emojax.images import to_uint8, to_unit
from emojax.pipeline import PACKAGED, load_classifier, load_styles
from emojax.stylizer import MULTIPLE, StylizerConfig, mix_styles, stylize_with_code
from emojax.train.evaluate import read_faces
from emojax.train.photo_data import PhotoConfig, center_crop, decode, open_photos
from emojax.train.stream import UNREADABLE
from emojax.train.style import painting_grams
from emojax.train.yardstick import descend, measure, objective
from emojax.vgg import find_vgg16, load_vgg16

PAINTING_SIDE = 256
"""short side of the paintings at a style scale of 1, whatever the size of the photos"""
OPTIMUM_SIDE = 256
SMALLEST_FACE = 32
"""pixels of a face's box from which its emotion counts"""
THUMBNAIL = 192
COLUMNS = ("content", "content_deep", "style", "style_left", "objective", "tv", "ssim", "nearest", "kept")


def read_photos(paths: Sequence[str], size: int, limit: int | None) -> dict[str, np.ndarray]:
    """The centre squares of the photos, name -> uint8 [size, size, 3]; those that cannot be read are left out.

    Raises:
        UserError: no photos, or none that can be read.
    """
    source = open_photos(paths)
    found: dict[str, np.ndarray] = {}
    bad = []
    for index in range(len(source)):
        if limit is not None and len(found) == limit:
            break
        try:
            found[Path(source.name(index)).name] = center_crop(decode(source[index]), size)
        except UNREADABLE as error:
            bad.append(f"{source.name(index)}: {error}")
    if bad:
        print(f"skipped {len(bad)} photos that cannot be read, first {bad[0]}", file=sys.stderr)
    if not found:
        raise UserError(f"none of the {len(source)} photos can be read: give others")
    return found


@functools.cache
def _program(config: StylizerConfig) -> Any:
    """Compiled: (params, vgg, grams, photo uint8 [1, H, W, 3], style) -> (stylized [1, H, W, 3], scores; see `measure`)."""

    def run(params, vgg, grams, photo, style):
        photo = to_unit(photo)
        code = mix_styles(params["styles"], jax.nn.one_hot(style, len(config.styles))[None])
        stylized = stylize_with_code(config, params["network"], photo, code)
        return stylized, measure(vgg, grams, photo, stylized)

    return compiling.jit(run)


def score_photos(
    config: StylizerConfig, params: Any, vgg: Any, grams: Any, photos: Mapping[str, np.ndarray], reader: Reader | None
) -> tuple[dict[str, dict[str, float]], np.ndarray]:
    """Means over the photos, style -> score, and the stylized photos, uint8 [photos, S, H, W, 3].

    The scores are those of `measure`, the "style" loss being that to the style's own painting; "style_left", its share of the
    photo's own style loss; "objective"; "nearest", the share of photos whose nearest painting is the style's; "kept", the
    share of faces that are read as before (not there without faces).
    """
    measured = compiling.jit(lambda vgg, grams, photo: measure(vgg, grams, photo, photo)["style"])
    rows: dict[str, list[dict[str, float]]] = {style: [] for style in config.styles}
    pictures = np.zeros((len(photos), len(config.styles), *next(iter(photos.values())).shape), np.uint8)
    for number, (_, photo) in enumerate(tqdm(photos.items(), unit="photo", desc="scoring")):
        before = np.asarray(measured(vgg, grams, to_unit(photo[None])))
        for index, style in enumerate(config.styles):
            stylized, scores = _program(config)(params, vgg, grams, photo[None], index)
            pictures[number, index] = to_uint8(np.asarray(stylized[0]))
            distances = np.asarray(scores["style"])
            row = {name: float(value) for name, value in scores.items() if name != "style"}
            row |= {"style": float(distances[index]), "style_left": float(distances[index] / before[index])}
            row["objective"] = objective(row["content"], row["style"])
            row["nearest"] = float(distances.argmin() == index)
            rows[style].append(row)
    means = {
        style: {name: float(np.mean([row[name] for row in found])) for name in found[0]}
        for style, found in rows.items()
    }
    kept = reader.kept(list(photos.values()), pictures) if reader else None
    if kept is not None:
        for style, share in zip(config.styles, kept, strict=True):
            means[style]["kept"] = share
    return means, pictures


class Reader:
    """Reads the emotions of the same faces before and after."""

    def __init__(self, classifier: Path) -> None:
        """Loads a classifier; raises UserError if there is none."""
        config, variables = load_classifier(classifier)
        self.config, self.variables = config, jax.device_put(variables)

    def kept(self, photos: Sequence[np.ndarray], stylized: np.ndarray) -> list[float] | None:
        """Per style, the share of the photos' faces with the same top emotion after; None if no face is large enough."""
        faces: list[tuple[int, Face]] = [
            (number, face)
            for number, photo in enumerate(photos)
            for face in find_faces(photo)
            if min(face.w, face.h) >= SMALLEST_FACE
        ]
        if not faces:
            return None

        def read(pictures: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
            crops = [cut_crop(pictures[n], face, self.config.margin, self.config.size) for n, face in faces]
            return read_faces(self.config, self.variables, np.stack(crops)).argmax(1)

        before = read(photos)
        return [float((read(stylized[:, style]) == before).mean()) for style in range(stylized.shape[1])]


def distance_to_optimum(
    config: StylizerConfig, params: Any, vgg: Any, grams: Any, photos: Mapping[str, np.ndarray], iterations: int
) -> list[dict[str, Any]]:
    """How long L-BFGS takes to the network's objective: a row per photo and style; see `descend`."""
    rows = []
    pairs = [(name, index) for name in photos for index in range(len(config.styles))]
    for name, index in tqdm(pairs, unit="picture", desc="optimizing"):
        photo = photos[name][None]
        _, scores = _program(config)(params, vgg, grams, photo, index)
        goal = float(objective(scores["content"], scores["style"][index]))
        gram = {layer: gram[index : index + 1] for layer, gram in grams.items()}
        found = descend(vgg, gram, jnp.asarray(to_unit(photo)), goal, iterations)
        rows.append({"photo": name, "style": config.styles[index], "network": goal, **dataclasses.asdict(found)})
    return rows


def table(scores: Mapping[str, Mapping[str, float]]) -> str:
    """The scores as a Markdown table, a row per style and their mean."""
    names = [name for name in COLUMNS if all(name in row for row in scores.values())]
    mean = {name: float(np.mean([row[name] for row in scores.values()])) for name in names}
    cells = [["", *names]]
    cells += [[style, *(f"{row[name]:.3f}" for name in names)] for style, row in [*scores.items(), ("mean", mean)]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    return "\n".join([lines[0], "| " + " | ".join("-" * width for width in widths) + " |", *lines[1:]])


def contact_sheet(photos: Sequence[np.ndarray], stylized: np.ndarray, side: int = THUMBNAIL) -> bytes:
    """A PNG with a row per photo: the photo, then every style."""
    rows = [[photo, *pictures] for photo, pictures in zip(photos, stylized, strict=True)]
    sheet = Image.new("RGB", (side * len(rows[0]), side * len(rows)))
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            sheet.paste(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS), (x * side, y * side))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def main(argv: Sequence[str], prefer: tuple[str, ...] = ()) -> int:
    """The command; returns its exit code.

    Args:
        prefer: names of the paintings to take where an emotion's folder holds several.

    Raises:
        UserError: a checkpoint, photos, paintings or weights that cannot be read, or an output that cannot be written.
    """
    parser = Parser(
        prog="train_style.py evaluate",
        description="Scores a style checkpoint on photos that it was not trained on.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--checkpoint", type=Path, default=PACKAGED / "styles", help="a checkpoint or a run's folder")
    parser.add_argument("--photos", nargs="+", required=True, help="folders or .tar files of photos")
    parser.add_argument("--paintings", nargs="+", required=True, help="a folder, or sad=PATH ..., as in training")
    parser.add_argument("--vgg16", help="VGG16 weights; none: $EMOJAX_VGG16, then the user's cache folder")
    parser.add_argument("--size", type=int, default=512, help="side of the square photos, in pixels")
    parser.add_argument(
        "--style-scale", type=float, default=1.0, help="of the paintings; 1: 256 pixels on the short side"
    )
    parser.add_argument("--limit", type=int, help="only so many photos; none: all")
    parser.add_argument(
        "--optimum", type=int, default=0, metavar="N", help="photos to optimize directly, at 256 pixels"
    )
    parser.add_argument("--iterations", type=int, default=150, help="most iterations of that optimization")
    parser.add_argument("--classifier", type=Path, default=PACKAGED / "classifier", help="reads faces before and after")
    parser.add_argument(
        "--output", type=Path, default=Path("runs/evaluate_styles"), help="the folder for metrics.json and the sheet"
    )
    args = parser.parse_args(argv)
    if args.size % MULTIPLE or args.size < 64:
        raise UserError(f"--size {args.size}: give a multiple of {MULTIPLE}, at least 64")
    if not 0 < args.style_scale <= 8:
        raise UserError(f"--style-scale {args.style_scale}: it is above 0, at most 8")
    if min(args.limit if args.limit is not None else 1, args.iterations) < 1 or args.optimum < 0:
        raise UserError(
            f"--limit {args.limit}, --iterations {args.iterations}, --optimum {args.optimum}: at least 1, 1, 0"
        )
    config, params = load_styles(args.checkpoint)
    reader = Reader(args.classifier)
    vgg = load_vgg16(find_vgg16(args.vgg16))
    paintings = PhotoConfig(
        paintings=tuple(args.paintings), prefer=prefer, painting_size=round(PAINTING_SIDE * args.style_scale)
    )
    grams = painting_grams(vgg, paintings, config.styles)
    params, vgg = jax.device_put((params, vgg))
    photos = read_photos(args.photos, args.size, args.limit)
    scores, pictures = score_photos(config, params, vgg, grams, photos, reader)
    metrics: dict[str, Any] = {"checkpoint": str(args.checkpoint), "photos": list(photos), "size": args.size}
    metrics |= {"style_scale": args.style_scale, "scores": scores}
    write_atomically(args.output / "sheet.png", contact_sheet(list(photos.values()), pictures))
    print(f"{len(photos)} photos at {args.size} x {args.size}, style scale {args.style_scale:g}\n\n{table(scores)}")
    if args.optimum:
        small = read_photos(args.photos, OPTIMUM_SIDE, args.optimum)
        metrics["optimum"] = rows = distance_to_optimum(config, params, vgg, grams, small, args.iterations)
        print(f"\nL-BFGS from the photo at {OPTIMUM_SIDE} x {OPTIMUM_SIDE}, until it is as good as the network:\n")
        for style in config.styles:
            found = [(row["iterations"], row["evaluations"]) for row in rows if row["style"] == style]
            texts = ["not reached" if n is None else f"{n} ({calls} evaluations)" for n, calls in found]
            print(f"{style}: {', '.join(texts)}")
    write_atomically(args.output / "metrics.json", json.dumps(metrics, indent=2).encode())
    print(f"wrote {args.output}", file=sys.stderr)
    return 0
