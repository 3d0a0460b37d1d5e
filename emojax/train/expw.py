"""ExpW as it is distributed: photos in `origin/` and `label.lst`, prepared once as a TFDS data set, read by Grain.

root/origin/*.jpg, root/label.lst -> one example per labelled face, in train, val and test, as array_record files.

Crops. The label's box, made square around its centre and 20% larger on each side (`MARGIN`), edges replicated where it
leaves the photo, so that a face never changes its aspect; shrunk to 112 pixels where it is larger, never enlarged; JPEG,
quality 95, RGB, uint8.

Splits. 70/10/20, by groups of near-duplicate photos, so that no photo and no copy of one is in two splits:

1. A photo, and each labelled face in it, gets a perceptual hash (`imagehash.phash`: the signs of the 256 lowest frequencies
   of a cosine transform against their median), and one more of its mirror image.
2. Two photos belong together if their hashes, or one's hash and the other's mirrored hash, differ in at most
   `PHOTO_BITS` bits, or those of two of their faces in at most `FACE_BITS` (a photo cropped in two ways). Every
   pair is compared, as machine words in blocks: under a minute for 90,000 photos. Groups are the connected components.
   Measured: JPEG quality 30, half size and mirroring move at most 6 bits, a caption bar over 8% of the height 54, 3% cropped
   off each side 62 in 90% of photos; among 1.3 million pairs of unrelated photos none was within 80 bits. 1 of 13 million
   pairs of unrelated ExpW faces was within 40.
3. A group is named after its first photo, in alphabetical order, and this name and a seed decide its split: the order of
   the files does not matter.
4. Photos of the packed crops (`expw_packed_splits.txt`) keep the split that they have there, and the rest of their group
   goes with them; if a group holds packed photos of several splits, the rest goes to test before val before train.

The photos are for non-commercial research; their rights stay with their owners.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from functools import partial
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int, UInt8, UInt64
from PIL import Image, ImageOps
from scipy import sparse

from emojax.emotions import EMOTIONS
from emojax.errors import UserError
from emojax.train.stream import UNREADABLE
from emojax.util.interrupts import interruptible
from emojax.util.progress import track

SPLITS = ("train", "val", "test")
SEED = 0
MARGIN = 0.2
SIZE = 112
HASH_SIDE = 16
WORDS = HASH_SIDE**2 // 64
PHOTO_BITS = 60
FACE_BITS = 40
FIELDS = "name face_id top left right bottom confidence label"


@dataclass(frozen=True)
class FaceLabel:
    """A line of `label.lst`; the box is in pixels of the photo, `right` and `bottom` excluded."""

    photo: str
    face_id: int
    top: int
    left: int
    right: int
    bottom: int
    confidence: float
    label: int


def _parse_line(line: str) -> FaceLabel:
    """One line of `label.lst`; raises ValueError that says what is wrong with it."""
    fields = line.split()
    if len(fields) != 8:
        raise ValueError(f"{len(fields)} fields instead of 8 ({FIELDS})")
    name, (face_id, top, left, right, bottom, label) = fields[0], _numbers(int, fields[1:6] + fields[7:])
    (confidence,) = _numbers(float, fields[6:7])
    if Path(name).name != name:
        raise ValueError(f"{name!r} is not the name of a photo in origin/")
    if not 0 <= label < len(EMOTIONS):
        raise ValueError(f"label {label} is outside 0 to {len(EMOTIONS) - 1}")
    if right <= left or bottom <= top:
        raise ValueError(f"empty box: top {top}, left {left}, right {right}, bottom {bottom}")
    return FaceLabel(name, face_id, top, left, right, bottom, confidence, label)


def _numbers(kind: type, fields: Sequence[str]) -> list[Any]:
    numbers = []
    for field in fields:
        try:
            numbers.append(kind(field))
            finite = math.isfinite(numbers[-1])
        except (ValueError, OverflowError):
            finite = False
        if not finite:
            raise ValueError(f"{field!r} is not {'an integer' if kind is int else 'a finite number'}")
    return numbers


def parse_labels(path: Path) -> list[FaceLabel]:
    """The faces of a `label.lst`, sorted, each once; empty lines are passed over.

    Raises:
        UserError: a missing, unreadable or empty file, or malformed lines: file, line number and reason of the first five.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path} is missing: give the folder of ExpW that holds label.lst and origin/") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path} ({error}): restore ExpW's own file") from None
    faces, wrong = set(), []
    for number, line in enumerate(lines, 1):
        try:
            if line.strip():
                faces.add(_parse_line(line))
        except ValueError as error:
            wrong.append(f"{path}:{number}: {error}")
    if wrong:
        more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise UserError("; ".join(wrong[:5]) + f"{more}: correct or remove these lines")
    if not faces:
        raise UserError(f"{path} lists no faces: restore ExpW's own file")
    return sorted(faces, key=astuple)


