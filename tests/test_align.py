import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from emojax.faces.align import TEMPLATE, align, fit_similarity, sample, template
from emojax.faces.find import cut_aligned


def turned(points, degrees, factor=1.0, shift=(0.0, 0.0)):
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (factor * np.asarray(points) @ matrix.T + np.array(shift)).astype(np.float32)


def pattern(x, y):
    """A smooth picture, known at every point."""
    return 128 + 60 * np.sin(x / 9) + 60 * np.cos(y / 7)


def drawn(height, width, of=lambda points: points):
    """The pattern, seen through a map from the picture's points to the pattern's."""
    points = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)
    grey = pattern(*np.moveaxis(of(points), -1, 0))
    return np.repeat(grey[..., None], 3, axis=2).astype(np.float32)


@pytest.mark.parametrize(("degrees", "factor"), [(0, 1), (30, 0.5), (-60, 2), (90, 3), (180, 1)])
def test_a_similarity_is_found_exactly(degrees, factor):
    moved = turned(TEMPLATE, degrees, factor, (11, -7))
    found = fit_similarity(TEMPLATE, moved)
    np.testing.assert_allclose(complex(found.factor), factor * np.exp(1j * np.radians(degrees)), atol=1e-5)
    np.testing.assert_allclose(found(TEMPLATE), moved, atol=1e-3)
    np.testing.assert_allclose(found.inverse()(moved), TEMPLATE, atol=1e-3)


def test_numpy_and_jax_find_the_same_similarity():
    moved = turned(TEMPLATE, 40, 0.7, (3, 9))
    ours, compiled = fit_similarity(TEMPLATE, moved), jax.jit(lambda points: fit_similarity(points, moved))(TEMPLATE)
    assert isinstance(ours(TEMPLATE), np.ndarray) and ours.factor.dtype == compiled.factor.dtype == np.complex64
    np.testing.assert_allclose(ours(TEMPLATE), compiled(TEMPLATE), atol=1e-4)


def test_the_similarity_has_the_least_squared_error():
    rng = np.random.default_rng(0)
    targets = turned(TEMPLATE, 20, 1.3) + rng.normal(0, 4, (5, 2)).astype(np.float32)
    found = fit_similarity(TEMPLATE, targets)
    error = np.square(found(TEMPLATE) - targets).sum()
    for change in (0.01, -0.01, 0.01j, -0.01j):
        assert np.square(found._replace(factor=found.factor + change)(TEMPLATE) - targets).sum() > error
        assert np.square(found._replace(shift=found.shift + 50 * change)(TEMPLATE) - targets).sum() > error


def test_a_mirrored_face_is_not_mirrored_back():
    mirrored = TEMPLATE * np.array([[-1, 1]], np.float32)
    assert np.abs(fit_similarity(mirrored, TEMPLATE)(mirrored) - TEMPLATE).max() > 5


def test_landmarks_that_are_one_point_give_a_shift():
    found = fit_similarity(np.full((5, 2), 9, np.float32), TEMPLATE)
    assert complex(found.factor) == 1 and np.isfinite(complex(found.shift))


def test_samples_at_the_centres_are_the_pixels_and_edges_are_repeated():
    picture = jnp.arange(24.0).reshape(4, 6, 1)
    centres = np.stack(np.meshgrid(np.arange(6) + 0.5, np.arange(4) + 0.5), axis=-1)
    np.testing.assert_array_equal(sample(picture, centres), picture)
    outside = np.array([[[-9, 0.5], [99, 0.5], [0.5, -9], [5.5, 99], [1, 0.5], [0.5, 1]]])
    np.testing.assert_allclose(sample(picture, outside)[0, :, 0], [0, 5, 0, 23, 0.5, 3])


def test_a_face_that_lies_in_place_is_itself():
    picture = drawn(48, 48)
    np.testing.assert_allclose(align(picture, template(48), 48), picture, atol=0.05)


@pytest.mark.parametrize(
    ("degrees", "factor", "shift"), [(25, 1.0, (60, 10)), (-60, 1.5, (20, 110)), (180, 1, (130, 125))]
)
def test_a_turned_scaled_and_shifted_pattern_comes_back(degrees, factor, shift):
    def of(points):  # from the turned picture to the pattern
        return turned(points - np.array(shift), -degrees, 1 / factor)

    picture, landmarks = drawn(180, 180, of), turned(template(64), degrees, factor, shift)
    inside = (slice(8, -8),) * 2
    aligned = align(picture, landmarks, 64)
    np.testing.assert_allclose(aligned[inside], drawn(64, 64)[inside], atol=1.5)
    cut = cut_aligned(picture.astype(np.uint8), [tuple(map(float, point)) for point in landmarks], 64)
    assert cut.dtype == np.uint8 and np.abs(cut[inside] - drawn(64, 64)[inside]).max() < 4


def test_a_large_face_is_cut_without_aliasing():
    stripes = np.zeros((900, 900, 3), np.uint8)
    stripes[:, ::2] = 255
    cut = cut_aligned(stripes, [tuple(map(float, point)) for point in template(800) + 50], 64)
    assert np.abs(cut.astype(int) - 127).max() <= 3


def test_any_tilt_gives_the_same_crop():
    photo = np.asarray(Image.open("examples/astronaut.jpg").convert("RGB"))
    landmarks = np.array([(204.3, 104.8), (248.2, 105.1), (225.3, 128.5), (205.4, 144.0), (244.1, 144.1)])
    upright = cut_aligned(photo, [tuple(point) for point in landmarks.tolist()], 64).astype(int)
    left = np.stack([landmarks[:, 1], photo.shape[1] - landmarks[:, 0]], axis=1)  # a quarter turn to the left
    assert np.abs(cut_aligned(np.rot90(photo), [tuple(point) for point in left.tolist()], 64) - upright).mean() < 1
