"""Training the classifier: faces -> augmentation on the device -> cross-entropy -> checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from emojax import compiling
from emojax.classifier import Classifier, ClassifierConfig, init_classifier, logits, network_input
from emojax.emotions import EMOTIONS
from emojax.errors import UserError
from emojax.train.augment import AugmentConfig, augment_faces
from emojax.train.face_data import FaceConfig, evaluation_batches, face_batches
from emojax.train.loop import Evaluation, LoopConfig, OptimizerConfig, TrainState, fit
from emojax.train.losses import cross_entropy
from emojax.train.parallel import Mode, Parallel, Step, check_batch_size, initialize_hosts, mean_over


@dataclass(frozen=True)
class ClassifierTraining:
    """A training run of the classifier."""

    output: str = ""
    """the run's folder; empty: runs/PRESET"""
    batch_size: int = 128
    """faces per step, over all devices"""
    epochs: float = 50.0
    """passes over as many faces as the training split has, if steps is none"""
    steps: int | None = None
    """steps in all; none: as many as the epochs take"""
    label_smoothing: float = 0.0
    """share of a uniform label mixed into every label, 0 to 1"""
    class_weights: tuple[float, ...] = ()
    """a factor of the loss for each of the seven emotions; empty: 1 for all"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """of the layers; parameters and the loss stay float32"""
    seed: int = 0
    """of the initialization, the order of the faces, augmentation and dropout"""
    parallel: Mode = "jit"
    """jit (a batch sharded over all devices) or pmap"""
    coordinator: str | None = None
    """several hosts: address:port of the first one"""
    hosts: int | None = None
    """several hosts: how many"""
    host: int | None = None
    """several hosts: the index of this one"""
    data: FaceConfig = field(default_factory=FaceConfig)
    model: ClassifierConfig = field(default_factory=ClassifierConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.epochs <= 0 or (self.steps is not None and self.steps < 1):
            raise UserError(f"batch size {self.batch_size}, epochs {self.epochs}, steps {self.steps}: all are above 0")
        if not 0 <= self.label_smoothing <= 1:
            raise UserError(f"label smoothing {self.label_smoothing}: it is 0 to 1")
        if len(self.class_weights) not in (0, len(EMOTIONS)) or min(self.class_weights, default=0) < 0:
            raise UserError(f"class weights {self.class_weights}: give seven that are not negative, or none")


def make_step(config: ClassifierTraining, optimizer: optax.GradientTransformation) -> Step:
    """The training step, `(state, batch, axis_name) -> (state, metrics)`; pure.

    A batch is {"image": uint8 [N, S, S, 3], "label": float32 [N, 7], "seed": uint32 [N]}. Every face is augmented by a key
    of its own, made of its seed, so that it does not matter which device has it.
    """
    weights = jnp.array(config.class_weights) if config.class_weights else None

    def step(state: TrainState, batch: Mapping[str, jax.Array], axis_name: str | None):
        augment_key, dropout_key = jax.random.split(jax.random.fold_in(state.key, state.step))
        if axis_name is not None:  # under jit the mask of the whole batch is drawn at once
            dropout_key = jax.random.fold_in(dropout_key, jax.lax.axis_index(axis_name))
        keys = jax.vmap(jax.random.fold_in, (None, 0))(augment_key, batch["seed"])
        faces = augment_faces(config.augment, keys, network_input(config.model, batch["image"]))
        network = Classifier(config.model, jnp.dtype(config.dtype), axis_name)

        def loss_of(params):
            variables = {"params": params, "batch_stats": state.stats}
            out, updated = network.apply(
                variables, faces, train=True, mutable=["batch_stats"], rngs={"dropout": dropout_key}
            )
            loss = cross_entropy(out, batch["label"], config.label_smoothing, weights).mean()
            return loss, (out, updated["batch_stats"])

        (loss, (out, stats)), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        hits = out.argmax(-1) == batch["label"].argmax(-1)
        metrics = {"loss": loss, "accuracy": hits.astype(jnp.float32).mean()}
        gradients, metrics, stats = mean_over(axis_name, (gradients, metrics, stats))
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return state.replace(step=state.step + 1, params=params, stats=stats, opt_state=opt_state), metrics

    return step


def make_evaluation(config: ClassifierTraining) -> Evaluation:
    """Accuracy and loss on the validation faces, for all of them and per data set; the score is the mean accuracy.

    The mean is over the data sets, so that a large one does not drown a small one.
    """
    predict = compiling.jit(lambda variables, crops: logits(config.model, variables, crops))

    def evaluate(state: TrainState) -> tuple[dict[str, float], float]:
        variables = {"params": state.params, "batch_stats": state.stats}
        hits: dict[str, list[np.ndarray]] = {}
        losses = []
        for name, batch in evaluation_batches(config.data, config.model, "val", config.batch_size):
            out = np.asarray(predict(variables, batch["image"]))[batch["mask"]]
            label = batch["label"][batch["mask"]]
            losses.append(np.asarray(cross_entropy(jnp.asarray(out), jnp.asarray(label))))
            hits.setdefault(name, []).append(out.argmax(-1) == label.argmax(-1))
        if not losses:
            raise UserError("the validation split is empty: give data that has one")
        accuracies = {name: float(np.concatenate(parts).mean()) for name, parts in hits.items()}
        score = float(np.mean(list(accuracies.values())))
        metrics = {"loss": float(np.concatenate(losses).mean()), "accuracy": score}
        return metrics | {f"accuracy_{name}": value for name, value in accuracies.items()}, score

    return evaluate


def train(config: ClassifierTraining, run: Path) -> TrainState:
    """Trains to the end, or resumes; checkpoints in `run` are what `emojax.load(classifier=run)` reads.

    Raises:
        UserError: missing or invalid data or checkpoints; a loss that is not finite.
        KeyboardInterrupt: after SIGINT or SIGTERM, with a checkpoint written.
    """
    initialize_hosts(config.coordinator, config.hosts, config.host)
    check_batch_size(config.batch_size)
    data = face_batches(config.data, config.model, config.batch_size, config.seed)
    steps = config.steps or max(1, round(config.epochs * data.faces / config.batch_size))
    optimizer = config.optimizer.build(steps)
    variables = init_classifier(config.model, jax.random.PRNGKey(config.seed))

    def to_params(state: TrainState) -> dict[str, Any]:
        return {"params": state.params, "batch_stats": state.stats}

    state = fit(
        run,
        "classifier",
        config.model,
        TrainState.create(variables["params"], optimizer, config.seed, stats=variables["batch_stats"]),
        make_step(config, optimizer),
        data.iterator,
        steps,
        loop=config.loop,
        parallel=Parallel(config.parallel),
        to_params=to_params,
        evaluate=make_evaluation(config),
    )
    if data.skipped():
        print(f"skipped {data.skipped()} faces that could not be read", file=sys.stderr)
    return state
