"""The networks' arrays as one safetensors file; see `emojax.export` for their names."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import jax
import numpy as np
from safetensors.numpy import save

from emojax.emotions import EMOTIONS
from emojax.nets.classifier_config import ClassifierConfig
from emojax.nets.stylizer import remove_checkerboard
from emojax.nets.stylizer_config import StylizerConfig


def export_safetensors(classifier: ClassifierConfig, variables: Any, styles: StylizerConfig, params: Any) -> bytes:
    """The arrays of both models; see `emojax.export` for their names. `remove_checkerboard` is applied to the last layer."""
    params = {**params, "network": remove_checkerboard(styles, params["network"])}
    leaves = jax.tree_util.tree_flatten_with_path({"classifier": variables, "styles": params})[0]
    tensors = {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf) for path, leaf in leaves}
    metadata = {
        "format": "emojax 1",
        "emotions": json.dumps(EMOTIONS),
        "classifier": json.dumps(dataclasses.asdict(classifier)),
        "styles": json.dumps(dataclasses.asdict(styles)),
    }
    return save(tensors, metadata)
