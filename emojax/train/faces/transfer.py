"""Initial weights of a classifier: VGG16's convolutions, or another classifier's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from emojax.errors import UserError
from emojax.nets.classifier import ClassifierConfig
from emojax.weights.load import load_classifier


def from_vgg16(variables: Mapping[str, Any], vgg: Mapping[str, Any]) -> dict[str, Any]:
    """Fresh variables of the architecture vgg16 with VGG16's own convolutions.

    VGG16 takes RGB in 0..255 minus a mean; the classifier takes -1 to 1, grey or RGB. The conversion is linear and is
    folded into conv1_1. This is exact except at the border, where the padding is mid-grey instead of the mean.

    Args:
        variables: see `init_classifier`.
        vgg: see `load_vgg16`.

    Raises:
        UserError: the network's widths are not VGG16's.
    """
    params = dict(variables["params"])
    first = dict(vgg["conv1_1"])
    # 127.5 x + 127.5 - mean, where x is -1 to 1
    first["bias"] = first["bias"] + np.einsum("hwio,i->o", first["kernel"], 127.5 - vgg["mean"])
    first["kernel"] = first["kernel"] * 127.5
    if params["conv1_1"]["kernel"].shape[2] == 1:
        first["kernel"] = first["kernel"].sum(2, keepdims=True)
    for name in filter(lambda name: name.startswith("conv"), params):
        layer = first if name == "conv1_1" else vgg[name]
        if layer["kernel"].shape != params[name]["kernel"].shape:
            raise UserError(
                f"{name} is {list(params[name]['kernel'].shape)} here and {list(layer['kernel'].shape)} in VGG16: set "
                "`model.widths` 64 128 256 512, or fewer of them, or `vgg16` random"
            )
        params[name] = {part: np.asarray(layer[part], np.float32) for part in ("kernel", "bias")}
    return {**variables, "params": params}


def from_checkpoint(config: ClassifierConfig, path: str | Path) -> dict[str, Any]:
    """The variables of a trained classifier of the same shape.

    Raises:
        UserError: see `load_classifier`; a checkpoint of another shape.
    """
    found, variables = load_classifier(path)
    for name in ("architecture", "widths", "dense", "size", "channels"):
        ours, theirs = getattr(config, name), getattr(found, name)
        if ours != theirs:
            raise UserError(f"checkpoint {path} has {name} {theirs}, this run {ours}: make them alike")
    return variables
