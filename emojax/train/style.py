"""Training the styles: photos + paintings -> perceptual loss -> one transform net for all emotions, or for one.

Johnson et al. 2016 with conditional instance normalization (Dumoulin et al. 2017): every photo of a batch draws its
style, the convolutions learn from all, the scales and shifts of a style from its own photos.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from emojax import checkpoint as ckpt
from emojax import compiling
from emojax.emotions import EMOTIONS, nearest
from emojax.errors import UserError
from emojax.images import to_255, to_unit
from emojax.pipeline import load_styles
from emojax.stylizer import StylizerConfig, init_stylizer, mix_styles, stylize_with_code
from emojax.train.loop import Evaluation, LoopConfig, OptimizerConfig, TrainState, fit
from emojax.train.losses import (
    CONTENT_LAYER,
    STYLE_LAYERS,
    content_loss,
    gram_matrix,
    interior,
    style_loss,
    total_variation,
)
from emojax.train.parallel import Mode, Parallel, Step, check_batch_size, initialize_hosts, mean_over
from emojax.train.photo_data import PhotoConfig, find_paintings, photo_batches, read_painting
from emojax.vgg import find_vgg16, load_vgg16, vgg16_features


@dataclass(frozen=True)
class StyleLossConfig:
    """Weights of the perceptual loss: content * content + style * style + tv * total variation."""

    content: float = 1.0
    """weight of the relative content loss at relu2_2"""
    style: float = 3.0
    """weight of the relative style loss, the mean over relu1_2, 2_2, 3_3 and 4_3"""
    tv: float = 0.5
    """weight of the total variation of the stylized photo (0 to 1)"""
    strengths: tuple[float, ...] = ()
    """a factor of the style weight for each style, in their order; none: 1 for all"""

    def __post_init__(self) -> None:
        if min(self.content, self.style, self.tv, *self.strengths) < 0:
            raise UserError(f"{self}: weights are not negative")


@dataclass(frozen=True)
class StyleTraining:
    """A training run of the transform net."""

    output: str = ""
    """the run's folder; empty: runs/PRESET, and in it a folder of the emotion if one is trained alone"""
    score_on: tuple[str, ...] = ()
    """photos to score the best checkpoint on when training is done, as `train_style.py evaluate` does"""
    pack: str | None = None
    """a folder for the best checkpoint, alone and without what only training needs, when training is done"""
    emotion: str | None = None
    """train this emotion alone (a network with one style, as in the paper) instead of the model's styles"""
    batch_size: int = 4
    """photos per step, over all devices"""
    epochs: float = 5.0
    """passes over the photos, if steps is none"""
    steps: int | None = None
    """steps in all; none: as many as the epochs take"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """of the convolutions; parameters, norm statistics and losses stay float32"""
    seed: int = 0
    """of the initialization, the order of the photos, crops and styles"""
    parallel: Mode = "jit"
    """jit (a batch sharded over all devices) or pmap"""
    initial: str | None = None
    """a checkpoint or run of the same shape, and with these styles, to start from; none: random"""
    vgg16: str | None = None
    """the VGG16 weights; none: $EMOJAX_VGG16, then the user's cache folder"""
    coordinator: str | None = None
    """several hosts: address:port of the first one"""
    hosts: int | None = None
    """several hosts: how many"""
    host: int | None = None
    """several hosts: the index of this one"""
    data: PhotoConfig = field(default_factory=PhotoConfig)
    model: StylizerConfig = field(default_factory=StylizerConfig)
    loss: StyleLossConfig = field(default_factory=StyleLossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        if self.emotion is not None and self.emotion not in EMOTIONS:
            raise UserError(f"unknown emotion {self.emotion!r}{nearest(self.emotion, EMOTIONS)}")
        if self.batch_size < 1 or self.epochs <= 0 or (self.steps is not None and self.steps < 1):
            raise UserError(f"batch size {self.batch_size}, epochs {self.epochs}, steps {self.steps}: all are above 0")
        if self.model.bank:
            raise UserError(
                "a bank is not trained as a whole: train its networks one by one, each with its own --emotion"
            )
        styles = self.resolved_model().styles
        if self.loss.strengths and len(self.loss.strengths) != len(styles):
            raise UserError(f"{len(self.loss.strengths)} strengths for {len(styles)} styles: give one each, or none")

    def resolved_model(self) -> StylizerConfig:
        """The model's config, with the one style of `emotion` if that is given."""
        return dataclasses.replace(self.model, styles=(self.emotion,)) if self.emotion else self.model


def painting_grams(
    vgg: Any, config: PhotoConfig, styles: tuple[str, ...], of: Callable[[jax.Array], jax.Array] = interior
) -> dict[str, jax.Array]:
    """Gram matrices of the styles' paintings: layer -> float32 [S, C, C].

    Args:
        of: what of the features they are of; see `interior`.
    """
    features = compiling.jit(vgg16_features)
    grams = []
    for path in find_paintings(config, styles).values():
        painting = read_painting(path, config.painting_size)[None].astype(np.float32)
        seen = features(vgg, painting)
        grams.append({layer: gram_matrix(of(seen[layer]))[0] for layer in STYLE_LAYERS})
    return {layer: jnp.stack([gram[layer] for gram in grams]) for layer in STYLE_LAYERS}


def perceptual_losses(
    config: StyleTraining, frozen: Mapping[str, Any], params: Any, batch: Mapping[str, Any]
) -> dict[str, jax.Array]:
    """The parts of the loss, means over a batch.

    Args:
        frozen: {"vgg": VGG16 parameters, "grams": layer -> float32 [S, C, C]}, and "network" if that is not trained.
        params: see `init_stylizer`.
        batch: {"photo": uint8 [N, H, W, 3], "style": int32 [N]}.

    Returns:
        Scalars "loss" (the weighted sum), "content", "style" and "tv".
    """
    model, dtype = config.resolved_model(), jnp.dtype(config.dtype)
    photos = to_unit(jnp.asarray(batch["photo"]))
    styles = jnp.asarray(batch["style"])
    choice = jax.nn.one_hot(styles, len(model.styles))
    network = {**frozen, **params}["network"]
    stylized = stylize_with_code(model, network, photos, mix_styles(params["styles"], choice), dtype=dtype)
    vgg = jax.tree.map(lambda x: x.astype(dtype), frozen["vgg"])
    features = vgg16_features(vgg, to_255(stylized))
    target = vgg16_features(vgg, to_255(photos), last=CONTENT_LAYER)
    grams = {layer: rows[styles] for layer, rows in frozen["grams"].items()}
    content = content_loss(features[CONTENT_LAYER], target[CONTENT_LAYER])
    style = style_loss({layer: interior(features[layer]) for layer in grams}, grams)
    tv = total_variation(stylized)
    weights = config.loss
    strengths = jnp.array(weights.strengths)[styles] if weights.strengths else 1.0
    loss = weights.content * content + weights.style * strengths * style + weights.tv * tv
    return {"loss": loss.mean(), "content": content.mean(), "style": style.mean(), "tv": tv.mean()}


def make_step(config: StyleTraining, optimizer: optax.GradientTransformation) -> Step:
    """The training step, `(state, batch, axis_name) -> (state, metrics)`; pure."""

    def step(state: TrainState, batch: Mapping[str, Any], axis_name: str | None):
        def loss_of(params):
            losses = perceptual_losses(config, state.frozen, params, batch)
            return losses["loss"], losses

        gradients, metrics = jax.grad(loss_of, has_aux=True)(state.params)
        gradients, metrics = mean_over(axis_name, (gradients, metrics))
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return state.replace(step=state.step + 1, params=params, opt_state=opt_state), metrics

    return step


def make_evaluation(config: StyleTraining, held_out: np.ndarray) -> Evaluation:
    """Mean losses over the held-out photos uint8 [M, H, W, 3] in every style; the score is minus the loss."""
    losses = compiling.jit(
        lambda params, frozen, photos, style: perceptual_losses(
            config, frozen, params, {"photo": photos, "style": jnp.full(photos.shape[:1], style)}
        )
    )

    def evaluate(state: TrainState) -> tuple[dict[str, float], float]:
        frozen = jax.device_put(state.frozen)
        styles = range(len(config.resolved_model().styles))
        chunks = [held_out[i : i + 1] for i in range(len(held_out))]
        results = [losses(state.params, frozen, chunk, style) for style in styles for chunk in chunks]
        means = {name: float(np.mean([result[name] for result in results])) for name in results[0]}
        return means, -means["loss"]

    return evaluate


def initial_params(config: StyleTraining) -> Any:
    """Where the weights start: at random, or at a checkpoint's, of which the styles in question are taken.

    Raises:
        UserError: see `load_styles`; a checkpoint of another shape or without one of the styles.
    """
    model = config.resolved_model()
    if config.initial is None:
        return init_stylizer(model, jax.random.PRNGKey(config.seed))
    found, params = load_styles(config.initial)
    if dataclasses.replace(found, styles=model.styles) != model or not set(model.styles) <= set(found.styles):
        raise UserError(f"--initial {config.initial} is a {found}, this run a {model}: make them alike")
    rows = np.array([found.styles.index(style) for style in model.styles])
    return {"network": params["network"], "styles": jax.tree.map(lambda table: table[rows], params["styles"])}


def train(config: StyleTraining, run: Path) -> TrainState:
    """Trains to the end, or resumes; checkpoints in `run` are what `emojax.load(styles=run)` reads.

    Raises:
        UserError: missing or invalid data, weights or checkpoints; a loss that is not finite.
        KeyboardInterrupt: after SIGINT or SIGTERM, with a checkpoint written.
    """
    initialize_hosts(config.coordinator, config.hosts, config.host)
    check_batch_size(config.batch_size)
    if unknown := [style for style in config.resolved_model().styles if style not in EMOTIONS]:
        raise UserError(
            f"the style {unknown[0]!r} is no emotion{nearest(unknown[0], EMOTIONS)}: `add` learns other styles"
        )
    vgg = load_vgg16(find_vgg16(config.vgg16))
    grams = painting_grams(vgg, config.data, config.resolved_model().styles)
    return train_params(config, run, initial_params(config), {"vgg": vgg, "grams": grams})


def pack(run: Path, path: Path) -> None:
    """Writes a run's best checkpoint at `path`, without what only training needs."""
    config, params = load_styles(run)
    found = ckpt.read_checkpoint(run, "styles")
    ckpt.save_checkpoint(path, "styles", config, params, step=found.step, metrics=found.metrics, score=found.score)


def train_params(config: StyleTraining, run: Path, params: Any, frozen: Mapping[str, Any]) -> TrainState:
    """Trains some of a transform net's parameters; see `train`.

    Args:
        params: what is trained, of what `init_stylizer` makes.
        frozen: the rest of that, and what else `perceptual_losses` needs.
    """
    model = config.resolved_model()
    data = photo_batches(config.data, config.batch_size, len(model.styles), config.seed)
    steps = config.steps or max(1, round(config.epochs * data.photos / config.batch_size))
    optimizer = config.optimizer.build(steps)
    state = fit(
        run,
        "styles",
        model,
        TrainState.create(params, optimizer, config.seed, frozen=frozen),
        make_step(config, optimizer),
        data.iterator,
        steps,
        loop=config.loop,
        parallel=Parallel(config.parallel),
        to_params=lambda state, _: {name: {**state.frozen, **state.params}[name] for name in ("network", "styles")},
        evaluate=make_evaluation(config, data.held_out),
        settings=config,
        dtype=config.dtype,
    )
    if data.skipped():
        print(f"skipped {data.skipped()} photos that could not be read", file=sys.stderr)
    return state
