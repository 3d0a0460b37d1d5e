"""`emojax evaluate styles`: a style checkpoint's scores on photos, as a table, metrics.json and a contact sheet.

checkpoint, photos, paintings -> stylized photos -> losses, similarity, nearest painting, emotions kept -> means per style.
With `--optimum N` also how long an optimizer takes for what the network does in one pass, on N of the photos at 256 x 256.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from emojax.cli.parser import Parser
from emojax.errors import UserError
from emojax.faces.find import cut_crop, find_faces
from emojax.images import to_uint8, to_unit
from emojax.nets.stylizer import MULTIPLE, StylizerConfig, choose_network, mix_styles, stylize_with_code
from emojax.train.evaluate import markdown, read_faces
from emojax.train.photo_data import PhotoConfig, center_crop, decode, open_photos, painting_size
from emojax.train.stream import UNREADABLE
from emojax.train.style import painted, painting_grams
from emojax.train.yardstick import descend, measure, objective
from emojax.util import compiling
from emojax.util.files import make_folder, write_atomically
from emojax.util.progress import track
from emojax.weights.load import PACKAGED, add_packs, find_styles, load_classifier, load_styles
from emojax.weights.style_file import StylePack, read_pack
from emojax.weights.vgg16_file import find_vgg16, load_vgg16

OPTIMUM_SIDE = 256
SMALLEST_FACE = 32
"""pixels of a face's box from which its emotion counts"""
SIZE = 512
"""side of the photos, in pixels, if nothing else is said"""
THUMBNAIL = 192
COLUMNS = (
    *("content", "content_relu3_3", "style", "style_ratio", "objective", "objective_ratio", "tv", "ssim"),
    *("nearest_painting", "emotion_retention"),
)


def read_photos(paths: Sequence[str], size: int, limit: int | None) -> dict[str, np.ndarray]:
    """The centre squares of photos, name -> uint8 [size, size, 3]; those that cannot be read are left out.

    With a `limit`, so many photos at even distances. Photos that are smaller are enlarged, which is said.

    Raises:
        UserError: no photos, or none that can be read.
    """
    source = open_photos(paths)
    found: dict[str, np.ndarray] = {}
    bad, small = [], 0
    count = len(source) if limit is None else min(limit, len(source))
    for index in np.linspace(0, len(source) - 1, count).round().astype(int).tolist():
        try:
            photo = decode(source[index])
            found[source.name(index)] = center_crop(photo, size)
            small += min(photo.size) < size
        except UNREADABLE as error:
            bad.append(f"{source.name(index)}: {error}")
    if bad:
        print(f"skipped {len(bad)} photos that cannot be read, first {bad[0]}", file=sys.stderr)
    if small:
        print(f"enlarged {small} of {len(found)} photos to {size} pixels", file=sys.stderr)
    if not found:
        raise UserError(f"none of the {count} photos can be read: give others")
    return found


@functools.cache
def _program(config: StylizerConfig) -> Any:
    """Compiled: (params, vgg, grams, photo uint8 [1, H, W, 3], style) -> (stylized [1, H, W, 3], scores; see `measure`)."""

    def run(params, vgg, grams, photo, style):
        photo = to_unit(photo)
        code = mix_styles(params["styles"], jax.nn.one_hot(style, len(config.styles))[None])
        network = choose_network(params["network"], style) if config.bank else params["network"]
        stylized = stylize_with_code(config, network, photo, code)
        return stylized, measure(vgg, grams, photo, stylized)

    return compiling.jit(run)


@functools.cache
def _unstylized_program() -> Any:
    """Compiled: (vgg, grams, photo [1, H, W, 3]) -> the style losses [S] of the photo itself."""
    return compiling.jit(lambda vgg, grams, photo: measure(vgg, grams, photo, photo)["style"])


def score_photos(
    config: StylizerConfig,
    params: Any,
    vgg: Any,
    grams: Any,
    photos: Mapping[str, np.ndarray],
    look: Callable[[np.ndarray, np.ndarray], None],
) -> dict[str, dict[str, float]]:
    """Means over the photos, style -> score.

    The scores are those of `measure`, "style" being the loss to the style's own painting; "objective"; "style_ratio" and
    "objective_ratio", the means of their ratios to the unstylized photo's; and, where there are several styles,
    "nearest_painting", the share of photos whose nearest painting is the style's own.

    Args:
        look: is called with every photo uint8 [H, W, 3] and what it became, uint8 [S, H, W, 3].
    """
    rows: dict[str, list[dict[str, float]]] = {style: [] for style in painted(config.styles)}
    for photo in track(photos.values(), "photo", "scoring"):
        before = np.asarray(_unstylized_program()(vgg, grams, to_unit(photo[None])))
        pictures = np.zeros((len(painted(config.styles)), *photo.shape), np.uint8)
        for index, style in enumerate(painted(config.styles)):
            stylized, scores = _program(config)(params, vgg, grams, photo[None], index)
            pictures[index] = to_uint8(np.asarray(stylized[0]))
            distances = np.asarray(scores["style"])
            row = {name: float(value) for name, value in scores.items() if name != "style"}
            row |= {"style": float(distances[index]), "style_ratio": float(distances[index] / before[index])}
            row["objective"] = objective(row["content"], row["style"])
            row["objective_ratio"] = row["objective"] / float(objective(0.0, before[index]))
            if len(painted(config.styles)) > 1:
                row["nearest_painting"] = float(distances.argmin() == index)
            rows[style].append(row)
        look(photo, pictures)
    return {
        style: {name: float(np.mean([row[name] for row in found])) for name in found[0]}
        for style, found in rows.items()
    }


