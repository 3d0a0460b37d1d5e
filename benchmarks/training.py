"""Training steps, a batch of arrays in and updated parameters out: ours against PyTorch's, on the CPU or a GPU.

The same network from the same weights, the same losses and the same optimizer, without warm-up, schedule and reading of
files; of the classifier's step also without augmentation, mixup, dropout and moving average. The first losses have to
agree. VGG16 has random weights here, which take the same time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax
import numpy as np

from benchmarks.timing import interleaved
from configs.classifier import FINETUNE
from configs.style import EMOTIONS, GPU
from emojax.losses.objective import CELL
from emojax.losses.terms import STYLE_LAYERS, gram_matrix, interior
from emojax.nets.classifier import init_classifier
from emojax.nets.stylizer import init_stylizer
from emojax.nets.vgg16 import LAYERS, SHAPES, vgg16_features
from emojax.train.faces import training as classifier
from emojax.train.faces.augment import AugmentConfig
from emojax.train.faces.config import ClassifierTraining
from emojax.train.optimizer import OptimizerConfig
from emojax.train.parallel import Parallel, Step
from emojax.train.state import TrainState
from emojax.train.styles import training as style
from emojax.train.styles.config import StyleTraining
from emojax.train.styles.loss import perceptual_losses
from emojax.train.throughput import measure_matmul_peak

Config = TypeVar("Config", StyleTraining, ClassifierTraining)


def style_batch(config: StyleTraining) -> dict[str, np.ndarray]:
    """Smooth noise, as photos are, and styles in turn."""
    rng, side, count = np.random.default_rng(0), config.data.crop, config.batch_size
    noise = rng.random((count, side, side, 3), np.float32)
    smooth = np.mean([np.roll(noise, (i, j), (1, 2)) for i in range(4) for j in range(4)], axis=0)
    photos = (255 * smooth).astype(np.uint8)
    faces = np.zeros((count, side // CELL, side // CELL), np.uint8)
    return {"photo": photos, "faces": faces, "style": np.arange(count, dtype=np.int32) % len(config.model.styles)}


def style_state(config: StyleTraining) -> tuple[Any, dict[str, Any]]:
    """Parameters, and what the step needs besides: Gram matrices of noise stand for those of paintings."""
    params = jax.tree.map(np.asarray, init_stylizer(config.model, jax.random.PRNGKey(0)))
    rng = np.random.default_rng(1)
    vgg: dict[str, Any] = {"mean": np.full(3, 127.5, np.float32)}
    for layer in LAYERS:
        shape: tuple[int, ...] = SHAPES[f"conv{layer}/kernel"]
        kernel = rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / np.prod(shape[:3])))
        vgg[f"conv{layer}"] = {"kernel": kernel, "bias": np.zeros(shape[3], np.float32)}
    paintings = rng.random((len(config.model.styles), 128, 128, 3), np.float32)
    features = jax.jit(vgg16_features)(vgg, 255 * paintings)
    grams = {layer: np.asarray(gram_matrix(interior(features[layer]))) for layer in STYLE_LAYERS}
    return params, {"vgg": vgg, "paintings": {"grams": grams}}


def faces_batch(config: ClassifierTraining) -> dict[str, np.ndarray]:
    """Noise as faces, and labels."""
    rng, count, side = np.random.default_rng(0), config.batch_size, config.model.size
    faces = rng.integers(0, 256, (count, side, side, 3)).astype(np.uint8)
    labels = np.eye(7, dtype=np.float32)[rng.integers(7, size=count)]
    return {"image": faces, "label": labels, "seed": np.arange(count, dtype=np.uint32)}


class OurStep:
    """Our step with its state inside: batch -> loss."""

    def __init__(self, step: Step, state: TrainState, constants: Any) -> None:
        self._parallel = Parallel()
        self._constants = self._parallel.place_state(constants)
        self._step, self._state = self._parallel.compile(step), self._parallel.place_state(state)

    def __call__(self, batch: Any) -> Any:
        self._state, metrics = self._step(self._state, self._constants, self._parallel.place_batch(batch))
        return metrics["loss"]

    def count_flops(self, batch: Any) -> float:
        """See `Parallel.count_flops`."""
        return self._parallel.count_flops(self._step, self._state, self._constants, self._parallel.place_batch(batch))


def _plain(config: Config, dtype: Any) -> Config:
    """A config's step without what only a run needs."""
    optimizer = OptimizerConfig(config.optimizer.learning_rate, clip_norm=1.0)
    return dataclasses.replace(config, optimizer=optimizer, dtype=dtype)


