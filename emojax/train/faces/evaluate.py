"""`emojax evaluate classifier`: the scores of a classifier's checkpoint, as tables, metrics.json and PNGs.

checkpoint, labelled faces of one split -> probabilities -> scores. With whole photos (`--reading`) it also measures how
well detected faces and labelled boxes agree.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from emojax.emotions import EMOTIONS
from emojax.errors import EmojaxError, InputError
from emojax.faces.crops import convert_crop, cut_face, find_landmarks
from emojax.faces.find import Face, cut_crop, find_faces, overlap
from emojax.faces.views import FaceDetector
from emojax.images import read_photo
from emojax.nets.classifier import classify
from emojax.nets.classifier_config import ClassifierConfig
from emojax.train.faces.data import HeldOutFaces, held_out_faces
from emojax.train.faces.scores import BINS, calibration_bins, score
from emojax.train.faces.sources import FaceConfig
from emojax.util import compiling
from emojax.util.batches import map_batches
from emojax.util.commandline import Parser
from emojax.util.files import PACKAGED, write_atomically
from emojax.util.progress import track
from emojax.util.words import markdown_table, tell
from emojax.weights.load import load_classifier

BATCH = 32
EXPW_MARGIN, ARCHIVE_SIDE = 0.2, 224
"""margin (that of ExpW's crops) and side of the crop of a labelled box in which landmarks are found; the side is large enough
for any aligned crop"""
MINIMUM_OVERLAP = 0.4
"""intersection over union from which a detected box counts as the labelled face"""
PERCENTAGES = ("accuracy", "balanced_accuracy", "macro_f1", "natural_accuracy", "ece", "ece_floor")


def classify_crops(config: ClassifierConfig, variables: Any, crops: np.ndarray) -> np.ndarray:
    """Probabilities float32 [N, 7] of crops uint8 [N, S, S, 3], which are cut as in `config`; any N."""
    return map_batches(partial(compiling.jit(classify, static_argnums=0), config, variables), crops, BATCH)


def score_faces(
    config: ClassifierConfig,
    variables: Any,
    data: Sequence[str],
    split: str,
    pixels: int | None = None,
    margins: Sequence[float] = (),
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Probabilities [N, 7] and labels [N] of every data set that has faces in the split, by its name.

    Args:
        data: face archives (.npz), and at most one folder of ExpW.
        pixels: shrink the crops to this side and enlarge them again, to imitate small faces in a photo.
        margins: see `FaceConfig`.

    Raises:
        InputError: data that cannot be read, or no faces at all in the split.
    """
    held_out = labelled_faces(config, data, split, margins)
    images = {name: faces.images for name, faces in held_out.items()}
    if pixels is not None:
        images = {name: np.stack([_shrink(crop, pixels) for crop in crops]) for name, crops in images.items()}
    return {
        name: (classify_crops(config, variables, images[name]), faces.labels.argmax(1))
        for name, faces in held_out.items()
    }


def labelled_faces(
    config: ClassifierConfig, data: Sequence[str], split: str, margins: Sequence[float] = ()
) -> dict[str, HeldOutFaces]:
    """The faces of a split, with hard labels, for every data set that has any; see `score_faces`."""
    folders = [path for path in data if not path.endswith(".npz")]
    if len(folders) > 1:
        raise InputError(f"two folders of ExpW, {folders[0]} and {folders[1]}: give one")
    archives = tuple(path for path in data if path.endswith(".npz"))
    sources = FaceConfig(archives=archives, margins=tuple(margins), root="".join(folders), soft_labels=False)
    found = held_out_faces(sources, config, split)
    if not found:
        raise InputError(f"no faces in the split {split!r} of {', '.join(data)}: choose another `split`")
    return found


def _shrink(crop: np.ndarray, pixels: int) -> np.ndarray:
    picture = Image.fromarray(crop).resize((pixels, pixels), Image.Resampling.BICUBIC)
    return np.asarray(picture.resize(crop.shape[1::-1], Image.Resampling.BICUBIC))


def reading_quality(config: ClassifierConfig, variables: Any, root: Path) -> dict[str, Any]:
    """How well photo -> detector -> crop -> classifier agrees with the crops of the labelled boxes.

    Returns:
        `labelled` faces, how many were `found`, the share of those with the `same_top` emotion, and `mean_change`, the
        mean total variation distance of the probabilities (0: equal, 1: nothing in common).
    """
    from emojax.train.faces.expw import parse_labels

    labels = parse_labels(root / "label.lst")
    photos = {name: list(group) for name, group in groupby(labels, key=lambda label: label.photo)}
    pairs, bad, detector = [], [], FaceDetector()
    for name, group in track(photos.items(), "photo", "reading"):
        try:
            photo = read_photo(root / "origin" / name).pixels
        except EmojaxError as error:
            bad.append(str(error))
            continue
        detected = find_faces(detector, photo)
        for label in group:
            box = Face(label.left, label.top, label.right - label.left, label.bottom - label.top, 1.0)
            best = max(detected, key=partial(overlap, box), default=None)
            if best is not None and overlap(box, best) >= MINIMUM_OVERLAP:
                detected_crop = cut_face(photo, best, config.margin, config.size, config.aligned)
                pairs.append([_labelled_crop(config, detector, photo, box), detected_crop])
    if bad:
        tell(f"skipped {len(bad)} of {len(photos)} photos, first: {bad[0]}")
    quality: dict[str, Any] = {"labelled": len(labels), "found": len(pairs)}
    if pairs:
        rows = classify_crops(config, variables, np.stack([crop for pair in pairs for crop in pair]))
        by_label, by_detector = rows[::2], rows[1::2]
        quality["same_top"] = float((by_label.argmax(1) == by_detector.argmax(1)).mean())
        quality["mean_change"] = float(np.abs(by_label - by_detector).sum(1).mean() / 2)
    return quality


def _labelled_crop(config: ClassifierConfig, detector: FaceDetector, photo: np.ndarray, box: Face) -> np.ndarray:
    """The crop of a labelled box; for aligned crops, the landmarks are found in the box first."""
    if not config.aligned:
        return cut_crop(photo, box, config.margin, config.size)
    crop = cut_crop(photo, box, EXPW_MARGIN, ARCHIVE_SIDE)
    landmarks = find_landmarks(detector, crop, EXPW_MARGIN)
    return convert_crop(crop, EXPW_MARGIN, landmarks, config.margin, config.size, True)


def table(scores: Mapping[str, Mapping[str, Any]]) -> str:
    """The scores as a Markdown table, a column per data set, in percent."""
    rows = [["%", *scores], ["faces", *(str(values["faces"]) for values in scores.values())]]
    rows += [[name.replace("_", " "), *(_percent(values[name]) for values in scores.values())] for name in PERCENTAGES]
    rows += [[f"recall {name}", *(_percent(values["recall"][name]) for values in scores.values())] for name in EMOTIONS]
    return markdown_table(rows)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def draw_confusion(counts: Sequence[Sequence[int]], title: str) -> bytes:
    """The confusion matrix as a PNG, rows in percent of the label."""
    from matplotlib.figure import Figure

    matrix = np.asarray(counts, float)
    shares = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.ndindex(shares.shape):
        colour = "white" if shares[row, column] > 50 else "black"
        axes.text(column, row, f"{shares[row, column]:.0f}", ha="center", va="center", color=colour)
    ticks = range(len(EMOTIONS))
    axes.set_xticks(ticks, EMOTIONS, rotation=45, ha="right")
    axes.set_yticks(ticks, EMOTIONS)
    axes.set(title=f"{title}: % of each label", xlabel="read as", ylabel="label")
    return _png(figure)


def draw_reliability(probabilities: np.ndarray, labels: np.ndarray, title: str) -> bytes:
    """Accuracy over confidence in equal-mass bins, as a PNG; a calibrated classifier is on the diagonal."""
    from matplotlib.figure import Figure

    confidence, accuracy, _ = calibration_bins(probabilities.max(1), probabilities.argmax(1) == labels).T
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="calibrated")
    axes.plot(confidence, accuracy, marker="o", label=f"{BINS} bins of equal mass")
    axes.set(title=title, xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    axes.legend()
    return _png(figure)


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def add_margins(parser: Parser) -> None:
    """Adds the flag --margins, for archives whose tables do not say how their faces were cut."""
    parser.add_argument(
        "--margins",
        nargs="+",
        type=float,
        default=(),
        metavar="N",
        help="the margin of each archive's crops around the face's box, like --data.margins of emojax train classifier; "
        "without: as their tables say",
    )


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code.

    Raises:
        EmojaxError: a checkpoint or data that cannot be read, nothing to do, or an output that cannot be written.
    """
    parser = Parser(
        prog="emojax evaluate classifier",
        description="Scores a classifier on labelled faces.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--checkpoint", type=Path, default=PACKAGED / "classifier", help="a checkpoint or a run's folder"
    )
    parser.add_argument(
        "--data", nargs="+", default=[], metavar="FILE.npz|FOLDER", help="face archives, or ExpW's own folder"
    )
    add_margins(parser)
    parser.add_argument(
        "--split", choices=("train", "val", "test"), default="test", help="the split whose faces are scored"
    )
    parser.add_argument(
        "--pixels", type=int, help="shrinks the crops to this many pixels first, to measure small faces"
    )
    parser.add_argument("--reading", type=Path, help="ExpW's own folder: compares detected with labelled boxes in it")
    parser.add_argument(
        "--output", type=Path, default=Path("runs/evaluate"), help="the folder for metrics.json and PNGs"
    )
    args = parser.parse_args(argv)
    if not args.data and args.reading is None:
        raise InputError("nothing to evaluate: give --data FILE.npz or FOLDER, or --reading FOLDER")
    if args.pixels is not None and args.pixels < 1:
        raise InputError(f"--pixels {args.pixels}: at least 1")
    config, variables = load_classifier(args.checkpoint)
    variables = jax.device_put(variables)
    metrics: dict[str, Any] = {"checkpoint": str(args.checkpoint), "split": args.split, "pixels": args.pixels}
    metrics["scores"] = {}
    metrics["temperature"] = float(variables["temperature"])
    if args.data:
        rows = score_faces(config, variables, args.data, args.split, args.pixels, args.margins)
        metrics["scores"] = {name: score(probabilities, labels) for name, (probabilities, labels) in rows.items()}
        for name, (probabilities, labels) in rows.items():
            title = f"{name}, {args.split}"
            confusion = draw_confusion(metrics["scores"][name]["confusion"], title)
            write_atomically(args.output / f"confusion_{name}_{args.split}.png", confusion)
            reliability = draw_reliability(probabilities, labels, title)
            write_atomically(args.output / f"reliability_{name}_{args.split}.png", reliability)
        print(f"{args.split} split, temperature {metrics['temperature']:.3f}\n\n{table(metrics['scores'])}")
    if args.reading is not None:
        metrics["reading"] = quality = reading_quality(config, variables, args.reading)
        print(f"\nreading: {quality['found']} of {quality['labelled']} labelled faces found", end="")
        if quality["found"]:
            print(f", {_percent(quality['same_top'])} % with the same top emotion", end="")
            print(f", mean change of the probabilities {quality['mean_change']:.3f}", end="")
        print()
    write_atomically(args.output / "metrics.json", json.dumps(metrics, indent=2).encode())
    tell(f"wrote {args.output}")
    return 0