def cut_face(photo: Image.Image, face: FaceLabel) -> UInt8[np.ndarray, "s s 3"]:
    """The square around a face's box with `MARGIN` on each side, edges replicated, at most `SIZE` pixels a side.

    Raises:
        ValueError: the box is centred outside the photo, or much larger than it.
    """
    width, height = photo.size
    box = max(face.right - face.left, face.bottom - face.top)
    x, y = (face.left + face.right) / 2, (face.top + face.bottom) / 2
    if not (0 <= x < width and 0 <= y < height and box <= 2 * max(width, height)):
        raise ValueError(f"the box of face {face.face_id} lies outside the photo of {width}x{height} pixels")
    side = round(box * (1 + 2 * MARGIN))
    left, top = round(x - side / 2), round(y - side / 2)
    # Only the part that exists is decoded to RGB; the rest repeats its edges.
    known = (max(left, 0), max(top, 0), min(left + side, width), min(top + side, height))
    pixels = np.asarray(photo.crop(known).convert("RGB"))
    rows = np.clip(np.arange(top, top + side), known[1], known[3] - 1) - known[1]
    columns = np.clip(np.arange(left, left + side), known[0], known[2] - 1) - known[0]
    crop = pixels[np.ix_(rows, columns)]
    if side <= SIZE:
        return crop
    return np.asarray(Image.fromarray(crop).resize((SIZE, SIZE), Image.Resampling.LANCZOS))


def perceptual_hashes(picture: Image.Image) -> UInt64[np.ndarray, "2 w"]:
    """The perceptual hash of a picture and that of its mirror image, as machine words."""
    side = 4 * HASH_SIDE  # the size that phash itself works at
    small = picture.convert("L").resize((side, side), Image.Resampling.LANCZOS)
    bits = [imagehash.phash(view, hash_size=HASH_SIDE).hash.ravel() for view in (small, ImageOps.mirror(small))]
    return np.packbits(np.stack(bits), axis=1).view(np.uint64)


def near_pairs(
    hashes: UInt64[np.ndarray, "n 2 w"], bits: int
) -> Iterator[tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]]:
    """Indices i <= j of pictures whose hashes, mirrored or not, differ in at most `bits` bits; block by block."""
    count = len(hashes)
    block = max(1, 2**20 // max(count, 1))  # a block of distances stays in the processor's cache
    words = np.ascontiguousarray(hashes.transpose(1, 2, 0))
    for start in range(0, count, block):
        rows = words[0, :, start : start + block, None]
        for view in words[:, :, None, start:]:
            distance = np.zeros((rows.shape[1], count - start), np.uint16)
            for mine, theirs in zip(rows, view, strict=True):
                distance += np.bitwise_count(mine ^ theirs)
            i, j = np.nonzero(np.triu(distance <= bits))
            yield i + start, j + start


def group_photos(
    names: Sequence[str],
    photos: UInt64[np.ndarray, "n 2 w"],
    faces: UInt64[np.ndarray, "m 2 w"],
    owners: Int[np.ndarray, " m"],
) -> dict[str, str]:
    """Groups of near-duplicates.

    Args:
        names: of the n photos.
        photos: their hashes.
        faces: hashes of the m faces.
        owners: which photo each face is in.

    Returns:
        name of a photo -> name of its group, which is the first of its photos in alphabetical order.
    """
    pairs = list(near_pairs(photos, PHOTO_BITS))
    pairs += [(owners[i], owners[j]) for i, j in near_pairs(faces, FACE_BITS)]
    rows, columns = (np.concatenate(side) for side in zip(*pairs, strict=True))
    graph = sparse.coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(len(names),) * 2)
    _, components = sparse.csgraph.connected_components(graph, directed=False)
    first: dict[int, str] = {}
    for name, component in sorted(zip(names, components.tolist(), strict=True)):
        first.setdefault(component, name)
    return {name: first[component] for name, component in zip(names, components.tolist(), strict=True)}


