"""Training the styles: photos + paintings -> perceptual loss -> one transform net for all emotions, or for one.

Johnson et al. 2016 with conditional instance normalization (Dumoulin et al. 2017): every photo of a batch draws its
style, the convolutions learn from all, the scales and shifts of a style from its own photos.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from emojax.emotions import EMOTIONS, PHOTO, nearest
from emojax.errors import UserError
from emojax.images import to_255, to_unit
from emojax.losses.objective import COLUMN_LAYERS, sample_painting, transport_terms
from emojax.losses.terms import (
    CONTENT_LAYER,
    STYLE_LAYERS,
    content_loss,
    gram_matrix,
    interior,
    style_loss,
    total_variation,
)
from emojax.nets.stylizer import StylizerConfig, init_stylizer, mix_styles, stylize_with_code
from emojax.nets.vgg16 import LAYERS, vgg16_features
from emojax.train.loop import Evaluation, LoopConfig, OptimizerConfig, TrainState, fit
from emojax.train.parallel import Mode, Parallel, Step, check_batch_size, initialize_hosts, mean_over
from emojax.train.photo_data import (
    PhotoConfig,
    find_paintings,
    parse_crop,
    parse_size,
    photo_batches,
    read_painting,
)
from emojax.util import compiling
from emojax.weights import store as ckpt
from emojax.weights.load import load_styles
from emojax.weights.vgg16_file import find_vgg16, load_vgg16


@dataclass(frozen=True)
class StyleLossConfig:
    """Weights of the loss: the sum of each weight times its term. See `emojax.losses.terms` for the terms."""

    content: float = 1.0
    """weight of the relative content loss at relu2_2 (Johnson et al. 2016)"""
    style: float = 3.0
    """weight of the relative Gram errors of the style layers (Johnson et al. 2016)"""
    style_layers: tuple[str, ...] = STYLE_LAYERS
    """feature maps whose Gram matrices are compared"""
    style_layer_weights: tuple[float, ...] = (0.25, 0.25, 0.25, 0.25)
    """share of each of them in the style loss"""
    tv: float = 0.5
    """weight of the total variation of the stylized photo (0 to 1)"""
    strengths: tuple[float, ...] = ()
    """a factor of the style, transport and moments weights for each style with a painting, in their order; none: 1 for all"""
    similarity: float = 0.0
    """weight of the self-similarity to the photo (Kolkin et al. 2019)"""
    face_similarity: float = 0.0
    """weight of the same inside faces, where there are any"""
    transport: float = 0.0
    """weight of the relaxed optimal transport between the features of the picture and the painting (Kolkin et al. 2019)"""
    moments: float = 0.0
    """weight of the difference of those features' means and covariances (Kolkin et al. 2019)"""
    palette: float = 0.0
    """weight of the relaxed optimal transport between the colours of the picture and the painting (Kolkin et al. 2019)"""
    columns: tuple[str, ...] = COLUMN_LAYERS
    """feature maps that make up a hypercolumn, what self-similarity, transport and moments compare"""
    positions: int = 512
    """random positions of each picture, and of the painting twice as many, that a step compares"""
    photo: float = 10.0
    """weight of the relative difference to the photo where the style is "photo", which has no painting"""
    steadiness: float = 0.0
    """weight of the noise gain: mean squared change of the picture by noise in the photo, over the noise's mean square"""

    def __post_init__(self) -> None:
        weights = {name: value for name, value in dataclasses.asdict(self).items() if isinstance(value, float | int)}
        if negative := [name for name, value in weights.items() if value < 0]:
            raise UserError(f"loss weight {negative[0]} {weights[negative[0]]}: it is not negative")
        if min(self.strengths, default=0) < 0 or min(self.style_layer_weights, default=0) < 0:
            raise UserError(f"strengths {self.strengths}, style layer weights {self.style_layer_weights}: not negative")
        if len(self.style_layers) != len(self.style_layer_weights):
            raise UserError(
                f"{len(self.style_layer_weights)} weights for {len(self.style_layers)} style layers: one each"
            )
        if unknown := [name for name in self.layers if name.removeprefix("relu") not in LAYERS]:
            raise UserError(f"layer {unknown[0]!r}: choose from relu{', relu'.join(LAYERS)}")
        if self.positions < 2:
            raise UserError(f"{self.positions} positions: at least 2")

    @property
    def layers(self) -> tuple[str, ...]:
        """Feature maps that the weighted terms look at; VGG16 is computed up to the deepest of them."""
        style = [name for name, weight in zip(self.style_layers, self.style_layer_weights, strict=True) if weight]
        used = (CONTENT_LAYER,) * bool(self.content) + tuple(style) * bool(self.style)
        return tuple(dict.fromkeys(used + self.columns * self.compares_columns))

    @property
    def compares_columns(self) -> bool:
        """Whether a term that compares hypercolumns or colours has weight."""
        return any((self.similarity, self.face_similarity, self.transport, self.moments, self.palette))


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
    minutes: float | None = None
    """train for so long instead, scoring and packing included: the learning rate follows the clock"""
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
        if self.minutes is not None and self.minutes <= 0:
            raise UserError(f"{self.minutes} minutes: more than 0")
        if self.model.bank:
            raise UserError(
                "a bank is not trained as a whole: train its networks one by one, each with its own `emotion`"
            )
        styles = painted(self.resolved_model().styles)
        if PHOTO in self.resolved_model().styles[:-1]:
            raise UserError(f"styles {self.resolved_model().styles}: {PHOTO!r} has to be the last")
        if self.loss.strengths and len(self.loss.strengths) != len(styles):
            raise UserError(f"{len(self.loss.strengths)} strengths for {len(styles)} styles: give one each, or none")

    def training_seconds(self) -> float | None:
        """How much of `minutes` is for training: a tenth, but at most a minute, is kept for scoring and packing."""
        if self.minutes is None:
            return None
        kept = min(0.1 * self.minutes, 1.0) if self.score_on or self.pack else 0.0
        return 60 * (self.minutes - kept)

    def resolved_model(self) -> StylizerConfig:
        """The model's config, with the one style of `emotion` if that is given."""
        return dataclasses.replace(self.model, styles=(self.emotion,)) if self.emotion else self.model


