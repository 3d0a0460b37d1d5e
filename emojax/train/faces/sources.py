"""Sources of labelled faces: random access to face archives and to ExpW as it is distributed.

A face archive is an .npz with `jpeg` (uint8, all JPEG files one after another), `offsets` (int64 [n + 1]), `label` (uint8
[n]) and `split` (string [n]), and its *table*, a .csv of the same name with a row per face. Columns `votes_*` (`VOTES`), if
there are any, hold the votes of several people (FER+) and become soft labels. Columns `face_box_*` and `crop_*` (`SIDES`) say
that the faces were cut from photos, and where: the box of a face and its crop, in pixels of the photo.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from emojax.emotions import EMOTIONS
from emojax.errors import InputError
from emojax.faces.views import FaceDetector
from emojax.util.numbers import check_range

# FER+'s names of our seven emotions; votes for contempt, unknown and non-face are dropped.
VOTES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
SIDES = ("left", "top", "right", "bottom")


@dataclass(frozen=True)
class FaceConfig:
    """Where faces come from, and how often each is drawn."""

    MAY_CHANGE: ClassVar = ("workers", "in_memory")
    """fields that may differ when a run is resumed"""

    archives: tuple[str, ...] = ()
    """face archives, .npz files"""
    margins: tuple[float, ...] = ()
    """margin of each archive's crops around the face's box; empty: as the boxes and crops in its table say, else 0"""
    root: str = ""
    """ExpW as it is distributed: the folder with label.lst and origin/"""
    prepared: str = ""
    """where ExpW is prepared for reading; empty: a folder beside it"""
    shares: tuple[float, ...] = ()
    """how often a face of each source is drawn relative to the others: the archives, then ExpW's folder; empty: 1 each"""
    smoothing: tuple[float, ...] = ()
    """share of each label that is spread over all classes, in the order of shares; empty: 0 each"""
    domains: tuple[int, ...] = ()
    """the domain of each source's faces (see the model's domains), in the order of shares; empty: 0 each"""
    calibrate_on: tuple[str, ...] = ()
    """sources whose validation faces calibrate the probabilities, by name; empty: those cut from photos, or all if none is"""
    limit: int | None = None
    """largest number of training faces of each source, taken from every class in turn; none: all"""
    balance: float = 1.0
    """1: every class of a source is drawn equally often; 0: as often as it occurs; values in between are a compromise"""
    soft_labels: bool = True
    """use the votes of several people as labels where an archive has them"""
    sharpness: float = 1.0
    """exponent of the shares of those votes in training, before they are normalized; above 1 sharpens the labels"""
    workers: int = 2
    """number of threads that decode"""
    in_memory: bool = False
    """keep the decoded faces in memory, at 112 pixels 38 kB each, so that each is decoded only once"""

    def __post_init__(self) -> None:
        if self.margins and len(self.margins) != len(self.archives):
            raise InputError(
                f"`margins` {self.margins}: give one for each of the {len(self.archives)} archives, or none", "margins"
            )
        names = [*(Path(path).stem for path in self.archives), *(["expw"] if self.root else [])]
        for name in self.calibrate_on:
            if name not in names:
                raise InputError(f"`calibrate_on` {name!r} is none of the sources: {', '.join(names)}", "calibrate_on")
        check_range("margins", self.margins, least=0, most=2)
        check_range("shares", self.shares, above=0)
        check_range("balance", self.balance, least=0, most=1)
        check_range("sharpness", self.sharpness, above=0)
        check_range("smoothing", self.smoothing, least=0, below=1)
        check_range("data.domains", self.domains, least=0, whole=True)  # the model's config also has `domains`
        if self.limit is not None:
            check_range("limit", self.limit, least=1, whole=True)
        check_range("workers", self.workers, least=1, whole=True)


