"""Losses. Photos are float32 [N, H, W, 3]; features are the activations of VGG16, [N, H, W, C].

The perceptual losses are dimensionless: Johnson et al. 2016 (arXiv:1603.08155, equations 2 to 4) divide by the number
of elements, which leaves values that depend on the painting, the layer and the scaling of the VGG weights. Dividing by
the target's own energy instead lets one weight serve every painting and both families of VGG16 weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

CONTENT_LAYER = "relu2_2"
STYLE_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")


def gram_matrix(features: Float[Array, "N H W C"]) -> Float[Array, "N C C"]:
    """Channel correlations, the mean over positions of f f^T (Johnson et al. also divide by C). Float32."""
    n, h, w, c = features.shape
    flat = features.reshape(n, h * w, c)
    # Divide first: squares of Caffe-family activations, summed over a photo, are too large to add up exactly.
    flat = flat / jnp.sqrt(jnp.asarray(h * w, flat.dtype))
    return jnp.einsum("nxc,nxd->ncd", flat, flat, preferred_element_type=jnp.float32)


def interior(features: Float[Array, "N H W C"]) -> Float[Array, "N H2 W2 C"]:
    """Features without the outermost ones, up to 4 on each side.

    VGG16 pads with zeros. Where Gram matrices see what that does, a network finds out that a dark frame around the picture
    lowers the loss, and paints one.
    """
    drop = min(4, min(features.shape[1:3]) // 16)
    return features[:, drop : features.shape[1] - drop, drop : features.shape[2] - drop]


def relative_error(value: Float[Array, "N ..."], target: Float[Array, "N ..."]) -> Float[Array, " N"]:
    """||value - target||^2 / ||target||^2 per example: 0 where equal, 1 for an all-zero value."""
    axes = tuple(range(1, value.ndim))
    value, target = value.astype(jnp.float32), target.astype(jnp.float32)
    return jnp.square(value - target).sum(axes) / jnp.maximum(jnp.square(target).sum(axes), 1e-12)


def content_loss(features: Float[Array, "N H W C"], photo_features: Float[Array, "N H W C"]) -> Float[Array, " N"]:
    """||F - C||^2 / ||C||^2 per example (Johnson's equation 2 divided by the photo's own energy)."""
    return relative_error(features, photo_features)


def style_loss(
    features: Mapping[str, Float[Array, "N _h _w _c"]], painting_grams: Mapping[str, Float[Array, "N _c _c"]]
) -> Float[Array, " N"]:
    """Mean over the layers of ||G - A||^2 / ||A||^2 per example (Johnson's equation 4, relative, mean for sum)."""
    errors = [relative_error(gram_matrix(features[layer]), gram) for layer, gram in painting_grams.items()]
    return jnp.stack(errors).mean(0)


def total_variation(photos: Float[Array, "N H W C"]) -> Float[Array, " N"]:
    """Mean squared difference of vertical neighbours plus that of horizontal ones, per example.

    A checkerboard of 0 and 1 gives exactly 2. Johnson et al. sum; the mean does not depend on the photo's size.
    """
    vertical = jnp.square(photos[:, 1:] - photos[:, :-1]).mean((1, 2, 3))
    horizontal = jnp.square(photos[:, :, 1:] - photos[:, :, :-1]).mean((1, 2, 3))
    return vertical + horizontal


def cross_entropy(
    logits: Float[Array, "N K"],
    labels: Float[Array, "N K"],
    class_weights: Float[Array, " K"] | None = None,
) -> Float[Array, " N"]:
    """Cross-entropy with soft labels, per example.

    Args:
        logits: unnormalized log probabilities.
        labels: rows of probabilities; one-hot for hard labels.
        class_weights: a factor for every class, >= 0; an example counts as much as its (soft) classes do.
    """
    losses = -(labels * jax.nn.log_softmax(logits.astype(jnp.float32))).sum(-1)
    return losses if class_weights is None else losses * (labels * class_weights[None, :]).sum(-1)
