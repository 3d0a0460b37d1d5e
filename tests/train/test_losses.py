"""Closed forms and properties of the losses; all functions are compiled, since each of their operations is a program else."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from tiny import compiled

from emojax.losses import terms as losses
from emojax.train.faces import loss as classifier_losses
from emojax.train.styles.distill import imitation_loss

content_loss = compiled(losses.content_loss)
cosine_distances = compiled(losses.cosine_distances)
draw_positions = compiled(losses.draw_positions, static_argnums=2)
flatness_loss = compiled(losses.flatness_loss)
imitation_loss = compiled(imitation_loss)
euclidean_distances = compiled(losses.euclidean_distances)
gram_matrix, gram_sum = compiled(losses.gram_matrix), compiled(losses.gram_sum)
hypercolumns = compiled(losses.hypercolumns)
interior = compiled(losses.interior)
moments_loss = compiled(losses.moments_loss)
palette_loss = compiled(losses.palette_loss)
relative_error = compiled(losses.relative_error)
relaxed_transport = compiled(losses.relaxed_transport)
self_similarity_loss = compiled(losses.self_similarity_loss)
style_loss = compiled(losses.style_loss)
total_variation = compiled(losses.total_variation)


@compiled
def cross_entropy(logits, labels, class_weights=None):
    """That of a network with one domain."""
    ones = jnp.ones((len(logits), 1))
    return classifier_losses.cross_entropy(jax.nn.log_softmax(logits)[:, None], 0 * ones, labels, ones, class_weights)


def features(seed, shape=(2, 6, 5, 3)):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_total_variation_of_a_checkerboard_is_two():
    board = (np.indices((8, 8)).sum(0) % 2).astype(np.float32)[None, :, :, None]
    np.testing.assert_array_equal(total_variation(board), [2.0])


def test_total_variation_of_a_flat_picture_is_zero_and_of_a_ramp_its_slope_squared():
    assert total_variation(np.full((1, 8, 8, 1), 0.7, np.float32))[0] == 0
    ramp = np.broadcast_to(0.5 * np.arange(4, dtype=np.float32)[None, None, :, None], (1, 3, 4, 1))
    np.testing.assert_allclose(total_variation(ramp), [0.25])


def grid(cells):
    """A picture of square cells, float32 [1, 64, 64, 3], from a value for each of the 8 x 8."""
    return np.repeat(np.kron(cells, np.ones((8, 8)))[None, :, :, None], 3, -1).astype(np.float32)


def test_flatness_is_about_where_the_photo_is_flat():
    """A halo in a flat sky costs, an edge that the photo has does not, and neither do strokes within the cells."""
    flat, edge, halo = np.full((8, 8), 0.5), np.full((8, 8), 0.5), np.full((8, 8), 0.5)
    edge[:, 4:] = 0.9
    halo[3:5, 3:5] = 0.7
    assert flatness_loss(grid(flat), grid(edge))[0] == 0
    assert flatness_loss(grid(edge), grid(edge))[0] < 1e-12  # exp(-150)
    assert flatness_loss(grid(halo), grid(flat))[0] > 1e-3 > 1e2 * flatness_loss(grid(halo), grid(halo))[0]
    strokes = np.broadcast_to((np.indices((64, 64)).sum(0) % 2)[None, :, :, None], (1, 64, 64, 3)).astype(np.float32)
    assert flatness_loss(strokes, grid(flat))[0] == 0


def test_flatness_of_two_halves_in_a_flat_photo():
    """Of the pairs d cells apart across 8 columns, d in 8 - d straddle the step; down the columns none do."""
    step = np.full((8, 8), 0.2)
    step[:, 4:] = 0.4
    expected = np.mean([3 * 0.2**2 * d / (8 - d) / 2 for d in (1, 2, 4)])
    np.testing.assert_allclose(flatness_loss(grid(step), grid(np.zeros((8, 8)))), [expected], rtol=1e-5)
    assert (
        flatness_loss(grid(step)[:, :16, :16], grid(step)[:, :16, :16])[0] == 0
    )  # two cells a side: one distance fits


def test_imitation_of_a_picture():
    one, other = (features(seed, (2, 6, 5, 3)) for seed in (0, 1))
    np.testing.assert_array_equal(imitation_loss(one, one), [0, 0])
    np.testing.assert_allclose(imitation_loss(one + 0.25, one), [0.25, 0.25], rtol=1e-5)  # neighbours differ as before
    assert (imitation_loss(one, other) > np.abs(one - other).mean((1, 2, 3))).all()


def test_gram_matrix_of_one_position_is_the_outer_product():
    f = np.array([1, 2, 3], np.float32)
    np.testing.assert_allclose(gram_matrix(f[None, None, None])[0], np.outer(f, f), rtol=1e-6)


def test_gram_matrix_is_symmetric_positive_and_blind_to_order():
    x = features(0)
    gram = gram_matrix(x)
    np.testing.assert_allclose(gram, gram.transpose(0, 2, 1), atol=1e-6)
    assert np.linalg.eigvalsh(gram).min() > -1e-5
    np.testing.assert_allclose(gram_matrix(x[:, ::-1, ::-1]), gram, atol=1e-5)
    np.testing.assert_allclose(gram_matrix(np.tile(x, (1, 2, 3, 1))), gram, rtol=1e-5)  # size does not matter


def test_gram_matrix_of_a_part_is_that_of_its_positions():
    x = features(2)
    shares = np.zeros(x.shape[:3], np.float32)
    shares[:, :2, :3] = 1 / 6
    np.testing.assert_allclose(gram_sum(x, shares), gram_matrix(x[:, :2, :3]), rtol=1e-5)


def test_the_gram_matrix_has_the_gradient_of_its_formula():
    x, change = features(3), np.random.default_rng(0).normal(size=(2, 3, 3)).astype(np.float32)  # not symmetric

    def by_formula(x):
        return jnp.einsum("nhwc,nhwd->ncd", x, x) / (x.shape[1] * x.shape[2])

    found, expected = (jax.vjp(form, x)[1](change)[0] for form in (gram_matrix, by_formula))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_gram_matrix_of_caffe_sized_bfloat16_activations_is_finite():
    assert np.isfinite(gram_matrix(np.full((1, 64, 64, 4), 14000, ml_dtypes.bfloat16))).all()


def test_relative_errors_have_closed_forms():
    x = features(1)
    np.testing.assert_array_equal(content_loss(x, x), [0, 0])
    np.testing.assert_allclose(content_loss(np.zeros_like(x), x), [1, 1])
    np.testing.assert_allclose(content_loss(3 * x, x), [4, 4], rtol=1e-5)
    np.testing.assert_allclose(relative_error(1000 * x, 500 * x), [1, 1], rtol=1e-5)  # dimensionless


def test_style_loss_is_the_mean_over_layers():
    grams = {"a": gram_matrix(features(2)), "b": gram_matrix(features(3))}
    np.testing.assert_allclose(style_loss({"a": features(2), "b": features(3)}, grams), [0, 0], atol=1e-10)
    # Twice the features is four times the Gram matrix: ||4A - A||^2 / ||A||^2 = 9, in one layer of two.
    np.testing.assert_allclose(style_loss({"a": 2 * features(2), "b": features(3)}, grams), [4.5, 4.5], rtol=1e-4)


def test_shares_weigh_the_layers_of_the_style_loss():
    grams = {"a": gram_matrix(features(2)), "b": gram_matrix(features(3))}
    off = {"a": 2 * features(2), "b": features(3)}  # an error of 9 in a, none in b
    weighed = compiled(lambda features, grams: losses.style_loss(features, grams, {"a": 0.2, "b": 0.8}))
    np.testing.assert_allclose(weighed(off, grams), [9 * 0.2] * 2, rtol=1e-4)


# --- hypercolumns


def centers(height, width):
    """The positions of a map's own values, float32 [1, height * width, 2]."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([(rows.ravel() + 0.5) / height, (columns.ravel() + 0.5) / width], -1)[None].astype(np.float32)


