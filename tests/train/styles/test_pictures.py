import numpy as np
import pytest
from PIL import Image

from emojax.emotions import PHOTO
from emojax.faces.find import Face, overlap
from emojax.nets.classifier_config import ClassifierConfig
from emojax.nets.stylizer_config import StylizerConfig
from emojax.pipeline import Model, Result
from emojax.train.styles import picture_scores
from emojax.train.styles.picture_metrics import flattest_window, motif_strength, noise_gain


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


def face(x, y, side):
    return Face(x, y, side, side, 0.9)


def test_overlap_of_boxes():
    assert overlap(face(0, 0, 10), face(0, 0, 10)) == 1 and overlap(face(0, 0, 10), face(10, 0, 10)) == 0
    assert overlap(face(0, 0, 10), face(0, 5, 10)) == pytest.approx(1 / 3)


def test_what_is_seen_of_known_pictures(monkeypatch):
    """The first style leaves the photo as it is, the second paints it grey; faces are found where the red is."""
    photo = grey(noise(4, (64, 96)))
    photo[10:50, 10:50] = 255, 0, 0

    def find(detector, pixels):
        return [face(10, 10, 40)] if pixels[30, 30, 0] > 200 else []

    class Painter(Model):
        def __call__(self, pixels, emotion):
            picture = pixels if emotion == "same" else np.full_like(pixels, 128)
            return Result(Image.fromarray(picture), [], None, {emotion: 1.0})

        def classify(self, crops, margin):
            assert crops.shape[1:] == (16, 16, 3) and margin == self.classifier.margin
            return np.eye(7, dtype=np.float32)[(crops[:, 8, 8, 0] > 200).astype(int)]

    monkeypatch.setattr(picture_scores, "find_faces", find)
    monkeypatch.setattr(picture_scores, "cut_crop", lambda pixels, *_: pixels[10:26, 10:26])
    model = Painter(ClassifierConfig(size=16), StylizerConfig(style_names=("same", "blank", PHOTO)), {})
    scores = picture_scores.score_pictures(model, {"one": photo, "two": grey(noise(5, (64, 96)))})
    same, blank = scores["same"], scores["blank"]
    assert (same["faces_found"], same["emotion_kept"], same["noise_gain"]) == (1, 1, 1)
    assert (blank["faces_found"], blank["emotion_kept"], blank["noise_gain"], blank["motif"]) == (0, 0, 0, 0)
