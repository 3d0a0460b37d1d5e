"""Training the classifier: labelled faces -> augmentation -> cross-entropy.

As in the paper, the optimizer is Adam, rare classes are drawn more often, and each draw is augmented anew. Unlike in the
paper, only training faces are augmented, after the split.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from emojax.emotions import EMOTIONS
from emojax.errors import InputError
from emojax.nets.classifier import classifier_logits, init_classifier, network_input
from emojax.nets.classifier_config import ClassifierConfig
from emojax.nets.classifier_nets import Classifier, FaceNet
from emojax.nets.domains import mix_domains, split_domains
from emojax.nets.mobilefacenet import layers_before
from emojax.train.faces.augment import augment_faces, mix_pairs
from emojax.train.faces.config import ClassifierTraining
from emojax.train.faces.data import HeldOutFaces, face_batches, held_out_faces
from emojax.train.faces.features import MANY, with_features
from emojax.train.faces.loss import cross_entropy
from emojax.train.faces.readout import fit_readout
from emojax.train.faces.scores import fit_temperature, negative_log_likelihood
from emojax.train.faces.sources import FaceSource, open_faces
from emojax.train.faces.transfer import from_checkpoint, from_mobilefacenet, from_vgg16
from emojax.train.hooks import Evaluation
from emojax.train.loop import fit
from emojax.train.parallel import Parallel, Step, check_batch_size, initialize_hosts, mean_over
from emojax.train.resume import Run, finished_state
from emojax.train.state import TrainState
from emojax.util import compiling
from emojax.util.batches import map_batches
from emojax.util.words import tell
from emojax.weights import store
from emojax.weights.vgg16_file import find_vgg16, load_vgg16

EVALUATION_BATCH = 128
RANDOM = "random"


def make_step(config: ClassifierTraining, optimizer: optax.GradientTransformation) -> Step:
    """The training step, `(state, constants, batch, axis_name) -> (state, metrics)`; pure.

    The batch is {"image": uint8 [N, S, S, 3], "label": float32 [N, 7], "domain": float32 [N, K], "seed": uint32 [N]}; with
    `config.begin`, "image" is float16 [N, h, w, C]. The metrics are the means "loss" and "accuracy" (of the label's largest
    entry). `state.params` are the trained layers, `constants` the others.
    """
    weights = jnp.array(config.class_weights) if config.class_weights else None
    # `Classifier` returns the logits; the loss of several domains needs those of each.
    network: Any = Classifier
    options: dict[str, Any] = {}
    if config.model.architecture == "mobilefacenet":
        network, options = FaceNet, {"begin": config.begin, "mixed": False}

    def step(state: TrainState, constants: Mapping[str, Any], batch: Mapping[str, Any], axis_name: str | None):
        model = network(config.model, jnp.dtype(config.dtype), axis_name)
        augment_key, dropout_key, mix_key = jax.random.split(jax.random.fold_in(state.key, state.step), 3)
        # A face's key comes from its own seed, so that its augmentation does not depend on its device.
        keys, mix_keys = (
            jax.vmap(lambda seed, key=key: jax.random.fold_in(key, seed))(batch["seed"])
            for key in (augment_key, mix_key)
        )
        if config.begin:
            faces = batch["image"].astype(jnp.float32)
        else:
            faces = augment_faces(config.augment, keys, network_input(config.model, batch["image"]))
        labels = jnp.concatenate([batch["label"], batch["domain"]], axis=1)
        if config.mixup:
            faces, labels = mix_pairs(config.mixup, mix_keys, faces, labels)
        label, domain = jnp.split(labels, [len(EMOTIONS)], axis=1)
        if axis_name is not None:
            dropout_key = jax.random.fold_in(dropout_key, jax.lax.axis_index(axis_name))

        def loss_of(params):
            variables = {"params": {**constants, **params}, "batch_stats": state.stats}
            rngs = {"dropout": dropout_key}
            rows, new = model.apply(variables, faces, train=True, rngs=rngs, mutable=["batch_stats"], **options)
            loss = cross_entropy(*split_domains(config.model, rows), label, domain, weights).mean()
            accuracy = correct(mix_domains(config.model, rows), label).mean()
            return loss, (new.get("batch_stats", state.stats), {"loss": loss, "accuracy": accuracy})

        gradients, (stats, metrics) = jax.grad(loss_of, has_aux=True)(state.params)
        gradients, metrics = mean_over(axis_name, (gradients, metrics))
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params, progress=state.progress)
        params = optax.apply_updates(state.params, updates)
        state = state.replace(step=state.step + 1, params=params, stats=stats, opt_state=opt_state)
        return state.with_ema_update(config.ema_decay) if config.ema_decay else state, metrics

    return step


def correct(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """1.0 where the largest logit is that of the largest label, else 0.0: [N, 7], [N, 7] -> [N]."""
    return (logits.argmax(-1) == labels.argmax(-1)).astype(jnp.float32)


def make_evaluation(config: ClassifierTraining, held_out: Mapping[str, HeldOutFaces]) -> Evaluation:
    """Loss and accuracy on each held-out source, and their means over the sources; the score is the mean accuracy.

    The metric "temperature" calibrates the probabilities (see `classify`). It is fitted on the sources that
    `config.data.calibrate_on` names, by default on those whose faces were cut from photos, as a user's are.

    Raises:
        InputError: `calibrate_on` names a source without validation faces.
    """
    for name in config.data.calibrate_on:
        if name not in held_out:
            raise InputError(
                f"`calibrate_on` {name!r} has no validation faces: choose from {', '.join(held_out)}", "calibrate_on"
            )
    from_photos = [name for name, faces in held_out.items() if faces.from_photos]
    calibrating = config.data.calibrate_on or from_photos or list(held_out)
    compiled = compiling.jit(partial(_logits_behind, config.model, config.begin))

    def evaluate(state: TrainState, constants: Any) -> tuple[dict[str, float], float]:
        variables = jax.device_put(inference_variables(state, constants, {}))
        program = partial(compiled, variables)
        logits = {name: map_batches(program, faces.images, EVALUATION_BATCH) for name, faces in held_out.items()}
        losses = {name: negative_log_likelihood(rows, held_out[name].labels) for name, rows in logits.items()}
        hits = {
            name: float((rows.argmax(1) == held_out[name].labels.argmax(1)).mean()) for name, rows in logits.items()
        }
        temperature = fit_temperature(
            np.concatenate([logits[name] for name in calibrating]),
            np.concatenate([held_out[name].labels for name in calibrating]),
        )
        loss, accuracy = (sum(values.values()) / len(values) for values in (losses, hits))
        each = {f"accuracy_{name}": value for name, value in hits.items()} if len(hits) > 1 else {}
        return {"loss": loss, "accuracy": accuracy, **each, "temperature": temperature}, accuracy

    return evaluate


def _logits_behind(model: ClassifierConfig, begin: int, variables: Mapping[str, Any], faces: jax.Array) -> jax.Array:
    """`classifier_logits`; with `begin`, `faces` are the outputs of the blocks before it."""
    if not begin:
        return classifier_logits(model, variables, faces)
    logits = FaceNet(model, jnp.float32).apply({"params": variables["params"]}, faces, begin=begin)
    assert isinstance(logits, jax.Array)
    return logits


def inference_variables(
    state: TrainState, constants: Mapping[str, Any], metrics: Mapping[str, float]
) -> dict[str, Any]:
    """The variables for `classify`: the moving average if there is one, and the temperature in `metrics`, by default 1."""
    params, stats = (state.params, state.stats) if state.ema is None else state.ema
    temperature = np.float32(metrics.get("temperature", 1.0))
    return {"params": {**constants, **params}, "batch_stats": stats, "temperature": temperature}


def initial_variables(config: ClassifierTraining) -> dict[str, Any]:
    """The variables before training, as NumPy arrays; see `ClassifierTraining.initial`.

    Raises:
        EmojaxError: a checkpoint or a weights file that is missing, damaged or of another shape.
    """
    if config.initial and not config.initial.endswith(".safetensors"):
        return from_checkpoint(config.model, config.initial)
    if config.initial:  # every weight comes from the file
        shapes = jax.eval_shape(lambda: init_classifier(config.model, jax.random.PRNGKey(0)))
        return from_mobilefacenet({**shapes, "temperature": np.float32(1)}, config.initial)
    variables = jax.tree.map(np.asarray, init_classifier(config.model, jax.random.PRNGKey(config.seed)))
    if config.model.architecture == "vgg16" and config.vgg16 != RANDOM:
        return from_vgg16(variables, load_vgg16(find_vgg16(config.vgg16)))
    return variables


def split_layers(config: ClassifierTraining, variables: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The trained layers, and the frozen ones (`config.frozen`), which are constants of the step.

    Raises:
        InputError: a layer that the network does not have.
    """
    layers = variables["params"]
    frozen = config.frozen or layers_before(config.begin)
    for name in frozen:
        if name not in layers:
            raise InputError(f"no layer {name!r} to freeze: choose from {', '.join(layers)}")
    learned: dict[str, Any] = {}
    constants: dict[str, Any] = {}
    for name, layer in layers.items():
        (constants if name in frozen else learned)[name] = layer
    return learned, constants


