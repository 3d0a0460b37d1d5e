"""ExpW as it is distributed, photos in `origin/` and `label.lst`, prepared once as a TFDS data set and read by Grain.

root/origin/*.jpg, root/label.lst -> one example per labelled face, in train, val and test, as array_record files. Crops are
JPEG files of quality 95; see `labels` for what they show and `splits` for the splits.

The photos are for non-commercial research; their rights stay with their owners.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int
from PIL import Image

from emojax.emotions import EMOTIONS
from emojax.errors import InputError, OutputError
from emojax.train.faces.expw.duplicates import group_photos, perceptual_hashes
from emojax.train.faces.expw.labels import MARGIN, FaceLabel, cut_labelled_face, parse_labels
from emojax.train.faces.expw.splits import SPLITS, archive_splits, assign_splits
from emojax.train.stream import UNREADABLE
from emojax.util.ahead import map_ahead
from emojax.util.interrupts import interruptible
from emojax.util.progress import track
from emojax.util.words import tell

_AHEAD = 256  # photos


@dataclass(frozen=True)
class _Photo:
    """A photo that can be read, its faces, and the hashes of both, uint64 [2, w] and [faces, 2, w]."""

    name: str
    faces: tuple[FaceLabel, ...]
    hashes: np.ndarray
    face_hashes: np.ndarray


def _hash_photo(origin: Path, name: str, faces: tuple[FaceLabel, ...]) -> tuple[_Photo | None, list[str]]:
    """A photo with its hashes and those of its faces, and messages about what cannot be read."""
    problems: list[str] = []
    good: list[FaceLabel] = []
    hashed: list[np.ndarray] = []
    try:
        with Image.open(origin / name) as photo:
            photo.load()
            for face in faces:
                try:
                    hashed.append(perceptual_hashes(Image.fromarray(cut_labelled_face(photo, face))))
                    good.append(face)
                except ValueError as error:
                    problems.append(f"{name}: {error}")
            if not good:
                return None, problems
            return _Photo(name, tuple(good), perceptual_hashes(photo), np.stack(hashed)), problems
    except UNREADABLE as error:
        return None, [f"{origin / name}: {' '.join(str(error).split())}"] * len(faces)


def _encode_faces(origin: Path, name: str, faces: tuple[FaceLabel, ...]) -> list[tuple[FaceLabel, bytes]]:
    """The crops of a photo's faces as JPEG files."""
    encoded = []
    with Image.open(origin / name) as photo:
        for face in faces:
            file = io.BytesIO()
            Image.fromarray(cut_labelled_face(photo, face)).save(file, "JPEG", quality=95, subsampling=0)
            encoded.append((face, file.getvalue()))
    return encoded


