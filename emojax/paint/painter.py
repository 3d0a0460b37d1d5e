"""Paints one picture by optimizing its pixels: it takes minutes instead of one forward pass, and any painting can be the style.

photo + painting -> coarse to fine: features, terms of `emojax.losses.objective`, Adam on a Laplacian pyramid -> picture

Kolkin, Salavon, Shakhnarovich 2019 (arXiv:1904.12785, "STROTSS"). Where we deviate: Gram matrices and the content loss of
Johnson et al. 2016 (arXiv:1603.08155) are part of the objective, because transport alone gives the palette but no bold strokes;
VGG16 up to relu4_1; Adam instead of RMSprop; content counts more inside faces, so that persons stay recognizable; a large photo
is painted at a smaller size, and the paint is enlarged with the photo's own edges (`enlarge_with_detail`).
The interface takes and returns uint8 [H, W, 3]; internally, pictures are float32 [1, H, W, 3], 0 to 1.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image

from emojax.errors import InputError
from emojax.faces.find import Face, rasterize
from emojax.images import resize, to_255, to_uint8, to_unit
from emojax.losses.objective import (
    CELL,
    Samples,
    join,
    mix_samples,
    painting_positions,
    samples_at,
    style_part,
    term_positions,
    terms_at,
)
from emojax.losses.terms import CONTENT_LAYER, gram_loss, hypercolumns, total_variation
from emojax.nets.vgg16 import vgg16_features
from emojax.paint import descent
from emojax.paint.config import MULTIPLE, PaintConfig
from emojax.paint.enlarge import enlarge_with_detail
from emojax.paint.limits import check_limits
from emojax.paint.sums import feature_sums
from emojax.util import compiling
from emojax.util.machine import return_memory

_OUTSIDE = 10.0  # weight of the mean squared distance of pixels from the range 0 to 1


@dataclass(frozen=True)
class Region:
    """The part of a picture that is painted like some paintings; without a mask, the whole picture."""

    paintings: tuple[UInt8[np.ndarray, "_h _w 3"], ...]
    weights: tuple[float, ...] = (1.0,)
    mask: Float[np.ndarray, "H W"] | None = None
    """0 to 1, of the photo's size"""

    def __post_init__(self) -> None:
        if len(self.paintings) != len(self.weights) or not sum(self.weights) > 0 or min(self.weights) < 0:
            raise InputError(
                f"{len(self.paintings)} paintings with the weights {self.weights}: one each, above 0 together"
            )


@dataclass(frozen=True)
class Progress:
    """The progress of a painting; `picture` returns the picture so far, at the photo's size."""

    scale: tuple[int, int]
    step: int
    steps: int
    fraction: float
    """share of the whole work that is done, 0 to 1"""
    picture: Callable[[], UInt8[np.ndarray, "H W 3"]]
    finished_scale: bool


