"""Labelled faces for training the classifier, as batches for the device.

sources -> Grain: balanced draws, shuffle, decode, cut -> {"image": uint8 [N, S, S, 3], "label": float32 [N, 7], "domain":
float32 [N, K], "seed": uint32 [N]}

If the features of the first blocks are computed beforehand (`emojax.train.faces.features`), "image" is float16 [N, h, w, C].
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grain
import numpy as np
from jaxtyping import Float, Float16, Int, UInt8
from PIL import Image

from emojax.emotions import EMOTIONS
from emojax.errors import InputError
from emojax.faces.crops import convert_crop
from emojax.nets.classifier_config import ClassifierConfig
from emojax.train.faces.sources import FaceConfig, FaceSource, open_faces
from emojax.train.stream import UNREADABLE, Unreadable, batches_of
from emojax.util.words import tell


def decode_face(face: dict[str, Any], model: ClassifierConfig) -> UInt8[np.ndarray, "S S 3"]:
    """A face of a source as the classifier takes it; raises Pillow's errors for damaged data."""
    with Image.open(io.BytesIO(face["image"])) as picture:
        crop = np.asarray(picture.convert("RGB"))
    return convert_crop(crop, face["margin"], face.get("landmarks"), model.margin, model.size, model.aligned)


class _Decode:
    """(source, face) -> an example; a face that cannot be read is replaced by a random one."""

    def __init__(
        self,
        sources: Sequence[FaceSource],
        smoothing: Sequence[float],
        domains: Sequence[int],
        model: ClassifierConfig,
        in_memory: bool = False,
    ) -> None:
        self.sources, self.smoothing, self.model = sources, smoothing, model
        self.kept: dict[tuple[int, int], np.ndarray] | None = {} if in_memory else None
        self.domains = np.eye(model.domains, dtype=np.float32)[list(domains)]
        self.ends = np.cumsum([len(source) for source in sources])
        self.bad = Unreadable("training faces", int(self.ends[-1]))

    def __call__(self, element: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
        source, index = map(int, element)
        while True:
            try:
                face = self.sources[source][index]
                looks = face.get("features")  # features of the face, and perhaps of its mirror image
                image = self._decoded(source, index, face) if looks is None else looks[rng.integers(len(looks))]
                label, domain = smooth_label(face["votes"], self.smoothing[source]), self.domains[source]
                return {"image": image, "label": label, "domain": domain, "seed": np.uint32(rng.integers(2**32))}
            except UNREADABLE as error:
                self.bad.report((source, index), f"number {index} of {self.sources[source]!r}", error)
                place = int(rng.integers(self.ends[-1]))
                source = int(np.searchsorted(self.ends, place, side="right"))
                index = place - int(self.ends[source] - len(self.sources[source]))

    def _decoded(self, source: int, index: int, face: dict[str, Any]) -> UInt8[np.ndarray, "S S 3"]:
        image = None if self.kept is None else self.kept.get((source, index))
        if image is None:
            image = decode_face(face, self.model)
            if self.kept is not None:
                self.kept[source, index] = image
        return image


def smooth_label(label: Float[np.ndarray, " K"], smoothing: float) -> Float[np.ndarray, " K"]:
    """Label smoothing (Szegedy et al. 2016, arXiv:1512.00567, section 7): (1 - smoothing) * label + smoothing / K."""
    return np.asarray((1 - smoothing) * label + smoothing / len(label), np.float32)


@dataclass(frozen=True)
class FaceBatches:
    """The training stream, and how many faces it draws from."""

    iterator: Any
    faces: int
    """number of faces; an epoch has as many draws"""
    skipped: Callable[[], int]
    """returns how many faces could not be read so far"""


def draw_weights(counts: Int[np.ndarray, "sources classes"], shares: Sequence[float], balance: float) -> np.ndarray:
    """How often each class of each source is drawn, float64 [sources, classes], summing to 1.

    The weight of a source is share * (number of its faces). Inside a source, the weight of a class with n faces is
    n^(1 - balance). Each source is balanced by itself: if all were balanced together, a rare class could come mostly from
    one source, and the network could learn the source instead of the class.
    """
    inside = np.where(counts > 0, np.maximum(counts, 1) ** (1.0 - balance), 0.0)
    inside /= np.maximum(inside.sum(1, keepdims=True), 1e-12)
    weights = inside * (counts.sum(1) * np.asarray(shares, np.float64))[:, None]
    return weights / weights.sum()


Wrap = Callable[[str, FaceSource, str], FaceSource]
"""(name, source, split) -> the source, such as one with features instead of images"""


def face_batches(
    config: FaceConfig,
    model: ClassifierConfig,
    batch_size: int,
    seed: int,
    wrap: Wrap = lambda name, source, split: source,
) -> FaceBatches:
    """Endless training batches of this host's share N of `batch_size`.

    Each class of each source is shuffled and repeated by itself, and these streams are mixed by `draw_weights`, so faces of
    a rare class are drawn more often. "seed" is new for every draw, so each draw is augmented anew. The shares of all hosts
    at a step together are the batch that a single host would draw. The iterator's state can be saved and restored.

    Raises:
        InputError: see `open_faces`; no training faces.
    """
    named = open_faces(config, "train", model.aligned)
    sources = [wrap(name, source, "train") for name, source in named.items()]
    total = sum(map(len, sources))
    for name, values in (("shares", config.shares), ("smoothing", config.smoothing), ("domains", config.domains)):
        if values and len(values) != len(sources):
            raise InputError(
                f"{len(values)} values of `data.{name}` for {len(sources)} sources of faces: give one each"
            )
    if not total:
        raise InputError(f"no training faces in {', '.join(named)}: none has the split 'train'")
    labels = [np.asarray(source.labels()) for source in sources]
    counts = np.stack([np.bincount(found, minlength=len(EMOTIONS)) for found in labels])
    weights = draw_weights(counts, config.shares or [1.0] * len(sources), config.balance)
    parts, part_weights = [], []
    for number, found in enumerate(labels):
        for label in np.flatnonzero(counts[number]):
            rows = np.flatnonzero(found == label)
            elements = np.stack([np.full_like(rows, number), rows], 1)
            own_seed = int(np.random.SeedSequence([seed, number, int(label)]).generate_state(1)[0]) >> 1
            parts.append(grain.MapDataset.source(elements).seed(own_seed).shuffle().repeat())
            part_weights.append(float(weights[number, label]))
    smoothing, domains = config.smoothing or [0.0] * len(sources), config.domains or [0] * len(sources)
    decode = _Decode(sources, smoothing, domains, model, config.in_memory)
    stream = batches_of(grain.MapDataset.mix(parts, part_weights), decode, batch_size, seed, config.workers)
    return FaceBatches(stream, total, lambda: len(decode.bad))


@dataclass(frozen=True)
class HeldOutFaces:
    """The decoded faces of a split, in order; or the features of the faces (not of their mirror images)."""

    images: UInt8[np.ndarray, "M S S 3"] | Float16[np.ndarray, "M h w C"]
    labels: Float[np.ndarray, "M 7"]
    from_photos: bool = False
    """whether the faces were cut from photos, as a user's are"""


def held_out_faces(
    config: FaceConfig,
    model: ClassifierConfig,
    split: str = "val",
    wrap: Wrap = lambda name, source, split: source,
) -> dict[str, HeldOutFaces]:
    """The faces of "val" or "test" by source, without empty sources; unreadable faces are skipped and counted.

    Raises:
        InputError: see `open_faces`.
    """
    found, bad = {}, []
    for name, source in open_faces(dataclasses.replace(config, sharpness=1.0), split, model.aligned).items():
        source, images, labels, from_photos = wrap(name, source, split), [], [], False
        for index in range(len(source)):
            try:
                face = source[index]
                images.append(face["features"][0] if "features" in face else decode_face(face, model))
                labels.append(face["votes"])
                from_photos = face["from_photo"]
            except UNREADABLE as error:
                bad.append(f"number {index} of {source!r}: {error}")
        if images:
            found[name] = HeldOutFaces(np.stack(images), np.stack(labels), from_photos)
    if bad:
        tell(f"skipped {len(bad)} {split} faces that cannot be read, first {bad[0]}")
    return found
