"""Training steps, a batch of arrays in and updated parameters out: ours against PyTorch's, on the CPU or a GPU.

Both have the same network, initial weights, losses and optimizer. Warm-up, schedule and file reading are left out, and from
the classifier's step also augmentation, mixup, dropout and the moving average. The first losses have to agree. VGG16 has
random weights here, which does not change the time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import jax
import numpy as np

from benchmarks.timing import Clock, interleaved
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
    """A batch of smooth noise, which resembles photos, with the styles in turn."""
    rng, side, count = np.random.default_rng(0), config.data.crop, config.batch_size
    noise = rng.random((count, side, side, 3), np.float32)
    smooth = np.mean([np.roll(noise, (i, j), (1, 2)) for i in range(4) for j in range(4)], axis=0)
    photos = (255 * smooth).astype(np.uint8)
    faces = np.zeros((count, side // CELL, side // CELL), np.uint8)
    return {"photo": photos, "faces": faces, "style": np.arange(count, dtype=np.int32) % len(config.model.style_names)}


def style_state(config: StyleTraining) -> tuple[Any, dict[str, Any]]:
    """Parameters and constants of the step; Gram matrices of noise stand in for those of paintings."""
    params = jax.tree.map(np.asarray, jax.jit(partial(init_stylizer, config.model))(jax.random.PRNGKey(0)))
    rng = np.random.default_rng(1)
    vgg: dict[str, Any] = {"mean": np.full(3, 127.5, np.float32)}
    for layer in LAYERS:
        shape: tuple[int, ...] = SHAPES[f"conv{layer}/kernel"]
        kernel = rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / np.prod(shape[:3])))
        vgg[f"conv{layer}"] = {"kernel": kernel, "bias": np.zeros(shape[3], np.float32)}
    paintings = rng.random((len(config.model.style_names), 128, 128, 3), np.float32)
    features = jax.jit(vgg16_features)(vgg, 255 * paintings)
    grams = {layer: np.asarray(gram_matrix(interior(features[layer]))) for layer in STYLE_LAYERS}
    return params, {"vgg": vgg, "paintings": {"grams": grams}}


def faces_batch(config: ClassifierTraining) -> dict[str, np.ndarray]:
    """A batch of noise instead of faces, with labels."""
    rng, count, side = np.random.default_rng(0), config.batch_size, config.model.size
    faces = rng.integers(0, 256, (count, side, side, 3)).astype(np.uint8)
    labels = np.eye(7, dtype=np.float32)[rng.integers(7, size=count)]
    domains, seeds = np.ones((count, 1), np.float32), np.arange(count, dtype=np.uint32)
    return {"image": faces, "label": labels, "domain": domains, "seed": seeds}


class OurStep:
    """Our step, which keeps its state: batch -> loss."""

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
    """The config without warm-up, schedule and other settings that only a full run needs."""
    optimizer = OptimizerConfig(config.optimizer.learning_rate, clip_norm=1.0)
    return dataclasses.replace(config, optimizer=optimizer, dtype=dtype)


def style_config(gpu: bool) -> StyleTraining:
    """The preset `gpu`, or `emotions` on a CPU, with only Johnson's loss terms, which are those of the PyTorch step."""
    return dataclasses.replace(GPU, loss=EMOTIONS.loss) if gpu else EMOTIONS


def classifier_config(gpu: bool) -> ClassifierTraining:
    """The preset `finetune` without what the PyTorch step lacks; see this module."""
    return dataclasses.replace(
        FINETUNE,
        model=dataclasses.replace(FINETUNE.model, dense_dropout=0.0),
        mixup=0.0,
        ema_decay=0.0,
        augment=AugmentConfig(False, 0, 0, 0, 0, 0, 0, 0),
        batch_size=1024 if gpu else FINETUNE.batch_size,
    )


def measure(threads: int, repeats: int) -> Iterator[dict[str, Any]]:
    """A row per step and implementation on the CPU, in float32: name, seconds (quartiles), examples a second.

    Raises:
        RuntimeError: the first loss of a PyTorch step differs from ours.
    """
    import torch

    torch.set_num_threads(threads)
    alike: tuple[str, str, bool, int, Clock] = ("float32", "cpu", True, repeats, Clock())
    yield from measure_style(style_config(False), *alike)
    yield from measure_classifier(classifier_config(False), *alike)


