"""Training the classifier: labelled faces -> augmentation -> cross-entropy.

As in the paper: Adam, rare classes drawn more often, each draw augmented afresh; but only training faces are augmented,
after the split.
"""

from __future__ import annotations

import dataclasses
import math
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

from emojax.emotions import EMOTIONS
from emojax.errors import UserError
from emojax.nets.classifier import Classifier, ClassifierConfig, classifier_logits, init_classifier, network_input
from emojax.train.augment import AugmentConfig, augment_faces, mix_pairs
from emojax.train.face_data import FaceConfig, HeldOutFaces, face_batches, held_out_faces
from emojax.train.loop import Evaluation, LoopConfig, OptimizerConfig, TrainState, fit
from emojax.train.losses import cross_entropy
from emojax.train.parallel import Mode, Parallel, Step, check_batch_size, initialize_hosts, mean_over
from emojax.train.scores import fit_temperature, negative_log_likelihood
from emojax.train.transfer import from_checkpoint, from_vgg16
from emojax.util import compiling
from emojax.weights.store import checkpoints_in
from emojax.weights.vgg16_file import find_vgg16, load_vgg16

EVALUATION_BATCH = 128
RANDOM = "random"


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
    mixup: float = 0.0
    """faces of a batch are mixed in pairs, by shares of Beta(mixup, mixup); 0: not at all"""
    ema_decay: float = 0.0
    """decay of the exponential moving average of the weights, which then is what is evaluated and kept; 0: none"""
    initial: str = ""
    """a classifier's checkpoint to start from; empty: VGG16 for the architecture vgg16, else at random"""
    vgg16: str | None = None
    """weights file for the architecture vgg16, or the word random; none: $EMOJAX_VGG16, then the user's cache folder"""
    frozen: tuple[str, ...] = ()
    """layers that keep the weights that they start with, such as conv1_1"""
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
        if not (0 <= self.mixup < math.inf and 0 <= self.ema_decay < 1):
            raise UserError(f"mixup {self.mixup}, EMA decay {self.ema_decay}: at least 0, and the decay is below 1")
        if self.vgg16 is not None and (self.initial or self.model.architecture != "vgg16"):
            raise UserError(f"`vgg16` {self.vgg16}: only the architecture vgg16 starts from it, without `initial`")
        if self.mixup and self.batch_size % 2:
            raise UserError(f"batch size {self.batch_size} with mixup, which mixes pairs: choose an even one")
        if self.class_weights and (len(self.class_weights) != len(EMOTIONS) or min(self.class_weights) < 0):
            raise UserError(f"class weights {self.class_weights}: give {len(EMOTIONS)} that are not negative, or none")


def make_step(config: ClassifierTraining, optimizer: optax.GradientTransformation) -> Step:
    """The training step, `(state, batch, axis_name) -> (state, metrics)`; pure.

    The batch is {"image": uint8 [N, S, S, 3], "label": float32 [N, 7], "seed": uint32 [N]}; metrics are the means
    "loss" and "accuracy" (the label's largest entry counts as true). `state.params` are the layers that learn,
    `state.frozen` the others.
    """
    weights = jnp.array(config.class_weights) if config.class_weights else None

    def step(state: TrainState, batch: Mapping[str, jax.Array], axis_name: str | None):
        model = Classifier(config.model, jnp.dtype(config.dtype), axis_name)
        augment_key, dropout_key, mix_key = jax.random.split(jax.random.fold_in(state.key, state.step), 3)
        # A face's key comes from its own seed, so that its augmentation does not depend on the device it lands on.
        keys, mix_keys = (
            jax.vmap(lambda seed, key=key: jax.random.fold_in(key, seed))(batch["seed"])
            for key in (augment_key, mix_key)
        )
        faces = augment_faces(config.augment, keys, network_input(config.model, batch["image"]))
        labels = batch["label"]
        if config.mixup:
            faces, labels = mix_pairs(config.mixup, mix_keys, faces, labels)
        if axis_name is not None:
            dropout_key = jax.random.fold_in(dropout_key, jax.lax.axis_index(axis_name))

        def loss_of(params):
            variables = {"params": {**state.frozen, **params}, "batch_stats": state.stats}
            rngs = {"dropout": dropout_key}
            logits, new = model.apply(variables, faces, train=True, rngs=rngs, mutable=["batch_stats"])
            loss = cross_entropy(logits, labels, weights).mean()
            return loss, (new["batch_stats"], {"loss": loss, "accuracy": correct(logits, labels).mean()})

        gradients, (stats, metrics) = jax.grad(loss_of, has_aux=True)(state.params)
        gradients, metrics = mean_over(axis_name, (gradients, metrics))
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params, progress=state.progress)
        params = optax.apply_updates(state.params, updates)
        state = state.replace(step=state.step + 1, params=params, stats=stats, opt_state=opt_state)
        return (state.with_ema_update(config.ema_decay) if config.ema_decay else state), metrics

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
        variables = jax.device_put(inference_variables(state, {}))
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
    """What `classify` needs: the moving average if there is one; the temperature is 1 if `metrics` does not name one."""
    params, stats = (state.params, state.stats) if state.ema is None else state.ema
    temperature = np.float32(metrics.get("temperature", 1.0))
    return {"params": {**state.frozen, **params}, "batch_stats": stats, "temperature": temperature}


