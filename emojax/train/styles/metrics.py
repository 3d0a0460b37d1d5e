"""Style metrics: scores of a stylized photo that do not depend on the training, and its distance to the optimum.

Photos are float32 [1, H, W, 3], 0 to 1. The objective is content (relu2_2) + 3 * style for every painting. It does not depend
on the weights of the training, so checkpoints can be compared.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
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
from emojax.paint import descent
from emojax.util import compiling

STYLE_WEIGHT = 3.0
DEEP_LAYER = "relu3_3"


def style_scores(
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
class Optimum:
    """How an optimizer of the pixels approaches a network's objective."""

    curve: list[float]
    """the objective before the first step and after each"""
    steps: int | None
    """number of steps after which the objective is at most the network's; None: not reached"""


class PixelOptimizer:
    """Minimizes the objective over the pixels of a photo. Its programs are compiled once per size of the photo.

    As in Gatys et al. 2016 (CVPR, section 3), but with the optimizer of `emojax.paint.painter`, at one scale; see
    `emojax.paint.descent`. Unlike the network's pixels, these may leave 0 to 1, which makes the optimizer's task easier.
    """

    def __init__(self) -> None:
        self._content, self._step = compiling.jit(_content_features), descent.make_step(_objective_of)

    def steps_to_goal(
        self,
        vgg: Mapping[str, Any],
        gram: Mapping[str, Float[Array, "1 _c _c"]],
        photo: Float[Array, "1 H W 3"],
        goal: float,
        max_steps: int = 300,
    ) -> Optimum:
        """Starts from the photo and stops when the objective is at most `goal`.

        Args:
            gram: of the one painting.
            goal: the objective that a network has reached on this photo.
            max_steps: largest number of steps.
        """
        losses = descent.losses(self._step, photo, vgg, gram, self._content(vgg, photo))
        curve: list[float] = []
        for loss in itertools.islice(losses, max_steps + 1):
            curve.append(loss)
            if loss <= goal:
                return Optimum(curve, len(curve) - 1)
        return Optimum(curve, None)


def _content_features(vgg: Mapping[str, Any], photo: Float[Array, "1 H W 3"]) -> Array:
    return vgg16_features(vgg, to_255(photo), layers=(CONTENT_LAYER,))[CONTENT_LAYER]


def _objective_of(
    picture: Float[Array, "1 H W 3"], vgg: Mapping[str, Any], gram: Mapping[str, Array], target: Array
) -> tuple[Array, None]:
    features = vgg16_features(vgg, to_255(picture))
    return objective(content_loss(features[CONTENT_LAYER], target), style_loss(features, gram))[0], None
