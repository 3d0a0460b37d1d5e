"""The networks as StableHLO programs, which `jax.export.deserialize` reads; see `emojax.export` for inputs and outputs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import export as jax_export
from jaxtyping import Array, Float, UInt8

from emojax.emotions import EMOTIONS
from emojax.faces.detector import load_detector
from emojax.nets.classifier import classify
from emojax.nets.classifier_config import ClassifierConfig
from emojax.nets.stylizer_config import MINIMUM, StylizerConfig
from emojax.pipeline.forward import classify_then_stylize, style_choice, stylize_padded

PLATFORMS = ("cpu", "cuda", "tpu")


def stylize_any_size(
    config: StylizerConfig, params: Any, photos: UInt8[Array, "B H W 3"], weights: Float[Array, "B 7"]
) -> UInt8[Array, "B H W 3"]:
    """Repaints photos of any size from 16 x 16 up by weights over the seven emotions (normalized here).

    Weights of emotions for which the network has no style are ignored; a network with one style always uses it. If no weight
    remains, all styles get the same weight, because an exported program cannot raise an error.
    """
    shares = jax.vmap(lambda row: style_choice(config.style_names, row, "probabilities"))(weights)
    chosen = shares.sum(1, keepdims=True) > 0
    return stylize_padded(config, params, photos, jnp.where(chosen, shares, 1 / len(config.style_names)))


def export_stylize(config: StylizerConfig, params: Any) -> bytes:
    """The serialized program of `--part stylize`; see `emojax.export`."""
    b, h, w = jax_export.symbolic_shape("b, h, w", constraints=[f"h >= {MINIMUM}", f"w >= {MINIMUM}"])
    photos = jax.ShapeDtypeStruct((b, h, w, 3), jnp.uint8)
    weights = jax.ShapeDtypeStruct((b, len(EMOTIONS)), jnp.float32)
    params = jax.device_put(params)
    program = jax.jit(lambda photos, weights: stylize_any_size(config, params, photos, weights))
    return bytes(jax_export.export(program, platforms=PLATFORMS)(photos, weights).serialize())


def export_classify(config: ClassifierConfig, variables: Any) -> bytes:
    """The serialized program of `--part classify`; see `emojax.export`."""
    (b,) = jax_export.symbolic_shape("b")
    crops = jax.ShapeDtypeStruct((b, config.size, config.size, 3), jnp.uint8)
    variables = jax.device_put(variables)
    program = jax.jit(lambda crops: classify(config, variables, crops))
    return bytes(jax_export.export(program, platforms=PLATFORMS)(crops).serialize())


def export_all(classifier: ClassifierConfig, variables: Any, styles: StylizerConfig, params: Any) -> bytes:
    """The serialized program of `--part all`; see `emojax.export`."""
    h, w = jax_export.symbolic_shape("h, w", constraints=[f"h >= {MINIMUM}", f"w >= {MINIMUM}"])
    photo = jax.ShapeDtypeStruct((h, w, 3), jnp.uint8)
    everything = jax.device_put({"detector": load_detector(), "classifier": variables, "stylizer": params})

    def run(photo: UInt8[Array, "H W 3"]) -> tuple[Array, ...]:
        return tuple(classify_then_stylize(classifier, styles, "dominant", everything, photo))

    return bytes(jax_export.export(jax.jit(run), platforms=PLATFORMS)(photo).serialize())
