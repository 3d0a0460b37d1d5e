"""What the objective of a painting takes from the feature maps of a picture: sums, so no whole map has to be kept.

picture + positions -> `vgg16_sums` with a tap for each map -> hypercolumns, Gram matrices, the content's squared error
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from emojax.images import to_255
from emojax.losses.terms import CONTENT_LAYER, blend, corners, gram_sum, interior
from emojax.nets.vgg16 import STRIP, Tap, map_size, vgg16_sums
from emojax.paint.config import PaintConfig


def feature_sums(
    config: PaintConfig,
    vgg: Mapping[str, Any],
    picture: Float[Array, "1 H W 3"],
    positions: Float[Array, "1 P 2"],
    masks: Sequence[Float[Array, "1 _h _w"] | None] = (None,),
    content: Float[Array, "1 _h2 _w2 _c"] | None = None,
    strip: int = STRIP,
) -> dict[str, Any]:
    """The sums of a picture's feature maps. Pure.

    Args:
        positions: see `hypercolumns`.
        masks: the parts whose Gram matrices are computed, on a grid of cells; None is the whole picture.
        content: the photo's map `CONTENT_LAYER`, if the content counts.
        strip: see `vgg16_sums`.

    Returns:
        "columns": hypercolumns [1, P, D]; "grams": for each mask, layer -> [1, C, C] without the picture's border, see
        `interior`; "content": the squared distance from `content`, a scalar, or absent.
    """
    sizes = {layer: map_size(layer, *picture.shape[1:3]) for layer in config.layers}
    around = {layer: corners(*sizes[layer], positions) for layer in config.columns}
    taps: dict[str, Tap] = {}
    beside: dict[str, dict[str, Any]] = {layer: {} for layer in config.layers}
    for layer in config.layers:
        taps[layer] = _tap(around[layer][0] if layer in around else None)
        if layer in config.style_layers:
            beside[layer]["shares"] = [_shares(mask, sizes[layer]) for mask in masks]
        if layer == CONTENT_LAYER and content is not None:
            beside[layer]["content"] = content
    found = vgg16_sums(vgg, to_255(picture), taps, beside, strip)
    columns = [blend(found[layer]["corners"], around[layer][1]) for layer in config.columns]
    grams = [{layer: found[layer]["grams"][part] for layer in config.style_layers} for part in range(len(masks))]
    error = {} if content is None else {"content": found[CONTENT_LAYER]["content"]}
    return {"columns": jnp.concatenate(columns, axis=-1), "grams": grams, **error}


def _tap(index: Int[Array, "1 K"] | None) -> Tap:
    """A map's values at `index`, zeros where these are other rows; its Gram matrices and error, if `beside` is for them."""

    def tap(rows: Float[Array, "1 h W C"], beside: Mapping[str, Any], first: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if index is not None:
            _, height, width, channels = rows.shape
            own = index - first * width
            inside = (own >= 0) & (own < height * width)
            flat, own = rows.reshape(1, height * width, channels), jnp.where(inside, own, 0)
            values = jnp.take_along_axis(flat, own[..., None], axis=1, mode="promise_in_bounds")
            found["corners"] = jnp.where(inside[..., None], values, 0)
        if "shares" in beside:
            found["grams"] = [gram_sum(rows, shares) for shares in beside["shares"]]
        if "content" in beside:
            found["content"] = jnp.square(rows.astype(jnp.float32) - beside["content"]).sum()
        return found

    return tap


def _shares(mask: Float[Array, "1 _h _w"] | None, size: tuple[int, int]) -> Float[Array, "1 H W"]:
    """The share of each position of a map in its Gram matrix; they add up to 1, and the border has none, see `interior`."""
    whole = jnp.ones((1, *size, 1)) if mask is None else jax.image.resize(mask[..., None], (1, *size, 1), "linear")
    inner = interior(whole)
    borders = [((outer - side) // 2,) * 2 for outer, side in zip(size, inner.shape[1:3], strict=True)]
    weights = jnp.pad(inner, [(0, 0), *borders, (0, 0)])[..., 0]
    return weights / jnp.maximum(weights.sum(), 1e-6)
