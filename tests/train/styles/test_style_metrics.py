import jax
import numpy as np
import pytest
import tiny
from PIL import Image
from tiny import compiled, vgg16_features

from emojax.losses import terms as losses
from emojax.losses.terms import STYLE_LAYERS
from emojax.train.styles import metrics as yardstick
from emojax.train.styles.metrics import PixelOptimizer, objective
from emojax.weights.vgg16_file import load_vgg16

gram_matrix, style_loss = compiled(losses.gram_matrix), compiled(losses.style_loss)
style_scores, structural_similarity = compiled(yardstick.style_scores), compiled(yardstick.structural_similarity)


@pytest.fixture(scope="module")
def vgg(tiny_style_data):
    return load_vgg16(tiny_style_data[-1])


def photo(seed, side=32):
    picture = tiny.blocks(np.random.default_rng(seed), 32).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(picture, np.float32)[None] / 255


def grams_of(vgg, *photos):
    features = [vgg16_features(vgg, np.float32(255) * x) for x in photos]
    return {layer: np.concatenate([gram_matrix(found[layer]) for found in features]) for layer in STYLE_LAYERS}


def test_similarity_of_equal_flat_and_opposite_pictures():
    x = photo(0)[..., :1]
    np.testing.assert_allclose(structural_similarity(x, x), 1, rtol=1e-5)
    # Of flat pictures a and b only the first factor is left: (2ab + c1) / (a^2 + b^2 + c1).
    flat = structural_similarity(*(np.full((1, 32, 32, 1), value, np.float32) for value in (0.2, 0.6)))
    np.testing.assert_allclose(flat, (2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4), rtol=1e-3)
    assert float(structural_similarity(x, 1 - x)[0]) < 0.5


def test_similarity_is_wangs_formula_in_its_one_window():
    one, other = (photo(seed, 11)[..., :1] for seed in (5, 6))
    x = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    weights = np.outer(x, x)[None, :, :, None] / np.outer(x, x).sum()
    mean_one, mean_other = (weights * one).sum(), (weights * other).sum()
    var_one, var_other = (weights * (one - mean_one) ** 2).sum(), (weights * (other - mean_other) ** 2).sum()
    covariance = (weights * (one - mean_one) * (other - mean_other)).sum()
    c1, c2 = 0.01**2, 0.03**2
    expected = (2 * mean_one * mean_other + c1) * (2 * covariance + c2)
    expected /= (mean_one**2 + mean_other**2 + c1) * (var_one + var_other + c2)
    np.testing.assert_allclose(structural_similarity(one, other), expected, rtol=1e-3)


def test_a_photo_measured_against_itself(vgg):
    one, other = photo(1), photo(2)
    scores = style_scores(vgg, grams_of(vgg, one, other), one, one)
    assert float(scores["content"]) == float(scores["content_relu3_3"]) == 0
    np.testing.assert_allclose(scores["ssim"], 1, rtol=1e-5)
    np.testing.assert_allclose(scores["style"][0], 0, atol=1e-6)
    features = vgg16_features(vgg, np.float32(255) * one)
    expected = style_loss(features, {k: gram[1:] for k, gram in grams_of(vgg, one, other).items()})[0]
    np.testing.assert_allclose(scores["style"][1], expected, rtol=1e-4)
    assert float(expected) > 0


def test_the_optimizer_comes_down_and_stops_at_the_goal(vgg):
    start, gram = photo(3), grams_of(vgg, photo(4))
    gram, start = jax.device_put((gram, start))
    steps_to_goal = PixelOptimizer().steps_to_goal
    whole = steps_to_goal(vgg, gram, start, goal=0.0, max_steps=8)
    assert whole.steps is None and len(whole.curve) == 9
    # Adam searches no line, so that a single step may lead up.
    assert all(after < before for before, after in zip(whole.curve, whole.curve[2:], strict=False))
    assert whole.curve[-1] < 0.7 * whole.curve[0]
    own = float(style_scores(vgg, gram, start, start)["style"][0])
    np.testing.assert_allclose(whole.curve[0], objective(0.0, own), rtol=1e-4)
    goal = (whole.curve[1] + whole.curve[2]) / 2
    found = steps_to_goal(vgg, gram, start, goal, max_steps=4)
    assert found.steps == 2 and len(found.curve) == 3
    np.testing.assert_allclose(found.curve, whole.curve[:3], rtol=1e-4)
    assert steps_to_goal(vgg, gram, start, goal=1e9).steps == 0
