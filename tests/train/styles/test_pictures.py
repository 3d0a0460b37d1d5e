import numpy as np

from emojax.train.styles.pictures import flattest_window, motif_strength, noise_gain


def grey(x):
    return np.repeat(np.clip(x, 0, 255).round().astype(np.uint8)[..., None], 3, axis=-1)


def noise(seed, shape=(160, 200)):
    return np.random.default_rng(seed).normal(128, 20, shape)


def test_noise_has_no_motif_and_a_lattice_is_one():
    assert motif_strength(grey(noise(0))) < 0.15
    rows, columns = np.indices((160, 200))
    lattice = 128 + 40 * np.sign(np.sin(2 * np.pi * rows / 20) * np.sin(2 * np.pi * columns / 20))
    assert motif_strength(grey(lattice)) > 0.8


def test_a_stamped_motif_shows_under_noise():
    stamp = np.zeros((160, 200))
    stamp[10::40, 10::40] = 1
    stamped = np.real(
        np.fft.ifft2(np.fft.fft2(stamp) * np.fft.fft2(np.pad(np.full((8, 8), 80.0), ((0, 152), (0, 192)))))
    )
    assert motif_strength(grey(noise(1) / 4 + stamped)) > motif_strength(grey(noise(1))) + 0.3


def test_a_flat_picture_has_no_motif():
    assert motif_strength(np.full((64, 64, 3), 7, np.uint8)) == 0


def test_motifs_are_looked_for_where_the_photo_is_flattest():
    photo = grey(noise(2))
    photo[32:160, 64:192] = 100
    assert flattest_window(photo) == (32, 64, 128)


def test_noise_gain_of_known_functions():
    photo = np.full((40, 40, 3), 100, np.uint8)
    assert noise_gain(lambda x: x, photo) == 1
    assert noise_gain(lambda x: np.zeros_like(x), photo) == 0
    np.testing.assert_allclose(noise_gain(lambda x: 2 * (x - 50), photo), 2, rtol=0.01)