def test_hypercolumns_at_a_maps_own_positions_are_its_values():
    x, two = features(0, (1, 6, 5, 3)), np.tile(np.float32([[[[7, 8]]]]), (1, 3, 2, 1))
    columns = hypercolumns([x, two], centers(6, 5))
    assert columns.shape == (1, 30, 5)
    np.testing.assert_allclose(columns[0, :, :3], x.reshape(30, 3), atol=1e-5)
    np.testing.assert_allclose(columns[0, :, 3:], np.tile(np.float32([7, 8]), (30, 1)), rtol=1e-6)  # flat: everywhere


def test_hypercolumns_are_linear_between_positions_and_constant_beyond_the_last():
    """On a ramp of 0.5, 1.5, ... the value is the position in pixels, whatever the map's size."""

    def ramp(height, width):
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        return np.stack([(rows + 0.5) / height, (columns + 0.5) / width], -1)[None]

    positions = np.random.default_rng(0).uniform(0.25, 0.75, (1, 50, 2)).astype(np.float32)
    columns = hypercolumns([ramp(8, 6), ramp(4, 4)], positions)
    np.testing.assert_allclose(columns, np.concatenate([positions, positions], -1), atol=1e-5)
    corners = np.array([[[0, 0], [1, 1], [0, 1]]], np.float32)
    np.testing.assert_allclose(hypercolumns([ramp(8, 6)], corners)[0, :, 0], [1 / 16, 15 / 16, 1 / 16], atol=1e-6)
    single = hypercolumns([features(1, (1, 1, 1, 2))], corners)[0]
    np.testing.assert_allclose(single, np.tile(features(1, (1, 1, 1, 2))[0, 0], (3, 1)), rtol=1e-6)