def measure(device: str, threads: int, repeats: int) -> list[dict[str, Any]]:
    """A row per step and implementation: name, seconds (quartiles), examples a second, on a GPU the share of its peak.

    The peak is what a large matrix product reaches there; the operations are those that XLA counts in our step.

    Args:
        device: "cpu" (float32) or "cuda" (bfloat16, and larger batches).

    Raises:
        RuntimeError: a step of PyTorch whose first loss is not ours.
    """
    import torch

    from benchmarks import torch_steps

    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("high")  # on a GPU tensor cores for float32, as JAX does by itself
    gpu = device == "cuda"
    faces = dataclasses.replace(
        FINETUNE,
        model=dataclasses.replace(FINETUNE.model, dense_dropout=0.0),
        mixup=0.0,
        ema_decay=0.0,
        augment=AugmentConfig(False, 0, 0, 0, 0, 0, 0, 0),
        batch_size=1024 if gpu else FINETUNE.batch_size,
    )
    # Johnson's terms of the loss, which PyTorch's step has too.
    photos = dataclasses.replace(GPU, loss=EMOTIONS.loss) if gpu else EMOTIONS
    variables = init_classifier(faces.model, jax.random.PRNGKey(0))
    variables = {name: jax.tree.map(np.asarray, variables[name]) for name in ("params", "batch_stats")}
    params, constants = style_state(photos)

    def our_style(dtype: str) -> OurStep:
        config = _plain(photos, dtype)
        optimizer = config.optimizer.build()
        return OurStep(
            style.make_step(partial(perceptual_losses, config), optimizer),
            TrainState.create(params, optimizer, 0),
            constants,
        )

    def our_classifier(dtype: str) -> OurStep:
        config = _plain(faces, dtype)
        optimizer = config.optimizer.build()
        return OurStep(
            classifier.make_step(config, optimizer), classifier.initial_state(config, variables, optimizer), {}
        )

    def their_style(dtype: str, compiled: bool) -> Callable[[Any], Any]:
        return torch_steps.style_step(_plain(photos, dtype), constants, params, device, compiled)

    def their_classifier(dtype: str, compiled: bool) -> Callable[[Any], Any]:
        return torch_steps.classifier_step(_plain(faces, dtype), variables, device, compiled)

    dtype, suffix, tolerance = ("bfloat16", " bf16", 5e-2) if gpu else ("float32", "", 2e-3)
    peak = measure_matmul_peak(dtype)
    rows: list[dict[str, Any]] = []
    steps: list[tuple[str, dict[str, np.ndarray], Callable[[str], OurStep], Callable[[str, bool], Any]]] = [
        (
            f"train_style step, {photos.batch_size} of {photos.data.crop} x {photos.data.crop}",
            style_batch(photos),
            our_style,
            their_style,
        ),
        (f"train_classifier step, {faces.batch_size} faces", faces_batch(faces), our_classifier, their_classifier),
    ]
    for what, batch, ours, theirs in steps:
        mine = ours(dtype)
        runners: dict[str, Callable[[Any], Any]] = {
            f"emojax{suffix}": mine,
            f"PyTorch eager{suffix}": theirs(dtype, False),
            f"PyTorch compile{suffix}": theirs(dtype, True),
        }
        first = {name: float(runner(batch)) for name, runner in runners.items()}
        for name, loss in first.items():
            if abs(loss / first[f"emojax{suffix}"] - 1) > tolerance:
                raise RuntimeError(f"the first losses are {first}, of {name} too far off: it is not the same step")
        # On a CPU our forms of convolutions take fewer operations than XLA counts.
        ideal = mine.count_flops(batch) / peak if gpu else None
        timed = interleaved({n: partial(_wait, runner, batch) for n, runner in runners.items()}, repeats)
        count = len(next(iter(batch.values())))
        for name, seconds in timed.items():
            row = {"what": what, "name": name, "side": None, "seconds": seconds, "rate": count / seconds[1]}
            rows.append(row | ({"share": ideal / seconds[1]} if ideal else {}))
    return rows


def _wait(runner: Callable[[Any], Any], batch: Any) -> float:
    return float(runner(batch))