def initial_state(
    config: ClassifierTraining, variables: Mapping[str, Any], optimizer: optax.GradientTransformation
) -> TrainState:
    """The state before the first step; its `params` are the trained layers, see `split_layers`."""
    params, _ = split_layers(config, variables)
    return TrainState.create(
        params, optimizer, config.seed, stats=variables["batch_stats"], with_ema=config.ema_decay > 0
    )


def _featured(
    config: ClassifierTraining, params: Mapping[str, Any], folder: Path, name: str, source: FaceSource, split: str
) -> FaceSource:
    """A source with features instead of images; see `emojax.train.faces.features`."""
    mirrored = config.augment.flip and split == "train" and len(source) < MANY
    return with_features(f"{name}_{split}", source, config.model, config.begin, params, folder, mirrored)


def train(config: ClassifierTraining, run: Path) -> TrainState:
    """Trains to the end, or resumes; checkpoints in `run` are what `emojax.load(classifier=run)` reads.

    Returns:
        The last state, on the host.

    Raises:
        EmojaxError: missing or invalid data, weights or checkpoints; a frozen layer that the network does not have; a loss
            that is not finite.
        KeyboardInterrupt: after SIGINT or SIGTERM, with a checkpoint written.
    """
    initialize_hosts(config.coordinator, config.hosts, config.host)
    check_batch_size(config.batch_size, 2 if config.mixup else 1)
    if config.readout:
        return _train_readout(config, run)
    optimizer = config.optimizer.build()
    described = Run(run, "classifier", config.model, config)
    shapes = jax.eval_shape(lambda: init_classifier(config.model, jax.random.PRNGKey(0)))
    blank = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    if (done := finished_state(described, initial_state(config, blank, optimizer), config.length())) is not None:
        return done
    # Frozen layers are not part of the state, so a resumed run takes them from its own checkpoint.
    newest = described.newest()
    variables = from_checkpoint(config.model, newest.path) if newest else initial_variables(config)
    wrap = partial(_featured, config, variables["params"], Path(config.features or run / "features"))
    wraps = (wrap,) if config.begin else ()
    data = face_batches(config.data, config.model, config.batch_size, config.seed, *wraps)
    held_out = held_out_faces(config.data, config.model, "val", *wraps)
    if not held_out:
        tell("no validation faces: the best checkpoint will be that of the lowest training loss")
    state = fit(
        described,
        initial_state(config, variables, optimizer),
        split_layers(config, variables)[1],
        make_step(config, optimizer),
        data.iterator,
        config.length().in_steps(data.faces / config.batch_size),
        loop=config.loop,
        parallel=Parallel(config.parallel),
        to_params=inference_variables,
        evaluate=make_evaluation(config, held_out) if held_out else None,
    )
    if data.skipped():
        tell(f"skipped {data.skipped()} faces that could not be read")
    return state


def _train_readout(config: ClassifierTraining, run: Path) -> TrainState:
    """Fits the last layer and writes the run's only checkpoint; returns the state, as after training."""
    variables, folder = initial_variables(config), Path(config.features or run / "features")
    wraps = (partial(_featured, config, variables["params"], folder),) if config.begin else ()
    sources = open_faces(config.data, "train", config.model.aligned)
    sources = {name: wrap(name, source, "train") for wrap in wraps for name, source in sources.items()} or sources
    fitted = fit_readout(config.data, config.model, config.begin, config.readout, variables, sources)
    optimizer = config.optimizer.build()
    state, constants = initial_state(config, fitted, optimizer), split_layers(config, fitted)[1]
    metrics: dict[str, float] = {}
    score = None
    if held_out := held_out_faces(config.data, config.model, "val", *wraps):
        metrics, score = make_evaluation(config, held_out)(state, constants)
        tell(", ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
    store.save_checkpoint(
        run / "step_00000000",
        "classifier",
        config.model,
        inference_variables(state, constants, metrics),
        metrics=metrics,
        score=score,
    )
    return state
