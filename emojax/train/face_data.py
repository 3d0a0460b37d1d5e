"""Labelled faces for training the classifier, as batches for the device.

packed crops (.npz) and ExpW's own folder -> sources -> Grain: balanced draws, shuffle, decode, cut ->
{"image": uint8 [N, S, S, 3], "label": float32 [N, 7], "seed": uint32 [N]}

A pack is an .npz with `jpeg` (uint8, all JPEG files one after another), `offsets` (int64 [n + 1]), `label` (uint8 [n])
and `split` (string [n]), and a .csv of the same name with a row per face. Columns `votes_*`, if there are any, are the
votes of many people (FER+) and become soft labels.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import grain
import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from emojax.emotions import EMOTIONS
from emojax.errors import UserError
from emojax.faces.find import recut
from emojax.nets.classifier import ClassifierConfig
from emojax.train.stream import UNREADABLE, Unreadable, batches_of

# FER+'s names for our seven; contempt, unknown and non-face votes are dropped.
VOTES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")


@dataclass(frozen=True)
class FaceConfig:
    """Where faces come from, and how often each is drawn."""

    packs: tuple[str, ...] = ()
    """packed crops, .npz files"""
    margins: tuple[float, ...] = ()
    """what the crops of each pack show beyond the face's box; empty: 0.2 if its name has expw in it, else 0"""
    root: str = ""
    """ExpW as it is distributed: the folder with label.lst and origin/"""
    prepared: str = ""
    """where ExpW is prepared for reading; empty: a folder beside it"""
    shares: tuple[float, ...] = ()
    """how often a face of each pack, and last of ExpW's folder, is drawn relative to the others; empty: 1 each"""
    smoothing: tuple[float, ...] = ()
    """share of each label that is spread over all classes, in the order of shares; empty: 0 each"""
    balance: float = 1.0
    """1: every class of a source is drawn equally often, 0: as often as it occurs; in between: a compromise"""
    soft_labels: bool = True
    """use the votes of several people as labels where a pack has them"""
    sharpness: float = 1.0
    """exponent of the shares of those votes in training, before they are made to sum to 1: above 1 sharpens the labels"""
    workers: int = 2
    """threads that decode"""

    def __post_init__(self) -> None:
        if self.margins and len(self.margins) != len(self.packs):
            raise UserError(f"{len(self.margins)} margins for {len(self.packs)} packs: give one each, or none")
        if any(not 0 <= margin <= 2 for margin in self.margins):
            raise UserError(f"margins {self.margins}: they are fractions of the face's box, 0 to 2")
        if any(not share > 0 for share in self.shares) or not 0 <= self.balance <= 1:
            raise UserError(f"shares {self.shares}, balance {self.balance}: shares are above 0, balance is 0 to 1")
        if not 0 < self.sharpness < math.inf:
            raise UserError(f"sharpness {self.sharpness}: it is a number above 0")
        if any(not 0 <= smoothing < 1 for smoothing in self.smoothing):
            raise UserError(f"smoothing {self.smoothing}: each is at least 0 and below 1")
        if self.workers < 1:
            raise UserError(f"{self.workers} workers: at least 1")

    def margin(self, index: int) -> float:
        """The margin of a pack's crops.

        The ExpW crops were cut with 0.2. FER2013's and muxspace's faces show no more than the box: the median height of
        a detected face is 0.72 of ExpW's crops (1 / 1.4), but 1.04 of FER2013's and 0.98 of muxspace's.
        """
        if self.margins:
            return self.margins[index]
        return 0.2 if "expw" in Path(self.packs[index]).name.lower() else 0.0