class Retention:
    """Counts the faces whose emotion is read as the same before and after."""

    def __init__(self, classifier: Path, styles: int) -> None:
        """Loads a classifier; raises UserError if there is none."""
        config, variables = load_classifier(classifier)
        self.config, self.variables = config, jax.device_put(variables)
        self.faces, self.same = 0, np.zeros(styles, int)

    def look(self, photo: np.ndarray, pictures: np.ndarray) -> None:
        """Takes a photo uint8 [H, W, 3] and what it became, uint8 [S, H, W, 3]; boxes are those found in the photo."""
        faces = [face for face in find_faces(photo) if min(face.w, face.h) >= SMALLEST_FACE]
        if not faces:
            return

        def read(picture: np.ndarray) -> np.ndarray:
            crops = [cut_crop(picture, face, self.config.margin, self.config.size) for face in faces]
            return read_faces(self.config, self.variables, np.stack(crops)).argmax(1)

        before = read(photo)
        self.faces += len(faces)
        self.same += [int((read(picture) == before).sum()) for picture in pictures]


def distance_to_optimum(
    config: StylizerConfig, params: Any, vgg: Any, grams: Any, photos: Mapping[str, np.ndarray], iterations: int
) -> Iterator[dict[str, Any]]:
    """How long L-BFGS takes to the network's objective: a row per photo and style; see `descend`."""
    pairs = [(name, index) for name in photos for index in range(len(painted(config.styles)))]
    for name, index in track(pairs, "picture", "optimizing"):
        photo = photos[name][None]
        _, scores = _program(config)(params, vgg, grams, photo, index)
        goal = float(objective(scores["content"], scores["style"][index]))
        gram = {layer: gram[index : index + 1] for layer, gram in grams.items()}
        found = descend(vgg, gram, jnp.asarray(to_unit(photo)), goal, iterations)
        yield {"photo": name, "style": config.styles[index], "network": goal, **dataclasses.asdict(found)}


def optimum_summary(rows: Sequence[Mapping[str, Any]], iterations: int) -> dict[str, float]:
    """Mean iterations per style and over the styles; where the optimizer did not get there, all of them count."""
    styles = dict.fromkeys(row["style"] for row in rows)
    counts = [(row["style"], iterations if row["iterations"] is None else row["iterations"]) for row in rows]
    means = {style: float(np.mean([count for name, count in counts if name == style])) for style in styles}
    return {**means, "mean": float(np.mean(list(means.values())))}


def table(scores: Mapping[str, Mapping[str, float]]) -> str:
    """The scores as a Markdown table, a row per style and their mean."""
    names = [name for name in COLUMNS if all(name in row for row in scores.values())]
    mean = {name: float(np.mean([row[name] for row in scores.values()])) for name in names}
    cells = [["", *names]]
    cells += [[style, *(f"{row[name]:.3f}" for name in names)] for style, row in [*scores.items(), ("mean", mean)]]
    return markdown(cells)


def only_packs(config: StylizerConfig, params: Any, packs: Sequence[StylePack]) -> tuple[StylizerConfig, Any]:
    """A network with the styles of packs in place of its own.

    Raises:
        UserError: a pack for another network, two packs of one name.
    """
    own = len(config.styles)
    config, params = add_packs(config, params, packs)
    rows = jax.tree.map(lambda table: table[own:], params["styles"])
    return dataclasses.replace(config, styles=config.styles[own:]), {**params, "styles": rows}


def even_strengths(scores: Mapping[str, Mapping[str, float]]) -> list[float]:
    """Factors of the strengths for the next training, see `StyleLossConfig`: each style ratio over their mean.

    What is painted too weakly, next to how far the photos are from the painting, then counts more.
    """
    ratios = np.array([row["style_ratio"] for row in scores.values()])
    return [round(float(strength), 2) for strength in ratios / ratios.mean()]