def painted(styles: tuple[str, ...]) -> tuple[str, ...]:
    """The styles that have a painting."""
    return tuple(style for style in styles if style != PHOTO)


def painting_grams(
    vgg: Any, config: PhotoConfig, styles: tuple[str, ...], of: Callable[[jax.Array], jax.Array] = interior
) -> dict[str, jax.Array]:
    """Gram matrices of the styles' paintings: layer -> float32 [S, C, C].

    Args:
        of: what of the features they are of; see `interior`.
    """
    found = []
    for features in _painting_features(vgg, config, styles, STYLE_LAYERS):
        found.append({layer: gram_matrix(of(features[layer]))[0] for layer in STYLE_LAYERS})
    return {layer: jnp.stack([gram[layer] for gram in found]) for layer in STYLE_LAYERS}


def painting_targets(vgg: Any, config: PhotoConfig, loss: StyleLossConfig, styles: tuple[str, ...]) -> dict[str, Any]:
    """What the loss compares pictures with, of the S paintings of styles that have one.

    Returns:
        "grams": style layer -> float32 [S, C, C]; and where the loss compares hypercolumns, `Samples` with a leading axis S.
    """
    grams, samples = [], []
    layers = tuple(dict.fromkeys((*loss.style_layers, *loss.columns)))
    paintings = read_paintings(config, styles)
    for index, features in enumerate(_painting_features(vgg, config, styles, layers)):
        grams.append({layer: gram_matrix(interior(features[layer]))[0] for layer in loss.style_layers})
        if loss.compares_columns:
            maps, pixels = [features[layer] for layer in loss.columns], to_unit(jnp.asarray(paintings[index]))
            samples.append(sample_painting(maps, pixels, jax.random.PRNGKey(index)))
    targets = {"grams": jax.tree.map(lambda *rows: jnp.stack(rows), *grams)}
    return targets | (jax.tree.map(lambda *rows: jnp.stack(rows), *samples) if samples else {})


def read_paintings(config: PhotoConfig, styles: Sequence[str]) -> list[np.ndarray]:
    """The styles' paintings, uint8 [1, H, W, 3] each, as the config says.

    Raises:
        UserError: see `find_paintings`; a painting that cannot be read.
    """
    crops = dict(parse_crop(entry) for entry in config.painting_crops)
    sizes = dict(parse_size(entry) for entry in config.painting_sizes)
    return [
        read_painting(path, sizes.get(style, config.painting_size), crops.get(style, (0, 0, 1, 1)))[None]
        for style, path in find_paintings(config, styles).items()
    ]


@functools.cache
def _features_program(layers: tuple[str, ...]) -> Any:
    return compiling.jit(functools.partial(vgg16_features, layers=layers))


def _painting_features(vgg: Any, config: PhotoConfig, styles: tuple[str, ...], layers: Sequence[str]) -> Iterator[Any]:
    for painting in read_paintings(config, styles):
        yield _features_program(tuple(layers))(vgg, painting.astype(np.float32))