def test_positions_are_drawn_by_the_weights_and_evenly_spread():
    weights = np.zeros((2, 4, 8), np.float32)
    weights[0, 1, 2], weights[0, 3, 7] = 1, 3
    weights[1] = 1
    drawn = draw_positions(np.array([0, 3], np.uint32), weights, 400)
    assert drawn.shape == (2, 400, 2) and drawn.min() >= 0 and drawn.max() <= 1
    cells = (drawn * [4, 8]).astype(int)
    first, second = ((cells[0] == cell).all(1) for cell in ([1, 2], [3, 7]))
    assert (first | second).all() and abs(second.sum() - 300) <= 1
    counts = np.bincount(cells[1] @ [8, 1], minlength=32)
    assert abs(counts - 400 / 32).max() <= 2  # a draw in each equal part of the mass
    inside = drawn[1] * [4, 8] - cells[1]
    assert abs(inside.mean(0) - 0.5).max() < 0.06 and inside.std() > 0.25
    assert (draw_positions(np.array([0, 4], np.uint32), weights, 400) != drawn).any()


def test_without_any_weight_all_positions_may_be_drawn():
    drawn = draw_positions(np.array([0, 3], np.uint32), np.zeros((2, 4, 8), np.float32), 400)
    assert np.bincount((drawn[0] * [4, 8]).astype(int) @ [8, 1], minlength=32).min() > 0


# --- distances and transport


def test_cosine_distances_are_of_directions():
    one = np.array([[[2, 0], [0, 3], [0, 0]]], np.float32)
    other = np.array([[[5, 0], [-1, 0], [1, 1]]], np.float32)
    half = 1 - np.sqrt(0.5)
    np.testing.assert_allclose(cosine_distances(one, other)[0], [[0, 2, half], [1, 1, half], [1, 1, 1]], atol=1e-6)


def test_euclidean_distances_and_a_gradient_where_they_are_zero():
    import jax

    one, other = np.array([[[0, 0], [3, 4]]], np.float32), np.array([[[0, 0], [0, 4]]], np.float32)
    np.testing.assert_allclose(euclidean_distances(one, other)[0], [[0, 4], [5, 3]], atol=2e-4)
    gradient = compiled(jax.grad(lambda x: losses.euclidean_distances(x, x).sum()))(one)
    assert np.isfinite(gradient).all()


def test_relaxed_transport_is_the_larger_mean_of_the_nearest():
    distances = np.array([[[1, 2, 9], [5, 3, 9]]], np.float32)
    np.testing.assert_allclose(relaxed_transport(distances), [max((1 + 3) / 2, (1 + 2 + 9) / 3)])
    np.testing.assert_allclose(relaxed_transport(distances.transpose(0, 2, 1)), [4])
    x = features(0, (1, 6, 3))
    np.testing.assert_allclose(relaxed_transport(cosine_distances(x, x[:, ::-1])), [0], atol=1e-6)  # blind to order