def packed_splits() -> dict[str, str]:
    """name -> split of the 4,870 photos behind the packed crops, from the text file in this package."""
    text = resources.files("emojax.train").joinpath("expw_packed_splits.txt").read_text(encoding="utf-8")
    return {name: split for split, *names in map(str.split, text.splitlines()) for name in names}


def packed_splits_text(table: Path) -> str:
    """The content of expw_packed_splits.txt, made from expw_crops112.csv: "split name", a line a photo.

    It was written with `python -m emojax.train.expw expw_crops112.csv > emojax/train/expw_packed_splits.txt`.
    """
    with table.open(newline="", encoding="utf-8") as file:
        photos = {(row["image_name"], row["split"]) for row in csv.DictReader(file)}
    return "".join(f"{split} {name}\n" for name, split in sorted(photos))


def assign_splits(groups: Mapping[str, str], packed: Mapping[str, str], seed: int = SEED) -> dict[str, str]:
    """The split of each photo: see this module's text.

    Args:
        groups: photo -> group, from `group_photos`.
        packed: photo -> split for photos whose split is fixed.
        seed: decides the splits of all other groups.
    """
    fixed: dict[str, str] = {}
    for photo, group in groups.items():
        if photo in packed:
            fixed[group] = max(packed[photo], fixed.get(group, SPLITS[0]), key=SPLITS.index)
    return {photo: packed.get(photo) or fixed.get(group) or _draw_split(group, seed) for photo, group in groups.items()}


def _draw_split(group: str, seed: int) -> str:
    draw = int.from_bytes(hashlib.sha256(f"{seed} {group}".encode()).digest()[:8], "big") / 2**64
    return "train" if draw < 0.7 else "val" if draw < 0.8 else "test"


@dataclass(frozen=True)
class _Photo:
    """A photo that can be read, its faces, and the hashes of both, uint64 [2, w] and [faces, 2, w]."""

    name: str
    faces: tuple[FaceLabel, ...]
    hashes: np.ndarray
    face_hashes: np.ndarray


def _hash_photo(origin: Path, name: str, faces: tuple[FaceLabel, ...]) -> tuple[_Photo | None, list[str]]:
    """Reads a photo and hashes it and its faces; and says what is wrong with the photo, or with some of the faces."""
    problems: list[str] = []
    good: list[FaceLabel] = []
    hashed: list[np.ndarray] = []
    try:
        with Image.open(origin / name) as photo:
            photo.load()
            for face in faces:
                try:
                    hashed.append(perceptual_hashes(Image.fromarray(cut_face(photo, face))))
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
            Image.fromarray(cut_face(photo, face)).save(file, "JPEG", quality=95, subsampling=0)
            encoded.append((face, file.getvalue()))
    return encoded