@runtime_checkable
class FaceSource(Protocol):
    """Random access to the faces of one split."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> dict[str, Any]:
        """{"image": encoded bytes, "label": int, "votes": float32 [7], sums to 1, "margin": float}."""
        ...

    def labels(self) -> Int[np.ndarray, " n"]:
        """The labels of all faces."""
        ...


class PackedFaces:
    """The faces of one split of a pack."""

    def __init__(
        self, path: str | Path, split: str, margin: float, soft_labels: bool = True, sharpness: float = 1.0
    ) -> None:
        """Opens a pack; a split without faces is empty.

        Raises:
            UserError: a file that is missing, damaged or of another layout, or a .csv that does not match.
        """
        self.path, self.split, self.margin = Path(path), split, margin
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as pack:
                self._jpeg, self._offsets = pack["jpeg"], pack["offsets"]
                labels, splits = pack["label"], pack["split"]
        except FileNotFoundError:
            raise UserError(f"no pack of faces at {path}: the file does not exist") from None
        except (OSError, ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{path} is not a pack of faces ({error}): it needs jpeg, offsets, label and split"
            ) from None
        count = len(labels)
        if len(self._offsets) != count + 1 or len(splits) != count or (count and self._offsets[-1] > len(self._jpeg)):
            raise UserError(f"{path} is damaged: {count} labels, {len(splits)} splits, {len(self._offsets)} offsets")
        wrong = [label for label in np.unique(labels).tolist() if label not in range(len(EMOTIONS))]
        if wrong:
            raise UserError(f"{path} has a label {wrong[0]}: labels are 0 to {len(EMOTIONS) - 1}")
        self._rows = np.flatnonzero(splits == split)
        self._labels = labels.astype(np.int64)
        votes = np.eye(len(EMOTIONS), dtype=np.float32)[self._labels]
        table = self.path.with_suffix(".csv")
        if soft_labels and table.exists():
            votes = _soften(votes, table)
            votes = (votes / votes.max(1, keepdims=True)) ** sharpness  # the largest is 1, so that not all underflow
            votes /= votes.sum(1, keepdims=True)
        self._votes = votes

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self._rows[index]
        image = self._jpeg[self._offsets[row] : self._offsets[row + 1]].tobytes()
        return {"image": image, "label": int(self._labels[row]), "votes": self._votes[row], "margin": self.margin}

    def labels(self) -> Int[np.ndarray, " n"]:
        """The labels of all faces."""
        return self._labels[self._rows]

    def __repr__(self) -> str:
        return f"PackedFaces({self.path.name}, {self.split}, {len(self)} faces)"


def _soften(votes: Float[np.ndarray, "n 7"], table: Path) -> Float[np.ndarray, "n 7"]:
    """Replaces one-hot labels by the shares of the votes for our classes; a face without any keeps its label."""
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        if len(rows) != len(votes):
            raise ValueError(f"{len(rows)} rows for {len(votes)} faces")
        if not rows or any(f"votes_{name}" not in rows[0] for name in VOTES):
            return votes
        counts = np.array([[float(row[f"votes_{name}"]) for name in VOTES] for row in rows], np.float32)
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise UserError(f"{table} does not describe the faces of its pack ({error}): get both files again") from None
    totals = counts.sum(1, keepdims=True)
    return np.where(totals > 0, counts / np.maximum(totals, 1), votes)


def open_faces(config: FaceConfig, split: str) -> dict[str, FaceSource]:
    """The sources of a split by name, in the order of `FaceConfig.shares`; those without faces are there, empty.

    Raises:
        UserError: no source at all, or see `PackedFaces` and `emojax.train.expw`.
    """
    if not config.packs and not config.root:
        raise UserError("no faces: give `data.packs` .npz files, or `data.root` ExpW's folder")
    sources: dict[str, FaceSource] = {}
    for index, pack in enumerate(config.packs):
        name = Path(pack).stem
        if name in sources or (config.root and name == "expw"):
            raise UserError(f"two sources of faces are called {name!r}: rename one")
        sources[name] = PackedFaces(pack, split, config.margin(index), config.soft_labels, config.sharpness)
    if config.root:
        # TFDS is loaded only by those who read ExpW's own folder.
        from emojax.train.expw import ExpwFaces, prepare_expw

        builder = prepare_expw(config.root, config.prepared or None)
        sources["expw"] = ExpwFaces(builder, split) if split in builder.info.splits else _NoFaces()
    return sources


class _NoFaces:
    """A split without faces."""

    def __len__(self) -> int:
        return 0

    def __getitem__(self, index: int) -> dict[str, Any]:
        raise IndexError(index)

    def labels(self) -> Int[np.ndarray, " n"]:
        return np.zeros(0, np.int64)


def decode_face(face: dict[str, Any], model: ClassifierConfig) -> UInt8[np.ndarray, "S S 3"]:
    """A face of a source as the classifier wants it; raises what Pillow raises for damaged data."""
    with Image.open(io.BytesIO(face["image"])) as picture:
        crop = np.asarray(picture.convert("RGB"))
    return recut(crop, face["margin"], model.margin, model.size)


class _Decode:
    """(source, face) -> an example; any other face takes the place of one that cannot be read."""

    def __init__(self, sources: Sequence[FaceSource], smoothing: Sequence[float], model: ClassifierConfig) -> None:
        self.sources, self.smoothing, self.model = sources, smoothing, model
        self.ends = np.cumsum([len(source) for source in sources])
        self.bad = Unreadable("training faces", int(self.ends[-1]))

    def __call__(self, element: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
        source, index = map(int, element)
        while True:
            face = self.sources[source][index]
            try:
                image = decode_face(face, self.model)
                label = smooth_label(face["votes"], self.smoothing[source])
                return {"image": image, "label": label, "seed": np.uint32(rng.integers(2**32))}
            except UNREADABLE as error:
                self.bad.report((source, index), f"number {index} of {self.sources[source]!r}", error)
                place = int(rng.integers(self.ends[-1]))
                source = int(np.searchsorted(self.ends, place, side="right"))
                index = place - int(self.ends[source] - len(self.sources[source]))


def smooth_label(label: Float[np.ndarray, " K"], smoothing: float) -> Float[np.ndarray, " K"]:
    """Label smoothing (Szegedy et al. 2016, arXiv:1512.00567, section 7): (1 - smoothing) * label + smoothing / K."""
    return np.asarray((1 - smoothing) * label + smoothing / len(label), np.float32)


@dataclass(frozen=True)
class FaceBatches:
    """The training stream and what it was made from."""

    iterator: Any
    faces: int
    """faces that are drawn: this many draws are an epoch"""
    skipped: Callable[[], int]
    """how many of them could not be read so far"""


def draw_weights(counts: Int[np.ndarray, "sources classes"], shares: Sequence[float], balance: float) -> np.ndarray:
    """How often each class of each source is drawn, float64 [sources, classes], summing to 1.

    A source is drawn share * (number of its faces) times as often as another; inside it a class with n faces
    n^(1 - balance) times. Balance is kept inside each source: over all of them together, the source itself would tell
    the class (a rare class would come mostly from the source that has it).
    """
    inside = np.where(counts > 0, np.maximum(counts, 1) ** (1.0 - balance), 0.0)
    inside /= np.maximum(inside.sum(1, keepdims=True), 1e-12)
    weights = inside * (counts.sum(1) * np.asarray(shares, np.float64))[:, None]
    return weights / weights.sum()


def face_batches(config: FaceConfig, model: ClassifierConfig, batch_size: int, seed: int) -> FaceBatches:
    """Endless training batches of this host's share N of `batch_size`.

    Every class of every source is shuffled and repeated by itself and they are mixed by `draw_weights`, so a rare class
    comes around more often; "seed" is new for every draw, so each is augmented afresh. The hosts' shares of step k are
    together what a single host would draw for step k. The iterator's state can be saved and restored.

    Raises:
        UserError: see `open_faces`; no training faces.
    """
    named = open_faces(config, "train")
    sources = list(named.values())
    total = sum(map(len, sources))
    for name, values in (("shares", config.shares), ("smoothing", config.smoothing)):
        if values and len(values) != len(sources):
            raise UserError(f"{len(values)} values of `data.{name}` for {len(sources)} sources of faces: give one each")
    if not total:
        raise UserError(f"no training faces in {', '.join(named)}: none has the split 'train'")
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
    decode = _Decode(sources, config.smoothing or [0.0] * len(sources), model)
    stream = batches_of(grain.MapDataset.mix(parts, part_weights), decode, batch_size, seed, config.workers)
    return FaceBatches(stream, total, lambda: len(decode.bad))


@dataclass(frozen=True)
class HeldOutFaces:
    """The faces of a split, decoded, in order."""

    images: UInt8[np.ndarray, "M S S 3"]
    labels: Float[np.ndarray, "M 7"]

    def batches(self, size: int) -> Iterator[UInt8[np.ndarray, "size S S 3"]]:
        """The images, `size` at a time; the last batch is filled up with black."""
        for start in range(0, len(self.images), size):
            images = self.images[start : start + size]
            yield np.pad(images, ((0, size - len(images)), (0, 0), (0, 0), (0, 0)))


def held_out_faces(config: FaceConfig, model: ClassifierConfig, split: str = "val") -> dict[str, HeldOutFaces]:
    """The faces of "val" or "test" by source, without sources that have none; unreadable ones are skipped and counted.

    Raises:
        UserError: see `open_faces`.
    """
    found, bad = {}, []
    for name, source in open_faces(dataclasses.replace(config, sharpness=1.0), split).items():
        images, labels = [], []
        for index in range(len(source)):
            face = source[index]
            try:
                images.append(decode_face(face, model))
                labels.append(face["votes"])
            except UNREADABLE as error:
                bad.append(f"number {index} of {source!r}: {error}")
        if images:
            found[name] = HeldOutFaces(np.stack(images), np.stack(labels))
    if bad:
        print(f"skipped {len(bad)} {split} faces that cannot be read, first {bad[0]}", file=sys.stderr)
    return found
