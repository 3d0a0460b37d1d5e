"""Training the styles: photos + paintings -> perceptual loss -> one transform net for all emotions, or for one.

Johnson et al. 2016 with conditional instance normalization (Dumoulin et al. 2017): a style is drawn for each photo of a batch.
The convolutions learn from all photos, the scales and shifts of a style from the photos with that style.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from emojax.emotions import EMOTIONS, PHOTO
from emojax.errors import CheckpointError
from emojax.nets.stylizer import init_stylizer
from emojax.nets.stylizer_config import StylizerConfig
from emojax.train.hooks import Evaluation
from emojax.train.loop import fit
from emojax.train.parallel import Parallel, Step, check_batch_size, initialize_hosts, mean_over
from emojax.train.resume import Run, finished_state
from emojax.train.state import TrainState
from emojax.train.styles.config import StyleTraining
from emojax.train.styles.crops import photo_batches
from emojax.train.styles.distill import distillation_losses
from emojax.train.styles.loss import perceptual_losses
from emojax.train.styles.targets import make_constants
from emojax.util import compiling
from emojax.util.words import tell
from emojax.weights import store
from emojax.weights.load import find_styles, load_styles
from emojax.weights.vgg16_file import find_vgg16, load_vgg16

Losses = Callable[[Mapping[str, Any], Any, Mapping[str, Any], jax.Array], dict[str, jax.Array]]
"""(constants, params, batch, key) -> scalars, of which "loss" is minimized. Pure."""


def make_step(losses: Losses, optimizer: optax.GradientTransformation) -> Step:
    """The training step, `(state, constants, batch, axis_name) -> (state, metrics)`; pure."""

    def step(state: TrainState, constants: Mapping[str, Any], batch: Mapping[str, Any], axis_name: str | None):
        def loss_of(params):
            found = losses(constants, params, batch, jax.random.fold_in(state.key, state.step))
            return found["loss"], found

        gradients, metrics = jax.grad(loss_of, has_aux=True)(state.params)
        gradients, metrics = mean_over(axis_name, (gradients, metrics))
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params, progress=state.progress)
        params = optax.apply_updates(state.params, updates)
        return state.replace(step=state.step + 1, params=params, opt_state=opt_state), metrics

    return step


def make_evaluation(
    config: StyleTraining, held_out: Mapping[str, np.ndarray], losses: Losses | None = None
) -> Evaluation:
    """Mean losses over the held-out photos (a batch with leaves [M, ...]) in every style; the score is minus the loss."""
    losses = losses or functools.partial(perceptual_losses, config)

    @compiling.jit
    def program(params, constants, photo, style):
        return losses(constants, params, {**photo, "style": jnp.full(1, style)}, jax.random.PRNGKey(0))

    def evaluate(state: TrainState, constants: Any) -> tuple[dict[str, float], float]:
        styles = range(len(config.resolved_model().style_names))
        photos = range(len(held_out["photo"]))
        chunks = [{name: leaf[i : i + 1] for name, leaf in held_out.items()} for i in photos]
        results = [program(state.params, constants, chunk, style) for style in styles for chunk in chunks]
        means = {name: float(np.mean([result[name] for result in results])) for name in results[0]}
        return means, -means["loss"]

    return evaluate


def initial_params(config: StyleTraining) -> Any:
    """The initial parameters: random, or a checkpoint's with the rows of the trained styles.

    The checkpoint must have the emotions. Other styles that it lacks, such as single paintings, start from the mean of all
    its rows.

    Raises:
        CheckpointError: see `load_styles`; a checkpoint of another shape or without one of the emotions.
    """
    model = config.resolved_model()
    if config.initial is None:
        return init_stylizer(model, jax.random.PRNGKey(config.seed))
    earlier, params = load_styles(config.initial)
    new = [style for style in model.style_names if style not in earlier.style_names]
    if dataclasses.replace(earlier, style_names=model.style_names) != model or not set(new).isdisjoint(EMOTIONS):
        raise CheckpointError(f"`initial` {config.initial} is a {earlier}, this run a {model}: make them alike")
    rows = {style: np.eye(len(earlier.style_names))[index] for index, style in enumerate(earlier.style_names)}
    rows |= {style: np.full(len(earlier.style_names), 1 / len(earlier.style_names)) for style in new}
    if named := [style for style in new if style != PHOTO]:
        tell(f"new in {config.initial}, from the mean of its styles: {', '.join(named)}")
    choose = np.stack([rows[style] for style in model.style_names]).astype(np.float32)
    return {
        "network": params["network"],
        "style_table": jax.tree.map(lambda table: choose @ np.asarray(table), params["style_table"]),
    }


def train(config: StyleTraining, run: Path, started: float | None = None) -> TrainState:
    """Trains to the end, or resumes; checkpoints in `run` are what `emojax.load(styles=run)` reads.

    Args:
        started: `time.monotonic()` from which `config.minutes` count; None: from the first step.

    Returns:
        The last state, on the host.

    Raises:
        EmojaxError: missing or invalid data, weights or checkpoints; a loss that is not finite.
        KeyboardInterrupt: after SIGINT or SIGTERM, with a checkpoint written.
    """
    initialize_hosts(config.coordinator, config.hosts, config.host)
    check_batch_size(config.batch_size)
    shapes = jax.eval_shape(lambda: init_stylizer(config.resolved_model(), jax.random.PRNGKey(0)))
    blank = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    if (done := finished(config, run, blank, started)) is not None:
        return done
    params = initial_params(config)  # first, because it fails fast
    if config.teacher:
        teacher, constants = load_teacher(config)
        return train_params(
            config, run, params, constants, started, functools.partial(distillation_losses, config, teacher)
        )
    constants = make_constants(config, load_vgg16(find_vgg16(config.vgg16)))
    return train_params(config, run, params, constants, started)


def load_teacher(config: StyleTraining) -> tuple[StylizerConfig, dict[str, Any]]:
    """The teacher's config, and the constants of `distillation_losses`.

    Raises:
        CheckpointError: see `load_styles`; a teacher without one of the styles.
    """
    assert config.teacher is not None
    teacher, params = load_styles(find_styles(config.teacher))
    styles = config.resolved_model().style_names
    if teacher.network_per_style or not set(styles) <= set(teacher.style_names):
        raise CheckpointError(
            f"`teacher` {config.teacher} is a {teacher}: it needs one network with the styles {', '.join(styles)}"
        )
    rows = np.array([teacher.style_names.index(style) for style in styles])
    table = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], params["style_table"])
    return teacher, {"teacher": {"network": params["network"], "style_table": table}}


def release(config: StyleTraining, run: Path, path: Path) -> None:
    """Writes a run's best checkpoint at `path`, with the styles of the release and without the training state."""
    model, params = load_styles(run)
    checkpoint = store.read_checkpoint(run, "styles")
    styles = config.release_styles()
    choose = np.stack(list(styles.values()))
    params = {**params, "style_table": jax.tree.map(lambda table: choose @ np.asarray(table), params["style_table"])}
    model = dataclasses.replace(model, style_names=tuple(styles))
    store.save_checkpoint(
        path, "styles", model, params, step=checkpoint.step, metrics=checkpoint.metrics, score=checkpoint.score
    )


