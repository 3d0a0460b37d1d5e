import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emojax.emotions import EMOTIONS
from emojax.faces.find import Face
from emojax.video.tracks import (
    FADE,
    HYSTERESIS,
    TRANSITION,
    Track,
    advance_track,
    initial_emotion,
    interpolate,
    match_faces,
    move_style,
    overlap,
    target_style,
    update_emotion,
    update_tracks,
)

STYLES = (*EMOTIONS, "photo")
HAPPY, SAD = EMOTIONS.index("happy"), EMOTIONS.index("sad")


def reading(emotion, certain=1.0):
    """Probabilities of which so much is one emotion's."""
    found = np.full(7, (1 - certain) / 6, np.float32)
    found[emotion] = certain
    return found


def track(number, face, emotion=HAPPY, presence=1.0):
    return Track(number, face, initial_emotion(STYLES, reading(emotion), "dominant"), presence)


def test_overlap_of_known_boxes():
    a = Face(0.0, 0.0, 10.0, 10.0, 0.9)
    assert overlap(a, a) == 1
    assert overlap(a, Face(5.0, 0.0, 10.0, 10.0, 0.9)) == pytest.approx(1 / 3)
    assert overlap(a, Face(20.0, 0.0, 10.0, 10.0, 0.9)) == 0


def test_faces_that_pass_each_other_keep_their_numbers():
    left, right = Face(0.0, 0.0, 20.0, 20.0, 0.9), Face(60.0, 0.0, 20.0, 20.0, 0.9)
    tracks = [track(0, left), track(1, right)]
    moved = [Face(55.0, 3.0, 20.0, 20.0, 0.9), Face(4.0, 2.0, 20.0, 20.0, 0.9), Face(30.0, 40.0, 20.0, 20.0, 0.9)]
    assert match_faces(tracks, moved) == {0: 1, 1: 0}
    found = update_tracks(tracks, moved, np.stack([reading(SAD)] * 3), 0.3, STYLES, "dominant", first=2)
    assert {one.number: one.face.x for one in found} == {0: 4.0, 1: 55.0, 2: 30.0}
    assert found[2].presence == 0 and found[2].detected


def test_a_face_that_is_lost_fades_and_is_dropped():
    tracks = update_tracks(
        [track(0, Face(0.0, 0.0, 9.0, 9.0, 0.9))], [], np.zeros((0, 7), np.float32), 0.3, STYLES, "dominant", 1
    )
    assert not tracks[0].detected
    tracks = [advance_track(tracks[0], FADE / 2, STYLES, "dominant")]
    assert tracks[0].presence == pytest.approx(0.5)
    tracks = [advance_track(tracks[0], FADE, STYLES, "dominant")]
    assert tracks[0].presence == 0
    assert update_tracks(tracks, [], np.zeros((0, 7), np.float32), 0.3, STYLES, "dominant", 1) == []


@given(
    st.lists(st.floats(0, 1), min_size=8, max_size=8),
    st.lists(st.floats(0, 1), min_size=8, max_size=8),
    st.floats(0, 2),
)
def test_a_style_never_flips(a, b, seconds):
    a, b = (np.array(x, np.float32) + 1e-3 for x in (a, b))
    a, b = a / a.sum(), b / b.sum()
    moved = move_style(a, b, seconds)
    assert np.abs(moved - a).sum() / 2 <= seconds / TRANSITION + 1e-5
    assert moved.sum() == pytest.approx(1, abs=1e-5) and moved.min() >= 0
    assert np.abs(moved - b).sum() <= np.abs(a - b).sum() + 1e-5


def test_from_one_style_to_another_takes_the_time_of_a_glide():
    style, goal, seconds = (
        target_style(STYLES, reading(HAPPY), HAPPY, "dominant"),
        target_style(STYLES, reading(SAD), SAD, "dominant"),
        0,
    )
    while not np.array_equal(style, goal):
        style, seconds = move_style(style, goal, 0.04), seconds + 0.04
    assert seconds == pytest.approx(TRANSITION, abs=0.05)


def test_readings_that_waver_do_not_change_the_strongest_emotion():
    emotion = initial_emotion(STYLES, reading(HAPPY, 0.5), "dominant")
    for step in range(40):
        emotion = update_emotion(emotion, reading((SAD, HAPPY)[step % 2], 0.5), 0.3)
        assert emotion.strongest == HAPPY
    for _ in range(20):
        emotion = update_emotion(emotion, reading(SAD, 0.5), 0.3)
    assert emotion.strongest == SAD


def test_another_emotion_has_to_be_clearly_stronger():
    emotion = initial_emotion(STYLES, reading(HAPPY), "dominant")
    nearly = (reading(HAPPY) * (1 - HYSTERESIS) + reading(SAD) * (1 + HYSTERESIS * 0.9)) / 2
    assert update_emotion(emotion, nearly / nearly.sum(), 1e3).strongest == HAPPY
    assert update_emotion(emotion, reading(SAD), 1e3).strongest == SAD


def test_styles_of_an_emotion():
    mixed = target_style(STYLES, reading(HAPPY, 0.4), HAPPY, "probabilities")
    np.testing.assert_allclose(mixed, [*reading(HAPPY, 0.4), 0], rtol=1e-6)
    np.testing.assert_array_equal(target_style(("sad", "angry"), reading(HAPPY, 0.4), HAPPY, "dominant"), [1, 0])
    np.testing.assert_array_equal(target_style(("joy",), reading(HAPPY), HAPPY, "probabilities"), [1])


def test_a_face_moves_evenly():
    a, b = (Face(x, 2 * x, 10.0 + x, 10.0, 0.9, ((x, 0.0),)) for x in (0.0, 8.0))
    found = interpolate(a, b, 0.25)
    assert (found.x, found.y, found.w, found.landmarks) == (2, 4, 12, ((2, 0),))
