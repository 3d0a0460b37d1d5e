"""Scores of a classifier. NumPy only: probabilities float [N, 7] and labels int [N] in, numbers out."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from emojax.emotions import EMOTIONS, as_dict

BINS = 15
EXPW_FACES = (3671, 3995, 1088, 30537, 10559, 7060, 34883)
"""faces of each class in all of ExpW (Zhang et al. 2018, arXiv:1609.06426), for accuracy at its natural frequencies"""


def confusion_matrix(probabilities: Float[np.ndarray, "N 7"], labels: Int[np.ndarray, " N"]) -> Int[np.ndarray, "7 7"]:
    """How many faces of each label (rows) were read as each emotion (columns)."""
    counts = np.zeros((len(EMOTIONS), len(EMOTIONS)), np.int64)
    np.add.at(counts, (labels, probabilities.argmax(1)), 1)
    return counts


def score(probabilities: Float[np.ndarray, "N 7"], labels: Int[np.ndarray, " N"]) -> dict[str, Any]:
    """All scores of one data set; shares are 0 to 1.

    `balanced_accuracy`, `macro_f1` and `natural_accuracy` (recalls weighted by `EXPW_FACES`) are over the classes that
    occur in the data set; `recall` is None for a class that does not. `ece_floor` is the error of a perfectly calibrated
    classifier of the same confidences; see `calibration_floor`.
    """
    if not len(labels):
        raise ValueError("no faces to score")
    counts = confusion_matrix(probabilities, labels)
    there = counts.sum(1) > 0
    hits = counts.diagonal()
    recall = hits / np.maximum(counts.sum(1), 1)
    f1 = 2 * hits / np.maximum(counts.sum(0) + counts.sum(1), 1)
    natural = np.array(EXPW_FACES) * there
    confidence, hit = probabilities.max(1), probabilities.argmax(1) == labels
    return {
        "faces": len(labels),
        "accuracy": float(hit.mean()),
        "balanced_accuracy": float(recall[there].mean()),
        "macro_f1": float(f1[there].mean()),
        "natural_accuracy": float(recall @ natural / natural.sum()),
        "ece": calibration_error(confidence, hit),
        "ece_floor": calibration_floor(confidence),
        "recall": {name: share if there[EMOTIONS.index(name)] else None for name, share in as_dict(recall).items()},
        "confusion": counts.tolist(),
    }


def calibration_bins(
    confidence: Float[np.ndarray, " N"], hit: np.ndarray, bins: int = BINS
) -> Float[np.ndarray, "B 3"]:
    """Equal-mass bins by confidence: (mean confidence, accuracy, share of the faces) each; no more bins than faces."""
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return np.array([(confidence[part].mean(), hit[part].mean(), len(part) / len(order)) for part in parts])


def calibration_error(confidence: Float[np.ndarray, " N"], hit: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error, 0 to 1: the mean of |confidence - accuracy| over equal-mass bins.

    Guo et al. 2017 (arXiv:1706.04599, equation 3) with bins of equal mass instead of equal width.
    """
    mean, accuracy, share = calibration_bins(confidence, hit, bins).T
    return float((share * np.abs(mean - accuracy)).sum())


def calibration_floor(confidence: Float[np.ndarray, " N"], repeats: int = 500, seed: int = 0) -> float:
    """The expected calibration error of a perfectly calibrated classifier: hits are drawn with the stated confidence."""
    rng = np.random.default_rng(seed)
    draws = rng.random((repeats, len(confidence))) < confidence[None]
    return float(np.mean([calibration_error(confidence, hit) for hit in draws]))


def negative_log_likelihood(logits: Float[np.ndarray, "N 7"], labels: Float[np.ndarray, "N 7"]) -> float:
    """Mean cross-entropy of (soft) labels, in nats."""
    shifted = logits - logits.max(1, keepdims=True)
    return float(-(labels * (shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))).sum(1).mean())


def fit_temperature(logits: Float[np.ndarray, "N 7"], labels: Float[np.ndarray, "N 7"]) -> float:
    """The temperature, 0.05 to 20, that maximizes the likelihood of the labels (Guo et al. 2017, arXiv:1706.04599)."""
    from scipy.optimize import minimize_scalar

    logits = logits.astype(np.float64)
    best = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits / np.exp(log_t), labels),
        bounds=np.log([0.05, 20]),
        method="bounded",
    )
    return float(np.exp(best.x))


def fit_temperature_and_bias(
    logits: Float[np.ndarray, "N 7"], labels: Float[np.ndarray, "N 7"], penalty: float
) -> tuple[float, Float[np.ndarray, " 7"]]:
    """T and b that maximize the likelihood of the labels under softmax(logits / T + b): bias-corrected temperature scaling.

    Alexandari et al. 2020 (arXiv:1901.06852), with a penalty on the bias, `penalty` * ||b||^2, because a validation
    split is small. The bias sums to 0; T is 0.05 to 20.
    """
    from scipy.optimize import minimize

    logits = logits.astype(np.float64)

    def loss(x: np.ndarray) -> float:
        return negative_log_likelihood(logits / np.exp(x[0]) + x[1:], labels) + penalty * float(x[1:] @ x[1:])

    bounds = [np.log((0.05, 20)), *[(-5, 5)] * logits.shape[1]]
    best = minimize(loss, np.zeros(len(bounds)), method="L-BFGS-B", bounds=bounds).x
    return float(np.exp(best[0])), np.asarray(best[1:] - best[1:].mean())
