import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emojax.losses import (
    content_loss,
    gram_matrix,
    interior,
    relative_error,
    style_loss,
    total_variation,
)
from emojax.train.losses import cross_entropy


def features(seed, shape=(2, 6, 5, 3)):
    return jax.random.normal(jax.random.PRNGKey(seed), shape)


def test_total_variation_of_a_checkerboard_is_two():
    board = (jnp.indices((8, 8)).sum(0) % 2).astype(jnp.float32)[None, :, :, None]
    np.testing.assert_array_equal(total_variation(board), [2.0])


def test_total_variation_of_a_flat_picture_is_zero_and_of_a_ramp_its_slope_squared():
    assert float(total_variation(jnp.full((1, 5, 5, 3), 0.7))[0]) == 0
    ramp = jnp.broadcast_to(0.5 * jnp.arange(4.0)[None, None, :, None], (1, 3, 4, 1))
    np.testing.assert_allclose(total_variation(ramp), [0.25])


def test_gram_matrix_of_one_position_is_the_outer_product():
    f = jnp.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(gram_matrix(f[None, None, None])[0], jnp.outer(f, f), rtol=1e-6)


def test_gram_matrix_is_symmetric_positive_and_blind_to_order():
    x = features(0)
    gram = gram_matrix(x)
    np.testing.assert_allclose(gram, gram.transpose(0, 2, 1), atol=1e-6)
    assert np.linalg.eigvalsh(gram).min() > -1e-5
    np.testing.assert_allclose(gram_matrix(x[:, ::-1, ::-1]), gram, atol=1e-5)
    np.testing.assert_allclose(gram_matrix(jnp.tile(x, (1, 2, 3, 1))), gram, rtol=1e-5)  # size does not matter


def test_gram_matrix_of_caffe_sized_bfloat16_activations_is_finite():
    assert jnp.isfinite(gram_matrix(jnp.full((1, 64, 64, 4), 14000, jnp.bfloat16))).all()


def test_relative_errors_have_closed_forms():
    x = features(1)
    np.testing.assert_array_equal(content_loss(x, x), [0, 0])
    np.testing.assert_allclose(content_loss(jnp.zeros_like(x), x), [1, 1])
    np.testing.assert_allclose(content_loss(3 * x, x), [4, 4], rtol=1e-5)
    np.testing.assert_allclose(relative_error(1000 * x, 500 * x), [1, 1], rtol=1e-5)  # dimensionless


def test_style_loss_is_the_mean_over_layers():
    grams = {"a": gram_matrix(features(2)), "b": gram_matrix(features(3))}
    np.testing.assert_allclose(style_loss({"a": features(2), "b": features(3)}, grams), [0, 0], atol=1e-10)
    # Twice the features is four times the Gram matrix: ||4A - A||^2 / ||A||^2 = 9, in one layer of two.
    np.testing.assert_allclose(style_loss({"a": 2 * features(2), "b": features(3)}, grams), [4.5, 4.5], rtol=1e-4)


def test_cross_entropy_of_uniform_logits_is_log_k():
    labels = jnp.eye(7)
    np.testing.assert_allclose(cross_entropy(jnp.zeros((7, 7)), labels), np.log(7), rtol=1e-6)


def test_cross_entropy_of_soft_labels_is_least_at_the_labels():
    labels = jnp.array([[0.5, 0.3, 0.2]])
    best = float(cross_entropy(jnp.log(labels), labels)[0])
    np.testing.assert_allclose(best, -(labels * jnp.log(labels)).sum(), rtol=1e-6)
    assert float(cross_entropy(jnp.zeros((1, 3)), labels)[0]) > best


@pytest.mark.parametrize("index", range(3))
def test_class_weights_scale_their_class(index):
    logits, labels = features(5, (3, 3)), jnp.eye(3)
    weights = jnp.ones(3).at[index].set(2.0)
    ratio = cross_entropy(logits, labels, class_weights=weights) / cross_entropy(logits, labels)
    np.testing.assert_allclose(ratio, weights, rtol=1e-6)


@pytest.mark.parametrize(("side", "left"), [(128, 120), (32, 28), (16, 14), (15, 15), (2, 2)])
def test_the_interior_leaves_out_a_thin_border(side, left):
    features = jnp.arange(side * (side + 1), dtype=jnp.float32).reshape(1, side, side + 1, 1)
    inner = interior(features)
    assert inner.shape == (1, left, left + 1, 1)
    drop = (side - left) // 2
    assert (
        inner[0, 0, 0, 0] == features[0, drop, drop, 0] and inner[0, -1, -1, 0] == features[0, -1 - drop, -1 - drop, 0]
    )
