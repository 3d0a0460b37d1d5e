"""Initial weights of a classifier: VGG16's convolutions, MobileFaceNet's, or another classifier's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError
from safetensors.numpy import load_file

from emojax.emotions import EMOTIONS
from emojax.errors import CheckpointError, InputError
from emojax.nets.classifier_config import ClassifierConfig
from emojax.weights.load import load_classifier


def from_vgg16(variables: Mapping[str, Any], vgg: Mapping[str, Any]) -> dict[str, Any]:
    """Fresh variables of the architecture vgg16 with VGG16's own convolutions.

    VGG16 takes RGB in 0..255 minus a mean; the classifier takes -1 to 1, grey or RGB. The conversion is linear and is
    folded into conv1_1. This is exact except at the border, where the padding is mid-grey instead of the mean.

    Args:
        variables: see `init_classifier`.
        vgg: see `load_vgg16`.

    Raises:
        InputError: the network's widths are not VGG16's.
    """
    params = dict(variables["params"])
    first = dict(vgg["conv1_1"])
    # VGG16's input is 127.5 x + 127.5 - mean, where x is -1 to 1.
    first["bias"] = first["bias"] + np.einsum("hwio,i->o", first["kernel"], 127.5 - vgg["mean"])
    first["kernel"] = first["kernel"] * 127.5
    if params["conv1_1"]["kernel"].shape[2] == 1:
        first["kernel"] = first["kernel"].sum(2, keepdims=True)
    for name in filter(lambda name: name.startswith("conv"), params):
        layer = first if name == "conv1_1" else vgg[name]
        if layer["kernel"].shape != params[name]["kernel"].shape:
            raise InputError(
                f"{name} is {list(params[name]['kernel'].shape)} here and {list(layer['kernel'].shape)} in VGG16: set "
                "`model.widths` 64 128 256 512, or fewer of them, or `vgg16` random"
            )
        params[name] = {part: np.asarray(layer[part], np.float32) for part in ("kernel", "bias")}
    return {**variables, "params": params}


# The zoo's network has its emotions in another order.
_ZOO_EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")


def from_mobilefacenet(variables: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    """Variables of the architecture mobilefacenet with the weights of the OpenCV model zoo's expression network.

    Every domain starts with the zoo's last layer, and all domains are equally likely.

    Args:
        variables: see `init_classifier`; of "params" only the shapes matter.
        path: a safetensors file with the tensors "stem/kernel", "block0/expand/kernel", ..., "dense/bias".

    Raises:
        CheckpointError: a file that is missing, damaged or of another network.
    """
    try:
        tensors = {tuple(name.split("/")): value.astype(np.float32) for name, value in load_file(path).items()}
    except FileNotFoundError:
        raise CheckpointError(f"no weights of MobileFaceNet at {path}: the file does not exist") from None
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is no safetensors file ({error}): get it again") from None
    ours = flatten_dict(variables["params"])
    order = [_ZOO_EMOTIONS.index(name) for name in EMOTIONS]
    for part in ("kernel", "bias"):
        last = ours["Dense_0", part]
        zoo = tensors.pop(("dense", part), np.zeros((1, len(EMOTIONS)), np.float32))[..., order]
        domains = last.shape[-1] // len(EMOTIONS)
        rows = np.concatenate([zoo] * domains, axis=-1)
        tensors["Dense_0", part] = np.concatenate(
            [rows, np.zeros((*rows.shape[:-1], last.shape[-1] - rows.shape[-1]), np.float32)], axis=-1
        )
    shapes, wanted = ({name: value.shape for name, value in tree.items()} for tree in (tensors, ours))
    if odd := sorted(name for name in shapes.keys() | wanted.keys() if shapes.get(name) != wanted.get(name)):
        raise CheckpointError(
            f"{path} has {'/'.join(odd[0])} {shapes.get(odd[0], 'missing')}, this network {wanted.get(odd[0], 'none')}: "
            "`model.widths` 64 128 128, `model.dense` 512 and `model.size` 112 are the zoo's"
        )
    return {**variables, "params": unflatten_dict(tensors)}


def from_checkpoint(config: ClassifierConfig, path: str | Path) -> dict[str, Any]:
    """The variables of a trained classifier of the same shape.

    Raises:
        CheckpointError: see `load_classifier`; a checkpoint of another shape.
    """
    found, variables = load_classifier(path)
    for name in ("architecture", "widths", "dense", "size", "channels", "aligned", "domains"):
        ours, theirs = getattr(config, name), getattr(found, name)
        if ours != theirs:
            raise CheckpointError(f"checkpoint {path} has {name} {theirs}, this run {ours}: make them alike")
    return variables
