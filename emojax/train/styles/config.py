"""The configs of a training run of the transform net: photos and paintings, loss, run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from emojax.emotions import EMOTIONS, PHOTO, style_weights
from emojax.errors import InputError
from emojax.losses.objective import ObjectiveWeights
from emojax.losses.terms import CONTENT_LAYER
from emojax.nets.stylizer_config import StylizerConfig
from emojax.train.config import TrainingConfig
from emojax.train.progress import Length
from emojax.util.numbers import check_range
from emojax.util.words import nearest

PAINTING_SIDE = 256
"""short side of the paintings at a style scale of 1, whatever the size of the photos"""


@dataclass(frozen=True)
class PhotoConfig:
    """Where photos and paintings come from."""

    MAY_CHANGE: ClassVar = ("workers", "faces")
    """fields that may differ when a run is resumed"""

    photos: tuple[str, ...] = ()
    """folders (searched recursively), .tar files, single photos, or the name of a TFDS data set such as coco/2017"""
    paintings: tuple[str, ...] = ()
    """a folder with a folder of paintings per emotion, or sad=PATH for single ones, which take precedence"""
    prefer: tuple[str, ...] = ()
    """file names to take where the folder of an emotion holds several paintings"""
    crop: int = 256
    """side of the square training crops, in pixels; a multiple of 4"""
    scale: tuple[float, ...] = (0.5, 1.0)
    """range of the random factor by which photos are resized before a crop is cut; factors above 1 imitate larger photos,
    which are smoother from pixel to pixel"""
    painting_size: int = PAINTING_SIDE
    """short side of the paintings, in pixels: larger gives bolder strokes"""
    painting_sizes: tuple[str, ...] = ()
    """short sides of single paintings, e.g. sad=560: larger for paintings with fine strokes"""
    painting_crops: tuple[str, ...] = ()
    """the part of a painting to learn from, e.g. happy=0,0.33,1,1 (left, top, right, bottom as fractions); none: all of it"""
    find_faces: bool = False
    """find the faces in the photos, so that the loss can give them weight (face_similarity)"""
    faces: str = ""
    """a JSON file of the faces in the photos, for `find_faces`; it is written if it is missing, so that faces are found only
    once; empty: faces are found when a photo is first drawn"""
    held_out: int = 8
    """photos kept out of training for the validation loss"""
    workers: int = 2
    """number of threads that decode"""

    def __post_init__(self) -> None:
        if self.crop < 16 or self.crop % 4:
            raise InputError(f"`crop` {self.crop}: it has to be a multiple of 4, at least 16", "crop")
        if not (len(self.scale) == 2 and 0 < self.scale[0] <= self.scale[1] <= 16):
            raise InputError(
                f"`scale` {self.scale}: give two factors, the smaller one first, above 0 and at most 16", "scale"
            )
        for entry in self.painting_crops:
            parse_crop(entry)
        for entry in self.painting_sizes:
            parse_size(entry)
        check_range("painting_size", self.painting_size, least=16, whole=True)
        check_range("held_out", self.held_out, least=1, whole=True)
        check_range("workers", self.workers, least=1, whole=True)


def parse_size(entry: str) -> tuple[str, int]:
    """ "sad=560" -> ("sad", 560); raises InputError for what is no size of at least 16 pixels."""
    style, _, text = entry.partition("=")
    if not (text.isdecimal() and int(text) >= 16):
        raise InputError(f"`painting_sizes` {entry!r}: write STYLE=PIXELS, at least 16", "painting_sizes")
    return style, int(text)


def parse_crop(entry: str) -> tuple[str, tuple[float, ...]]:
    """ "happy=0,0.33,1,1" -> ("happy", (0, 0.33, 1, 1)); raises InputError for any other form."""
    style, _, text = entry.partition("=")
    try:
        left, top, right, bottom = box = tuple(float(number) for number in text.split(","))
    except ValueError:
        raise InputError(f"`painting_crops` {entry!r}: write STYLE=LEFT,TOP,RIGHT,BOTTOM", "painting_crops") from None
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise InputError(
            f"`painting_crops` {entry!r}: fractions of the painting, 0 to 1, left before right, top before bottom",
            "painting_crops",
        )
    return style, box


@dataclass(frozen=True)
class StyleLossConfig(ObjectiveWeights):
    """Weights of the loss: those of the objective, and of terms that only training has."""

    flatness: float = 0.0
    """weight of the variation where the photo is flat, against halos and blotches; see `flatness_loss`"""
    strengths: tuple[float, ...] = ()
    """factor of the style, transport and moments weights, one per style with a painting, in their order; none: 1 for all"""
    photo: float = 10.0
    """weight of the relative difference to the photo, for the style "photo", which has no painting"""
    steadiness: float = 0.0
    """weight of the noise gain: the mean squared change that noise in the photo makes, over the noise's mean square"""

    @property
    def layers(self) -> tuple[str, ...]:
        """Feature maps that the terms with a weight above 0 need; VGG16 is computed up to the deepest of them."""
        style = [name for name, weight in zip(self.style_layers, self.style_layer_weights, strict=True) if weight]
        used = (CONTENT_LAYER,) * bool(self.content) + tuple(style) * bool(self.style)
        return tuple(dict.fromkeys(used + self.columns * self.compares_columns))

    @property
    def compares_columns(self) -> bool:
        """Whether a term that compares hypercolumns or colours has a weight above 0."""
        return any((self.similarity, self.face_similarity, self.transport, self.moments, self.palette))


