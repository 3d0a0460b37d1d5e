import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emojax.emotions import (
    CIRCUMPLEX,
    COMPOUNDS,
    EMOTIONS,
    as_dict,
    compound,
    dominant,
    mood_weights,
    parse_mood,
    parse_weights,
    style_weights,
    valence_arousal,
)
from emojax.errors import EmojaxError, InputError
from emojax.util.words import nearest


def test_order_is_that_of_expw():
    assert EMOTIONS == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


@pytest.mark.parametrize("name", EMOTIONS)
def test_one_name_is_one_hot(name):
    assert as_dict(style_weights(name)) == {other: float(other == name) for other in EMOTIONS}


def test_a_mix_is_normalized():
    np.testing.assert_allclose(style_weights("happy:3, surprise:1")[[3, 5]], [0.75, 0.25])


@given(st.dictionaries(st.sampled_from(EMOTIONS), st.floats(1e-3, 1e3), min_size=1))
def test_weights_sum_to_one_and_text_equals_mapping(weights):
    vector = style_weights(weights)
    assert vector.dtype == np.float32 and abs(float(vector.sum()) - 1) < 1e-5
    text = ",".join(f"{name}:{weight!r}" for name, weight in weights.items())
    np.testing.assert_array_equal(style_weights(text), vector)
    assert dominant(as_dict(vector)) == EMOTIONS[int(vector.argmax())]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("hapy", "did you mean 'happy'"),
        ("", "unknown emotion ''"),
        ("sad:-1", "not negative"),
        ("sad:nan", "finite"),
        ("sad:inf", "finite"),
        ("sad:0", "sum to zero"),
        ("sad:much", "'much' is not a weight"),
        ("sad:1,sad:2", "twice"),
    ],
)
def test_bad_weights_name_the_culprit(text, part):
    with pytest.raises(EmojaxError, match=part):
        style_weights(text)


@pytest.mark.parametrize("weights", [["sad"], 3, {"sad": "1"}, {"sad": None}])
def test_weights_of_other_types(weights):
    with pytest.raises(EmojaxError, match="emotion|weight of 'sad'"):
        style_weights(weights)


def test_very_large_weights():
    np.testing.assert_array_equal(style_weights({"happy": 1e308, "sad": 1e308})[[3, 4]], [0.5, 0.5])


def test_nearest_is_silent_when_nothing_is_close():
    assert nearest("xyzzy", EMOTIONS) == ""
    assert "sad" in parse_weights("sad")


def test_a_certain_emotion_is_its_own_point_of_the_circumplex():
    assert tuple(CIRCUMPLEX) == EMOTIONS
    for name in EMOTIONS:
        assert valence_arousal(as_dict(style_weights(name))) == pytest.approx(CIRCUMPLEX[name])


@given(st.dictionaries(st.sampled_from(EMOTIONS), st.floats(1e-3, 1e3), min_size=1))
def test_valence_and_arousal_are_means_within_the_circumplex(weights):
    for axis, value in enumerate(valence_arousal(as_dict(style_weights(weights)))):
        ends = [CIRCUMPLEX[name][axis] for name in weights]
        assert min(ends) - 1e-6 <= value <= max(ends) + 1e-6


def test_two_likely_emotions_with_a_published_name_are_a_compound():
    assert compound(as_dict(style_weights("happy:0.5,surprise:0.3,sad:0.2"))) == "happily surprised"
    assert compound(as_dict(style_weights("happy:0.7,surprise:0.2,sad:0.1"))) is None  # one is too unlikely
    assert compound(as_dict(style_weights("happy:0.5,sad:0.5"))) is None  # no published pair
    assert compound(as_dict(style_weights("neutral:0.5,sad:0.5"))) is None
    three = as_dict(style_weights("angry:0.27,disgust:0.33,surprise:0.4"))
    assert compound(three) == "disgustedly surprised"


def test_compounds_are_pairs_of_our_emotions():
    assert len(COMPOUNDS) == len(set(COMPOUNDS.values())) == 12
    assert all(len(pair) == 2 and pair < set(EMOTIONS) - {"neutral"} for pair in COMPOUNDS)


@pytest.mark.parametrize("name", EMOTIONS)
def test_a_mood_at_an_emotions_point_is_that_emotion(name):
    assert mood_weights(CIRCUMPLEX[name])[name] == 1


@given(st.tuples(st.floats(-1, 1), st.floats(-1, 1)))
def test_moods_are_mixes_that_change_smoothly(mood):
    here = np.array(list(mood_weights(mood).values()))
    assert here.min() >= 0 and here.sum() == pytest.approx(1)
    near = tuple(np.clip(np.array(mood) + 1e-5, -1, 1).tolist())
    assert np.abs(np.array(list(mood_weights(near).values())) - here).max() < 1e-3


@pytest.mark.parametrize("text", ["", "0.5", "a,b", "0.5,2", "nan,0", "0,0,0"])
def test_what_is_no_mood_is_refused(text):
    with pytest.raises(InputError, match="`mood`"):
        parse_mood(text)