def paint_loss(
    config: PaintConfig,
    vgg: Mapping[str, Any],
    picture: Float[Array, "1 H W 3"],
    photo_features: Mapping[str, jax.Array],
    samples: Sequence[Samples],
    masks: Float[Array, "R h w"],
    faces: Float[Array, "1 h w"],
    key: jax.Array,
) -> dict[str, jax.Array]:
    """The terms of a picture, scalars by their names, and their weighted sum, "loss". Pure.

    Args:
        photo_features: the photo's feature maps, and "energy", the sum of the squares of `CONTENT_LAYER`'s.
        samples: samples of each region's painting.
        masks: the mask of each region, on a grid of cells; a region counts in proportion to its share of the picture.
    """
    inside = jnp.clip(picture, 0, 1)
    shares = masks.sum((1, 2)) / jnp.maximum(masks.sum(), 1e-6)
    keys = [jax.random.fold_in(key, index) for index in range(len(samples))]
    parts = [mask[None] for mask in masks] if len(samples) > 1 else [None]
    positions = [term_positions(config, faces, *each) for each in zip(keys, parts, strict=True)]
    joined, split = join(positions)
    content = photo_features[CONTENT_LAYER] if config.content else None
    sums = feature_sums(config, vgg, inside, joined, parts, content)
    columns = split(sums["columns"])
    photo_columns = split(hypercolumns([photo_features[layer] for layer in config.columns], joined))
    found: dict[str, jax.Array] = {"tv": total_variation(inside)[0]}
    if content is not None:
        found["content"] = sums["content"] / jnp.maximum(photo_features["energy"], 1e-12)
    layer_weights = dict(zip(config.style_layers, config.style_layer_weights, strict=True))
    for index, sample in enumerate(samples):
        one = jax.tree.map(lambda leaf: leaf[None], sample)
        colors = hypercolumns([inside], style_part(positions[index]))
        terms = terms_at(config, columns[index], photo_columns[index], colors, one, faces, keys[index])
        if config.style:
            terms["style"] = gram_loss(sums["grams"][index], one["grams"], layer_weights)
        for name, term in terms.items():
            found[name] = found.get(name, 0.0) + shares[index] * term[0]
    loss = sum(getattr(config, name) * term for name, term in found.items())
    return {**found, "loss": loss + _OUTSIDE * jnp.square(picture - inside).mean()}


