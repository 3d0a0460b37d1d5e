"""Terms of the losses. Photos are float32 [N, H, W, 3], 0 to 1; features are activations of VGG16, [N, H, W, C].

The perceptual losses are dimensionless. Johnson et al. 2016 (arXiv:1603.08155, equations 2 to 4) divide by the number of
elements, so their values depend on the painting, the layer and the scaling of the VGG weights. Here the target's own energy
is the divisor, so that one weight suits every painting and both families of VGG16 weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from emojax.nets.vgg16 import FEATURES

CONTENT_LAYER = "relu2_2"
STYLE_LAYERS = FEATURES


def gram_matrix(
    features: Float[Array, "N H W C"],
) -> Float[Array, "N C C"]:
    """Channel correlations in float32: the mean of f f^T over positions (Johnson et al. also divide by C)."""
    n, h, w, c = features.shape
    # Divide first: the sum over a photo of squared Caffe-family activations is too large to be exact.
    return _products(features.reshape(n, h * w, c) / jnp.sqrt(jnp.asarray(h * w, features.dtype)))


def gram_sum(features: Float[Array, "N H W C"], shares: Float[Array, "N H W"]) -> Float[Array, "N C C"]:
    """The sum of share * f f^T over positions, in float32.

    Args:
        shares: not negative; if they add up to 1, the result is a Gram matrix.
    """
    n, h, w, c = features.shape
    return _products(features.reshape(n, h * w, c) * jnp.sqrt(shares.reshape(n, h * w, 1)).astype(features.dtype))


@jax.custom_vjp
def _products(flat: Float[Array, "N X C"]) -> Float[Array, "N C C"]:
    return jnp.einsum("nxc,nxd->ncd", flat, flat, preferred_element_type=jnp.float32)


def _products_backward(flat: Array, change: Array) -> tuple[Array]:
    # Both factors are the same, so one product gives the gradient; automatic differentiation needs two, and their memory.
    both = change + change.swapaxes(1, 2)
    return (jnp.einsum("nxc,ncd->nxd", flat, both, preferred_element_type=jnp.float32).astype(flat.dtype),)


_products.defvjp(lambda flat: (_products(flat), flat), _products_backward)


def interior(features: Float[Array, "N H W C"]) -> Float[Array, "N H2 W2 C"]:
    """Features without the outermost positions, up to 4 on each side.

    VGG16 pads with zeros. If the features at the border counted, a dark frame around the picture would lower the loss, and
    networks would learn to paint one.
    """
    drop = min(4, min(features.shape[1:3]) // 16)
    return features[:, drop : features.shape[1] - drop, drop : features.shape[2] - drop]


def relative_error(value: Float[Array, "N ..."], target: Float[Array, "N ..."]) -> Float[Array, " N"]:
    """||value - target||^2 / ||target||^2 per example: 0 if both are equal, 1 for an all-zero value."""
    axes = tuple(range(1, value.ndim))
    value, target = value.astype(jnp.float32), target.astype(jnp.float32)
    return jnp.square(value - target).sum(axes) / jnp.maximum(jnp.square(target).sum(axes), 1e-12)


def content_loss(features: Float[Array, "N H W C"], photo_features: Float[Array, "N H W C"]) -> Float[Array, " N"]:
    """||F - C||^2 / ||C||^2 per example (Johnson's equation 2 divided by the photo's own energy)."""
    return relative_error(features, photo_features)


def style_loss(
    features: Mapping[str, Float[Array, "N _h _w _c"]],
    painting_grams: Mapping[str, Float[Array, "N _c _c"]],
    shares: Mapping[str, float] | None = None,
) -> Float[Array, " N"]:
    """Sum over the layers of share * ||G - A||^2 / ||A||^2 per example (Johnson's equation 4, relative).

    Args:
        shares: the layers' weights; by default equal, with a sum of 1.
    """
    shares = shares or dict.fromkeys(painting_grams, 1 / len(painting_grams))
    return gram_loss({layer: gram_matrix(features[layer]) for layer in painting_grams}, painting_grams, shares)


def gram_loss(
    grams: Mapping[str, Float[Array, "N _c _c"]],
    painting_grams: Mapping[str, Float[Array, "N _c _c"]],
    layer_weights: Mapping[str, float],
) -> Float[Array, " N"]:
    """`style_loss` of features whose Gram matrices are known."""
    errors = [layer_weights[layer] * relative_error(grams[layer], gram) for layer, gram in painting_grams.items()]
    return jnp.stack(errors).sum(0)


def total_variation(photos: Float[Array, "N H W C"]) -> Float[Array, " N"]:
    """Mean squared difference of vertical neighbours plus that of horizontal ones, per example.

    A checkerboard of 0 and 1 gives exactly 2. Johnson et al. use the sum; the mean does not depend on the photo's size.
    """
    vertical = jnp.square(photos[:, 1:] - photos[:, :-1]).mean((1, 2, 3))
    horizontal = jnp.square(photos[:, :, 1:] - photos[:, :, :-1]).mean((1, 2, 3))
    return vertical + horizontal


FLAT_CELL = 8
"""side of the cells that `flatness_loss` compares, in pixels"""
FLAT_DISTANCES = (1, 2, 4)
"""distances between the compared cells, in cells"""
FLAT_DEVIATION = 0.04
"""colour difference of two cells in the photo at which the pair's weight is 0.61"""


def flatness_loss(pictures: Float[Array, "N H W 3"], photos: Float[Array, "N H W 3"]) -> Float[Array, " N"]:
    """How much the picture varies over 8 to 32 pixels where the photo does not: halos around heads, blotches on skin.

    The mean, over pairs of cells at `FLAT_DISTANCES`, of the squared difference of their mean colours in the picture, weighted
    by exp(-d^2 / (2 * 0.04^2)) where d is their difference in the photo. Strokes within a cell cost nothing. The term is ours.
    It is 0 to 3.

    Args:
        pictures, photos: RGB, 0 to 1, both sides at least 16 pixels; distances that do not fit are left out.
    """
    picture, photo = _cell_means(pictures), _cell_means(photos)
    found = []
    for distance in FLAT_DISTANCES:
        for axis in (1, 2):
            if picture.shape[axis] <= distance:
                continue
            ends = [
                jax.lax.slice_in_dim(cells, start, cells.shape[axis] - distance + start, axis=axis)
                for cells in (picture, photo)
                for start in (0, distance)
            ]
            alike = jnp.exp(-jnp.square(ends[3] - ends[2]).sum(-1) / (2 * FLAT_DEVIATION**2))
            found.append((alike * jnp.square(ends[1] - ends[0]).sum(-1)).mean((1, 2)))
    return jnp.stack(found).mean(0)


def _cell_means(x: Float[Array, "N H W C"]) -> Float[Array, "N h w C"]:
    n, height, width, channels = x.shape
    rows, columns = height // FLAT_CELL, width // FLAT_CELL
    whole = x[:, : rows * FLAT_CELL, : columns * FLAT_CELL]
    return whole.reshape(n, rows, FLAT_CELL, columns, FLAT_CELL, channels).mean((2, 4))


# --- relaxed optimal transport and self-similarity: Kolkin, Salavon, Shakhnarovich 2019 (arXiv:1904.12785, "STROTSS") ---


def hypercolumns(
    features: Sequence[Float[Array, "N _h _w _c"]], positions: Float[Array, "N P 2"]
) -> Float[Array, "N P D"]:
    """The features of all maps at some positions, concatenated (their section 2.1): D is the sum of the channels.

    Args:
        features: maps of any sizes, each covering the whole photo.
        positions: (row, column), 0 to 1 from edge to edge of the photo; maps are interpolated bilinearly.
    """
    return jnp.concatenate([_interpolate(x, positions) for x in features], axis=-1)


def _interpolate(x: Float[Array, "N H W C"], positions: Float[Array, "N P 2"]) -> Float[Array, "N P C"]:
    n, height, width, channels = x.shape
    index, shares = corners(height, width, positions)
    # One gather for all corners: its gradient is one map of the size of x instead of four.
    flat = x.reshape(n, height * width, channels)
    return blend(jnp.take_along_axis(flat, index[..., None], axis=1, mode="promise_in_bounds"), shares)


def corners(
    height: int, width: int, positions: Float[Array, "N P 2"]
) -> tuple[Int[Array, "N K"], Float[Array, "N 4 P"]]:
    """The four elements of a map [N, height, width, C] around each position, see `hypercolumns`.

    Returns:
        Their K = 4 P indices, row * width + column, corner by corner; and their shares in the bilinear interpolation, which add
        up to 1.
    """
    size = np.array([[[height, width]]], np.float32)
    place = jnp.clip(positions * size - 0.5, 0, size - 1)
    first = jnp.minimum(jnp.floor(place), np.maximum(size - 2, 0)).astype(jnp.int32)
    fraction = place - first
    index, shares = [], []
    for down in (0, 1):
        for right in (0, 1):
            row = jnp.minimum(first[..., 0] + down, height - 1)
            column = jnp.minimum(first[..., 1] + right, width - 1)
            index.append(row * width + column)
            shares.append(jnp.abs(1 - down - fraction[..., 0]) * jnp.abs(1 - right - fraction[..., 1]))
    return jnp.concatenate(index, axis=1), jnp.stack(shares, axis=1)


def blend(values: Float[Array, "N K C"], shares: Float[Array, "N 4 P"]) -> Float[Array, "N P C"]:
    """Interpolates: `values` are those at the indices of `corners`, weighted by its shares."""
    n, _, points = shares.shape
    return jnp.einsum("nsp,nspc->npc", shares, values.reshape(n, 4, points, -1).astype(jnp.float32))


def draw_positions(key: jax.Array, weights: Float[Array, "N h w"], count: int) -> Float[Array, "N P 2"]:
    """Random positions for `hypercolumns`, P = count: a cell by the weights (stratified), and a uniform position inside it.

    Args:
        weights: weights of the cells of a grid over the photo, not negative; if all are 0, any cell may be drawn.
    """
    n, h, w = weights.shape
    cell_key, place_key = jax.random.split(key)
    sums = jnp.cumsum(weights.reshape(n, h * w) + 1e-6, axis=1)
    # Stratified: one draw in each of `count` equal parts of the mass.
    ticks = (np.arange(count)[None] + jax.random.uniform(cell_key, (n, count))) / count * sums[:, -1:]
    cells = jax.vmap(lambda s, t: jnp.searchsorted(s, t, method="scan_unrolled"))(sums, ticks)
    cells = jnp.minimum(cells, h * w - 1)
    corner = jnp.stack([cells // w, cells % w], axis=-1)
    inside = jax.random.uniform(place_key, (n, count, 2))
    return (corner + inside) / np.array([[[h, w]]], np.float32)


def _unit(x: Float[Array, "N P D"]) -> Float[Array, "N P D"]:
    """Normalizes vectors to length 1; zero vectors stay zero."""
    return x * jax.lax.rsqrt(jnp.maximum(jnp.square(x).sum(-1, keepdims=True), 1e-12))


def cosine_distances(one: Float[Array, "N P D"], other: Float[Array, "N Q D"]) -> Float[Array, "N P Q"]:
    """1 - cos of the angle between every vector of `one` and every vector of `other`: 0 to 2."""
    return 1 - jnp.einsum("npd,nqd->npq", _unit(one), _unit(other))


def euclidean_distances(one: Float[Array, "N P D"], other: Float[Array, "N Q D"]) -> Float[Array, "N P Q"]:
    """The distance between every vector of `one` and every vector of `other`."""
    squares = jnp.square(one[:, :, None] - other[:, None]).sum(-1)
    return jnp.sqrt(jnp.maximum(squares, 1e-8))  # so that the gradient at 0 is 0


def relaxed_transport(distances: Float[Array, "N P Q"]) -> Float[Array, " N"]:
    """The relaxed earth mover's distance (their equation 5): a lower bound of the cost of transport.

    The larger of two means: the distance from each vector of one set to the nearest vector of the other set, and vice versa.
    So each vector of the painting has to be near a vector of the picture.
    """
    there, back = distances.min(2).mean(1), distances.min(1).mean(1)
    return jnp.maximum(there, back)


def moments_loss(
    columns: Float[Array, "N P D"], mean: Float[Array, "N D"], covariance: Float[Array, "N D D"]
) -> Float[Array, " N"]:
    """Mean absolute difference of the means plus that of the covariances (their equation 7), both relative.

    Where we deviate: each is divided by the target's mean absolute value, because VGG16 families differ in scale.
    """
    found = columns.mean(1)
    centred = (columns - found[:, None]) / jnp.sqrt(jnp.float32(columns.shape[1]))
    spread = jnp.einsum("npd,npe->nde", centred, centred)
    of_means = jnp.abs(found - mean).mean(1) / jnp.maximum(jnp.abs(mean).mean(1), 1e-8)
    scale = jnp.maximum(jnp.abs(covariance).mean((1, 2)), 1e-8)
    return of_means + jnp.abs(spread - covariance).mean((1, 2)) / scale


def palette_loss(colors: Float[Array, "N P 3"], painting: Float[Array, "N Q 3"]) -> Float[Array, " N"]:
    """Relaxed transport between colours, 0 to 1, by Euclidean distances (their section 2.3).

    Where we deviate: RGB instead of decorrelated channels, and no cosine distance, which cannot distinguish dark from light.
    """
    return relaxed_transport(euclidean_distances(colors, painting))


def self_similarity_loss(columns: Float[Array, "N P D"], photo: Float[Array, "N P D"]) -> Float[Array, " N"]:
    """The difference of the self-similarity matrices of picture and photo (their equation 4).

    The matrices hold the cosine distances between all pairs of positions, each column divided by its sum. Positions that are
    alike in the photo should be alike in the picture, whatever the colours and strokes. The loss is the sum of the absolute
    differences of a column, 0 to 2, averaged over the columns.
    """

    def pattern(x: Array) -> Array:
        distances = jnp.maximum(cosine_distances(x, x), 0)
        return distances / jnp.maximum(distances.sum(1, keepdims=True), 1e-8)

    return jnp.abs(pattern(columns) - pattern(photo)).sum(1).mean(1)
