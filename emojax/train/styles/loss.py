"""The perceptual loss of the transform net, and its terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from emojax.emotions import PHOTO
from emojax.images import to_255, to_unit
from emojax.losses.objective import transport_terms
from emojax.losses.terms import (
    CONTENT_LAYER,
    content_loss,
    flatness_loss,
    interior,
    style_loss,
    total_variation,
)
from emojax.nets.style_code import mix_styles
from emojax.nets.stylizer import stylize_with_code
from emojax.nets.vgg16 import vgg16_features
from emojax.train.styles.config import StyleTraining, painted_styles

NOISE = 2 / 255
"""standard deviation of the noise of the steadiness term, in units of a pixel's range"""


def perceptual_losses(
    config: StyleTraining, constants: Mapping[str, Any], params: Any, batch: Mapping[str, Any], key: jax.Array
) -> dict[str, jax.Array]:
    """The terms of the loss, means over a batch. Pure.

    Args:
        constants: {"vgg": VGG16 parameters, "paintings": see `painting_targets`}, and "network" if that is not trained.
        params: see `init_stylizer`.
        batch: {"photo": uint8 [N, H, W, 3], "faces": uint8 [N, H / 4, W / 4], "style": int32 [N]}.
        key: PRNG key of positions and noise.

    Returns:
        Scalars: "loss" (the weighted sum), and each term with its name in the config.
    """
    model, dtype, weights = config.resolved_model(), jnp.dtype(config.dtype), config.loss
    photos = to_unit(jnp.asarray(batch["photo"]))
    styles = jnp.asarray(batch["style"])
    choice = jax.nn.one_hot(styles, len(model.style_names))
    network = {**constants, **params}["network"]
    code = mix_styles(params["style_table"], choice)
    stylized = stylize_with_code(model, network, photos, code, dtype=dtype)
    vgg = jax.tree.map(lambda x: x.astype(dtype), constants["vgg"])
    features = vgg16_features(vgg, to_255(stylized), weights.layers)
    content_layers = (CONTENT_LAYER,) * bool(weights.content) + weights.columns * weights.compares_columns
    target = vgg16_features(vgg, to_255(photos), content_layers)
    # The style "photo" has no painting; it is compared with the last painting with weight 0.
    with_painting = jnp.asarray([style != PHOTO for style in model.style_names], jnp.float32)[styles]
    rows = jnp.minimum(styles, len(painted_styles(model.style_names)) - 1)
    paintings = jax.tree.map(lambda table: table[rows], constants["paintings"])
    terms: dict[str, jax.Array] = {"tv": total_variation(stylized)}
    if weights.flatness:
        terms["flatness"] = flatness_loss(stylized, photos)
    if weights.content:
        terms["content"] = content_loss(features[CONTENT_LAYER], target[CONTENT_LAYER])
    if weights.style:
        layers = dict(zip(weights.style_layers, weights.style_layer_weights, strict=True))
        layers = {layer: share for layer, share in layers.items() if share}
        inner = {layer: interior(features[layer]) for layer in layers}
        terms["style"] = style_loss(inner, {layer: paintings["grams"][layer] for layer in layers}, layers)
    keys = jax.random.split(key)
    if weights.compares_columns:
        faces = jnp.asarray(batch["faces"]).astype(jnp.float32)
        terms |= transport_terms(weights, features, target, stylized, paintings, faces, keys[0])
    if weights.steadiness:
        noise = NOISE * jax.random.normal(keys[1], photos.shape)
        shaken = stylize_with_code(model, network, photos + noise, code, dtype=dtype)
        terms["steadiness"] = jnp.square(shaken - stylized).mean((1, 2, 3)) / NOISE**2
    if PHOTO in model.style_names:
        terms["photo"] = jnp.square(stylized - photos).mean((1, 2, 3)) / jnp.maximum(photos.var((1, 2, 3)), 1e-3)
    of_painting = dict.fromkeys(("style", "transport", "moments", "palette", "tv"), with_painting)
    shares = {**of_painting, "photo": 1 - with_painting}
    terms = {name: shares.get(name, 1.0) * term for name, term in terms.items()}
    strengths = jnp.array(weights.strengths)[rows] if weights.strengths else 1.0
    factors = dict.fromkeys(("style", "transport", "moments"), strengths)
    loss = sum(getattr(weights, name) * factors.get(name, 1.0) * term for name, term in terms.items())
    return {"loss": jnp.mean(loss), **{name: term.mean() for name, term in terms.items()}}