class Painter:
    """VGG16 on the device and the compiled programs, ready to paint. Thread-safe."""

    def __init__(self, vgg: Mapping[str, Any], config: PaintConfig | None = None) -> None:
        """Takes VGG16's parameters, see `load_vgg16`; compiles nothing yet."""
        self.config = config = config or PaintConfig()
        self.vgg = jax.device_put(dict(vgg))

        def features_of(vgg, picture):
            # bfloat16 halves the memory. The content's map stays float32: XLA would convert all of it in every step.
            features = vgg16_features(vgg, to_255(picture), (CONTENT_LAYER, *config.columns))
            kept = {layer: x.astype(jnp.bfloat16) for layer, x in features.items() if layer != CONTENT_LAYER}
            content = features[CONTENT_LAYER].astype(jnp.float32)
            return {"energy": jnp.square(content).sum(), CONTENT_LAYER: content, **kept}

        def samples_of(vgg, painting, key):
            positions = painting_positions(painting, key)
            sums = feature_sums(config, vgg, painting, positions)
            grams = {layer: gram[0] for layer, gram in sums["grams"][0].items()}
            return {"grams": grams, **samples_at(sums["columns"], painting, positions)}

        def loss_of(picture, vgg, photo_features, samples, masks, faces, key):
            at_size = config.at(*picture.shape[1:3])
            terms = paint_loss(at_size, vgg, picture, photo_features, samples, masks, faces, key)
            return terms["loss"], terms

        self._features, self._samples = compiling.jit(features_of), compiling.jit(samples_of)
        self._start = compiling.jit(_recolored)
        self._step = descent.make_step(loss_of)

    def paint(
        self,
        photo: UInt8[np.ndarray, "H W 3"],
        regions: Sequence[Region],
        *,
        size: int = 512,
        faces: Sequence[Face] = (),
        start: UInt8[np.ndarray, "H W 3"] | None = None,
        seconds: float | None = None,
        seed: int = 0,
    ) -> Iterator[Progress]:
        """Paints step by step. The last `picture()` is the result; iteration may stop earlier.

        Args:
            regions: which parts are painted like which paintings; where the masks leave a gap, the style is not constrained.
            size: the long side to paint at, see `check_limits`; for a larger photo, the paint is enlarged, see
                `enlarge_with_detail`.
            faces: the faces of the photo; content counts more inside them.
            start: a picture of the photo's size to start from, such as the network's; by default the photo's shapes around
                the mean colour of each region's painting.
            seconds: a time limit that replaces the config's steps; the picture then depends on the machine's speed.
            seed: seed of the random positions; the same seed gives the same picture on the same kind of device.

        Raises:
            InputError: a size, time or seed that is out of range, or no region.
        """
        check_limits(size, seconds, seed)
        if not regions:
            raise InputError("no painting: name at least one")
        height, width = photo.shape[:2]
        factor = min(1.0, size / max(height, width))
        scales = self.config.scales(max(1, round(height * factor)), max(1, round(width * factor)))
        plan = [self._steps(len(scales) - 1 - index) for index in range(len(scales))]
        costs = np.array([steps * (h * w + _OVERHEAD) for steps, (h, w) in zip(plan, scales, strict=True)], float)
        ends = np.cumsum(costs) / costs.sum()
        began, picture = time.monotonic(), start
        for index, scale in enumerate(scales):
            before = None if picture is None else resize(picture, scale)
            canvas = _Canvas(self, photo, regions, scale, faces, seed, before)
            first = ends[index - 1] if index else 0.0
            for number in range(1, plan[index] + 1):
                spent = 0.0 if seconds is None else (time.monotonic() - began) / seconds
                share = ends[index] - first
                done = max((number - 1) / plan[index], (spent - first) / share)
                last = number == plan[index] or bool(done >= 1)
                canvas.advance(self.config.learning_rate * max(0.02, float(1 - done)))
                yield Progress(
                    scale,
                    number,
                    plan[index],
                    float(ends[index] if last else first + share * max(number / plan[index], done)),
                    functools.partial(canvas.finished, photo),
                    last,
                )
                if last:
                    break
            picture = canvas.picture()
            canvas.release()

    def features(self, picture: Float[Array, "1 H W 3"]) -> dict[str, jax.Array]:
        """The feature maps of a picture as `paint_loss` takes them."""
        return self._features(self.vgg, picture)

    def samples(self, regions: Sequence[Region], scale: tuple[int, int]) -> list[Samples]:
        """The samples of each region's painting at a scale."""
        found = []
        for index, region in enumerate(regions):
            key = jax.random.PRNGKey(index)
            paintings = [_unit(fit(painting, max(scale), self.config)) for painting in region.paintings]
            # One at a time: a dispatched program holds its memory while it waits for the one before.
            samples = [jax.block_until_ready(self._samples(self.vgg, painting, key)) for painting in paintings]
            found.append(mix_samples(samples, region.weights))
        return found

    def start(
        self, photo: Float[Array, "1 H W 3"], samples: Sequence[Samples], masks: Float[Array, "R h w"]
    ) -> Float[Array, "1 H W 3"]:
        """The photo's shapes around the mean colours of each region's painting."""
        return self._start(photo, [sample["colors"] for sample in samples], masks)

    def prepare(self, state: descent.DescentState, targets: tuple[Any, ...]) -> None:
        """Compiles `step`. What compiling has taken is returned before the step takes its own memory."""
        self._step.lower(state, np.float32(0), self.vgg, *targets, jax.random.PRNGKey(0)).compile()
        return_memory()

    def step(self, state: descent.DescentState, rate: Any, targets: tuple[Any, ...], key: Any) -> Any:
        """One step of Adam; see `descent.make_step`."""
        return self._step(state, rate, self.vgg, *targets, key)

    def _steps(self, coarser: int) -> int:
        """Steps at the scale that is `coarser` scales above the finest."""
        return self.config.steps[min(coarser, len(self.config.steps) - 1)]


_OVERHEAD = 40_000  # the fixed cost of a step, in pixels whose features take as long


