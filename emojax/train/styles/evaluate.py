"""`emojax evaluate styles`: scores of a transform net on photos, as a table, metrics.json and a contact sheet.

checkpoint, photos, paintings -> stylized photos -> losses, similarity, nearest painting, emotions kept -> means per style.
It also scores the pictures as users get them: faces found again, steadiness, motifs. With `--optimum N` it measures, on N of
the photos at 256 x 256, how many steps an optimizer of the pixels needs to reach the network's objective.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from emojax.errors import InputError
from emojax.nets.stylizer_config import MULTIPLE, StylizerConfig
from emojax.pipeline import Model, load
from emojax.train.styles.config import PhotoConfig, painted_styles
from emojax.train.styles.paintings import painting_size, read_paintings
from emojax.train.styles.picture_metrics import motif_strength
from emojax.train.styles.picture_scores import score_pictures
from emojax.train.styles.scoring import (
    Retention,
    distance_to_optimum,
    even_strengths,
    optimum_summary,
    read_photos,
    score_photos,
)
from emojax.train.styles.targets import painting_grams
from emojax.util.commandline import Parser
from emojax.util.files import PACKAGED, make_folder, write_atomically
from emojax.util.words import markdown_table, tell
from emojax.weights.load import add_style_files, find_styles, load_styles
from emojax.weights.style_file import StyleFile, read_style_file
from emojax.weights.vgg16_file import find_vgg16, load_vgg16

OPTIMUM_SIDE = 256
SIZE = 512
"""default side of the photos, in pixels"""
THUMBNAIL = 192
COLUMNS = (
    *("content", "content_relu3_3", "style", "style_ratio", "objective", "objective_ratio", "tv", "ssim"),
    *("nearest_painting", "emotion_retention"),
)
PICTURE_COLUMNS = ("faces_found", "emotion_kept", "noise_gain", "motif", "painting_motif")


def table(scores: Mapping[str, Mapping[str, float]], columns: Sequence[str] = COLUMNS) -> str:
    """The scores as a Markdown table, a row per style and their mean."""
    names = [name for name in columns if all(name in row for row in scores.values())]
    mean = {name: float(np.mean([row[name] for row in scores.values()])) for name in names}
    cells = [["", *names]]
    cells += [[style, *(f"{row[name]:.3f}" for name in names)] for style, row in [*scores.items(), ("mean", mean)]]
    return markdown_table(cells)


def only_style_files(config: StylizerConfig, params: Any, styles: Sequence[StyleFile]) -> tuple[StylizerConfig, Any]:
    """A network with the styles of style files in place of its own.

    Raises:
        CheckpointError: a style of another network, two styles of one name.
    """
    own = len(config.style_names)
    config, params = add_style_files(config, params, styles)
    rows = jax.tree.map(lambda table: table[own:], params["style_table"])
    return dataclasses.replace(config, style_names=config.style_names[own:]), {**params, "style_table": rows}


class Sheet:
    """A contact sheet: a row per photo, the photo first, then every style."""

    def __init__(self, side: int = THUMBNAIL) -> None:
        self.side = side
        self.rows: list[np.ndarray] = []

    def add(self, photo: np.ndarray, pictures: np.ndarray) -> None:
        """Adds a photo uint8 [H, W, 3] and its stylized versions, uint8 [S, H, W, 3]."""
        small = [
            np.asarray(Image.fromarray(picture).resize((self.side, self.side), Image.Resampling.LANCZOS))
            for picture in (photo, *pictures)
        ]
        self.rows.append(np.concatenate(small, axis=1))

    def png(self) -> bytes:
        """The sheet as a PNG."""
        buffer = io.BytesIO()
        Image.fromarray(np.concatenate(self.rows)).save(buffer, "PNG")
        return buffer.getvalue()


def main(argv: Sequence[str], prefer: tuple[str, ...] = ()) -> int:
    """The command; returns its exit code.

    Args:
        prefer: names of the paintings to take where an emotion's folder holds several.

    Raises:
        EmojaxError: a checkpoint, photos, paintings or weights that cannot be read, or an output that cannot be written.
    """
    args = _parse(argv)
    side = painting_size(args.style_scale)
    make_folder(args.output)
    config, params = load_styles(args.checkpoint)
    style_files = [read_style_file(path) for path in args.style_files]
    if style_files:
        config, params = only_style_files(config, params, style_files)
    styles = painted_styles(config.style_names)
    retention, sheet = Retention(args.classifier, len(styles)), Sheet(args.sheet_side)
    # The scores are compared between machines: no reduced precision on a GPU or TPU.
    with jax.default_matmul_precision("highest"):
        vgg = load_vgg16(find_vgg16(args.vgg16))
        paintings = PhotoConfig(paintings=tuple(args.paintings), prefer=prefer, painting_size=side)
        grams = painting_grams(vgg, paintings, styles, of=lambda features: features)
        params, vgg = jax.device_put((params, vgg))
        photos = read_photos(args.photos, args.size, args.limit)
        if (args.output / "sheet.png").resolve() in {Path(name).resolve() for name in photos}:
            raise InputError(
                f"--output {args.output} holds the photo sheet.png, which would be lost: choose another folder"
            )

        def look(photo: np.ndarray, pictures: np.ndarray) -> None:
            sheet.add(photo, pictures)
            retention.add(photo, pictures)

        scores = score_photos(config, params, vgg, grams, photos, look)
        for index, style in enumerate(styles if retention.faces else ()):
            scores[style]["emotion_retention"] = float(retention.same[index] / retention.faces)
        metrics: dict[str, Any] = {"checkpoint": str(args.checkpoint), "photos": list(photos), "size": args.size}
        metrics |= {"style_scale": args.style_scale, "faces": retention.faces, "scores": scores, "optimum": []}
        metrics["strengths"] = even_strengths(scores)
        if not config.network_per_style:
            model = load(classifier=args.classifier, styles=args.checkpoint)
            model = model.with_style_files(style_files) if style_files else model
            metrics["pictures"] = _as_users_see_them(model, photos, styles, paintings)
        write_atomically(args.output / "sheet.png", sheet.png())
        _write(args.output, metrics)
        _print_scores(metrics)
        if args.optimum:
            small = read_photos(args.photos, OPTIMUM_SIDE, args.optimum)
            for row in distance_to_optimum(config, params, vgg, grams, small, args.iterations):
                metrics["optimum"].append(row)
                metrics["optimum_steps"] = optimum_summary(metrics["optimum"], args.iterations)
                _write(args.output, metrics)
            _print_optimum(metrics)
    tell(f"wrote {args.output}")
    return 0


def _as_users_see_them(
    model: Model, photos: Mapping[str, np.ndarray], styles: tuple[str, ...], paintings: PhotoConfig
) -> dict[str, dict[str, float]]:
    """`score_pictures` of the styles, and the motif of the styles' paintings."""
    found = {style: row for style, row in score_pictures(model, photos).items() if style in styles}
    for style, painting in zip(styles, read_paintings(paintings, styles), strict=True):
        found[style]["painting_motif"] = motif_strength(painting[0])
    return found


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command's arguments; raises InputError for values out of range."""
    parser = Parser(
        prog="emojax evaluate styles",
        description="Scores a style checkpoint on photos that it was not trained on.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--checkpoint", type=find_styles, default=find_styles(), help="a checkpoint or run, or fast")
    add(
        "--style-files",
        "--packs",
        nargs="+",
        default=[],
        metavar="FILE",
        help="files to score instead of the network's styles",
    )
    add("--photos", nargs="+", required=True, help="folders or .tar files of photos")
    add("--paintings", nargs="+", required=True, help="a folder, or sad=PATH ..., as in training")
    add("--vgg16", help="VGG16 weights; none: $EMOJAX_VGG16, then the packaged ones")
    add("--size", type=int, default=SIZE, help="side of the square photos, in pixels")
    add("--style-scale", type=float, default=1.0, help="scale of the paintings; 1: 256 pixels on the short side")
    add("--limit", type=int, help="the number of photos; none: all")
    add("--sheet-side", type=int, default=THUMBNAIL, help="side of a picture in the contact sheet, in pixels")
    add("--optimum", type=int, default=0, metavar="N", help="the number of photos to optimize directly, at 256 pixels")
    add("--iterations", type=int, default=300, help="the maximum number of steps of that optimization")
    add("--classifier", type=Path, default=PACKAGED / "classifier", help="reads faces before and after")
    add("--output", type=Path, default=Path("runs/evaluate_styles"), help="the folder for metrics.json and the sheet")
    args = parser.parse_args(argv)
    if args.size % MULTIPLE or not 64 <= args.size <= 4096:
        raise InputError(f"--size {args.size}: give a multiple of {MULTIPLE}, 64 to 4096")
    positive = {"limit": args.limit, "iterations": args.iterations, "sheet-side": args.sheet_side}
    for name, value in positive.items():
        if value is not None and value < 1:
            raise InputError(f"--{name} {value}: at least 1")
    if args.optimum < 0:
        raise InputError(f"--optimum {args.optimum}: it is not negative")
    return args