@runtime_checkable
class FaceSource(Protocol):
    """Random access to the faces of one split."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> dict[str, Any]:
        """A face: {"image": encoded bytes, "label": int, "votes": float32 [7], "margin": float, "from_photo": bool}.

        The votes sum to 1. "from_photo" says that the face was cut from a photo, as a user's are.
        """
        ...

    def labels(self) -> Int[np.ndarray, " n"]:
        """The labels of all faces."""
        ...


class FaceArchive:
    """The faces of one split of a face archive; see this module."""

    def __init__(
        self,
        path: str | Path,
        split: str,
        margin: float | None = None,
        soft_labels: bool = True,
        sharpness: float = 1.0,
    ) -> None:
        """Opens an archive; a split without faces is empty.

        Args:
            margin: what the crops show beyond the face's box on each side, as a fraction of the box; None: as the table says,
                see `margin_of`, or 0. FER2013's and muxspace's tables say nothing, and their faces fill the crops: the median
                height of a detected face is 1.04 and 0.98 of the crop, but 0.72 (about 1 / 1.4) of ExpW's.

        Raises:
            InputError: a file that is missing, damaged or of another layout, or a .csv that does not match.
        """
        self.path, self.split = Path(path), split
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                self._jpeg, self._offsets = archive["jpeg"], archive["offsets"]
                labels, splits = archive["label"], archive["split"]
        except FileNotFoundError:
            raise InputError(f"no face archive at {path}: the file does not exist") from None
        except (OSError, ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is no face archive ({error}): it needs jpeg, offsets, label and split") from None
        count = len(labels)
        if len(self._offsets) != count + 1 or len(splits) != count or (count and self._offsets[-1] > len(self._jpeg)):
            raise InputError(f"{path} is damaged: {count} labels, {len(splits)} splits, {len(self._offsets)} offsets")
        wrong = [label for label in np.unique(labels).tolist() if label not in range(len(EMOTIONS))]
        if wrong:
            raise InputError(f"{path} has a label {wrong[0]}: labels are 0 to {len(EMOTIONS) - 1}")
        self._rows = np.flatnonzero(splits == split)
        self._labels = labels.astype(np.int64)
        votes = np.eye(len(EMOTIONS), dtype=np.float32)[self._labels]
        table = _Table(self.path.with_suffix(".csv"), count)
        counts = table.numbers(f"votes_{name}" for name in VOTES)
        if soft_labels and counts is not None:
            totals = counts.sum(1, keepdims=True)
            votes = np.where(totals > 0, counts / np.maximum(totals, 1), votes)  # without votes for us, the label stays
            votes = (votes / votes.max(1, keepdims=True)) ** sharpness  # the largest becomes 1: not all underflow
            votes /= votes.sum(1, keepdims=True)
        self._votes = votes
        boxes, crops = (table.numbers(f"{name}_{side}" for side in SIDES) for name in ("face_box", "crop"))
        self._from_photo = boxes is not None
        declared = 0.0 if boxes is None or crops is None else margin_of(boxes, crops)
        self.margin = declared if margin is None else margin

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self._rows[index]
        image = self._jpeg[self._offsets[row] : self._offsets[row + 1]].tobytes()
        label, votes = int(self._labels[row]), self._votes[row]
        return {
            "image": image,
            "label": label,
            "votes": votes,
            "margin": self.margin,
            "from_photo": self._from_photo,
        }

    def labels(self) -> Int[np.ndarray, " n"]:
        """The labels of all faces."""
        return self._labels[self._rows]

    def __repr__(self) -> str:
        return f"FaceArchive({self.path.name}, {self.split}, {len(self)} faces)"


class _Table:
    """The rows of an archive's .csv; none if the file does not exist."""

    def __init__(self, path: Path, faces: int) -> None:
        """Reads the file; raises InputError if it cannot be read, or does not have as many rows as there are faces."""
        self._path, self._rows = path, []
        if not path.exists():
            return
        try:
            with path.open(newline="", encoding="utf-8") as file:
                self._rows = list(csv.DictReader(file))
            if len(self._rows) != faces:
                raise ValueError(f"{len(self._rows)} rows for {faces} faces")
        except (OSError, ValueError, csv.Error) as error:
            raise self._wrong(error) from None

    def numbers(self, columns: Iterable[str]) -> Float[np.ndarray, "n C"] | None:
        """Some columns; None if there are not all of them. Raises InputError for what is no number."""
        columns = list(columns)
        if not self._rows or any(name not in self._rows[0] for name in columns):
            return None
        try:
            return np.array([[float(row[name]) for name in columns] for row in self._rows], np.float32)
        except (ValueError, TypeError) as error:
            raise self._wrong(error) from None

    def _wrong(self, error: Exception) -> InputError:
        return InputError(f"{self._path} does not describe the faces of its archive ({error}): get both files again")


