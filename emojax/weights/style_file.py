"""Style files: a small file with one learned style, for the network that it was learned for.

A safetensors file: `LAYER/scale` and `LAYER/shift`, float32 [C], of every norm layer of the network; `preview`, uint8, the
bytes of a small picture; and metadata: format, name, network (a fingerprint), author, licence. `emojax style add` writes
style files; `emojax style show FILE` shows their content.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from emojax.emotions import EMOTIONS
from emojax.errors import CheckpointError, InputError
from emojax.util.files import write_atomically

if TYPE_CHECKING:  # it imports JAX, which is slow; mistakes in the request are reported before that
    from emojax.nets.stylizer_config import StylizerConfig

FORMAT = "emojax style pack 1"
SUFFIX = ".pack"
LARGEST = 1_000_000
"""largest size in bytes; a style file of the default network has about 25 thousand"""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_PREVIEW_SIDE = 1024  # pixels, at most


@dataclass(frozen=True, eq=False)
class StyleFile:
    """A style's scales and shifts, and their origin."""

    name: str
    """at most 32 lower-case letters, digits, - and _; not the name of an emotion"""
    network: str
    """fingerprint of the network that the style belongs to; see `network_fingerprint`"""
    code: Mapping[str, Mapping[str, np.ndarray]] = field(repr=False)
    """norm layer -> {"scale", "shift"}: float32 [C]"""
    preview: bytes = field(repr=False)
    """the bytes of a small picture of the style"""
    author: str = ""
    """of the painting"""
    licence: str = ""
    """of the painting"""

    def __post_init__(self) -> None:
        check_name(self.name)

    def check(self, config: StylizerConfig, fingerprint: str) -> None:
        """Raises CheckpointError unless the style file fits a network and its name is new there."""
        shapes = {name: {part: row.shape for part, row in layer.items()} for name, layer in self.code.items()}
        wanted = {name: {"scale": (channels,), "shift": (channels,)} for name, channels in config.norm_layers()}
        if config.network_per_style or self.network != fingerprint:
            raise CheckpointError(
                f"the style {self.name!r} was made for another network ({self.network[:12]}, this one is "
                f"{fingerprint[:12]}): load that one as `styles`, or learn the style again by emojax style add"
            )
        if shapes != wanted:
            raise CheckpointError(
                f"the style {self.name!r} is damaged: its scales and shifts are not those of its network"
            )
        if self.name in config.style_names:
            raise CheckpointError(f"there are two styles {self.name!r}: give one style file of that name")


def check_name(name: str) -> None:
    """Raises InputError unless `name` is a valid name of a style."""
    if not _NAME.fullmatch(name):
        raise InputError(f"style name {name!r}: use 1 to 32 lower-case letters, digits, - and _")
    if name in EMOTIONS:
        raise InputError(f"style name {name!r} is an emotion's: choose another one")


def network_fingerprint(network: Any) -> str:
    """SHA-256 over the names, shapes and float32 values of a network's convolutions."""
    digest = hashlib.sha256()
    for layer in sorted(network):
        for part in sorted(network[layer]):
            values = np.ascontiguousarray(network[layer][part], "<f4")
            digest.update(f"{layer}/{part} {list(values.shape)}\n".encode())
            digest.update(values.tobytes())
    return digest.hexdigest()


def write_style_file(path: Path, style_file: StyleFile) -> None:
    """Writes a style file; raises CheckpointError if the file cannot be written."""
    tensors = {
        f"{layer}/{part}": np.asarray(row, np.float32)
        for layer, parts in style_file.code.items()
        for part, row in parts.items()
    }
    texts = {field: getattr(style_file, field) for field in ("name", "network", "author", "licence")}
    preview = np.frombuffer(style_file.preview, np.uint8)
    write_atomically(path, save({**tensors, "preview": preview}, {"format": FORMAT, **texts}))


def read_style_file(path: str | os.PathLike[str]) -> StyleFile:
    """Reads and checks a style file; `StyleFile.check` checks whether it fits a network.

    Raises:
        CheckpointError: a file that is missing, too large or no style file.
    """
    try:
        if (size := os.stat(path).st_size) > LARGEST:
            raise CheckpointError(
                f"{path} has {size} bytes, more than a style file can have ({LARGEST}): it is something else"
            )
        with safe_open(path, "np") as file:
            texts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (OSError, SafetensorError, TypeError, AttributeError) as error:  # the last two: a dtype that NumPy lacks
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"cannot read the style file {path} ({reason}): make one by emojax style add") from None
    if (found := texts.get("format")) != FORMAT:
        raise CheckpointError(
            f"{path} is no style file that this emojax reads: its format is {found!r}, not {FORMAT!r}"
        )
    preview = tensors.pop("preview", np.zeros(0))
    code: dict[str, dict[str, np.ndarray]] = {}
    for name, row in tensors.items():
        layer, _, part = name.partition("/")
        if part not in ("scale", "shift") or row.ndim != 1 or row.dtype != np.float32 or not np.isfinite(row).all():
            raise CheckpointError(
                f"{path} is damaged: {name} is {row.dtype} {list(row.shape)}, not a row of scales or shifts"
            )
        code.setdefault(layer, {})[part] = row
    if preview.dtype != np.uint8 or preview.ndim != 1:
        raise CheckpointError(f"{path} is damaged: it has no preview")
    try:
        texts = {field: texts[field] for field in ("name", "network", "author", "licence")}
    except KeyError as error:
        raise CheckpointError(f"{path} is damaged: it does not say its {error.args[0]}") from None
    return StyleFile(code=code, preview=preview.tobytes(), **texts)


def open_preview(style_file: StyleFile) -> Image.Image:
    """The preview as a picture.

    Raises:
        CheckpointError: it is not a picture, or too large.
    """
    try:
        picture = Image.open(io.BytesIO(style_file.preview), formats=("JPEG", "PNG"))
        if max(picture.size) > _PREVIEW_SIDE:
            raise CheckpointError(f"the preview of {style_file.name!r} has {picture.size} pixels: it is not ours")
        return picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise CheckpointError(f"the preview of {style_file.name!r} is no picture: {error}") from None
