"""Sources of labelled faces: random access to face archives and to ExpW as it is distributed.

A face archive is an .npz with `jpeg` (uint8, all JPEG files one after another), `offsets` (int64 [n + 1]), `label` (uint8
[n]) and `split` (string [n]), and a .csv of the same name with a row per face. Columns `votes_*`, if there are any, hold the
votes of several people (FER+) and become soft labels.
"""

from __future__ import annotations

import csv
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from emojax.emotions import EMOTIONS
from emojax.errors import InputError
from emojax.util.numbers import check_range

# FER+'s names of our seven emotions; votes for contempt, unknown and non-face are dropped.
VOTES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")


@dataclass(frozen=True)
class FaceConfig:
    """Where faces come from, and how often each is drawn."""

    MAY_CHANGE: ClassVar = ("workers", "in_memory")
    """fields that may differ when a run is resumed"""

    archives: tuple[str, ...] = ()
    """face archives, .npz files"""
    margins: tuple[float, ...] = ()
    """margin around the face's box in the crops of each archive; empty: 0.2 if its name contains expw, else 0"""
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
        check_range("margins", self.margins, least=0, most=2)
        check_range("shares", self.shares, above=0)
        check_range("balance", self.balance, least=0, most=1)
        check_range("sharpness", self.sharpness, above=0)
        check_range("smoothing", self.smoothing, least=0, below=1)
        check_range("data.domains", self.domains, least=0, whole=True)  # the model's config also has `domains`
        if self.limit is not None:
            check_range("limit", self.limit, least=1, whole=True)
        check_range("workers", self.workers, least=1, whole=True)

    def margin(self, index: int) -> float:
        """The margin of an archive's crops.

        The ExpW crops were cut with a margin of 0.2. FER2013's and muxspace's faces show no more than the box: the median
        height of a detected face is 0.72 of ExpW's crops (about 1 / 1.4), but 1.04 of FER2013's and 0.98 of muxspace's.
        """
        if self.margins:
            return self.margins[index]
        return 0.2 if "expw" in Path(self.archives[index]).name.lower() else 0.0


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


class FaceArchive:
    """The faces of one split of a face archive; see this module."""

    def __init__(
        self, path: str | Path, split: str, margin: float, soft_labels: bool = True, sharpness: float = 1.0
    ) -> None:
        """Opens an archive; a split without faces is empty.

        Raises:
            InputError: a file that is missing, damaged or of another layout, or a .csv that does not match.
        """
        self.path, self.split, self.margin = Path(path), split, margin
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
        table = self.path.with_suffix(".csv")
        if soft_labels and table.exists():
            votes = _soften(votes, table)
            votes = (votes / votes.max(1, keepdims=True)) ** sharpness  # the largest becomes 1: not all underflow
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
        return f"FaceArchive({self.path.name}, {self.split}, {len(self)} faces)"


def _soften(votes: Float[np.ndarray, "n 7"], table: Path) -> Float[np.ndarray, "n 7"]:
    """Replaces one-hot labels by the shares of the votes for our classes; a face without such votes keeps its label."""
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        if len(rows) != len(votes):
            raise ValueError(f"{len(rows)} rows for {len(votes)} faces")
        if not rows or any(f"votes_{name}" not in rows[0] for name in VOTES):
            return votes
        counts = np.array([[float(row[f"votes_{name}"]) for name in VOTES] for row in rows], np.float32)
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise InputError(
            f"{table} does not describe the faces of its archive ({error}): get both files again"
        ) from None
    totals = counts.sum(1, keepdims=True)
    return np.where(totals > 0, counts / np.maximum(totals, 1), votes)


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
        sources[name] = FaceArchive(path, split, config.margin(index), config.soft_labels, config.sharpness)
    if config.root:
        # Import TFDS only if ExpW's own folder is read.
        from emojax.train.faces.expw import ExpwFaces, prepare_expw

        builder = prepare_expw(config.root, config.prepared or None)
        sources["expw"] = ExpwFaces(builder, split) if split in builder.info.splits else _NoFaces()
    if config.limit is not None and split == "train":
        sources = {name: _FirstFaces(source, config.limit) for name, source in sources.items()}
    if aligned:
        from emojax.train.faces.landmarks import FacesWithLandmarks

        return {name: FacesWithLandmarks(name, source) for name, source in sources.items()}
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