def _print_scores(metrics: Mapping[str, Any]) -> None:
    size, scores = metrics["size"], metrics["scores"]
    print(f"{len(metrics['photos'])} photos at {size} x {size}, style scale {metrics['style_scale']:g}", end=", ")
    print(f"{metrics['faces']} faces\n\n{table(scores)}")
    if "pictures" in metrics:
        print(f"\nas users see them:\n\n{table(metrics['pictures'], PICTURE_COLUMNS)}")
    if len(scores) > 1:
        print(f"\neven styles: multiply --loss.strengths by {' '.join(map(str, metrics['strengths']))}")


def _print_optimum(metrics: Mapping[str, Any]) -> None:
    print(f"\nAdam from the photo at {OPTIMUM_SIDE} x {OPTIMUM_SIDE}, until it is as good as the network:\n")
    for style, mean in metrics["optimum_steps"].items():
        found = [row["steps"] for row in metrics["optimum"] if row["style"] == style]
        texts = ["not reached" if steps is None else str(steps) for steps in found]
        print(f"{style}: {mean:.0f} steps{', the mean of ' if texts else ''}{', '.join(texts)}")


def _write(output: Path, metrics: Mapping[str, Any]) -> None:
    write_atomically(output / "metrics.json", json.dumps(metrics, indent=2).encode())
