import numpy as np
import pytest

from emojax.train.faces.scores import (
    EXPW_FACES,
    calibration_bins,
    calibration_error,
    calibration_floor,
    confusion_matrix,
    fit_temperature,
    fit_temperature_and_bias,
    negative_log_likelihood,
    score,
)


def softmax(logits):
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def test_a_perfect_reader():
    labels = np.arange(70) % 7
    scores = score(np.eye(7)[labels], labels)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "natural_accuracy"):
        assert scores[name] == 1
    assert scores["ece"] == scores["ece_floor"] == 0 and set(scores["recall"].values()) == {1.0}


def test_a_reader_that_always_says_the_same():
    labels = np.repeat(np.arange(7), [10, 20, 30, 40, 50, 60, 70])
    sure = np.zeros((len(labels), 7))
    sure[:, 3] = 1
    scores = score(sure, labels)
    assert scores["accuracy"] == pytest.approx(40 / 280)
    assert scores["balanced_accuracy"] == pytest.approx(1 / 7)
    assert scores["macro_f1"] == pytest.approx(2 * 40 / (280 + 40) / 7)
    assert scores["natural_accuracy"] == pytest.approx(EXPW_FACES[3] / sum(EXPW_FACES))
    assert scores["ece"] == pytest.approx(1 - 40 / 280)  # it claims 1
    assert scores["recall"]["happy"] == 1 and scores["recall"]["sad"] == 0


def test_classes_that_are_not_there_do_not_count():
    labels = np.array([3, 3, 6, 6])
    scores = score(np.eye(7)[[3, 6, 6, 6]], labels)
    assert scores["balanced_accuracy"] == 0.75 and scores["recall"]["fear"] is None
    assert scores["natural_accuracy"] == pytest.approx(
        (0.5 * EXPW_FACES[3] + EXPW_FACES[6]) / (EXPW_FACES[3] + EXPW_FACES[6])
    )
    assert scores["macro_f1"] == pytest.approx((2 * 1 / 3 + 2 * 2 / 5) / 2)


def test_confusion_matrix():
    counts = confusion_matrix(np.eye(7)[[0, 1, 1, 2]], np.array([0, 0, 1, 5]))
    assert counts.sum() == 4 and counts[0, 0] == counts[0, 1] == counts[1, 1] == counts[5, 2] == 1


def test_bins_have_equal_mass_and_ascend():
    confidence = np.random.default_rng(0).random(101)
    bins = calibration_bins(confidence, confidence > 0.5)
    assert len(bins) == 15 and np.all(np.diff(bins[:, 0]) > 0)
    assert bins[:, 2].sum() == pytest.approx(1) and np.ptp(bins[:, 2]) <= 1 / 101 + 1e-9
    assert len(calibration_bins(confidence[:4], np.ones(4))) == 4


def test_calibration_error_by_hand():
    confidence = np.array([0.6, 0.6, 0.9, 0.9])
    assert calibration_error(confidence, np.array([1, 0, 1, 1]), bins=2) == pytest.approx(0.5 * 0.1 + 0.5 * 0.1)


def test_the_floor_is_what_calibrated_classifiers_score():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.3, 1, 600)
    drawn = np.mean([calibration_error(confidence, rng.random(600) < confidence) for _ in range(200)])
    assert calibration_floor(confidence) == pytest.approx(drawn, rel=0.1)
    assert calibration_floor(confidence) > 3 * calibration_floor(np.tile(confidence, 20), repeats=50)


def test_the_temperature_that_was_applied_is_found():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(20_000, 7)) * 2
    labels = np.eye(7)[(rng.random((20_000, 1)) > softmax(true).cumsum(1)).sum(1).clip(0, 6)]
    assert fit_temperature(true, labels) == pytest.approx(1, rel=0.03)
    assert fit_temperature(true * 3, labels) == pytest.approx(3, rel=0.03)


def test_negative_log_likelihood():
    assert negative_log_likelihood(np.zeros((3, 7)), np.eye(7)[:3]) == pytest.approx(np.log(7))
    assert negative_log_likelihood(np.full((1, 7), 1e4), np.full((1, 7), 1 / 7)) == pytest.approx(np.log(7))


def test_no_faces_are_not_scored():
    with pytest.raises(ValueError, match="no faces"):
        score(np.zeros((0, 7)), np.zeros(0, int))


def test_the_bias_that_is_missing_is_found():
    """Labels drawn from softmax(logits / 1.5 + bias), bias summing to 0."""
    rng = np.random.default_rng(0)
    logits, bias = 3 * rng.normal(size=(8000, 7)), np.array([0.8, -0.5, 0.2, -0.1, 0.3, -0.6, -0.1])
    drawn = np.array([rng.choice(7, p=row) for row in softmax(logits / 1.5 + bias)])
    temperature, found = fit_temperature_and_bias(logits, np.eye(7)[drawn], penalty=0.0)
    assert temperature == pytest.approx(1.5, rel=0.05)
    np.testing.assert_allclose(found, bias, atol=0.12)
    shrunk = fit_temperature_and_bias(logits, np.eye(7)[drawn], penalty=1.0)[1]
    assert np.abs(shrunk).max() < 0.5 * np.abs(found).max() and abs(shrunk.sum()) < 1e-9
