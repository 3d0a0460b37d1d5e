"""photo -> faces -> emotion probabilities -> style code -> stylized photo.

Photos are uint8 [H, W, 3], upright sRGB, on the way in and out. `classify_then_stylize` is the pure function in the
middle, compiled once per size bucket; `Model` wraps it with decoding, face detection and padding. A photo that is too
large for that is painted in tiles, and its faces are read before.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Real, UInt8
from PIL import Image

from emojax import checkpoint as ckpt
from emojax import classifier as cnn
from emojax import compiling, tiles
from emojax.classifier import ClassifierConfig
from emojax.emotions import EMOTIONS, NEUTRAL, PHOTO, as_dict, style_weights
from emojax.errors import UserError
from emojax.faces import Face, check_choice, cut_crop, face_weights, find_faces, recut
from emojax.finish import Colors, check_finish, finish
from emojax.images import (
    Photo,
    PhotoLike,
    check_style_scale,
    read_photo,
    rescale,
    resize_like,
    scaled_size,
    to_picture,
    to_uint8,
    to_unit,
)
from emojax.regions import Regions, box_array, weight_changes
from emojax.style_pack import StylePack, network_fingerprint
from emojax.stylizer import (
    Statistics,
    StyleCode,
    StylizerConfig,
    choose_network,
    init_stylizer,
    mix_styles,
    norm_statistics,
    stack_bank,
    stylize_with_code,
    vary_styles,
)
from emojax.tiles import network_side

Mix = Literal["dominant", "probabilities"]
NoFace = Literal["neutral", "skip", "error"]

MAX_FACES = 16
"""faces of a photo that are read: the largest ones (the number is fixed so that one program serves all photos)"""
READ_AT_ONCE = 4
"""faces in a group: filling costs time, and so does a group; divides MAX_FACES"""
CLASSIFY_BATCH = 32
"""the least and the greatest"""
PACKAGED = Path(__file__).parent / "checkpoints"
FAST = "fast"
"""the name of a packaged transform net that is smaller than the default, see docs/results.md"""

PLANNED, PHOTOS_EACH = 12, 4
"""at most this many programs for the photos of one run, or one for so many photos, whichever is more"""
COMPILATION = 750_000
"""pixels of padding for which a program is compiled; by time alone it would be 2 million (2 s of one core, while others paint),
but photos would be padded by more than a third"""
_STEP = 32  # of planned buckets' sides: in finer ones, other photos would find fewer of their programs in the cache
_MOST_COMPARED = 256

_BANK = "a bank has a network of its own for every style and cannot mix them"


class NoFaceError(UserError):
    """A photo without a face, where the caller asked for that to be an error."""


# --- the pure part ------------------------------------------------------------------------------------------------


def style_choice(styles: tuple[str, ...], emotion: Float[Array, " 7"], mix: Mix) -> Float[Array, " S"]:
    """Weights over a network's styles from weights over the emotions.

    "dominant" gives the strongest emotion's style alone, as in the paper; "probabilities" blends. Emotions that the
    network has no style for are left out, and so are styles that are no emotion's; a network with one style (the paper's)
    uses it for every emotion.
    """
    if len(styles) == 1:
        return jnp.ones(1)
    mine = jnp.stack([emotion[EMOTIONS.index(style)] if style in EMOTIONS else jnp.zeros(()) for style in styles])
    if mix == "dominant":
        return jax.nn.one_hot(mine.argmax(), len(styles))
    return mine / jnp.maximum(mine.sum(), 1e-12)


def with_strength(
    styles: tuple[str, ...], weights: Float[Array, "*dims S"], strength: Float[Any, ""] | None
) -> Float[Array, "*dims S"]:
    """Weights of styles of which only so much is the styles and the rest the style "photo", if the network has it."""
    if strength is None or PHOTO not in styles:
        return weights
    photo = jax.nn.one_hot(styles.index(PHOTO), len(styles))
    return strength * weights + (1 - strength) * photo.reshape([1] * (weights.ndim - 1) + [-1])


def stylize(
    config: StylizerConfig,
    params: Mapping[str, Any],
    photos: UInt8[Array, "N H W 3"],
    weights: Float[Array, "N S"],
    size: Int[Array, " 2"] | None = None,
    regions: Regions | None = None,
    statistics: Statistics | None = None,
    corners: Real[Array, "N 2"] | None = None,
) -> UInt8[Array, "N H W 3"]:
    """Repaints photos whose sides are multiples of 4 and at least 16. Pure.

    A bank has no networks between its own: it takes the one with the largest weight.

    Args:
        size: (h, w), how much of the photos is picture.
        regions: for a single photo and a shared network, where the weights are others.
        statistics: of the norms, for a single photo; by default the photos' own.
        corners: (x, y) of the photo in that of the regions, if it is a window of it.
    """
    ends = None if size is None else (size[0], size[1])

    def repaint(photos: Array, weights: Array) -> Array:
        network, code = _network_and_code(config, params, photos, weights, regions, corners)
        return to_uint8(stylize_with_code(config, network, to_unit(photos), code, ends, statistics=statistics))

    if not config.bank:
        return repaint(photos, weights)
    return jax.lax.map(lambda one: repaint(one[0][None], one[1][None])[0], (photos, weights))


def measure(
    config: StylizerConfig,
    params: Mapping[str, Any],
    photos: UInt8[Array, "N H W 3"],
    weights: Float[Array, " S"],
    size: Int[Array, " 2"],
    regions: Regions | None = None,
    corners: Real[Array, "N 2"] | None = None,
) -> Statistics:
    """The norms' statistics over photos that are one, or windows of one; the rest as for `stylize`. Pure."""
    network, code = _network_and_code(config, params, photos, weights[None], regions, corners)
    return norm_statistics(config, network, to_unit(photos), code, (size[0], size[1]))