def perceptual_losses(
    config: StyleTraining, frozen: Mapping[str, Any], params: Any, batch: Mapping[str, Any], key: jax.Array
) -> dict[str, jax.Array]:
    """The parts of the loss, means over a batch.

    Args:
        frozen: {"vgg": VGG16 parameters, "paintings": see `painting_targets`}, and "network" if that is not trained.
        params: see `init_stylizer`.
        batch: {"photo": uint8 [N, H, W, 3], "faces": uint8 [N, H / 4, W / 4], "style": int32 [N]}.
        key: what positions and noise are drawn from.

    Returns:
        Scalars: "loss" (the weighted sum), and each term with its name in the config.
    """
    model, dtype, weights = config.resolved_model(), jnp.dtype(config.dtype), config.loss
    photos = to_unit(jnp.asarray(batch["photo"]))
    styles = jnp.asarray(batch["style"])
    choice = jax.nn.one_hot(styles, len(model.styles))
    network = {**frozen, **params}["network"]
    code = mix_styles(params["styles"], choice)
    stylized = stylize_with_code(model, network, photos, code, dtype=dtype)
    vgg = jax.tree.map(lambda x: x.astype(dtype), frozen["vgg"])
    features = vgg16_features(vgg, to_255(stylized), weights.layers)
    content_layers = (CONTENT_LAYER,) * bool(weights.content) + weights.columns * weights.compares_columns
    target = vgg16_features(vgg, to_255(photos), content_layers)
    # The style "photo" is compared with the last painting, and then with the weight 0.
    with_painting = jnp.asarray([style != PHOTO for style in model.styles], jnp.float32)[styles]
    rows = jnp.minimum(styles, len(painted(model.styles)) - 1)
    paintings = jax.tree.map(lambda table: table[rows], frozen["paintings"])
    terms: dict[str, jax.Array] = {"tv": total_variation(stylized)}
    if weights.content:
        terms["content"] = content_loss(features[CONTENT_LAYER], target[CONTENT_LAYER])
    if weights.style:
        layers = dict(zip(weights.style_layers, weights.style_layer_weights, strict=True))
        layers = {layer: share for layer, share in layers.items() if share}
        inner = {layer: interior(features[layer]) for layer in layers}
        terms["style"] = style_loss(inner, {layer: paintings["grams"][layer] for layer in layers}, layers)
    keys = jax.random.split(key)
    if weights.compares_columns:
        faces = jnp.asarray(batch["faces"]).astype(jnp.float32)
        terms |= transport_terms(weights, features, target, stylized, paintings, faces, keys[0])
    if weights.steadiness:
        noise = NOISE * jax.random.normal(keys[1], photos.shape)
        shaken = stylize_with_code(model, network, photos + noise, code, dtype=dtype)
        terms["steadiness"] = jnp.square(shaken - stylized).mean((1, 2, 3)) / NOISE**2
    if PHOTO in model.styles:
        terms["photo"] = jnp.square(stylized - photos).mean((1, 2, 3)) / jnp.maximum(photos.var((1, 2, 3)), 1e-3)
    of_painting = dict.fromkeys(("style", "transport", "moments", "palette", "tv"), with_painting)
    shares = {**of_painting, "photo": 1 - with_painting}
    terms = {name: shares.get(name, 1.0) * term for name, term in terms.items()}
    strengths = jnp.array(weights.strengths)[rows] if weights.strengths else 1.0
    factors = dict.fromkeys(("style", "transport", "moments"), strengths)
    loss = sum(getattr(weights, name) * factors.get(name, 1.0) * term for name, term in terms.items())
    return {"loss": jnp.mean(loss), **{name: term.mean() for name, term in terms.items()}}


NOISE = 2 / 255
"""standard deviation of the noise that the picture should not change by"""


def make_step(config: StyleTraining, optimizer: optax.GradientTransformation) -> Step:
    """The training step, `(state, batch, axis_name) -> (state, metrics)`; pure."""

    def step(state: TrainState, batch: Mapping[str, Any], axis_name: str | None):
        def loss_of(params):
            losses = perceptual_losses(config, state.frozen, params, batch, jax.random.fold_in(state.key, state.step))
            return losses["loss"], losses

        gradients, metrics = jax.grad(loss_of, has_aux=True)(state.params)
        gradients, metrics = mean_over(axis_name, (gradients, metrics))
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params, progress=state.progress)
        params = optax.apply_updates(state.params, updates)
        return state.replace(step=state.step + 1, params=params, opt_state=opt_state), metrics

    return step


