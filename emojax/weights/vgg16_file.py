"""VGG16's weights: the packaged file, and files of other families.

The families have different input conventions (BGR or RGB, divided by a standard deviation or not). `load_vgg16` folds order and
scale into the kernels of conv1_1, which is exact. All families then have the same layout of parameters, and the forward pass
only subtracts a mean. The mean cannot be folded into the bias, because the zero padding comes after it is subtracted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from emojax.errors import CheckpointError, InputError
from emojax.nets.vgg16 import LAYERS, SHAPES, shapes
from emojax.util.files import PACKAGED

_TORCHVISION_LAYERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21)  # the indices of the convolutions in vgg16().features
TORCHVISION = {
    f"features.{index}.{theirs}": f"conv{layer}/{ours}"
    for index, layer in zip(_TORCHVISION_LAYERS, LAYERS, strict=True)
    for theirs, ours in (("weight", "kernel"), ("bias", "bias"))
}
"""torchvision's state dict layout (kernels OIHW): its names -> ours"""

# The names of block 5 and the fully connected layers in the known ports (ours, Keras, torchvision, timm).
_DROPPED = re.compile(r"(conv5_|block5_|fc|classifier\.|predictions|pre_logits\.|head\.|features\.(24|26|28)\.).*")


@dataclass(frozen=True)
class Family:
    """The input convention of a set of weights: (RGB in 0..255 - mean) / std, reversed to BGR if `bgr`."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool


FAMILIES = {
    "caffe": Family((123.68, 116.779, 103.939), (1.0, 1.0, 1.0), bgr=True),
    "torchvision": Family((0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255), bgr=False),
    "torchvision-features": Family((0.48235 * 255, 0.45882 * 255, 0.40784 * 255), (1.0, 1.0, 1.0), bgr=False),
}
"""caffe: the authors' weights and Keras' port of them. torchvision: IMAGENET1K_V1. torchvision-features:
IMAGENET1K_FEATURES, Caffe's scale in torchvision's layout."""


@dataclass(frozen=True)
class Weights:
    """Tensors of a weights file, in our layout, with the source's numbers and dtypes.

    Attributes:
        tensors: all of `SHAPES`, or of a narrower network.
        family: a key of `FAMILIES`.
    """

    tensors: Mapping[str, np.ndarray]
    family: str


def load_vgg16(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads VGG16's parameters from a weights file of any family, see `read_weights` for what is accepted.

    Returns:
        {"mean": float32 [3] (RGB, 0..255), "conv1_1": {"kernel": float32 [3, 3, I, O], "bias": float32 [O]}, ...}
        as NumPy arrays, for RGB input in 0..255.

    Raises:
        CheckpointError: a file that is missing, unreadable or not VGG16.
    """
    weights = read_weights(path)
    family = FAMILIES[weights.family]
    tensors = {name: tensor.astype(np.float32) for name, tensor in weights.tensors.items()}
    params: dict[str, Any] = {
        f"conv{layer}": {part: tensors[f"conv{layer}/{part}"] for part in ("kernel", "bias")} for layer in LAYERS
    }
    first = params["conv1_1"]["kernel"]
    rgb = first[:, :, ::-1] if family.bgr else first
    params["conv1_1"]["kernel"] = rgb / np.asarray(family.std, np.float32).reshape(1, 1, 3, 1)
    return {"mean": np.asarray(family.mean, np.float32), **params}