def test_the_palette_loss_is_the_distance_of_flat_pictures_and_wants_every_colour():
    dark, light = (np.full((1, 4, 3), value, np.float32) for value in (0.2, 0.5))
    np.testing.assert_allclose(palette_loss(light, dark), [0.3 * np.sqrt(3)], rtol=1e-4)
    both = np.concatenate([dark[:, :2], light[:, :2]], 1)
    np.testing.assert_allclose(palette_loss(dark, both), [0.15 * np.sqrt(3)], rtol=1e-3)  # half of it is missing
    np.testing.assert_allclose(palette_loss(both, both[:, ::-1]), [0], atol=2e-4)


def test_the_moments_loss_has_closed_forms():
    x = features(0, (2, 50, 3)) + 1
    mean, covariance = x.mean(1), np.stack([np.cov(rows.T, bias=True) for rows in x]).astype(np.float32)
    np.testing.assert_allclose(moments_loss(x, mean, covariance), [0, 0], atol=1e-5)
    # Twice as large: the mean is off by itself, the covariance by three times itself; and the scale does not matter.
    np.testing.assert_allclose(moments_loss(2 * x, mean, covariance), [4, 4], rtol=1e-4)
    np.testing.assert_allclose(moments_loss(2000 * x, 1000 * mean, 1e6 * covariance), [4, 4], rtol=1e-4)


def test_self_similarity_sees_the_pattern_alone():
    x = features(0, (2, 8, 4))
    np.testing.assert_allclose(self_similarity_loss(x, x), [0, 0], atol=1e-5)
    np.testing.assert_allclose(self_similarity_loss(3 * x, x), [0, 0], atol=1e-5)
    swapped = x[..., [1, 0, 3, 2]] * np.float32([1, -1, 1, 1])  # a rotation: other features, the same likeness
    np.testing.assert_allclose(self_similarity_loss(swapped, x), [0, 0], atol=1e-5)
    other = self_similarity_loss(features(1, (2, 8, 4)), x)
    assert (other > 0.1).all() and (other <= 2).all()


def test_self_similarity_of_two_pairs_that_change_partners():
    """Columns of the pattern are 0 or 1/2: of each, two of the four numbers change by 1/2."""
    one, other = np.eye(2, dtype=np.float32)[[0, 0, 1, 1]], np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]
    np.testing.assert_allclose(self_similarity_loss(one[None], other[None]), [1], rtol=1e-5)


# --- the classifier's


def test_cross_entropy_of_uniform_logits_is_log_k():
    logits, labels = np.zeros((7, 7), np.float32), np.eye(7, dtype=np.float32)
    np.testing.assert_allclose(cross_entropy(logits, labels), np.log(7), rtol=1e-6)


def test_cross_entropy_of_soft_labels_is_least_at_the_labels():
    labels = np.array([[0.5, 0.3, 0.2]], np.float32)
    best = cross_entropy(np.log(labels), labels)[0]
    np.testing.assert_allclose(best, -(labels * np.log(labels)).sum(), rtol=1e-6)
    assert cross_entropy(np.zeros((1, 3), np.float32), labels)[0] > best


@pytest.mark.parametrize("index", range(3))
def test_class_weights_scale_their_class(index):
    logits, labels = features(5, (3, 3)), np.eye(3, dtype=np.float32)
    weights = np.ones(3, np.float32)
    weights[index] = 2
    ratio = cross_entropy(logits, labels, class_weights=weights) / cross_entropy(logits, labels)
    np.testing.assert_allclose(ratio, weights, rtol=1e-6)


@pytest.mark.parametrize(("side", "left"), [(128, 120), (32, 28), (16, 14), (15, 15), (2, 2)])
def test_the_interior_leaves_out_a_thin_border(side, left):
    features = np.arange(side * (side + 1), dtype=np.float32).reshape(1, side, side + 1, 1)
    inner = interior(features)
    assert inner.shape == (1, left, left + 1, 1)
    drop = (side - left) // 2
    assert (
        inner[0, 0, 0, 0] == features[0, drop, drop, 0] and inner[0, -1, -1, 0] == features[0, -1 - drop, -1 - drop, 0]
    )