@dataclass(frozen=True)
class StyleTraining(TrainingConfig):
    """A training run of the transform net."""

    MAY_CHANGE: ClassVar = (*TrainingConfig.MAY_CHANGE, "score_on", "release", "mixes", "minutes")

    output: str = ""
    """the run's folder; empty: runs/PRESET, or runs/PRESET/EMOTION for a single emotion"""
    minutes: float | None = None
    """minutes to train, scoring and release included, instead of steps or epochs; the learning rate follows the clock"""
    score_on: tuple[str, ...] = ()
    """photos on which the best checkpoint is scored when training is done, as by `emojax evaluate styles`"""
    release: str | None = None
    """the release folder, into which the best checkpoint is written without its training state when training is done"""
    mixes: tuple[str, ...] = ()
    """the styles of the release as mixes of the trained ones, e.g. angry=the_scream:0.5,composition_vii:0.5; "photo" is added
    if it is trained; none: the trained styles"""
    emotion: str | None = None
    """train only this emotion (a network with one style, as in the paper) instead of the model's styles"""
    teacher: str | None = None
    """a checkpoint with these styles, or "default", whose pictures a smaller network learns instead of paintings"""
    initial: str | None = None
    """a checkpoint or run of the same shape and with these styles to start from; none: random weights"""
    vgg16: str | None = None
    """the VGG16 weights; none: $EMOJAX_VGG16, then the packaged ones"""
    data: PhotoConfig = field(default_factory=PhotoConfig)
    model: StylizerConfig = field(default_factory=StylizerConfig)
    loss: StyleLossConfig = field(default_factory=StyleLossConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.emotion is not None and self.emotion not in EMOTIONS:
            raise InputError(f"`emotion` {self.emotion!r} is unknown{nearest(self.emotion, EMOTIONS)}", "emotion")
        if self.minutes is not None:
            check_range("minutes", self.minutes, above=0)
        if self.model.network_per_style:
            raise InputError(
                "a set of networks is not trained as a whole: train its networks one by one, each with its own `emotion`"
            )
        styles = painted_styles(self.resolved_model().style_names)
        if PHOTO in self.resolved_model().style_names[:-1]:
            raise InputError(
                f"`style_names` {self.resolved_model().style_names}: {PHOTO!r} has to be the last", "style_names"
            )
        self.release_styles()
        if self.loss.strengths and len(self.loss.strengths) != len(styles):
            raise InputError(
                f"`strengths` {self.loss.strengths}: give one for each of the {len(styles)} styles, or none",
                "strengths",
            )

    def release_styles(self) -> dict[str, np.ndarray]:
        """The weights of the trained styles, float32 [S], in each style of the release.

        Raises:
            InputError: a mix that cannot be read, or of styles that are not trained.
        """
        trained = self.resolved_model().style_names
        if not self.mixes or self.emotion:
            return dict(zip(trained, np.eye(len(trained), dtype=np.float32), strict=True))
        found = {}
        for entry in self.mixes:
            name, equals, mix = entry.partition("=")
            if not (name and equals and mix):
                raise InputError(f"`mixes` {entry!r}: write NAME=STYLE:WEIGHT,STYLE:WEIGHT", "mixes")
            found[name] = style_weights(mix, trained)
        if PHOTO in trained:
            found.setdefault(PHOTO, style_weights(PHOTO, trained))
        return found

    def length(self) -> Length:
        """How long to train. A tenth of `minutes`, at most one of them, is kept for scoring and the release."""
        if self.minutes is None:
            return super().length()
        reserved = min(0.1 * self.minutes, 1.0) if self.score_on or self.release else 0.0
        return Length(seconds=60 * (self.minutes - reserved))

    def resolved_model(self) -> StylizerConfig:
        """The model's config; if `emotion` is given, it has only that style."""
        return dataclasses.replace(self.model, style_names=(self.emotion,)) if self.emotion else self.model


def painted_styles(styles: tuple[str, ...]) -> tuple[str, ...]:
    """The styles that have a painting."""
    return tuple(style for style in styles if style != PHOTO)
