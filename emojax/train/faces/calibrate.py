"""`emojax train calibrate`: calibrates the probabilities of a classifier.

checkpoint, labelled faces of a split -> temperature, and with --bias a bias per class -> a checkpoint without training state.
The fitted bias is folded into the bias of the last layer, so `classify` only needs the temperature.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from emojax.emotions import EMOTIONS
from emojax.errors import InputError
from emojax.nets.classifier import network_input
from emojax.nets.classifier_config import ClassifierConfig
from emojax.nets.classifier_nets import FaceNet
from emojax.nets.domains import split_domains
from emojax.train.faces.data import HeldOutFaces
from emojax.train.faces.evaluate import BATCH, add_margins, labelled_faces, score_faces
from emojax.train.faces.scores import fit_temperature, fit_temperature_and_bias
from emojax.util import compiling
from emojax.util.batches import map_batches
from emojax.util.commandline import Parser
from emojax.util.words import tell
from emojax.weights import store
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
    shift = np.asarray(temperature * bias, np.float32)  # `classify` divides it by the temperature
    params[last] = {**params[last], "bias": np.asarray(params[last]["bias"]) + shift}
    return {**variables, "params": params, "temperature": np.float32(temperature)}


def domain_logits(config: ClassifierConfig, variables: Mapping[str, Any], crops: np.ndarray) -> np.ndarray:
    """The outputs of the last layer for each domain, float32 [N, K, 7], for crops uint8 [N, S, S, 3]."""

    def emotions(variables: Mapping[str, Any], crops: Any) -> Any:
        x = network_input(config, crops)
        rows = FaceNet(config, np.float32).apply({"params": variables["params"]}, x, mixed=False)
        assert isinstance(rows, jax.Array)
        return split_domains(config, rows)[0]

    return map_batches(partial(compiling.jit(emotions), variables), crops, BATCH)


def calibrate_domains(
    config: ClassifierConfig,
    variables: Mapping[str, Any],
    held_out: Mapping[str, HeldOutFaces],
    domains: Sequence[int],
    penalty: float | None,
) -> tuple[dict[str, Any], dict[str, float]]:
    """The variables with each domain's last layer calibrated on the sources of that domain, and the fitted values.

    softmax(logits / T + b) equals a last layer with another kernel and bias, so `classify` needs no further parameters.

    Args:
        domains: the domain of each source; a domain without sources is not changed.
        penalty: weight of the squared norm of the bias; None: fit only a temperature.
    """
    last, metrics = {name: np.array(leaf) for name, leaf in variables["params"]["Dense_0"].items()}, {}
    for domain in sorted(set(domains)):
        sources = [faces for faces, own in zip(held_out.values(), domains, strict=True) if own == domain]
        logits = np.concatenate([domain_logits(config, variables, faces.images)[:, domain] for faces in sources])
        labels = np.concatenate([faces.labels for faces in sources])
        if penalty is None:
            temperature, bias = fit_temperature(logits, labels), np.zeros(len(EMOTIONS))
        else:
            temperature, bias = fit_temperature_and_bias(logits, labels, penalty)
        columns = slice(domain * len(EMOTIONS), (domain + 1) * len(EMOTIONS))
        last["kernel"][:, columns] /= temperature
        last["bias"][columns] = last["bias"][columns] / temperature + bias
        metrics[f"temperature_{domain}"] = temperature
        metrics |= {f"bias_{domain}_{name}": float(b) for name, b in zip(EMOTIONS, bias, strict=True)}
    params = {**variables["params"], "Dense_0": last}
    return {**variables, "params": params, "temperature": np.float32(1)}, metrics


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code.

    Raises:
        EmojaxError: a checkpoint or data that cannot be read, or an output that exists or cannot be written.
    """
    args = _parser().parse_args(argv)
    checkpoint = store.read_checkpoint(args.checkpoint, "classifier")
    store.check_new_checkpoint(args.output, [checkpoint.path], args.force)
    config, variables = load_classifier(checkpoint.path)
    if config.domains > 1 or args.domains is not None:
        return _write_domains(args, checkpoint, config, variables)
    raw = {**variables, "temperature": np.float32(1)}
    rows = score_faces(config, raw, args.data, args.split, margins=args.margins)
    logits = np.concatenate([np.log(np.maximum(probabilities, 1e-30)) for probabilities, _ in rows.values()])
    labels = np.eye(len(EMOTIONS))[np.concatenate([labels for _, labels in rows.values()])]
    if args.bias:
        temperature, bias = fit_temperature_and_bias(logits, labels, PENALTY)
    else:
        temperature, bias = fit_temperature(logits, labels), np.zeros(len(EMOTIONS))
    store.save_checkpoint(
        args.output,
        "classifier",
        config,
        with_calibration(variables, temperature, bias),
        step=checkpoint.step,
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


def _parser() -> Parser:
    """The parser of the command."""
    parser = Parser(
        prog="emojax train calibrate",
        description="Fits a classifier's temperature on labelled faces, and writes it without its training state.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="a checkpoint or a run's folder")
    parser.add_argument(
        "--data", nargs="+", required=True, metavar="FILE.npz|FOLDER", help="face archives, or ExpW's own folder"
    )
    add_margins(parser)
    parser.add_argument(
        "--split",
        choices=("val", "train"),
        default="val",
        help="the split whose faces are used; a test split is never used",
    )
    parser.add_argument(
        "--bias", action="store_true", help="fit a bias per class too, for class frequencies that differ from training"
    )
    parser.add_argument(
        "--domains",
        "--kinds",
        nargs="+",
        type=int,
        help="the domain of each data set's faces, for a network that tells domains apart: each domain is calibrated by itself",
    )
    parser.add_argument("--output", type=Path, required=True, help="the checkpoint to write")
    parser.add_argument("--force", action="store_true", help="replace an existing one")
    return parser


def _write_domains(
    args: argparse.Namespace, checkpoint: store.Checkpoint, config: ClassifierConfig, variables: Mapping[str, Any]
) -> int:
    """Calibrates a network with several domains; returns the exit code."""
    domains = args.domains or []
    if len(domains) != len(args.data) or any(not 0 <= domain < config.domains for domain in domains):
        raise InputError(
            f"--domains {domains} for {len(args.data)} data sets: give one each, 0 to {config.domains - 1}, as in training"
        )
    faces = labelled_faces(config, args.data, args.split, args.margins)
    if len(faces) != len(args.data):
        raise InputError(f"only {', '.join(faces)} have faces in the split {args.split!r}: choose another --split")
    variables, metrics = calibrate_domains(config, variables, faces, domains, PENALTY if args.bias else None)
    store.save_checkpoint(args.output, "classifier", config, variables, step=checkpoint.step, metrics=metrics)
    fitted = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
    print(f"{sum(len(part.labels) for part in faces.values())} faces of {', '.join(faces)}: {fitted}")
    tell(f"wrote {args.output}")
    return 0
