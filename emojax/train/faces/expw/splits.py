"""The split of each ExpW photo: 70% train, 10% val, 20% test, by groups of near-duplicates.

A photo and its copies are always in the same split. A group is named after its first photo in alphabetical order. This name
and a seed determine its split, so the order of the files does not matter. Photos of the face archive expw_crops112
(`expw_packed_splits.txt`) keep the split that they have there, and the rest of their group gets the same split. If a group has
archived photos in several splits, the rest goes to the first of test, val and train among them.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

SPLITS = ("train", "val", "test")
SEED = 0


def archive_splits() -> dict[str, str]:
    """name -> split of the 4,870 photos of the archive expw_crops112, from the text file in this package."""
    text = resources.files("emojax.train.faces.expw").joinpath("expw_packed_splits.txt").read_text(encoding="utf-8")
    return {name: split for split, *names in map(str.split, text.splitlines()) for name in names}


def archive_splits_text(table: Path) -> str:
    """The content of expw_packed_splits.txt, made from expw_crops112.csv: "split name", a line a photo.

    It was written with `python -m emojax.train.expw expw_crops112.csv > emojax/train/faces/expw/expw_packed_splits.txt`.
    """
    with table.open(newline="", encoding="utf-8") as file:
        photos = {(row["image_name"], row["split"]) for row in csv.DictReader(file)}
    return "".join(f"{split} {name}\n" for name, split in sorted(photos))


def assign_splits(groups: Mapping[str, str], fixed: Mapping[str, str], seed: int = SEED) -> dict[str, str]:
    """The split of each photo; see this module.

    Args:
        groups: photo -> group, from `group_photos`.
        fixed: photo -> split for photos whose split is fixed.
        seed: decides the splits of all other groups.
    """
    of_group: dict[str, str] = {}
    for photo, group in groups.items():
        if photo in fixed:
            of_group[group] = max(fixed[photo], of_group.get(group, SPLITS[0]), key=SPLITS.index)
    return {
        photo: fixed.get(photo) or of_group.get(group) or _draw_split(group, seed) for photo, group in groups.items()
    }


def _draw_split(group: str, seed: int) -> str:
    draw = int.from_bytes(hashlib.sha256(f"{seed} {group}".encode()).digest()[:8], "big") / 2**64
    return "train" if draw < 0.7 else "val" if draw < 0.8 else "test"