def _in_threads(function: Callable[..., Any], *columns: Sequence[Any]) -> Iterator[Any]:
    """`map` in threads, a few rows ahead: a pool's own map runs through all of them, and the results fill the memory."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(columns[0]), 256):
            yield from pool.map(function, *(column[start : start + 256] for column in columns))


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
        hashing = _in_threads(partial(_hash_photo, origin), list(photos), list(photos.values()))
        hashed = list(track(hashing, "photo", "comparing photos", len(photos)))
        bad = [problem for _, problems in hashed for problem in problems]
        good = [photo for photo, _ in hashed if photo is not None]
        if not good:
            raise UserError(f"none of the {len(bad)} faces of ExpW can be read, first {bad[0]}: restore the folder")
        if bad:
            print(f"skipping {len(bad)} of {len(faces)} faces that cannot be read, first {bad[0]}", file=sys.stderr)
        metadata: Any = self.info.metadata
        metadata["skipped_faces"] = len(bad)
        owners = np.repeat(np.arange(len(good)), [len(photo.faces) for photo in good])
        groups = group_photos(
            [photo.name for photo in good],
            np.stack([photo.hashes for photo in good]),
            np.concatenate([photo.face_hashes for photo in good]),
            owners,
        )
        splits = assign_splits(groups, packed_splits())
        chosen = {split: [photo for photo in good if splits[photo.name] == split] for split in SPLITS}
        # TFDS cannot write an empty split.
        return {split: self._generate_examples(origin, photos, groups) for split, photos in chosen.items() if photos}

    def _generate_examples(
        self, origin: Path, photos: Sequence[_Photo], groups: Mapping[str, str]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        names, faces = [photo.name for photo in photos], [photo.faces for photo in photos]
        for encoded in _in_threads(partial(_encode_faces, origin), names, faces):
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
    """Checks an ExpW folder and names its content, by `label.lst` and the sizes of the listed photos."""
    listing, origin = root / "label.lst", root / "origin"
    names = sorted({face.photo for face in parse_labels(listing)})
    try:
        sizes = {entry.name: entry.stat().st_size for entry in os.scandir(origin)}
    except OSError as error:
        raise UserError(f"cannot read {origin} ({error.strerror}): it has to hold ExpW's photos") from None
    missing = [name for name in names if name not in sizes]
    if missing:
        raise UserError(
            f"{len(missing)} of the {len(names)} photos in {listing} are missing, first {origin / missing[0]}: "
            "unpack all parts of ExpW, or remove their lines"
        )
    digest = hashlib.sha256(listing.read_bytes())
    digest.update(repr([(name, sizes[name]) for name in names]).encode())
    return digest.hexdigest()[:12]


def prepare_expw(root: str | Path, data_dir: str | Path | None = None) -> Expw:
    """Prepares ExpW for reading, unless it is prepared already. For all of ExpW this takes a while; progress is shown.

    Args:
        root: the folder with `origin/` and `label.lst`.
        data_dir: where to write; the folder ROOT.prepared beside ROOT by default. Another version of ROOT's content is
            prepared anew, beside the first one.

    Raises:
        UserError: see `parse_labels`; missing photos; no photo that can be read; a folder that cannot be written.
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
        ):  # TFDS announces a download that does not take place
            builder.download_and_prepare(download_dir=where, download_config=config, file_format="array_record")
    except (OSError, RuntimeError) as error:  # array_record raises RuntimeError where it cannot write
        if (finished := Expw(data_dir=where)).is_prepared():  # by another process, in the meantime
            return finished
        raise UserError(
            f"cannot prepare ExpW in {where} ({' '.join(str(error).split())[:200]}): choose another folder for the "
            "prepared data, with enough space"
        ) from error
    return builder


class ExpwFaces:
    """A random access source of the faces of one split of a prepared ExpW."""

    def __init__(self, builder: Expw, split: str) -> None:
        """Opens a split; raises UserError for one that is unknown or has no faces."""
        if split not in builder.info.splits:
            choices = ", ".join(builder.info.splits)
            raise UserError(f"no faces in split {split!r} of {builder.data_dir}: choose from {choices}")
        self.split = split
        open_split: Any = builder.as_data_source  # TFDS decorates it without types
        self._rows: Any = open_split(split, decoders={"image": tfds.decode.SkipDecoding()})

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, index: int) -> dict[str, Any]:
        """All that is known of a face: image (JPEG), label, photo, face_id, box, confidence, group."""
        row = self._rows[index]
        return row | {"photo": row["photo"].decode(), "group": row["group"].decode()}

    def __getitem__(self, index: int) -> dict[str, Any]:
        """{"image": JPEG bytes, "label": int, "votes": float32 [7], one-hot, "margin": 0.2}."""
        row = self._rows[index]
        votes = np.eye(len(EMOTIONS), dtype=np.float32)[row["label"]]
        return {"image": row["image"], "label": int(row["label"]), "votes": votes, "margin": MARGIN}

    def labels(self) -> Int[np.ndarray, " n"]:
        """The labels of all faces; reads the whole split, about 10 seconds for all of ExpW."""
        return np.array([row["label"] for row in self._rows], np.int64)

    def __repr__(self) -> str:
        return f"ExpwFaces({self.split}, {len(self)} faces)"


if __name__ == "__main__":
    sys.stdout.write(packed_splits_text(Path(sys.argv[1])))
