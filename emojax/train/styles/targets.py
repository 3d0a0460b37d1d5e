"""Constants of the style training: VGG16, and the features of the paintings that the loss compares with."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt8

from emojax.images import to_unit
from emojax.losses.objective import sample_painting
from emojax.losses.terms import STYLE_LAYERS, gram_matrix, interior
from emojax.nets.vgg16 import LAYERS, vgg16_features
from emojax.train.styles.config import PhotoConfig, StyleLossConfig, StyleTraining, painted_styles
from emojax.train.styles.paintings import read_paintings
from emojax.util import compiling


def painting_grams(
    vgg: Any, config: PhotoConfig, styles: tuple[str, ...], of: Callable[[jax.Array], jax.Array] = interior
) -> dict[str, jax.Array]:
    """Gram matrices of the styles' paintings: layer -> float32 [S, C, C].

    Args:
        of: selects the part of the features to use; by default all but the border, see `interior`.
    """
    program, grams = compiling.jit(vgg16_features, static_argnames="layers"), []
    for painting in read_paintings(config, styles):
        features = program(vgg, painting.astype(np.float32), layers=STYLE_LAYERS)
        grams.append({layer: gram_matrix(of(features[layer]))[0] for layer in STYLE_LAYERS})
    return {layer: jnp.stack([gram[layer] for gram in grams]) for layer in STYLE_LAYERS}


def painting_targets(vgg: Any, config: PhotoConfig, loss: StyleLossConfig, styles: tuple[str, ...]) -> dict[str, Any]:
    """Features of the S paintings that the loss compares pictures with.

    Returns:
        "grams": style layer -> float32 [S, C, C]; and where the loss compares hypercolumns, `Samples` with a leading axis S.
    """
    program, paintings = compiling.jit(_targets_of, static_argnums=0), read_paintings(config, styles)
    # Each shape of a painting needs its own program. A CPU compiles and runs it much faster than a GPU compiles it.
    try:
        cpu = jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS excludes the CPU
        cpu = jax.local_devices()[0]
    vgg = jax.device_put(vgg, cpu)

    def targets_of(index: int) -> dict[str, Any]:
        arguments = jax.device_put((paintings[index], np.array([0, index], np.uint32)), cpu)
        return jax.device_get(program(loss, vgg, *arguments))

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = list(pool.map(targets_of, range(len(paintings))))
    return jax.tree.map(lambda *rows: np.stack(rows), *found)


def _targets_of(loss: StyleLossConfig, vgg: Any, painting: UInt8[Array, "1 H W 3"], key: Array) -> dict[str, Any]:
    """The targets of one painting."""
    columns = loss.columns * loss.compares_columns
    features = vgg16_features(vgg, painting.astype(jnp.float32), (*loss.style_layers, *columns))
    grams = {layer: gram_matrix(interior(features[layer]))[0] for layer in loss.style_layers}
    maps = [features[layer] for layer in columns]
    return {"grams": grams, **(sample_painting(maps, to_unit(painting), key) if columns else {})}


def make_constants(config: StyleTraining, vgg: Any) -> dict[str, Any]:
    """The constants of `perceptual_losses`: the layers of VGG16 that the loss uses, and `painting_targets`."""
    deepest = max(LAYERS.index(name.removeprefix("relu")) for name in config.loss.layers)
    targets = painting_targets(vgg, config.data, config.loss, painted_styles(config.resolved_model().style_names))
    kept = {"mean", *(f"conv{layer}" for layer in LAYERS[: deepest + 1])}
    return {"vgg": {name: part for name, part in vgg.items() if name in kept}, "paintings": targets}