class Sheet:
    """A contact sheet: a row per photo, the photo first, then every style."""

    def __init__(self, side: int = THUMBNAIL) -> None:
        self.side = side
        self.rows: list[np.ndarray] = []

    def look(self, photo: np.ndarray, pictures: np.ndarray) -> None:
        """Takes a photo uint8 [H, W, 3] and what it became, uint8 [S, H, W, 3]."""
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
        UserError: a checkpoint, photos, paintings or weights that cannot be read, or an output that cannot be written.
    """
    parser = Parser(
        prog="emojax evaluate styles",
        description="Scores a style checkpoint on photos that it was not trained on.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--checkpoint", type=find_styles, default=find_styles(), help="a checkpoint or run, or fast")
    parser.add_argument(
        "--packs", nargs="+", default=[], metavar="PACK", help="score these style packs instead of its styles"
    )
    parser.add_argument("--photos", nargs="+", required=True, help="folders or .tar files of photos")
    parser.add_argument("--paintings", nargs="+", required=True, help="a folder, or sad=PATH ..., as in training")
    parser.add_argument("--vgg16", help="VGG16 weights; none: $EMOJAX_VGG16, then the user's cache folder")
    parser.add_argument("--size", type=int, default=SIZE, help="side of the square photos, in pixels")
    parser.add_argument(
        "--style-scale", type=float, default=1.0, help="of the paintings; 1: 256 pixels on the short side"
    )
    parser.add_argument("--limit", type=int, help="only so many photos; none: all")
    parser.add_argument(
        "--sheet-side", type=int, default=THUMBNAIL, help="of a picture in the contact sheet, in pixels"
    )
    parser.add_argument(
        "--optimum",
        type=int,
        default=0,
        metavar="N",
        help="photos to optimize directly, at 256 pixels",
    )
    parser.add_argument("--iterations", type=int, default=150, help="most iterations of that optimization")
    parser.add_argument("--classifier", type=Path, default=PACKAGED / "classifier", help="reads faces before and after")
    parser.add_argument(
        "--output", type=Path, default=Path("runs/evaluate_styles"), help="the folder for metrics.json and the sheet"
    )
    args = parser.parse_args(argv)
    if args.size % MULTIPLE or not 64 <= args.size <= 4096:
        raise UserError(f"--size {args.size}: give a multiple of {MULTIPLE}, 64 to 4096")
    positive = {"limit": args.limit, "iterations": args.iterations, "sheet-side": args.sheet_side}
    for name, value in positive.items():
        if value is not None and value < 1:
            raise UserError(f"--{name} {value}: at least 1")
    if args.optimum < 0:
        raise UserError(f"--optimum {args.optimum}: it is not negative")
    side = painting_size(args.style_scale)
    make_folder(args.output)
    config, params = load_styles(args.checkpoint)
    if args.packs:
        config, params = only_packs(config, params, [read_pack(path) for path in args.packs])
    retention, sheet = Retention(args.classifier, len(painted(config.styles))), Sheet(args.sheet_side)
    # The scores are compared between machines: no reduced precision on a GPU or TPU.
    with jax.default_matmul_precision("highest"):
        vgg = load_vgg16(find_vgg16(args.vgg16))
        paintings = PhotoConfig(paintings=tuple(args.paintings), prefer=prefer, painting_size=side)
        grams = painting_grams(vgg, paintings, painted(config.styles), of=lambda features: features)
        params, vgg = jax.device_put((params, vgg))
        photos = read_photos(args.photos, args.size, args.limit)
        if (args.output / "sheet.png").resolve() in {Path(name).resolve() for name in photos}:
            raise UserError(
                f"--output {args.output} holds the photo sheet.png, which would be lost: choose another folder"
            )

        def look(photo: np.ndarray, pictures: np.ndarray) -> None:
            sheet.look(photo, pictures)
            retention.look(photo, pictures)

        scores = score_photos(config, params, vgg, grams, photos, look)
        for index, style in enumerate(painted(config.styles) if retention.faces else ()):
            scores[style]["emotion_retention"] = float(retention.same[index] / retention.faces)
        metrics: dict[str, Any] = {"checkpoint": str(args.checkpoint), "photos": list(photos), "size": args.size}
        metrics |= {"style_scale": args.style_scale, "faces": retention.faces, "scores": scores, "optimum": []}
        metrics["strengths"] = even_strengths(scores)
        write_atomically(args.output / "sheet.png", sheet.png())
        _write(args.output, metrics)
        print(f"{len(photos)} photos at {args.size} x {args.size}, style scale {args.style_scale:g}", end=", ")
        print(f"{retention.faces} faces\n\n{table(scores)}")
        if len(scores) > 1:
            print(f"\neven styles: multiply --loss.strengths by {' '.join(map(str, metrics['strengths']))}")
        if args.optimum:
            small = read_photos(args.photos, OPTIMUM_SIDE, args.optimum)
            for row in distance_to_optimum(config, params, vgg, grams, small, args.iterations):
                metrics["optimum"].append(row)
                metrics["optimum_iterations"] = optimum_summary(metrics["optimum"], args.iterations)
                _write(args.output, metrics)
            print(f"\nL-BFGS from the photo at {OPTIMUM_SIDE} x {OPTIMUM_SIDE}, until it is as good as the network:\n")
            for style, mean in metrics["optimum_iterations"].items():
                found = [(row["iterations"], row["evaluations"]) for row in metrics["optimum"] if row["style"] == style]
                texts = ["not reached" if n is None else f"{n} ({calls} evaluations)" for n, calls in found]
                print(f"{style}: {mean:.0f} iterations{' of ' if texts else ''}{', '.join(texts)}")
    print(f"wrote {args.output}", file=sys.stderr)
    return 0


def _write(output: Path, metrics: Mapping[str, Any]) -> None:
    write_atomically(output / "metrics.json", json.dumps(metrics, indent=2).encode())