def measure_style(
    config: StyleTraining, dtype: str, device: str, peers: bool, repeats: int, clock: Clock
) -> Iterator[dict[str, Any]]:
    """The rows of the styles' training step; on a GPU with the share of the device's peak.

    The peak is the speed of a large matrix product on that device. The operations are those that XLA counts in our step.

    Args:
        dtype: of the convolutions, "float32" or "bfloat16".
        device: "cpu" or "cuda".
        peers: whether PyTorch is measured, too.

    Raises:
        RuntimeError: the first loss of a PyTorch step differs from ours.
    """
    config = _plain(config, dtype)
    params, constants = style_state(config)
    optimizer = config.optimizer.build()
    losses = partial(perceptual_losses, config)
    ours = OurStep(style.make_step(losses, optimizer), TrainState.create(params, optimizer, 0), constants)

    def theirs(compiled: bool) -> Callable[[Any], Any]:
        from benchmarks import torch_steps

        return torch_steps.style_step(config, constants, params, device, compiled)

    side = config.data.crop
    what = f"train_style step, {config.batch_size} of {side} x {side}"
    yield from _rows(what, style_batch(config), ours, theirs if peers else None, dtype, device, repeats, clock)


def measure_classifier(
    config: ClassifierTraining, dtype: str, device: str, peers: bool, repeats: int, clock: Clock
) -> Iterator[dict[str, Any]]:
    """The rows of the classifier's step; see `measure_style`."""
    config = _plain(config, dtype)
    variables = jax.jit(partial(init_classifier, config.model))(jax.random.PRNGKey(0))
    variables = {name: jax.tree.map(np.asarray, variables[name]) for name in ("params", "batch_stats")}
    optimizer = config.optimizer.build()
    state = classifier.initial_state(config, variables, optimizer)
    ours = OurStep(classifier.make_step(config, optimizer), state, {})

    def theirs(compiled: bool) -> Callable[[Any], Any]:
        from benchmarks import torch_steps

        return torch_steps.classifier_step(config, variables, device, compiled)

    what = f"train_classifier step, {config.batch_size} faces"
    yield from _rows(what, faces_batch(config), ours, theirs if peers else None, dtype, device, repeats, clock)


def _rows(
    what: str,
    batch: dict[str, np.ndarray],
    ours: OurStep,
    theirs: Callable[[bool], Callable[[Any], Any]] | None,
    dtype: str,
    device: str,
    repeats: int,
    clock: Clock,
) -> Iterator[dict[str, Any]]:
    """Compares the first losses, then times the steps."""
    suffix, tolerance = (" bf16", 5e-2) if dtype == "bfloat16" else ("", 2e-3)
    runners: dict[str, Callable[[Any], Any]] = {f"emojax{suffix}": ours}
    if theirs is not None:
        import torch

        torch.set_float32_matmul_precision("high")  # tensor cores for float32 on a GPU, which is JAX's default
        runners |= {f"PyTorch eager{suffix}": theirs(False), f"PyTorch compile{suffix}": theirs(True)}
    first = {name: float(runner(batch)) for name, runner in runners.items()}
    for name, loss in first.items():
        if abs(loss / first[f"emojax{suffix}"] - 1) > tolerance:
            raise RuntimeError(f"the first losses are {first}, of {name} too far off: it is not the same step")
    # On a CPU our convolutions take fewer operations than XLA counts.
    ideal = ours.count_flops(batch) / measure_matmul_peak(dtype) if device != "cpu" else None
    timed = interleaved({n: partial(_wait, runner, batch) for n, runner in runners.items()}, repeats, until=clock)
    count = len(next(iter(batch.values())))
    for name, seconds in timed.items():
        row = {"what": what, "name": name, "side": None, "seconds": seconds, "rate": count / seconds[1]}
        yield row | ({"share": ideal / seconds[1]} if ideal else {})


def _wait(runner: Callable[[Any], Any], batch: Any) -> float:
    return float(runner(batch))
