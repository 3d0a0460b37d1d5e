"""Which style is chosen by what is read."""

import numpy as np
import pytest
import tiny
from photos import photo
from tiny import FACES

import emojax
from emojax.emotions import EMOTIONS
from emojax.pipeline import forward
from emojax.pipeline.forward import READ_AT_ONCE
from emojax.pipeline.model import MAX_REGIONS

style_choice = tiny.compiled(forward.style_choice, static_argnums=(0, 2))
classify = tiny.compiled(emojax.nets.classifier.classify, static_argnums=0)
read_styles = tiny.compiled(forward.read_styles, static_argnums=(0, 1, 2))


def test_dominant_is_one_hot_and_probabilities_blend():
    reading = np.array([0.1, 0.0, 0.0, 0.5, 0.4, 0.0, 0.0], np.float32)
    np.testing.assert_array_equal(style_choice(EMOTIONS, reading, "dominant"), np.eye(7)[3])
    np.testing.assert_allclose(style_choice(EMOTIONS, reading, "probabilities"), reading)


def test_emotions_without_a_style_are_left_out_and_one_style_serves_all():
    reading = np.array([0.1, 0.0, 0.0, 0.5, 0.4, 0.0, 0.0], np.float32)
    np.testing.assert_array_equal(style_choice(("sad", "angry"), reading, "dominant"), [1, 0])
    np.testing.assert_allclose(style_choice(("sad", "angry"), reading, "probabilities"), [0.8, 0.2], rtol=1e-6)
    np.testing.assert_array_equal(style_choice(("fear",), reading, "probabilities"), [1])


@pytest.mark.parametrize("mix", ["dominant", "probabilities"])
def test_what_is_read_chooses_the_style(model, mix):
    crops = photo(16, 16 * MAX_REGIONS).reshape(16, MAX_REGIONS, 16, 3).transpose(1, 0, 2, 3)
    weights, fallback = np.zeros(MAX_REGIONS, np.float32), np.eye(7, dtype=np.float32)[6]
    weights[:2] = 0.75, 0.25

    def run(count, weights):
        return read_styles(FACES, EMOTIONS, mix, model.params["classifier"], crops, np.int32(count), weights, fallback)

    reading = run(5, weights)
    probabilities = reading.probabilities
    read = classify(FACES, model.params["classifier"], crops)
    np.testing.assert_allclose(probabilities[:5], read[:5], atol=1e-6)
    assert np.all(probabilities[2 * READ_AT_ONCE :] == 0)  # filling is not read
    choice = style_choice(EMOTIONS, 0.75 * read[0] + 0.25 * read[1], mix)
    np.testing.assert_allclose(reading.style, choice, atol=1e-6)
    np.testing.assert_array_equal(run(0, 0 * weights).style, fallback)
