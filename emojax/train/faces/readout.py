"""Fits only the last layer, to its optimum, on features that are computed once: seconds instead of hours of training.

The fit is a multinomial logistic regression with soft labels, one for each domain and one for the domains themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emojax.emotions import EMOTIONS
from emojax.nets.classifier import network_input
from emojax.nets.classifier_config import ClassifierConfig
from emojax.nets.mobilefacenet import MobileFaceNet
from emojax.train.faces.data import decode_face, draw_weights, smooth_label
from emojax.train.faces.sources import FaceConfig
from emojax.train.stream import UNREADABLE
from emojax.util import compiling
from emojax.util.progress import track

BATCH = 32
ITERATIONS = 200


def last_features(config: ClassifierConfig, begin: int, params: Mapping[str, Any], faces: Array) -> Float[Array, "N F"]:
    """The input of the last layer for crops uint8 [N, S, S, 3], or, if `begin` > 0, for inputs of block `begin`. Pure."""
    x = faces.astype(jnp.float32) if begin else network_input(config, faces)
    network = MobileFaceNet(config.widths, config.dense, jnp.float32)
    found = network.apply({"params": {name: part for name, part in params.items() if name != "Dense_0"}}, x, begin)
    assert isinstance(found, jax.Array)
    return found


def source_features(
    name: str, source: Any, config: ClassifierConfig, begin: int, params: Mapping[str, Any]
) -> tuple[Float[np.ndarray, "n F"], np.ndarray]:
    """The features of a source's faces (and of their mirror images, if it has them), and the row of the face of each."""
    program = compiling.jit(partial(last_features, config, begin))
    faces: list[np.ndarray] = []
    rows: list[int] = []
    found: list[np.ndarray] = []

    def flush() -> None:
        batch = np.stack(faces)
        batch = np.pad(batch, [(0, BATCH - len(batch))] + [(0, 0)] * (batch.ndim - 1))
        found.append(np.asarray(program(params, batch))[: len(faces)])
        faces.clear()

    for row in track(range(len(source)), "face", f"features of {name}"):
        try:
            face = source[row]
            looks = face["features"] if "features" in face else decode_face(face, config)[None]
        except UNREADABLE:
            continue
        for look in looks:
            faces.append(look)
            rows.append(row)
            if len(faces) == BATCH:
                flush()
    if faces:
        flush()
    return np.concatenate(found), np.array(rows)


def fit_linear(
    x: Float[np.ndarray, "n F"],
    labels: Float[np.ndarray, "n K"],
    weights: Float[np.ndarray, " n"],
    penalty: float,
) -> tuple[Float[np.ndarray, "F K"], Float[np.ndarray, " K"]]:
    """Kernel and bias of the softmax that maximize the mean log-likelihood of soft labels minus penalty * ||kernel||^2.

    Args:
        x: features of similar variance.
        weights: weights of the examples; they are normalized.
        penalty: weight of the squared norm of the kernel, in nats.
    """
    from scipy.optimize import minimize

    share, (inputs, outputs) = (weights / weights.sum())[:, None], (x.shape[1], labels.shape[1])

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        kernel, bias = flat[outputs:].reshape(inputs, outputs), flat[:outputs]
        rows = x @ kernel + bias
        rows -= rows.max(1, keepdims=True)
        log_p = rows - np.log(np.exp(rows).sum(1, keepdims=True))
        error = share * (np.exp(log_p) * labels.sum(1, keepdims=True) - labels)
        value = -(share * labels * log_p).sum() + penalty * np.square(kernel).sum()
        gradient = x.T @ error + 2 * penalty * kernel
        return float(value), np.concatenate([error.sum(0), gradient.ravel()])

    start = np.zeros(outputs * (1 + inputs))
    best = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}).x
    return best[outputs:].reshape(inputs, outputs), best[:outputs]


def fit_readout(
    data: FaceConfig,
    model: ClassifierConfig,
    begin: int,
    penalty: float,
    variables: Mapping[str, Any],
    sources: Mapping[str, Any],
) -> dict[str, Any]:
    """The variables with a last layer that is fitted to the faces of the sources.

    The weight of a face is the frequency with which `face_batches` draws it.
    """
    params, shares = variables["params"], data.shares or [1.0] * len(sources)
    domains, smoothing = data.domains or (0,) * len(sources), data.smoothing or (0.0,) * len(sources)
    labels = [np.asarray(source.labels()) for source in sources.values()]
    drawn = draw_weights(
        np.stack([np.bincount(found, minlength=len(EMOTIONS)) for found in labels]), shares, data.balance
    )
    parts = []
    for number, (name, source) in enumerate(sources.items()):
        x, rows = source_features(name, source, model, begin, params)
        soft = np.stack([smooth_label(source[int(row)]["votes"], smoothing[number]) for row in rows])
        counts = np.bincount(labels[number][rows], minlength=len(EMOTIONS))
        weights = drawn[number][labels[number][rows]] / np.maximum(counts, 1)[labels[number][rows]]
        parts.append((x.astype(np.float64), soft, weights, np.full(len(rows), domains[number])))
    x, soft, weights, domain = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    centre, spread = x.mean(0), np.maximum(x.std(0), 1e-6)
    x = (x - centre) / spread

    def fit(chosen: Sequence[bool] | np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        kernel, bias = fit_linear(x[chosen], labels[chosen], weights[chosen], penalty)
        return kernel / spread[:, None], bias - centre / spread @ kernel

    layers = [fit(domain == number, soft) for number in range(model.domains)]
    if model.domains > 1:
        layers.append(fit(np.ones(len(x), bool), np.eye(model.domains)[domain]))
    kernel, bias = (np.concatenate(columns, axis=-1).astype(np.float32) for columns in zip(*layers, strict=True))
    return {**variables, "params": {**params, "Dense_0": {"kernel": kernel, "bias": bias}}}