class _Canvas:
    """The picture at one scale while it is painted."""

    def __init__(
        self,
        painter: Painter,
        photo: np.ndarray,
        regions: Sequence[Region],
        scale: tuple[int, int],
        faces: Sequence[Face],
        seed: int,
        before: np.ndarray | None,
    ) -> None:
        self._painter, self.scale = painter, scale
        small = _unit(resize(photo, scale))
        samples = painter.samples(regions, scale)
        masks = jnp.stack([_cells(region.mask, scale) for region in regions])
        in_faces = jnp.asarray(face_map(photo.shape[:2], faces, scale))[None]
        photo_features = jax.block_until_ready(painter.features(small))
        start = painter.start(small, samples, masks) if before is None else _unit(before)
        self._targets: tuple[Any, ...] = (photo_features, samples, masks, in_faces)
        self._state = descent.initial_state(start)
        painter.prepare(self._state, self._targets)
        self._key, self._number, self._pending = jax.random.fold_in(jax.random.PRNGKey(seed), max(scale)), 0, None

    def advance(self, rate: float) -> None:
        """Takes one step; waits for the previous one, so that measured times are right."""
        if self._pending is not None:
            jax.block_until_ready(self._pending)
        key = jax.random.fold_in(self._key, self._number)
        self._state, self._pending, _ = self._painter.step(self._state, np.float32(rate), self._targets, key)
        self._number += 1

    def release(self) -> None:
        """Frees the targets: `advance` must not be called again. The picture stays."""
        self._targets = ()

    def picture(self) -> UInt8[np.ndarray, "H W 3"]:
        """The picture so far, at this scale."""
        return to_uint8(np.asarray(descent.from_pyramid(self._state[0])[0]))

    def finished(self, photo: np.ndarray) -> np.ndarray:
        return enlarge_with_detail(self.picture(), photo)


def _unit(pixels: np.ndarray) -> jax.Array:
    return jnp.asarray(to_unit(pixels))[None]


def _recolored(
    photo: Float[Array, "1 H W 3"], colors: Sequence[Float[Array, "Q 3"]], masks: Float[Array, "R h w"]
) -> Float[Array, "1 H W 3"]:
    """The photo's detail around the regions' mean colours instead of those of its large areas.

    Outside all regions, the colour is that of the first one.
    """
    _, height, width, _ = photo.shape
    coarse = jax.image.resize(photo, (1, max(2, height // 8), max(2, width // 8), 3), "linear")
    shares = masks.at[0].add((masks.max(0) == 0).astype(masks.dtype))
    means = jnp.stack([color.mean(0) for color in colors])
    grid = jnp.einsum("rhw,rc->hwc", shares / shares.sum(0)[None], means)[None]
    change = jax.image.resize(grid, photo.shape, "linear") - jax.image.resize(coarse, photo.shape, "linear")
    return jnp.clip(photo + change, 0, 1)


def fit(painting: UInt8[np.ndarray, "_h _w 3"], side: int, config: PaintConfig) -> UInt8[np.ndarray, "_h2 _w2 3"]:
    """Cuts the margin off a painting and resizes it for a picture whose long side is `side`; its sides are multiples of 8.

    With a `style_scale` above 1, it is not enlarged beyond its own size, because enlarged paintings are blurred.
    """
    top, left = (int(config.margin * x) for x in painting.shape[:2])
    painting = painting[top : painting.shape[0] - top, left : painting.shape[1] - left]
    own = max(painting.shape[:2])
    factor = min(config.style_scale * side, max(side, own)) / own
    sides = (max(MULTIPLE, MULTIPLE * round(x * factor / MULTIPLE)) for x in painting.shape[:2])
    return resize(painting, tuple(sides))


def _cells(mask: np.ndarray | None, scale: tuple[int, int]) -> jax.Array:
    """A mask on the grid of cells of a scale."""
    height, width = (side // CELL for side in scale)
    if mask is None:
        return jnp.ones((height, width))
    picture = Image.fromarray(np.asarray(mask, np.float32))
    return jnp.asarray(picture.resize((width, height), Image.Resampling.BOX)).clip(0, 1)


def face_map(photo: tuple[int, int], faces: Sequence[Face], scale: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    """Where a photo of (height, width) shows faces, on the grid of cells of a scale; see `rasterize`."""
    grid = scale[0] // CELL, scale[1] // CELL
    factors = grid[1] / photo[1], grid[0] / photo[0]
    boxes = [(face.x * factors[0], face.y * factors[1], face.w * factors[0], face.h * factors[1]) for face in faces]
    return rasterize(boxes, grid).astype(np.float32)