def read_weights(path: str | os.PathLike[str], family: str | None = None) -> Weights:
    """Reads a weights file strictly: exactly VGG16's tensors; block 5 and the fully connected layers are dropped.

    All layers may be narrower by the same factor, which the bias of conv1_1 determines; such files are for tests.

    Args:
        path: a safetensors file in our layout (`SHAPES`) or in torchvision's (`TORCHVISION`); or torchvision's `.pth`
            or `.pt`, where torch is installed.
        family: a key of `FAMILIES`; by default what the file's metadata says under "family", else caffe for our
            layout and torchvision for its own.

    Raises:
        CheckpointError: naming all tensors that are missing, unexpected, misshapen or not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; give a VGG16 weights file")
    if path.suffix in (".pth", ".pt"):
        return _checked(path, _read_torch(path), family)
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            wanted = [name for name in file.keys() if not _DROPPED.fullmatch(name)]  # noqa: SIM118 (not a mapping)
            return _checked(path, {n: file.get_tensor(n) for n in wanted}, family or metadata.get("family"))
    except (SafetensorError, OSError, TypeError, AttributeError) as error:  # the last two: a dtype that NumPy lacks
        raise CheckpointError(f"{path}: not a readable safetensors file ({error}); fetch or port it again") from error


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    try:
        import torch  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise CheckpointError(f"{path}: reading it needs torch; install torch, or give a safetensors file") from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {name: tensor.float().numpy() for name, tensor in state.items() if not _DROPPED.fullmatch(name)}
    except Exception as error:  # torch raises pickle, zip, runtime and attribute errors for files without a state dict
        raise CheckpointError(f"{path}: not a state dict that torch reads ({error})") from error


def _checked(path: Path, found: Mapping[str, np.ndarray], family: str | None) -> Weights:
    """The tensors in our layout; raises one CheckpointError that lists everything that is wrong."""
    torchvision = any(name in TORCHVISION for name in found)
    names = TORCHVISION if torchvision else {name: name for name in SHAPES}
    if not any(name in names for name in found):
        raise CheckpointError(
            f"{path}: not VGG16: it holds {_listed(found, 3)} where conv1_1/kernel or features.0.weight was expected"
        )
    tensors = {
        ours: found[theirs].transpose(2, 3, 1, 0) if torchvision and found[theirs].ndim == 4 else found[theirs]
        for theirs, ours in names.items()
        if theirs in found
    }
    theirs_of = {ours: theirs for theirs, ours in names.items()}
    first = tensors.get("conv1_1/bias", np.zeros(0))
    expected = shapes(64 // first.size if first.size and 64 % first.size == 0 else 1)
    wrong = {
        "missing": [theirs for theirs in names if theirs not in found],
        "unexpected": [name for name in found if name not in names],
        "misshapen": [
            f"{theirs_of[name]} {list(found[theirs_of[name]].shape)}"
            for name, tensor in tensors.items()
            if tensor.shape != expected[name]
        ],
        "not finite": [
            theirs_of[name]
            for name, tensor in tensors.items()
            if not (np.issubdtype(tensor.dtype, np.floating) and np.isfinite(tensor).all())
        ],
    }
    if any(wrong.values()):
        what = "; ".join(f"{kind}: {_listed(items)}" for kind, items in wrong.items() if items)
        raise CheckpointError(f"{path}: not the weights of VGG16 (configuration D, no batch norm): {what}")
    family = family or ("torchvision" if torchvision else "caffe")
    if family not in FAMILIES:
        raise CheckpointError(f"{path}: unknown family {family!r}: choose from {', '.join(FAMILIES)}")
    return Weights(tensors, family)


def _listed(names: Iterable[str], limit: int | None = None) -> str:
    """The names, or the first `limit` of them, separated by commas."""
    names = list(names)
    return ", ".join(names[:limit]) + (", ..." if limit and len(names) > limit else "") if names else "no tensors"


PACKAGED_VGG16 = PACKAGED / "vgg16" / "vgg16.safetensors"
"""the packaged weights, which are those of VGG16's authors: CC BY 4.0, see the notice beside them"""


def find_vgg16(path: str | os.PathLike[str] | None = None) -> Path:
    """The weights file: `path`, else $EMOJAX_VGG16, else the packaged one.

    Raises:
        InputError: the given file does not exist.
    """
    for given, origin in ((path, "`vgg16`"), (os.environ.get("EMOJAX_VGG16"), "$EMOJAX_VGG16")):
        if given:
            if not Path(given).is_file():
                raise InputError(f"{origin} names {given}, which is no file; leave it out for the packaged weights")
            return Path(given)
    return PACKAGED_VGG16