class Expw(tfds.core.GeneratorBasedBuilder):
    """ExpW's labelled faces. The manual folder is ExpW's root; use `prepare_expw`, which also checks it."""

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "The folder has to hold ExpW's label.lst and its photos in origin/."

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=list(EMOTIONS)),
            "photo": tfds.features.Text(),
            "face_id": np.int32,
            "box": tfds.features.Tensor(shape=(4,), dtype=np.int32),  # top, left, right, bottom
            "confidence": np.float32,
            "group": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Faces of Expression in-the-Wild (ExpW), one example each, split by near-duplicate groups.",
            features=tfds.features.FeaturesDict(features),
            homepage="https://mmlab.ie.cuhk.edu.hk/projects/socialrelation/index.html",
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        origin = Path(dl_manager.manual_dir, "origin")
        faces = parse_labels(origin.with_name("label.lst"))
        photos = {name: tuple(group) for name, group in groupby(faces, key=lambda face: face.photo)}
        hashing = map_ahead(lambda photo: _hash_photo(origin, *photo), photos.items(), _AHEAD, os.cpu_count())
        hashed = list(track(hashing, "photo", "comparing photos", len(photos)))
        bad = [problem for _, problems in hashed for problem in problems]
        good = [photo for photo, _ in hashed if photo is not None]
        if not good:
            raise InputError(f"none of the {len(bad)} faces of ExpW can be read, first {bad[0]}: restore the folder")
        if bad:
            tell(f"skipping {len(bad)} of {len(faces)} faces that cannot be read, first {bad[0]}")
        metadata: Any = self.info.metadata
        metadata["skipped_faces"] = len(bad)
        owners = np.repeat(np.arange(len(good)), [len(photo.faces) for photo in good])
        groups = group_photos(
            [photo.name for photo in good],
            np.stack([photo.hashes for photo in good]),
            np.concatenate([photo.face_hashes for photo in good]),
            owners,
        )
        splits = assign_splits(groups, archive_splits())
        chosen = {split: [photo for photo in good if splits[photo.name] == split] for split in SPLITS}
        # TFDS cannot write an empty split.
        return {split: self._generate_examples(origin, photos, groups) for split, photos in chosen.items() if photos}

    def _generate_examples(
        self, origin: Path, photos: Sequence[_Photo], groups: Mapping[str, str]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        def encode(photo: _Photo) -> list[tuple[FaceLabel, bytes]]:
            return _encode_faces(origin, photo.name, photo.faces)

        for encoded in map_ahead(encode, photos, _AHEAD, os.cpu_count()):
            for face, image in encoded:
                example = {
                    "image": io.BytesIO(image),  # an array would need TensorFlow to encode it
                    "label": face.label,
                    "photo": face.photo,
                    "face_id": face.face_id,
                    "box": [face.top, face.left, face.right, face.bottom],
                    "confidence": face.confidence,
                    "group": groups[face.photo],
                }
                yield " ".join(map(str, astuple(face))), example  # TFDS orders examples by a hash of this key


def _fingerprint(root: Path) -> str:
    """Checks an ExpW folder and hashes its content: `label.lst` and the sizes of the listed photos."""
    listing, origin = root / "label.lst", root / "origin"
    names = sorted({face.photo for face in parse_labels(listing)})
    try:
        sizes = {entry.name: entry.stat().st_size for entry in os.scandir(origin)}
    except OSError as error:
        raise InputError(f"cannot read {origin} ({error.strerror}): it has to hold ExpW's photos") from None
    missing = [name for name in names if name not in sizes]
    if missing:
        raise InputError(
            f"{len(missing)} of the {len(names)} photos in {listing} are missing, first {origin / missing[0]}: "
            "unpack all parts of ExpW, or remove their lines"
        )
    digest = hashlib.sha256(listing.read_bytes())
    digest.update(repr([(name, sizes[name]) for name in names]).encode())
    return digest.hexdigest()[:12]


def prepare_expw(root: str | Path, data_dir: str | Path | None = None) -> Expw:
    """Prepares ExpW for reading, unless that is done already. Progress is shown.

    Args:
        root: the folder with `origin/` and `label.lst`.
        data_dir: where to write; the folder ROOT.prepared beside ROOT by default. Each version of ROOT's
            content is prepared in a folder of its own.

    Raises:
        InputError: see `parse_labels`; missing photos; no photo that can be read.
        OutputError: the folder cannot be written.
    """
    root = Path(root).resolve()
    where = Path(data_dir).resolve() if data_dir else root.with_name(f"{root.name}.prepared")
    where /= _fingerprint(root)
    config = tfds.download.DownloadConfig(manual_dir=root)
    try:
        builder = Expw(data_dir=where)
        with (
            interruptible(),
            contextlib.redirect_stdout(io.StringIO()),
        ):  # TFDS announces a download although none takes place
            builder.download_and_prepare(download_dir=where, download_config=config, file_format="array_record")
    except (OSError, RuntimeError) as error:  # array_record raises RuntimeError if it cannot write
        if (finished := Expw(data_dir=where)).is_prepared():  # another process may have prepared it in the meantime
            return finished
        raise OutputError(
            f"cannot prepare ExpW in {where} ({' '.join(str(error).split())[:200]}): choose another folder for the "
            "prepared data, with enough space"
        ) from error
    return builder


class ExpwFaces:
    """A random access source of the faces of one split of a prepared ExpW."""

    def __init__(self, builder: Expw, split: str) -> None:
        """Opens a split; raises InputError for one that is unknown or has no faces."""
        if split not in builder.info.splits:
            choices = ", ".join(builder.info.splits)
            raise InputError(f"no faces in split {split!r} of {builder.data_dir}: choose from {choices}")
        self.split = split
        open_split: Any = builder.as_data_source  # TFDS decorates it without types
        self._rows: Any = open_split(split, decoders={"image": tfds.decode.SkipDecoding()})

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """{"image": JPEG bytes, "label": int, "votes": float32 [7], one-hot, "margin": 0.2, "from_photo": True}."""
        row = self._rows[index]
        votes = np.eye(len(EMOTIONS), dtype=np.float32)[row["label"]]
        face = {"image": row["image"], "label": int(row["label"]), "votes": votes}
        return {**face, "margin": MARGIN, "from_photo": True}

    def labels(self) -> Int[np.ndarray, " n"]:
        """The labels of all faces; reads the whole split, about 10 seconds for all of ExpW."""
        return np.array([row["label"] for row in self._rows], np.int64)

    def __repr__(self) -> str:
        return f"ExpwFaces({self.split}, {len(self)} faces)"
