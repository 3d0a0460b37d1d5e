"""How good a stylized photo is: the losses it was not necessarily trained with, and how far it is from the optimum.

Photos are float32 [1, H, W, 3], 0 to 1. The objective is content (relu2_2) + 3 * style, the same for every painting whatever
weights the training had, so that checkpoints can be compared.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from emojax.images import to_255, to_grey
from emojax.losses.terms import (
    CONTENT_LAYER,
    STYLE_LAYERS,
    content_loss,
    gram_matrix,
    relative_error,
    style_loss,
    total_variation,
)
from emojax.nets.vgg16 import vgg16_features
from emojax.util import compiling

STYLE_WEIGHT = 3.0
DEEP_LAYER = "relu3_3"


def measure(
    vgg: Mapping[str, Any],
    grams: Mapping[str, Float[Array, "S _c _c"]],
    photo: Float[Array, "1 H W 3"],
    stylized: Float[Array, "1 H W 3"],
) -> dict[str, jax.Array]:
    """The scores of a stylized photo against every painting. Pure.

    Args:
        vgg: see `load_vgg16`.
        grams: see `painting_grams`.

    Returns:
        Scalars "content" (relu2_2), "content_relu3_3", "tv" and "ssim"; "style" [S], the style loss to each painting.
    """
    features, target = (vgg16_features(vgg, to_255(x)) for x in (stylized, photo))
    own = {layer: gram_matrix(features[layer]) for layer in STYLE_LAYERS}
    distances = [relative_error(jnp.broadcast_to(own[layer], gram.shape), gram) for layer, gram in grams.items()]
    return {
        "content": content_loss(features[CONTENT_LAYER], target[CONTENT_LAYER])[0],
        f"content_{DEEP_LAYER}": content_loss(features[DEEP_LAYER], target[DEEP_LAYER])[0],
        "style": jnp.stack(distances).mean(0),
        "tv": total_variation(stylized)[0],
        "ssim": structural_similarity(to_grey(photo), to_grey(stylized))[0],
    }


def objective(content: Any, style: Any) -> Any:
    """content + 3 * style."""
    return content + STYLE_WEIGHT * style


def structural_similarity(one: Float[Array, "N H W 1"], other: Float[Array, "N H W 1"]) -> Float[Array, " N"]:
    """Mean SSIM (Wang et al. 2004, equation 13) of grey pictures in 0 to 1: a Gaussian window of 11 with sigma 1.5, no padding.

    1 for equal pictures. Both sides are at least 11 pixels.
    """
    x = jnp.arange(11) - 5.0
    window = jnp.exp(-jnp.square(x) / (2 * 1.5**2))
    window = window / window.sum()

    def blur(pictures: Array) -> Array:
        for kernel in (window.reshape(11, 1, 1, 1), window.reshape(1, 11, 1, 1)):
            pictures = jax.lax.conv_general_dilated(
                pictures, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
        return pictures

    mean_one, mean_other = blur(one), blur(other)
    var_one = blur(one * one) - mean_one**2
    var_other = blur(other * other) - mean_other**2
    covariance = blur(one * other) - mean_one * mean_other
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_one * mean_other + c1) * (2 * covariance + c2)
    similarity /= (mean_one**2 + mean_other**2 + c1) * (var_one + var_other + c2)
    return similarity.mean((1, 2, 3))


@dataclass(frozen=True)
class Descent:
    """How an optimizer came down to a network's objective."""

    curve: list[float]
    """the objective before the first iteration and after each"""
    iterations: int | None
    """the first with an objective at most the network's; None: not reached"""
    evaluations: int | None
    """evaluations of the objective and its gradient up to there"""


def descend(
    vgg: Mapping[str, Any],
    gram: Mapping[str, Float[Array, "1 _c _c"]],
    photo: Float[Array, "1 H W 3"],
    goal: float,
    iterations: int = 150,
) -> Descent:
    """Minimizes the objective over the pixels, as Gatys et al. 2016 do, from the photo, until it is at most `goal`.

    L-BFGS with a memory of 10 and optax's default line search. Pixels may leave 0 to 1, which a network's cannot: that only
    makes the optimizer's task easier.

    Args:
        gram: of the one painting.
        goal: the objective that a network has reached on this photo.
        iterations: the most to try.
    """
    features_of, value_of, step = _programs()
    target = features_of(vgg, photo)
    pixels, state = photo, _OPTIMIZER.init(photo)
    curve, evaluations = [float(value_of(vgg, gram, target, photo))], 1
    for iteration in range(iterations + 1):
        if curve[-1] <= goal:
            return Descent(curve, iteration, evaluations)
        if iteration < iterations:
            pixels, state, value, count = step(vgg, gram, target, pixels, state)
            curve.append(float(value))
            evaluations += int(count)
    return Descent(curve, None, None)


_OPTIMIZER = optax.lbfgs(memory_size=10)


def _objective_at(vgg: Any, gram: Any, target: Array, pixels: Array) -> Array:
    features = vgg16_features(vgg, to_255(pixels))
    return objective(content_loss(features[CONTENT_LAYER], target), style_loss(features, gram))[0]


@functools.cache
def _programs() -> tuple[Any, Any, Any]:
    """Compiled: the photo's content features, the objective, and one iteration."""

    def features_of(vgg, photo):
        return vgg16_features(vgg, to_255(photo), layers=(CONTENT_LAYER,))[CONTENT_LAYER]

    def step(vgg, gram, target, pixels, state):
        def value_of(pixels):
            return _objective_at(vgg, gram, target, pixels)

        value, gradient = optax.value_and_grad_from_state(value_of)(pixels, state=state)
        updates, state = _OPTIMIZER.update(gradient, state, pixels, value=value, grad=gradient, value_fn=value_of)
        search = state[-1]
        return optax.apply_updates(pixels, updates), state, search.value, search.info.num_linesearch_steps

    return compiling.jit(features_of), compiling.jit(_objective_at), compiling.jit(step)