def finished(config: StyleTraining, run: Path, params: Any, started: float | None = None) -> TrainState | None:
    """The last state of a finished run, else None; photos and VGG16 are not needed.

    Args:
        params: any values in the shapes of the trained parameters.
    """
    state = TrainState.create(params, config.optimizer.build(), config.seed)
    return finished_state(Run(run, "styles", config.resolved_model(), config), state, config.length(), started)


def train_params(
    config: StyleTraining,
    run: Path,
    params: Any,
    constants: Mapping[str, Any],
    started: float | None = None,
    losses: Losses | None = None,
) -> TrainState:
    """Trains some of a transform net's parameters; see `train`.

    Args:
        params: the trained part of what `init_stylizer` returns.
        constants: the result of `make_constants`, and the parameters that are not trained as "network".
        losses: by default `perceptual_losses`.
    """
    model, losses = config.resolved_model(), losses or functools.partial(perceptual_losses, config)
    data = photo_batches(config.data, config.batch_size, len(model.style_names), config.seed)
    optimizer = config.optimizer.build()
    state = fit(
        Run(run, "styles", model, config),
        TrainState.create(params, optimizer, config.seed),
        constants,
        make_step(losses, optimizer),
        data.iterator,
        config.length().in_steps(data.photos / config.batch_size),
        loop=config.loop,
        parallel=Parallel(config.parallel),
        to_params=lambda state, constants, _: {
            name: {**constants, **state.params}[name] for name in ("network", "style_table")
        },
        evaluate=make_evaluation(config, data.held_out, losses),
        dtype=config.dtype,
        started=started,
    )
    if data.skipped():
        tell(f"skipped {data.skipped()} photos that could not be read")
    return state