def initial_variables(config: ClassifierTraining) -> dict[str, Any]:
    """What the classifier starts with, as NumPy arrays; see `ClassifierTraining.initial`.

    Raises:
        UserError: a checkpoint or a weights file that is missing, damaged or of another shape.
    """
    if config.initial:
        return from_checkpoint(config.model, config.initial)
    variables = jax.tree.map(np.asarray, init_classifier(config.model, jax.random.PRNGKey(config.seed)))
    if config.model.architecture == "vgg16" and config.vgg16 != RANDOM:
        return from_vgg16(variables, load_vgg16(find_vgg16(config.vgg16)))
    return variables


def initial_state(
    config: ClassifierTraining, variables: Mapping[str, Any], optimizer: optax.GradientTransformation
) -> TrainState:
    """The state before the first step; its `params` are the layers that learn, its `frozen` the others."""
    params = {name: layer for name, layer in variables["params"].items() if name not in config.frozen}
    frozen = {name: layer for name, layer in variables["params"].items() if name in config.frozen}
    return TrainState.create(
        params, optimizer, config.seed, stats=variables["batch_stats"], with_ema=config.ema_decay > 0, frozen=frozen
    )


def train(config: ClassifierTraining, run: Path) -> TrainState:
    """Trains to the end, or resumes; checkpoints in `run` are what `emojax.load(classifier=run)` reads.

    Raises:
        UserError: missing or invalid data, weights or checkpoints; a frozen layer that the network does not have; a loss
            that is not finite.
        KeyboardInterrupt: after SIGINT or SIGTERM, with a checkpoint written.
    """
    initialize_hosts(config.coordinator, config.hosts, config.host)
    check_batch_size(config.batch_size, 2 if config.mixup else 1)
    # Frozen layers are not part of the training state, so a run that is resumed takes them from its own checkpoint.
    started = checkpoints_in(run)
    variables = from_checkpoint(config.model, started[-1]) if started else initial_variables(config)
    for name in config.frozen:
        if name not in variables["params"]:
            raise UserError(f"no layer {name!r} to freeze: choose from {', '.join(variables['params'])}")
    data = face_batches(config.data, config.model, config.batch_size, config.seed)
    held_out = held_out_faces(config.data, config.model)
    if not held_out:
        print("no validation faces: the best checkpoint will be that of the lowest training loss", file=sys.stderr)
    steps = config.steps or max(1, round(config.epochs * data.faces / config.batch_size))
    optimizer = config.optimizer.build()
    state = fit(
        run,
        "classifier",
        config.model,
        initial_state(config, variables, optimizer),
        make_step(config, optimizer),
        data.iterator,
        steps,
        loop=config.loop,
        parallel=Parallel(config.parallel),
        to_params=inference_variables,
        evaluate=make_evaluation(config, held_out) if held_out else None,
        settings=dataclasses.replace(config, initial="", vgg16=None),  # they only say where a new run starts
    )
    if data.skipped():
        print(f"skipped {data.skipped()} faces that could not be read", file=sys.stderr)
    return state
