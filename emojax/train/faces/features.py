"""Features of faces from a network's first blocks, computed once: training the other blocks then takes a tenth of the time.

Features are float16 [n, m, h, w, C], for every face of a source (m = 1), or for every face and its mirror image (m = 2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float16, Int, UInt8

from emojax.errors import InputError, OutputError
from emojax.nets.classifier import network_input
from emojax.nets.classifier_config import ClassifierConfig
from emojax.nets.mobilefacenet import MobileFaceNet, layers_before
from emojax.train.faces.data import decode_face
from emojax.train.stream import UNREADABLE
from emojax.util import compiling
from emojax.util.files import make_folder
from emojax.util.progress import track

MANY = 5000
"""number of training faces from which a source gets no mirror images, because computing the features takes long enough"""
BATCH = 8
"""faces per batch; larger batches do not fit into a core's cache"""


def first_blocks(
    config: ClassifierConfig, begin: int, params: Mapping[str, Any], crops: UInt8[Array, "N S S 3"]
) -> Float16[Array, "N h w C"]:
    """The input of block `begin` for crops of faces. Pure; `config` and `begin` are static."""
    network = MobileFaceNet(config.widths, config.dense, jnp.float32)
    ours = {name: params[name] for name in layers_before(begin)}
    found = network.apply({"params": ours}, network_input(config, crops), 0, begin)
    assert isinstance(found, jax.Array)
    return found.astype(jnp.float16)


class FacesWithFeatures:
    """The faces of a source with "features" [m, h, w, C] instead of an image."""

    def __init__(self, source: Any, features: Float16[np.ndarray, "n m h w C"]) -> None:
        self.source, self.features = source, features

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not np.isfinite(self.features[index, 0, 0, 0, 0]):
            raise ValueError("the image cannot be read")
        face = {name: value for name, value in self.source[index].items() if name != "image"}
        return {**face, "features": self.features[index]}

    def labels(self) -> Int[np.ndarray, " n"]:
        """The labels of all faces."""
        return np.asarray(self.source.labels())

    def __repr__(self) -> str:
        return repr(self.source)


def with_features(
    name: str,
    source: Any,
    config: ClassifierConfig,
    begin: int,
    params: Mapping[str, Any],
    folder: Path,
    mirrored: bool,
) -> FacesWithFeatures:
    """A source with features from a folder; they are computed and written there first if they are missing.

    Raises:
        OutputError: the folder cannot be written.
    """
    make_folder(folder)
    path = folder / f"{name}_{fingerprint(source, config, begin, params)[:16]}_{2 if mirrored else 1}.npy"
    if not path.exists():
        _write(path, name, source, config, begin, params, mirrored)
    try:
        return FacesWithFeatures(source, np.load(path, mmap_mode="r"))
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} is damaged ({error}): remove it") from None


def fingerprint(source: Any, config: ClassifierConfig, begin: int, params: Mapping[str, Any]) -> str:
    """A hash of all that the features depend on."""
    digest = hashlib.sha256(f"{config.size} {config.margin} {config.aligned} {begin}".encode())
    for leaf in jax.tree.leaves({name: params[name] for name in layers_before(begin)}):
        digest.update(np.asarray(leaf).tobytes())
    for index in range(len(source)):
        face = source[index]
        digest.update(f"\n{face['margin']} {face.get('landmarks')}\n".encode())
        digest.update(face["image"])
    return digest.hexdigest()


def _write(
    path: Path,
    name: str,
    source: Any,
    config: ClassifierConfig,
    begin: int,
    params: Mapping[str, Any],
    mirrored: bool,
) -> None:
    """Computes and writes the features of a source; the file has another name until it is complete."""
    program = compiling.jit(partial(first_blocks, config, begin))
    looks = 2 if mirrored else 1
    shape = jax.eval_shape(program, params, np.zeros((BATCH, config.size, config.size, 3), np.uint8)).shape[1:]
    partly = path.with_suffix(".part")
    try:
        features = np.lib.format.open_memmap(partly, "w+", np.float16, (len(source), looks, *shape))
        starts = range(0, len(source), BATCH)
        for start in track(starts, "batch", f"features of {name}", len(starts)):
            crops, missing = zip(*_decoded(source, config, range(start, start + BATCH)), strict=True)
            for look, faces in enumerate((np.stack(crops), np.stack(crops)[:, :, ::-1])[:looks]):
                rows = np.array(program(params, faces))
                rows[np.array(missing)] = np.nan
                features[start : start + BATCH, look] = rows[: len(source) - start]
        features.flush()
        partly.rename(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        partly.unlink(missing_ok=True)


def _decoded(source: Any, config: ClassifierConfig, rows: range) -> Iterator[tuple[np.ndarray, bool]]:
    """The crops of some faces, and whether each is missing; a face that cannot be read or does not exist is black."""
    black = np.zeros((config.size, config.size, 3), np.uint8)
    for row in rows:
        if row >= len(source):
            yield black, True
            continue
        try:
            yield decode_face(source[row], config), False
        except UNREADABLE:
            yield black, True
