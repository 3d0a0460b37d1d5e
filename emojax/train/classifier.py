"""Training the classifier: labelled faces -> augmentation -> cross-entropy.

As in the paper: Adam, rare classes drawn more often, each draw augmented afresh; but only training faces are augmented,
after the split.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from emojax import compiling
from emojax.classifier import Classifier, ClassifierConfig, classifier_logits, init_classifier, network_input
from emojax.emotions import EMOTIONS
from emojax.errors import UserError
from emojax.train.augment import AugmentConfig, augment_faces
from emojax.train.face_data import FaceConfig, HeldOutFaces, face_batches, held_out_faces
from emojax.train.loop import Evaluation, LoopConfig, OptimizerConfig, TrainState, fit
from emojax.train.losses import cross_entropy
from emojax.train.parallel import Mode, Parallel, Step, check_batch_size, initialize_hosts, mean_over
from emojax.train.scores import fit_temperature, negative_log_likelihood

EVALUATION_BATCH = 128


@dataclass(frozen=True)
class ClassifierTraining:
    """A training run of the classifier."""

    output: str = ""
    """the run's folder; empty: runs/PRESET"""
    batch_size: int = 128
    """faces per step, over all devices"""
    epochs: float = 50.0
    """passes, each of as many draws as there are training faces, if steps is none"""
    steps: int | None = None
    """steps in all; none: as many as the epochs take"""
    label_smoothing: float = 0.0
    """share of each label that is spread over all classes"""
    class_weights: tuple[float, ...] = ()
    """a factor of the loss for each of the seven classes; empty: 1 each"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """of the computation; parameters, norm statistics and losses stay float32"""
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
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"label smoothing {self.label_smoothing}: it is at least 0 and below 1")
        if self.class_weights and (len(self.class_weights) != len(EMOTIONS) or min(self.class_weights) < 0):
            raise UserError(f"class weights {self.class_weights}: give {len(EMOTIONS)} that are not negative, or none")


def make_step(config: ClassifierTraining, optimizer: optax.GradientTransformation) -> Step:
    """The training step, `(state, batch, axis_name) -> (state, metrics)`; pure.

    The batch is {"image": uint8 [N, S, S, 3], "label": float32 [N, 7], "seed": uint32 [N]}; metrics are the means
    "loss" and "accuracy" (the label's largest entry counts as true).
    """
    weights = jnp.array(config.class_weights) if config.class_weights else None

    def step(state: TrainState, batch: Mapping[str, jax.Array], axis_name: str | None):
        model = Classifier(config.model, jnp.dtype(config.dtype), axis_name)
        augment_key, dropout_key = jax.random.split(jax.random.fold_in(state.key, state.step))
        # A face's key comes from its own seed, so that its augmentation does not depend on the device it lands on.
        keys = jax.vmap(lambda seed: jax.random.fold_in(augment_key, seed))(batch["seed"])
        faces = augment_faces(config.augment, keys, network_input(config.model, batch["image"]))
        if axis_name is not None:
            dropout_key = jax.random.fold_in(dropout_key, jax.lax.axis_index(axis_name))

        def loss_of(params):
            variables = {"params": params, "batch_stats": state.stats}
            rngs = {"dropout": dropout_key}
            logits, new = model.apply(variables, faces, train=True, rngs=rngs, mutable=["batch_stats"])
            loss = cross_entropy(logits, batch["label"], config.label_smoothing, weights).mean()
            return loss, (new["batch_stats"], {"loss": loss, "accuracy": correct(logits, batch["label"]).mean()})

        gradients, (stats, metrics) = jax.grad(loss_of, has_aux=True)(state.params)
        gradients, metrics = mean_over(axis_name, (gradients, metrics))
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return state.replace(step=state.step + 1, params=params, stats=stats, opt_state=opt_state), metrics

    return step


def correct(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """1.0 where the largest logit is that of the largest label, else 0.0: [N, 7], [N, 7] -> [N]."""
    return (logits.argmax(-1) == labels.argmax(-1)).astype(jnp.float32)


def make_evaluation(config: ClassifierTraining, held_out: Mapping[str, HeldOutFaces]) -> Evaluation:
    """Loss and accuracy on each held-out source, and their means over the sources; the score is the mean accuracy.

    The metric "temperature" is what calibrates the probabilities (see `classify`). It is fitted on ExpW's faces, since
    photos are like ExpW's: on the sources with expw in their name, or on all if there is none.
    """
    compiled = compiling.jit(partial(classifier_logits, config.model))

    def evaluate(state: TrainState) -> tuple[dict[str, float], float]:
        variables = jax.device_put({"params": state.params, "batch_stats": state.stats})
        logits = {
            name: np.concatenate([np.asarray(compiled(variables, part)) for part in faces.batches(EVALUATION_BATCH)])
            for name, faces in held_out.items()
        }
        logits = {name: rows[: len(held_out[name].labels)] for name, rows in logits.items()}
        losses = {name: negative_log_likelihood(rows, held_out[name].labels) for name, rows in logits.items()}
        hits = {
            name: float((rows.argmax(1) == held_out[name].labels.argmax(1)).mean()) for name, rows in logits.items()
        }
        like_photos = [name for name in held_out if "expw" in name.lower()] or list(held_out)
        temperature = fit_temperature(
            np.concatenate([logits[name] for name in like_photos]),
            np.concatenate([held_out[name].labels for name in like_photos]),
        )
        loss, accuracy = (sum(values.values()) / len(values) for values in (losses, hits))
        each = {f"accuracy_{name}": value for name, value in hits.items()} if len(hits) > 1 else {}
        return {"loss": loss, "accuracy": accuracy, **each, "temperature": temperature}, accuracy

    return evaluate


def inference_variables(state: TrainState, metrics: Mapping[str, float]) -> dict[str, Any]:
    """What `classify` needs, from the state and the evaluation at its step; uncalibrated if there was none."""
    temperature = np.float32(metrics.get("temperature", 1.0))
    return {"params": state.params, "batch_stats": state.stats, "temperature": temperature}


def train(config: ClassifierTraining, run: Path) -> TrainState:
    """Trains to the end, or resumes; checkpoints in `run` are what `emojax.load(classifier=run)` reads.

    Raises:
        UserError: missing or invalid data or checkpoints; a loss that is not finite.
        KeyboardInterrupt: after SIGINT or SIGTERM, with a checkpoint written.
    """
    initialize_hosts(config.coordinator, config.hosts, config.host)
    check_batch_size(config.batch_size)
    data = face_batches(config.data, config.model, config.batch_size, config.seed)
    held_out = held_out_faces(config.data, config.model)
    if not held_out:
        print("no validation faces: the best checkpoint will be that of the lowest training loss", file=sys.stderr)
    steps = config.steps or max(1, round(config.epochs * data.faces / config.batch_size))
    optimizer = config.optimizer.build(steps)
    variables = init_classifier(config.model, jax.random.PRNGKey(config.seed))
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
        to_params=inference_variables,
        evaluate=make_evaluation(config, held_out) if held_out else None,
        settings=config,
    )
    if data.skipped():
        print(f"skipped {data.skipped()} faces that could not be read", file=sys.stderr)
    return state