def _network_and_code(
    config: StylizerConfig,
    params: Mapping[str, Any],
    photos: Array,
    weights: Array,
    regions: Regions | None,
    corners: Array | None,
) -> tuple[Any, StyleCode]:
    """What paints photos, whose weights are [N, S], or [1, S] for all; in a bank, the network of the first."""
    if config.bank:
        index = weights[0].argmax()
        code = mix_styles(params["styles"], jax.nn.one_hot(index, len(config.styles))[None])
        return choose_network(params["network"], index), code
    code = mix_styles(params["styles"], weights)
    if regions is not None:
        change = weight_changes(regions, weights[0], photos.shape[1], photos.shape[2], corners)
        code = vary_styles(code, params["styles"], change)
    return params["network"], code


def read_faces(
    classifier: ClassifierConfig, variables: Any, crops: UInt8[Array, "F S S 3"], count: Int[Array, ""]
) -> Float[Array, "F 7"]:
    """The probabilities of the first `count` crops, read in groups, as many as that takes. Pure; the first is static."""
    groups = crops.reshape(-1, READ_AT_ONCE, *crops.shape[1:])

    def read(index: Int[Array, ""], probabilities: Float[Array, "G R 7"]) -> Float[Array, "G R 7"]:
        return probabilities.at[index].set(cnn.classify(classifier, variables, groups[index]))

    empty = jnp.zeros((*groups.shape[:2], len(EMOTIONS)))
    return jax.lax.fori_loop(0, -(-count // READ_AT_ONCE), read, empty).reshape(len(crops), -1)


def classify_then_stylize(
    classifier: ClassifierConfig,
    styles: StylizerConfig,
    mix: Mix,
    params: Mapping[str, Any],
    photo: UInt8[Array, "H W 3"],
    crops: UInt8[Array, "F S S 3"],
    count: Int[Array, ""],
    weights: Float[Array, " F"],
    fallback: Float[Array, " 7"],
    size: Int[Array, " 2"],
    boxes: Float[Array, "F 4"] | None = None,
    strength: Float[Array, ""] | None = None,
) -> tuple[Float[Array, "F 7"], UInt8[Array, "H W 3"]]:
    """The whole model: reads the faces, chooses the style, repaints the photo. Pure; the first three are static.

    Args:
        params: {"classifier": linen variables, "styles": see `init_stylizer`}.
        photo: padded to its bucket; its top left size[0] x size[1] is picture, multiples of 4 and at least 16.
        crops: faces as the classifier wants them; F is a multiple of `READ_AT_ONCE`.
        count: how many of the crops are faces; the rest is filling.
        weights: of the faces in the photo's emotion, summing to 1, 0 for filling; all 0 if there is no face.
        fallback: the emotion where there is no face.
        boxes: of the faces in the photo, for a style per face; see `Regions`.
        strength: of the style, 0 to 1; see `with_strength`.

    Returns:
        The probabilities of every face (of the filling, anything), and the stylized photo.
    """
    probabilities, choice, choices = read_styles(
        classifier, styles.styles, mix, params["classifier"], crops, count, weights, fallback, strength
    )
    regions = None if boxes is None else Regions(boxes, choices)
    return probabilities, stylize(styles, params["styles"], photo[None], choice[None], size, regions)[0]


def read_styles(
    classifier: ClassifierConfig,
    styles: tuple[str, ...],
    mix: Mix,
    variables: Any,
    crops: UInt8[Array, "F P P 3"],
    count: Int[Array, ""],
    weights: Float[Array, " F"],
    fallback: Float[Array, " 7"],
    strength: Float[Array, ""] | None = None,
) -> tuple[Float[Array, "F 7"], Float[Array, " S"], Float[Array, "F S"]]:
    """Reads the faces and chooses the style; see `classify_then_stylize`. Pure; the first three are static.

    Returns:
        The probabilities of every face, the weights of the photo's styles, and those of every face's.
    """
    probabilities = read_faces(classifier, variables, crops, count)
    mean = jnp.matmul(weights, probabilities, precision=jax.lax.Precision.HIGHEST)
    emotion = jnp.where(weights.sum() > 0, mean, fallback)
    choices = jax.vmap(lambda row: style_choice(styles, row, mix))(probabilities)
    choice = style_choice(styles, emotion, mix)
    return probabilities, with_strength(styles, choice, strength), with_strength(styles, choices, strength)


# Configs are hashable, so each pair of architectures is compiled once per process and size, whoever loads it.
@functools.cache
def _whole_program(classifier: ClassifierConfig, styles: StylizerConfig, mix: Mix) -> tuple[Any, Buckets]:
    return compiling.jit(functools.partial(classify_then_stylize, classifier, styles, mix)), Buckets()


@functools.cache
def _stylize_program(styles: StylizerConfig) -> tuple[Any, Buckets]:
    return compiling.jit(functools.partial(stylize, styles)), Buckets()


@functools.cache
def _tile_programs(styles: StylizerConfig) -> tuple[Any, Any, Buckets]:
    return (*(compiling.jit(functools.partial(part, styles)) for part in (measure, stylize)), Buckets())


@functools.cache
def classify_program(classifier: ClassifierConfig) -> Any:
    """`emojax.classifier.classify`, compiled: (variables, crops uint8 [N, S, S, 3]) -> probabilities."""
    return compiling.jit(functools.partial(cnn.classify, classifier))


@functools.cache
def _reading_program(classifier: ClassifierConfig, styles: tuple[str, ...], mix: Mix) -> Any:
    return compiling.jit(functools.partial(read_styles, classifier, styles, mix))


# --- sizes --------------------------------------------------------------------------------------------------------


def bucket_side(side: int) -> int:
    """The side of the bucket: four an octave from 128 up, so that a larger side grows by less than a quarter."""
    power = 128
    while 2 * power <= side:
        power *= 2
    return next(power * step // 4 for step in (4, 5, 6, 7, 8) if power * step // 4 >= side)


def plan_buckets(sizes: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The buckets for photos whose sizes are all known: few of them, and every photo fits one.

    Each photo has its own bucket at first; then, again and again, the two whose union pads the photos least become one, as
    long as that pads less than compiling costs, or there are too many.

    Args:
        sizes: (height, width) of every photo, as the network sees it.

    Returns:
        (height, width) of each bucket, multiples of 32, in no order.
    """
    step, photos = _STEP, Counter(sizes)
    while True:  # coarser for thousands of different sizes, because the time grows with the cube of their number
        own: Counter[tuple[int, int]] = Counter()
        for (h, w), count in photos.items():
            own[-(-h // step) * step, -(-w // step) * step] += count
        if len(own) <= _MOST_COMPARED:
            break
        step *= 2
    if not own:
        return []
    heights, widths = np.array(sorted(own)).T
    counts = np.array([own[bucket] for bucket in sorted(own)])
    most = max(PLANNED, counts.sum() // PHOTOS_EACH)
    while len(counts) > 1:
        tall, wide = np.maximum.outer(heights, heights), np.maximum.outer(widths, widths)
        pixels = heights * widths * counts
        padding = tall * wide * np.add.outer(counts, counts) - np.add.outer(pixels, pixels)
        np.fill_diagonal(padding, np.iinfo(padding.dtype).max)
        i, j = np.unravel_index(padding.argmin(), padding.shape)
        if len(counts) <= most and padding[i, j] >= COMPILATION:
            break
        heights[i], widths[i], counts[i] = tall[i, j], wide[i, j], counts[i] + counts[j]
        heights, widths, counts = (np.delete(values, j) for values in (heights, widths, counts))
    return list(zip(heights.tolist(), widths.tolist(), strict=True))


class Buckets:
    """The sizes that a program was compiled for so far; chooses the one for the next photo.

    Compiling takes seconds, whatever the size, so until a bucket has come `PATIENCE` times, a program that is there already
    serves it, if it has at most twice as many pixels. Sizes that were told by `expect` have the buckets of `plan_buckets`.
    What a photo becomes may so depend on the photos before it, but by no more than rounding.
    """

    PATIENCE = 8
    """a guess: photos that may cost up to twice their time before they are worth a program of their own"""

    def __init__(self) -> None:
        self.compiled: set[tuple[int, int]] = set()
        self._wanted: Counter[tuple[int, int]] = Counter()
        self._expected: dict[tuple[int, int], tuple[int, int]] = {}
        self._locks: dict[tuple[int, int], threading.Lock] = {}

    def expect(self, sizes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Plans the buckets for photos of these (height, width) and returns them in the order in which they come."""
        planned = plan_buckets(sizes)
        for h, w in sizes:
            self._expected[h, w] = min(((y, x) for y, x in planned if y >= h and x >= w), key=math.prod)
        return list(dict.fromkeys(self._expected[size] for size in sizes))

    def compiling(self, bucket: tuple[int, int]) -> threading.Lock:
        """To be held by whoever may compile a bucket's program, so that no two threads do."""
        return self._locks.setdefault(bucket, threading.Lock())

    def choose(self, h: int, w: int) -> tuple[int, int]:
        """The (height, width) of the program for a photo of h x w, which counts as compiled from now on."""
        if (h, w) in self._expected:
            self.compiled.add(self._expected[h, w])
            return self._expected[h, w]
        own = bucket_side(h), bucket_side(w)
        self._wanted[own] += 1
        if own not in self.compiled and self._wanted[own] <= self.PATIENCE:
            most = 2 * own[0] * own[1]
            larger = [(y * x, y, x) for y, x in self.compiled if y >= h and x >= w and y * x <= most]
            if larger:
                return min(larger)[1:]
        self.compiled.add(own)
        return own


def pad_to_bucket(photo: np.ndarray, buckets: Buckets) -> tuple[np.ndarray, np.ndarray]:
    """Pads a photo uint8 [H, W, 3] to a bucket: by reflection to a multiple of 4, then with zeros, never seen.

    Returns:
        The padded photo, and int32 [2], how much of it is picture.
    """
    h, w = (network_side(side) for side in photo.shape[:2])
    return tiles.pad(photo, *buckets.choose(h, w))


# --- large photos -------------------------------------------------------------------------------------------------


def stylize_in_tiles(
    config: StylizerConfig,
    params: Mapping[str, Any],
    photo: UInt8[np.ndarray, "H W 3"],
    weights: Float[Any, " S"],
    regions: Regions | None = None,
    whole: int | None = None,
    most: int = tiles.SIDE,
) -> UInt8[np.ndarray, "H W 3"]:
    """Repaints a photo window by window, all with the same norm statistics; see `stylize` and `emojax.tiles`.

    Args:
        whole: pixels of the largest photo whose statistics are measured at once; by default those of `tiles.whole`.
        most: the largest side of a window.
    """
    statistics = estimate_statistics(config, params, photo, weights, regions, whole)
    _, program, _ = _tile_programs(config)

    def painter(window: np.ndarray, size: np.ndarray, corner: np.ndarray) -> np.ndarray:
        return np.asarray(program(params, window, weights[None], size, regions, statistics, corner))[0]

    return tiles.paint(photo, config.receptive_radius, painter, most)


def estimate_statistics(
    config: StylizerConfig,
    params: Mapping[str, Any],
    photo: UInt8[np.ndarray, "H W 3"],
    weights: Float[Any, " S"],
    regions: Regions | None = None,
    whole: int | None = None,
) -> Statistics:
    """About the norm statistics of a photo of any size: those of one pass over the photo halved until it is small enough.

    A photo of half the size has sharper detail, so every halving is made up for by what it does to the statistics of
    windows that are spread over the photo, and that are measured at both sizes (a control variate; with several halvings
    the multilevel Monte Carlo method of Giles 2008, doi:10.1287/opre.1070.0496, with fixed samples).
    """
    program, _, buckets = _tile_programs(config)
    whole = whole or tiles.whole(config)
    if tiles.fits(photo, whole):
        padded, size = pad_to_bucket(photo, buckets)
        return program(params, padded[None], weights, size, regions)
    half = rescale(photo, 0.5)
    halved = None if regions is None else Regions(regions.boxes / 2, regions.weights)
    side, corners = tiles.sample_windows(photo.shape[0], photo.shape[1], whole)

    def sample(photo: np.ndarray, corners: np.ndarray, side: int, regions: Regions | None) -> Statistics:
        windows, size = tiles.cut(photo, corners, side, side)
        return program(params, windows, weights, size, regions, corners)

    windows = sample(photo, corners, side, regions)
    halves = sample(half, corners // 2, side // 2, halved)
    return tiles.corrected(estimate_statistics(config, params, half, weights, halved, whole), halves, windows)


# --- the friendly part --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReadFace:
    """A face of a photo and what was read from it."""

    face: Face
    emotion: dict[str, float]
    """the seven probabilities"""
    style: dict[str, float] | None = None
    """the weights of the styles that its region took; None if the picture has one style"""


@dataclass(frozen=True)
class Result:
    """What became of a photo."""

    image: Image.Image | None
    """the stylized photo, RGB or RGBA, of the photo's size; None if it was skipped"""
    faces: list[ReadFace]
    """the faces that were read, largest first, at most `MAX_FACES`"""
    emotion: dict[str, float] | None
    """the photo's seven probabilities; None if no face was read"""
    style: dict[str, float] | None
    """the weights of the styles used; None if the photo was skipped"""
    note: str | None = None
    """what the user should know, in one line: no face, an animation, ..."""
    painted: dict[str, Any] | None = None
    """how the picture was optimized, if it was: paintings, size, steps, seed, ...; see `emojax.best.paint_photo`"""
    interrupted: bool = False
    """whether Ctrl-C ended the optimization before its time"""


@dataclass(frozen=True, eq=False)
class Model:
    """A classifier and a transform net, ready for photos. Make one with `load`."""

    classifier: ClassifierConfig
    styles: StylizerConfig
    params: Mapping[str, Any]

    def __call__(
        self,
        photo: PhotoLike | Photo,
        *,
        emotion: str | Mapping[str, float] | None = None,
        mix: Mix = "dominant",
        face: str | int = "all",
        no_face: NoFace = "neutral",
        per_face: bool = False,
        style_scale: float = 1.0,
        strength: float = 1.0,
        colors: Colors = "painting",
    ) -> Result:
        """Repaints a photo in the style of the emotion on its faces.

        Args:
            photo: a path, a PIL image, an array uint8 [H, W, 3], an encoded file (bytes, bytearray, memoryview or an
                open binary file), or what `images.read_photo` returned.
            emotion: use this style, or these weights of styles, and do not read the faces. Besides emotions it may name
                the packs of `with_packs`.
            mix: "dominant" uses the strongest emotion's style, "probabilities" blends the styles by the reading.
            face: whose emotion counts: "all" (weighted by area), "largest", or the number of a face, from 0.
            no_face: what to do with a photo without a face: "neutral" style, "skip", or "error".
            per_face: every face's region takes the style of its own emotion, the rest of the picture the photo's.
            style_scale: the size of the strokes, 0.25 to 4: the network sees the photo this much smaller, so that above 1
                details are lost, and below 1 it takes more time and memory.
            strength: of the style: 0 is the photo itself, 1 the full style; see `_code_and_amount`.
            colors: "painting", or "photo" for the painting's lightness in the photo's own colours.

        Raises:
            UserError: a photo that cannot be read, an unknown choice, or (`NoFaceError`) no face with no_face="error".
        """
        for value, choices, name in ((mix, get_args(Mix), "mix"), (no_face, get_args(NoFace), "no_face")):
            if value not in choices:
                raise UserError(f"{name} {value!r}: choose from {', '.join(choices)}")
        check_choice(face)
        check_style_scale(style_scale)
        check_finish(strength, colors)
        if per_face and emotion is not None:
            raise UserError("a style per face needs the faces read: leave out the emotion or style")
        if self.styles.bank and (per_face or mix == "probabilities"):
            raise UserError(f"{_BANK}: leave out --per-face and --mix probabilities, or take a network of all styles")
        photo = photo if isinstance(photo, Photo) else read_photo(photo)
        share, amount = self._code_and_amount(strength)
        if emotion is not None:
            chosen = self._explicit_style(emotion)
            mixed = np.asarray(with_strength(self.styles.styles, jnp.asarray(chosen), share))
            stylized = self._stylize(photo.pixels, mixed, style_scale)
            picture = to_picture(finish(photo.pixels, stylized, amount, colors), photo.alpha)
            return Result(picture, [], None, self._style_dict(chosen), photo.note)
        faces, problem = find_faces(photo.pixels), "no face found"
        notes = [photo.note] if photo.note else []
        if not faces:
            if no_face == "error":
                raise NoFaceError(f"{problem}: choose another --no-face, or name a style with --emotion")
            if no_face == "skip":
                return Result(None, [], None, None, "; ".join([*notes, f"{problem}, skipped"]))
            if EMOTIONS[NEUTRAL] not in self.styles.styles and sum(s in EMOTIONS for s in self.styles.styles) > 1:
                raise NoFaceError(f"{problem}, and no neutral style: choose --no-face skip, or a style with --emotion")
            notes.append(f"{problem}, used the neutral style")
        if len(faces) > MAX_FACES:
            notes.append(f"{len(faces)} faces found, the {MAX_FACES} largest were read")
        faces = faces[:MAX_FACES]
        side = self.classifier.size
        crops = np.zeros((MAX_FACES, side, side, 3), np.uint8)
        for index, found in enumerate(faces):
            crops[index] = cut_crop(photo.pixels, found, self.classifier.margin, side)
        weights, neutral = face_weights(faces, face, MAX_FACES), style_weights(EMOTIONS[NEUTRAL])
        seen = rescale(photo.pixels, 1 / style_scale)
        scales = np.array(seen.shape[1::-1] * 2) / np.array(photo.pixels.shape[1::-1] * 2)
        boxes = (box_array(faces, MAX_FACES) * scales).astype(np.float32) if per_face else None
        count = np.int32(len(faces))
        if tiles.fits(seen, tiles.whole(self.styles)):
            program, buckets = _whole_program(self.classifier, self.styles, mix)
            padded, size = pad_to_bucket(seen, buckets)
            with buckets.compiling(padded.shape[:2]):
                probabilities, stylized = program(
                    self.params, padded, crops, count, weights, neutral, size, boxes, share
                )
        else:
            reader = _reading_program(self.classifier, self.styles.styles, mix)
            probabilities, choice, choices = reader(self.params["classifier"], crops, count, weights, neutral, share)
            regions = None if boxes is None else Regions(boxes, choices)
            stylized = stylize_in_tiles(self.styles, self.params["styles"], seen, choice, regions)
        probabilities = np.asarray(probabilities)
        reading = weights @ probabilities if faces else neutral
        stylized = resize_like(np.asarray(stylized)[: seen.shape[0], : seen.shape[1]], photo.pixels)
        return Result(
            to_picture(finish(photo.pixels, stylized, amount, colors), photo.alpha),
            [
                ReadFace(found, as_dict(row), self._chosen(row, mix) if per_face else None)
                for found, row in zip(faces, probabilities, strict=False)
            ],
            as_dict(reading) if faces else None,
            self._chosen(reading, mix),
            "; ".join(notes) or None,
        )

    def paint(self, photo: PhotoLike | Photo, painting: PhotoLike | Photo | None = None, **options: Any) -> Result:
        """Paints a photo by optimizing its pixels, in the style of any painting or of the emotion's; takes minutes.

        See `emojax.best.paint_photo` for the options, what it returns and what it raises.
        """
        from emojax.best import paint_photo  # optax, which it needs, takes a while to import

        return paint_photo(self, photo, painting, **options)

    def expect(
        self,
        sizes: Iterable[tuple[int, int]],
        *,
        read: bool = True,
        mix: Mix = "dominant",
        per_face: bool = False,
        style_scale: float = 1.0,
    ) -> list[Callable[[], Any]]:
        """Chooses the programs for photos that will come, so that few are compiled and the photos are padded little.

        Args:
            sizes: (height, width) of every photo, in the order in which they come.
            read: whether their faces will be read, that is, no emotion given.
            mix, per_face, style_scale: as they will be given.

        Returns:
            For each program, in the order of need, what compiles it: to be called in another thread while photos are
            painted, or not at all.
        """
        shape = jax.ShapeDtypeStruct
        size, weights = shape((2,), np.int32), shape((1, len(self.styles.styles)), np.float32)
        side = self.classifier.size
        faces = shape((MAX_FACES, side, side, 3), np.uint8), shape((), np.int32), shape((MAX_FACES,), np.float32)
        neutral, boxes = shape((len(EMOTIONS),), np.float32), shape((MAX_FACES, 4), np.float32) if per_face else None
        program, buckets = _whole_program(self.classifier, self.styles, mix) if read else _stylize_program(self.styles)
        share = shape((), np.float32) if PHOTO in self.styles.styles else None

        def compile(bucket: tuple[int, int]) -> None:
            with buckets.compiling(bucket):
                if read:
                    photo = shape((*bucket, 3), np.uint8)
                    program.lower(self.params, photo, *faces, neutral, size, boxes, share).compile()
                else:
                    photo = shape((1, *bucket, 3), np.uint8)
                    program.lower(self.params["styles"], photo, weights, size).compile()

        seen = (scaled_size(height, width, 1 / style_scale) for height, width in sizes)
        most = tiles.whole(self.styles)
        whole = [size for size in seen if math.prod(size) <= most]  # the others go through tiles
        planned = buckets.expect([(network_side(height), network_side(width)) for height, width in whole])
        return [functools.partial(compile, bucket) for bucket in planned]

    def classify(self, crops: np.ndarray, margin: float = 0.0) -> np.ndarray:
        """Reads the emotions of cropped faces.

        Args:
            crops: uint8 [N, H, W, 3], RGB, of any size.
            margin: what the crops show beyond the face's box on each side, as a fraction of the box (the packed ExpW
                crops: 0.2, the FER+ faces: 0).

        Returns:
            float32 [N, 7], rows sum to 1, in the order of `EMOTIONS`.

        Raises:
            UserError: crops of another dtype or shape, or a margin that is not at least 0.
        """
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[-1] != 3:
            raise UserError(f"crops are {crops.dtype} {list(crops.shape)}: give uint8 [N, H, W, 3]")
        if not margin >= 0:
            raise UserError(f"margin {margin}: it is a fraction of the face's box, at least 0")
        config = self.classifier
        ready = [recut(crop, margin, config.margin, config.size) for crop in crops]
        rows = [np.zeros((0, len(EMOTIONS)), np.float32)]
        for start in range(0, len(ready), CLASSIFY_BATCH):
            batch = np.stack(ready[start : start + CLASSIFY_BATCH])
            padded = np.zeros((CLASSIFY_BATCH, *batch.shape[1:]), np.uint8)
            padded[: len(batch)] = batch
            rows.append(np.asarray(classify_program(config)(self.params["classifier"], padded))[: len(batch)])
        return np.concatenate(rows)

    def find_faces(self, photo: PhotoLike) -> list[Face]:
        """The faces of a photo (as in `__call__`), largest first; see `emojax.faces.find_faces`.

        Raises:
            UserError: a photo that cannot be read.
        """
        return find_faces(read_photo(photo, math.inf).pixels)

    def stylize(self, photo: PhotoLike, emotion: str | Mapping[str, float]) -> np.ndarray:
        """Repaints a photo (as in `__call__`) in a given style or mix; returns uint8 [H, W, 3].

        Raises:
            UserError: a photo that cannot be read, or a style that is unknown or that the network does not have.
        """
        return self._stylize(read_photo(photo, math.inf).pixels, self._explicit_style(emotion))

    def with_packs(self, packs: Sequence[StylePack]) -> Model:
        """This model with further styles, each a row of scales and shifts.

        Raises:
            UserError: a pack that was made for another network, or a name that is taken.
        """
        styles, params = add_packs(self.styles, self.params["styles"], packs)
        return dataclasses.replace(self, styles=styles, params={**self.params, "styles": params})

    def _stylize(self, photo: np.ndarray, weights: np.ndarray, style_scale: float = 1.0) -> np.ndarray:
        seen = rescale(photo, 1 / style_scale)
        if not tiles.fits(seen, tiles.whole(self.styles)):
            return resize_like(stylize_in_tiles(self.styles, self.params["styles"], seen, weights), photo)
        program, buckets = _stylize_program(self.styles)
        padded, size = pad_to_bucket(seen, buckets)
        with buckets.compiling(padded.shape[:2]):
            stylized = program(self.params["styles"], padded[None], weights[None], size)
        return resize_like(np.asarray(stylized)[0, : seen.shape[0], : seen.shape[1]], photo)

    def _code_and_amount(self, strength: float) -> tuple[np.ndarray | None, float]:
        """How a strength is split: the share of the style's code, and the amount of the cross-fade with the photo.

        Where the network has the style "photo", from 1 down to a half only the code goes towards it: strokes and palette get
        weaker, and no edge is doubled. From there to 0, where picture and photo are alike, pixels are cross-faded, too.
        Without that style there is only the cross-fade (share None).
        """
        if PHOTO not in self.styles.styles:
            return None, strength
        return np.array(strength, np.float32), min(1.0, 2 * strength)

    def _explicit_style(self, emotion: str | Mapping[str, float]) -> np.ndarray:
        """Weights float32 [S] over the network's styles for weights that the user gave."""
        names = (*EMOTIONS, *(name for name in self.styles.styles if name not in EMOTIONS))
        weights = dict(zip(names, style_weights(emotion, names).tolist(), strict=True))
        missing = [name for name, weight in weights.items() if weight and name not in self.styles.styles]
        if missing:
            raise UserError(f"this network has no style for {missing[0]!r}: it has {', '.join(self.styles.styles)}")
        if self.styles.bank and max(weights.values()) < 1:
            raise UserError(f"{_BANK}: name one emotion, not a mix")
        return np.array([weights[name] for name in self.styles.styles], np.float32)

    def _chosen(self, reading: np.ndarray, mix: Mix) -> dict[str, float]:
        """The style of a reading, as `classify_then_stylize` chooses it."""
        return self._style_dict(np.asarray(style_choice(self.styles.styles, jnp.asarray(reading), mix)))

    def _style_dict(self, weights: np.ndarray) -> dict[str, float]:
        """The weights of the styles used, without those that are 0."""
        pairs = zip(self.styles.styles, weights, strict=True)
        return {name: float(weight) for name, weight in pairs if weight > 0}


def load(classifier: str | os.PathLike | None = None, styles: str | os.PathLike | None = None) -> Model:
    """Loads checkpoints, by default those that travel inside the package.

    Args:
        classifier: a checkpoint, or the folder of a training run (then its best checkpoint).
        styles: likewise; or "fast", a smaller packaged network.

    Raises:
        UserError: a checkpoint that is missing, damaged, of another kind or of another architecture.
    """
    faces_config, variables = load_classifier(classifier or PACKAGED / "classifier")
    styles_config, params = load_styles(find_styles(styles))
    return Model(faces_config, styles_config, jax.device_put({"classifier": variables, "styles": params}))


def find_styles(styles: str | os.PathLike | None = None) -> Path:
    """The checkpoint that a user means: the packaged default for none, the smaller packaged one for "fast", else a path."""
    if not styles:
        return PACKAGED / "styles"
    return PACKAGED / FAST if styles == FAST else Path(styles)  # a folder of that name is ./fast


def add_packs(config: StylizerConfig, params: Any, packs: Sequence[StylePack]) -> tuple[StylizerConfig, Any]:
    """A network with further styles; see `Model.with_packs`."""
    fingerprint = network_fingerprint(params["network"])
    for pack in packs:
        pack.check(config, fingerprint)
        config = dataclasses.replace(config, styles=(*config.styles, pack.name))
    rows = [jax.tree.map(lambda row: row[None], dict(pack.code)) for pack in packs]
    table = jax.tree.map(lambda *rows: jnp.concatenate(rows), params["styles"], *rows)
    return config, {**params, "styles": table}


def load_classifier(path: str | os.PathLike) -> tuple[ClassifierConfig, Any]:
    """A classifier's config and linen variables; see `load`."""
    found = ckpt.read_checkpoint(path, "classifier")
    config = ckpt.model_config(found, ClassifierConfig)
    expected = jax.eval_shape(lambda: cnn.init_classifier(config, jax.random.PRNGKey(0)))
    return config, ckpt.load_params(found, expected)


def load_styles(path: str | os.PathLike) -> tuple[StylizerConfig, Any]:
    """A transform net's config and parameters; see `load`. A folder of them, one per emotion, becomes a bank."""
    if singles := _bank_folders(Path(path)):
        return _load_bank(singles)
    found = ckpt.read_checkpoint(path, "styles")
    config = ckpt.model_config(found, StylizerConfig)
    unknown = [name for name in config.styles if name not in (*EMOTIONS, PHOTO)]
    if unknown:
        raise UserError(f"checkpoint {found.path} has a style {unknown[0]!r} that is not an emotion")
    expected = jax.eval_shape(lambda: init_stylizer(config, jax.random.PRNGKey(0)))
    return config, ckpt.load_params(found, expected)


def _bank_folders(path: Path) -> dict[str, Path]:
    """The checkpoints or runs of a bank, emotion -> folder; none if `path` itself is a checkpoint or run."""
    if (path / "model.json").exists() or ckpt.checkpoints_in(path):
        return {}
    return {emotion: path / emotion for emotion in EMOTIONS if (path / emotion).is_dir()}


def _load_bank(folders: Mapping[str, Path]) -> tuple[StylizerConfig, Any]:
    found = {emotion: load_styles(folder) for emotion, folder in folders.items()}
    shape = next(config for config, _ in found.values())
    for emotion, (config, _) in found.items():
        if config != dataclasses.replace(shape, styles=(emotion,)):
            raise UserError(
                f"{folders[emotion]} is a {config}: a bank needs width {shape.width}, {shape.blocks} blocks, patches "
                f"of {shape.patch} and the one style {emotion!r} there"
            )
    bank = dataclasses.replace(shape, styles=tuple(found), bank=True)
    return bank, jax.tree.map(np.asarray, stack_bank([params for _, params in found.values()]))
