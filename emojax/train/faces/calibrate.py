"""`emojax train calibrate`: fits what turns logits into probabilities.

checkpoint, labelled faces of a split -> temperature, and with --bias a bias per class -> a checkpoint without training state.
The bias is added to that of the last layer, so `classify` needs no more than a temperature.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emojax.cli.parser import Parser
from emojax.emotions import EMOTIONS
from emojax.train.faces.evaluate import score_faces
from emojax.train.faces.scores import fit_temperature, fit_temperature_and_bias
from emojax.util.words import tell
from emojax.weights import store as ckpt
from emojax.weights.load import load_classifier

PENALTY = 0.05
"""weight of the squared norm of the bias, in nats. Without it the bias improved ExpW at the cost of FER+; a larger weight left
the bias too small to help."""


def with_calibration(variables: Mapping[str, Any], temperature: float, bias: np.ndarray) -> dict[str, Any]:
    """The variables whose `classify` is softmax(logits / temperature + bias), logits being those of `variables`."""
    params = dict(variables["params"])
    last = max(
        (name for name in params if name.startswith("Dense_")), key=lambda name: int(name.removeprefix("Dense_"))
    )
    shift = np.asarray(temperature * bias, np.float32)  # the temperature divides it again
    params[last] = {**params[last], "bias": np.asarray(params[last]["bias"]) + shift}
    return {**variables, "params": params, "temperature": np.float32(temperature)}


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code.

    Raises:
        UserError: a checkpoint or data that cannot be read, or an output that exists or cannot be written.
    """
    parser = Parser(
        prog="emojax train calibrate",
        description="Fits a classifier's temperature on labelled faces, and writes it without its training state.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="a checkpoint or a run's folder")
    parser.add_argument(
        "--data", nargs="+", required=True, metavar="FILE.npz|FOLDER", help="face archives, or ExpW's own folder"
    )
    parser.add_argument(
        "--split",
        choices=("val", "train"),
        default="val",
        help="the split whose faces are used; a test split is never used",
    )
    parser.add_argument(
        "--bias", action="store_true", help="fit a bias per class too, for class frequencies that differ from training"
    )
    parser.add_argument("--output", type=Path, required=True, help="the checkpoint to write")
    parser.add_argument("--force", action="store_true", help="replace an existing one")
    args = parser.parse_args(argv)
    found = ckpt.read_checkpoint(args.checkpoint, "classifier")
    ckpt.check_output(args.output, [found.path], args.force)
    config, variables = load_classifier(found.path)
    raw = {**variables, "temperature": np.float32(1)}
    rows = score_faces(config, raw, args.data, args.split)
    logits = np.concatenate([np.log(np.maximum(probabilities, 1e-30)) for probabilities, _ in rows.values()])
    labels = np.eye(len(EMOTIONS))[np.concatenate([labels for _, labels in rows.values()])]
    if args.bias:
        temperature, bias = fit_temperature_and_bias(logits, labels, PENALTY)
    else:
        temperature, bias = fit_temperature(logits, labels), np.zeros(len(EMOTIONS))
    ckpt.save_checkpoint(
        args.output,
        "classifier",
        config,
        with_calibration(variables, temperature, bias),
        step=found.step,
        metrics={
            "temperature": temperature,
            **{f"bias_{name}": float(b) for name, b in zip(EMOTIONS, bias, strict=True)},
        },
    )
    terms = ", ".join(f"{name} {value:+.2f}" for name, value in zip(EMOTIONS, bias, strict=True))
    print(
        f"{len(labels)} faces of {', '.join(rows)}: temperature {temperature:.3f}{', bias ' + terms if args.bias else ''}"
    )
    tell(f"wrote {args.output}")
    return 0
