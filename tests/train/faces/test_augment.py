import dataclasses

import numpy as np
import pytest
from tiny import compiled

from emojax.errors import EmojaxError
from emojax.train.faces import augment as library
from emojax.train.faces.augment import AugmentConfig

OFF = AugmentConfig(False, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
augment = compiled(library.augment_faces, static_argnums=0)
mix_pairs = compiled(library.mix_pairs, static_argnums=0)


def keys(count, seed=0):
    return np.random.default_rng(seed).integers(0, 2**32, (count, 2)).astype(np.uint32)


def images(count=6, side=16, channels=1):
    return np.random.default_rng(9).uniform(-1, 1, (count, side, side, channels)).astype(np.float32)


def test_nothing_happens_when_all_is_off():
    np.testing.assert_allclose(augment(OFF, keys(6), images()), images(), atol=1e-6)


def test_half_of_many_are_mirror_images():
    x = images(1, channels=3)
    out = augment(dataclasses.replace(OFF, flip=True), keys(400), np.repeat(x, 400, 0))
    same, mirrored = (np.abs(out - other).max((1, 2, 3)) < 1e-5 for other in (x, x[:, :, ::-1]))
    assert (same ^ mirrored).all() and 0.4 < mirrored.mean() < 0.6


@pytest.mark.parametrize("channels", [1, 3])
def test_shape_dtype_and_range(channels):
    out = augment(AugmentConfig(), keys(6), images(channels=channels))
    assert out.shape == (6, 16, 16, channels) and out.dtype == np.float32
    assert np.abs(out).max() <= 1


def test_each_example_depends_on_its_own_key_alone():
    whole = augment(AugmentConfig(), keys(6), images())
    some = [2, 3, 3, 5, 5, 2]
    np.testing.assert_allclose(augment(AugmentConfig(), keys(6)[some], images()[some]), whole[some], atol=1e-6)
    assert not np.allclose(augment(AugmentConfig(), keys(6, seed=1), images()), whole)
    same = augment(AugmentConfig(), np.repeat(keys(1), 6, 0), np.repeat(images(1), 6, 0))
    np.testing.assert_array_equal(same[0], same[1])


def test_moving_a_flat_picture_changes_nothing():
    moving = dataclasses.replace(AugmentConfig(), brightness=0.0, contrast=0.0, erase=0.0)
    flat = np.full((6, 16, 16, 1), 0.3, np.float32)
    np.testing.assert_allclose(augment(moving, keys(6), flat), flat, atol=1e-6)


def test_a_shrunk_face_has_the_means_but_not_the_detail_of_a_face():
    side = 60  # a multiple of 2, 3 and 5: cells have equally many pixels
    faces = np.repeat(images(1, side), 300, 0)
    out = augment(dataclasses.replace(OFF, shrink=0.5), keys(300), faces)
    detail = np.abs(np.diff(out, axis=2)).mean((1, 2, 3)) / np.abs(np.diff(faces[0], axis=1)).mean()
    kept = detail > 0.99
    assert 0.4 < kept.mean() < 0.6
    np.testing.assert_allclose(out[kept], faces[kept], atol=1e-6)
    assert detail[~kept].max() < 0.6 and len(np.unique(detail[~kept].round(3))) == 3  # a half, a third, a fifth
    np.testing.assert_allclose(out.mean((1, 2, 3)), faces.mean((1, 2, 3)), atol=0.02)


def test_a_shift_moves_all_pixels_alike():
    # On a ramp, a shift of d pixels adds the same amount everywhere, but for the repeated edges.
    ramp = np.broadcast_to(np.linspace(-1, 1, 16, dtype=np.float32)[None, None, :, None], (6, 16, 16, 1))
    moved = augment(dataclasses.replace(OFF, shift=0.1), keys(6), ramp)
    change = (moved - ramp)[:, :, 2:-2]
    np.testing.assert_allclose(change, np.broadcast_to(change[:, :1, :1], change.shape), atol=1e-5)
    assert np.abs(change).max() <= 0.1 * 16 * 2 / 15 + 1e-5 and np.ptp(change[:, 0, 0]) > 0


def test_erasing_covers_at_most_the_given_size():
    erased = augment(dataclasses.replace(OFF, erase=1.0, erase_size=0.5), keys(6), images())
    changed = (np.abs(erased - images()) > 1e-5)[..., 0]
    assert changed.any() and (changed.any(1).sum(1) <= 9).all() and (changed.any(2).sum(1) <= 9).all()


def test_contrast_keeps_the_mean_and_brightness_the_differences():
    x = images() * np.float32(0.4)
    contrast = augment(dataclasses.replace(OFF, contrast=0.5), keys(6), x)
    np.testing.assert_allclose(contrast.mean((1, 2, 3)), x.mean((1, 2, 3)), atol=1e-5)
    brightness = augment(dataclasses.replace(OFF, brightness=0.5), keys(6), x) - x
    np.testing.assert_allclose(brightness, np.broadcast_to(brightness[:, :1, :1], brightness.shape), atol=1e-6)


@pytest.mark.parametrize("bad", [{"erase": 1.5}, {"erase": -0.1}, {"scale": 1.0}, {"rotation": -1.0}])
def test_invalid_configs(bad):
    with pytest.raises(EmojaxError, match=f"^`{next(iter(bad))}` "):
        AugmentConfig(**bad)


def test_mixup_mixes_neighbours_and_their_labels_by_the_same_share():
    faces, labels = images(200), np.eye(200, dtype=np.float32)
    mixed, shares = mix_pairs(0.4, keys(200), faces, labels)
    np.testing.assert_allclose(mixed, np.einsum("nm,mhwc->nhwc", shares, faces), atol=1e-5)
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)
    pairs = shares.reshape(100, 2, 100, 2)[np.arange(100), :, np.arange(100)]
    np.testing.assert_allclose(pairs.sum((1, 2)), 2, atol=1e-6)  # nothing outside of the pairs
    np.testing.assert_allclose(pairs, pairs.transpose(0, 2, 1), atol=1e-6)
    # Beta(a, a) has mean 1 / 2 and variance 1 / (4 (2 a + 1))
    assert abs(pairs[:, 0, 0].mean() - 0.5) < 0.1 and abs(pairs[:, 0, 0].var() - 1 / 7.2) < 0.04


def test_mixup_of_a_part_of_the_batch_is_that_part_of_the_mixed_batch():
    faces, labels = images(8), np.eye(8, dtype=np.float32)
    whole, parts = mix_pairs(0.4, keys(8), faces, labels), mix_pairs(0.4, keys(8)[4:6], faces[4:6], labels[4:6])
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one[4:6], other, atol=1e-6)