def margin_of(boxes: Float[np.ndarray, "n 4"], crops: Float[np.ndarray, "n 4"]) -> float:
    """The margin with which faces were cut, to two digits: the median over the faces, since crops end at the photo's edges.

    Args:
        boxes, crops: (left, top, right, bottom) of the faces' boxes and of their crops, in pixels of the photo.
    """
    (box_sides, crop_sides) = (corners[:, 2:] - corners[:, :2] for corners in (boxes, crops))
    margins = (crop_sides / np.maximum(box_sides, 1) - 1) / 2
    return max(0.0, round(float(np.median(margins.max(axis=1))), 2))


def open_faces(config: FaceConfig, split: str, aligned: bool = False) -> dict[str, FaceSource]:
    """The sources of a split by name, in the order of `FaceConfig.shares`, including empty ones.

    Args:
        aligned: whether the faces have "landmarks"; they are found once, see `FacesWithLandmarks`.

    Raises:
        EmojaxError: no source at all, or see `FaceArchive` and `prepare_expw`.
    """
    if not config.archives and not config.root:
        raise InputError("no faces: give `data.archives` .npz files, or `data.root` ExpW's folder")
    sources: dict[str, FaceSource] = {}
    for index, path in enumerate(config.archives):
        name = Path(path).stem
        if name in sources or (config.root and name == "expw"):
            raise InputError(f"two sources of faces are called {name!r}: rename one")
        margin = config.margins[index] if config.margins else None
        sources[name] = FaceArchive(path, split, margin, config.soft_labels, config.sharpness)
    if config.root:
        # Import TFDS only if ExpW's own folder is read.
        from emojax.train.faces.expw import ExpwFaces, prepare_expw

        builder = prepare_expw(config.root, config.prepared or None)
        sources["expw"] = ExpwFaces(builder, split) if split in builder.info.splits else _NoFaces()
    if config.limit is not None and split == "train":
        sources = {name: _FirstFaces(source, config.limit) for name, source in sources.items()}
    if aligned:
        from emojax.train.faces.landmarks import FacesWithLandmarks

        detector = FaceDetector()  # for all sources, so that its programs are compiled once
        return {name: FacesWithLandmarks(name, source, detector) for name, source in sources.items()}
    return sources


class _FirstFaces:
    """A number of faces of a source: from every class in turn, in a fixed random order."""

    def __init__(self, source: FaceSource, limit: int) -> None:
        self.source, rng, labels = source, np.random.default_rng(0), np.asarray(source.labels())
        classes = [rng.permutation(np.flatnonzero(labels == label)) for label in range(len(EMOTIONS))]
        turns = range(max(map(len, classes)))
        self.rows = np.array([rows[turn] for turn in turns for rows in classes if turn < len(rows)][:limit], np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.source[int(self.rows[index])]

    def labels(self) -> Int[np.ndarray, " n"]:
        return np.asarray(self.source.labels())[self.rows]

    def __repr__(self) -> str:
        return repr(self.source)


class _NoFaces:
    """A split without faces."""

    def __len__(self) -> int:
        return 0

    def __getitem__(self, index: int) -> dict[str, Any]:
        raise IndexError(index)

    def labels(self) -> Int[np.ndarray, " n"]:
        return np.zeros(0, np.int64)
