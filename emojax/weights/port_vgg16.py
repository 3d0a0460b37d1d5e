"""Converts VGG16 weights to the layout of emojax: `emojax vgg16 port SOURCE DEST`.

SOURCE is a file that `emojax.weights.vgg16_file.read_weights` reads. DEST gets the ten convolutions that the losses use, with
the names and shapes of `emojax.nets.vgg16.SHAPES`. Values and dtypes do not change (float16 stays float16), except that files
read by torch become float32. The metadata "family" names the input convention of the weights.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save

from emojax.util.files import refuse_existing, write_atomically
from emojax.weights.vgg16_file import read_weights


def port(source: Path, dest: Path, family: str | None = None, force: bool = False) -> str:
    """Writes `source` to `dest` in our layout, atomically.

    Returns:
        The family of the weights.

    Raises:
        EmojaxError: a source that is not VGG16, a `dest` that exists (without `force`) or that cannot be written.
    """
    refuse_existing(dest, force)
    weights = read_weights(source, family)
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in weights.tensors.items()}
    write_atomically(dest, save(tensors, metadata={"family": weights.family}))
    return weights.family