@functools.cache
def _evaluation_program(config: StyleTraining) -> Any:
    """Compiled: (params, frozen, a held-out photo as a batch, style) -> losses."""
    return compiling.jit(
        lambda params, frozen, photos, style: perceptual_losses(
            config, frozen, params, {**photos, "style": jnp.full(1, style)}, jax.random.PRNGKey(0)
        )
    )


def make_evaluation(config: StyleTraining, held_out: Mapping[str, np.ndarray]) -> Evaluation:
    """Mean losses over the held-out photos, leaves [M, ...] of a batch, in every style; the score is minus the loss."""
    losses = _evaluation_program(config)

    def evaluate(state: TrainState) -> tuple[dict[str, float], float]:
        frozen = jax.device_put(state.frozen)
        styles = range(len(config.resolved_model().styles))
        photos = range(len(held_out["photo"]))
        chunks = [{name: leaf[i : i + 1] for name, leaf in held_out.items()} for i in photos]
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
    known = {*found.styles, PHOTO}
    if dataclasses.replace(found, styles=model.styles) != model or not set(model.styles) <= known:
        raise UserError(f"`initial` {config.initial} is a {found}, this run a {model}: make them alike")
    rows = {style: np.eye(len(found.styles))[index] for index, style in enumerate(found.styles)}
    rows.setdefault(PHOTO, np.full(len(found.styles), 1 / len(found.styles)))  # the mean of all is none of them
    choose = np.stack([rows[style] for style in model.styles]).astype(np.float32)
    return {
        "network": params["network"],
        "styles": jax.tree.map(lambda table: choose @ np.asarray(table), params["styles"]),
    }


def train(config: StyleTraining, run: Path, started: float | None = None) -> TrainState:
    """Trains to the end, or resumes; checkpoints in `run` are what `emojax.load(styles=run)` reads.

    Args:
        started: `time.monotonic()` from which `config.minutes` count; none: from the first step.

    Raises:
        UserError: missing or invalid data, weights or checkpoints; a loss that is not finite.
        KeyboardInterrupt: after SIGINT or SIGTERM, with a checkpoint written.
    """
    initialize_hosts(config.coordinator, config.hosts, config.host)
    check_batch_size(config.batch_size)
    if unknown := [style for style in painted(config.resolved_model().styles) if style not in EMOTIONS]:
        raise UserError(
            f"the style {unknown[0]!r} is no emotion{nearest(unknown[0], EMOTIONS)}: `add` learns other styles"
        )
    vgg = load_vgg16(find_vgg16(config.vgg16))
    return train_params(config, run, initial_params(config), frozen_parts(config, vgg), started)


def frozen_parts(config: StyleTraining, vgg: Any) -> dict[str, Any]:
    """What `perceptual_losses` needs besides the parameters; only the layers of VGG16 that the loss looks at."""
    deepest = max(LAYERS.index(name.removeprefix("relu")) for name in config.loss.layers)
    targets = painting_targets(vgg, config.data, config.loss, painted(config.resolved_model().styles))
    kept = {"mean", *(f"conv{layer}" for layer in LAYERS[: deepest + 1])}
    return {"vgg": {name: part for name, part in vgg.items() if name in kept}, "paintings": targets}


def pack(run: Path, path: Path) -> None:
    """Writes a run's best checkpoint at `path`, without what only training needs."""
    config, params = load_styles(run)
    found = ckpt.read_checkpoint(run, "styles")
    ckpt.save_checkpoint(path, "styles", config, params, step=found.step, metrics=found.metrics, score=found.score)


def train_params(
    config: StyleTraining, run: Path, params: Any, frozen: Mapping[str, Any], started: float | None = None
) -> TrainState:
    """Trains some of a transform net's parameters; see `train`.

    Args:
        params: what is trained, of what `init_stylizer` makes.
        frozen: the rest of that, and what else `perceptual_losses` needs.
    """
    model = config.resolved_model()
    data = photo_batches(config.data, config.batch_size, len(model.styles), config.seed)
    optimizer = config.optimizer.build()
    by_steps = config.steps or max(1, round(config.epochs * data.photos / config.batch_size))
    state = fit(
        run,
        "styles",
        model,
        TrainState.create(params, optimizer, config.seed, frozen=frozen),
        make_step(config, optimizer),
        data.iterator,
        by_steps if config.minutes is None else None,
        loop=config.loop,
        parallel=Parallel(config.parallel),
        to_params=lambda state, _: {name: {**state.frozen, **state.params}[name] for name in ("network", "styles")},
        evaluate=make_evaluation(config, data.held_out),
        settings=config,
        dtype=config.dtype,
        seconds=config.training_seconds(),
        started=started,
    )
    if data.skipped():
        print(f"skipped {data.skipped()} photos that could not be read", file=sys.stderr)
    return state
