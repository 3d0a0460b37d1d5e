from concurrent.futures import ThreadPoolExecutor

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from emojax.errors import EmojaxError
from emojax.faces.detector import Detections
from emojax.faces.find import (
    Face,
    cut_aligned,
    cut_box,
    cut_crop,
    face_weights,
    find_faces,
    resize_margin,
)
from emojax.faces.views import FaceDetector

EXPW = "faces/expw_sample"
DETECTOR = FaceDetector()
pytestmark = pytest.mark.usefixtures("computes_long")


def smooth(height=120, width=150, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def apart(a, b):
    return np.abs(a.astype(int) - b)


# --- finding


@pytest.fixture
def boxes(monkeypatch):
    """Makes the detector see given boxes (x, y, w, h, confidence) in every view."""
    seen = []

    def give(*found):
        numbers = np.array(found, np.float32).reshape(-1, 5)
        corners = np.concatenate([numbers[:, :2], numbers[:, :2] + numbers[:, 2:4]], axis=1)
        landmarks = np.repeat(corners[:, None, :2], 5, axis=1)
        look = Detections(numbers[:, 4], corners, landmarks)
        monkeypatch.setattr(DETECTOR, "in_view", lambda pixels: seen.append(pixels.shape) or look)
        return seen

    return give


def box(face):
    return [face.x, face.y, face.w, face.h]


def test_a_box_is_a_square_somewhat_larger_than_the_detected_one_and_raised(boxes):
    boxes((40, 30, 30, 40, 0.92))
    (face,) = find_faces(DETECTOR, np.zeros((200, 200, 3), np.uint8))
    side = 1.19 * np.sqrt(30 * 40)
    np.testing.assert_allclose(box(face), [55 - side / 2, 50 - 0.57 * side, side, side], atol=1e-4)
    assert face.confidence == pytest.approx(0.92) and face.rotation == 0
    np.testing.assert_allclose(face.landmarks, [(40, 30)] * 5, atol=1e-4)


def test_boxes_are_clipped_and_sorted_and_those_outside_are_dropped(boxes):
    boxes((0, 0, 15, 20, 0.7), (180, 180, 30, 40, 0.99), (90, 60, 20, 30, 0.8), (300, 300, 9, 9, 0.9))
    found = find_faces(DETECTOR, np.zeros((200, 200, 3), np.uint8))
    assert [face.confidence for face in found] == pytest.approx([0.8, 0.99, 0.7])
    for face in found:
        assert face.x >= 0 and face.y >= 0 and face.x + face.w <= 200 and face.y + face.h <= 200


def test_large_photos_are_shrunk_for_the_detector_only(boxes):
    seen = boxes((40, 30, 30, 40, 0.92))
    (face,) = find_faces(DETECTOR, np.zeros((640, 1000, 3), np.uint8))
    assert seen == [(410, 640, 3)]
    side = 1.19 * np.sqrt(30 * 40) * 1.5625
    np.testing.assert_allclose(box(face), [85.9 - side / 2, 78 - 0.57 * side, side, side], rtol=0.01)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (9, 9)])
def test_odd_photos_have_no_face_and_do_no_harm(shape):
    assert find_faces(DETECTOR, np.zeros((*shape, 3), np.uint8)) == []


@pytest.fixture(scope="module")
def astronaut():
    return np.asarray(Image.open("examples/astronaut.jpg").convert("RGB"))


def test_the_astronaut_has_one_face(astronaut):
    (face,) = find_faces(DETECTOR, astronaut)
    assert face.confidence > 0.8 and face.x < 225 < face.x + face.w and face.y < 115 < face.y + face.h
    right, left, nose, right_mouth, left_mouth = face.landmarks
    assert right[0] < nose[0] < left[0] and right_mouth[0] < left_mouth[0] and right[1] < nose[1] < left_mouth[1]


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_turned_photos_have_the_same_face(astronaut, rotation):
    (upright,) = find_faces(DETECTOR, astronaut)
    photo = np.rot90(astronaut, rotation // 90)[:480]  # no longer square
    (face,) = find_faces(DETECTOR, photo)
    assert face.rotation == rotation
    assert apart(cut_crop(photo, face, 0.1, 48), cut_crop(astronaut, upright, 0.1, 48)).mean() < 10
    assert apart(cut_aligned(photo, face.landmarks, 48), cut_aligned(astronaut, upright.landmarks, 48)).mean() < 10


@pytest.mark.parametrize("tilt", [-60, -30, 40])
def test_landmarks_follow_the_tilt(astronaut, tilt):
    tilted = np.asarray(Image.fromarray(astronaut).rotate(tilt, Image.Resampling.BICUBIC, center=(225, 115)))
    (face,) = find_faces(DETECTOR, tilted)
    right, left = (np.array(mark) for mark in face.landmarks[:2])
    slope = np.degrees(np.arctan2(left[1] - right[1], left[0] - right[0]))
    assert abs(slope + tilt) < 8


def test_a_photo_is_turned_for_a_surer_face_only(monkeypatch):
    """The confidence in each orientation, and which one is chosen."""
    for confidences, rotation in [
        ({0: 0.95, 90: 0.99}, 0),
        ({0: 0.7, 90: 0.85}, 90),
        ({0: 0.85, 90: 0.82}, 0),
        ({0: 0.0, 180: 0.75}, 0),
        ({0: 0.0, 180: 0.81, 270: 0.9}, 270),
    ]:
        sure = {turn: confidences.get(turn, 0.0) for turn in (0, 90, 180, 270)}

        def search(looks, turn, sure=sure):
            return Detections(np.array([sure[turn]]), np.array([[10.0, 10, 30, 30]]), np.zeros((1, 5, 2)))

        monkeypatch.setattr(DETECTOR, "in_views", search)
        assert {face.rotation for face in find_faces(DETECTOR, np.zeros((40, 40, 3), np.uint8))} == {rotation}


def test_many_faces_are_all_found(astronaut):
    head = np.asarray(Image.fromarray(astronaut[30:190, 140:300]).resize((96, 96), Image.Resampling.BICUBIC))
    assert len(find_faces(DETECTOR, np.tile(head, (6, 6, 1)))) == 36


def pasted(background, heads, row, column):
    """A picture with heads in it, `row` and `column` pixels from one to the next, and where they begin."""
    picture, places = background.copy(), []
    per_row = (background.shape[1] - column // 2) // column
    for index, head in enumerate(heads):
        y, x = row // 2 + index // per_row * row, column // 2 + index % per_row * column
        picture[y : y + head.shape[0], x : x + head.shape[1]] = head
        places.append((x, y))
    return picture, places


@pytest.mark.parametrize(("shape", "side"), [((3000, 4000), 60), ((4000, 6000), 120)])
@pytest.mark.parametrize("textured", [False, True])
def test_small_faces_in_large_pictures_are_found(shared_data, shape, side, textured):
    """Labelled faces, of the given side: the first picture has half of them, the second one the others."""
    root, heads = shared_data / EXPW, []
    for line in (root / "label.lst").read_text().splitlines():
        name, _, *numbers = line.split()
        top, left, right, bottom = map(int, numbers[:4])
        margin = (right - left) // 2
        with Image.open(root / "origin" / name) as photo:
            head = photo.convert("RGB").crop((left - margin, top - margin, right + margin, bottom + margin))
        heads.append(np.asarray(head.resize((2 * side, 2 * side), Image.Resampling.BICUBIC, reducing_gap=3.0)))
    background = smooth(*shape)
    if textured:
        noise = np.random.default_rng(0).normal(0, 12, (*(n // 4 for n in shape), 1)).astype(np.int16)
        background = background + noise.repeat(4, 0).repeat(4, 1)
        background = background.clip(0, 255, out=background).astype(np.uint8)
    picture, places = pasted(background, heads, shape[0] // 8, shape[1] // 9)
    centres = [(face.x + face.w / 2, face.y + face.h / 2, face.w) for face in find_faces(DETECTOR, picture)]
    found = [
        any(
            max(abs(x - px - side), abs(y - py - side)) < 0.35 * side and side / 2 < w < 2 * side for x, y, w in centres
        )
        for px, py in places
    ]
    assert np.mean(found) >= 0.9


def test_scenes_have_no_faces(shared_data):
    """All of the validation scenes but the one with people."""
    scenes = sorted((shared_data / "content" / "val").glob("scene_*"))
    found = [path.name for path in scenes if find_faces(DETECTOR, np.asarray(Image.open(path).convert("RGB")))]
    assert len(scenes) >= 17 and [name for name in found if "grocery_store" not in name] == []


def test_a_detector_loads_nothing_before_it_searches_and_serves_many_threads(astronaut):
    detector, head = FaceDetector(), astronaut[30:190, 140:300]
    assert "_params" not in vars(detector)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(find_faces, [detector] * 16, [head] * 16))
    assert len(found[0]) == 1 and all(faces == found[0] for faces in found) and "_params" in vars(detector)


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
    wide = resize_margin(cut_crop(photo, face, margin, 112), margin, 0.0, 48)
    assert apart(wide, tight).mean() < 2 and tight.shape == (48, 48, 3)


def test_recutting_to_the_same_margin_is_resizing():
    crop = smooth(48, 48)
    np.testing.assert_array_equal(resize_margin(crop, 0.2, 0.2, 48), crop)
    assert apart(resize_margin(smooth(112, 112), 0.0, 0.0, 48), smooth(48, 48)).mean() < 3


def test_the_packed_expw_crops_show_the_box_in_their_middle_80_of_112_pixels():
    crop = np.zeros((112, 112, 3), np.uint8)
    crop[16:96, 16:96] = 200
    assert resize_margin(crop, 0.2, 0.0, 80).min() == 200


def test_a_clipped_face_keeps_its_aspect():
    photo = smooth(100, 100)
    padded = np.pad(photo, ((20, 0), (0, 20), (0, 0)), mode="edge")
    whole = cut_crop(padded, Face(70, 0, 50, 50, 1), 0.0, 50)  # 20 of its 50 pixels lie outside the photo, up and right
    np.testing.assert_array_equal(cut_crop(photo, Face(70, 0, 30, 30, 1), 0.0, 30), photo[:30, 70:])
    np.testing.assert_array_equal(cut_crop(photo, Face(70, 0, 30, 50, 1), 0.0, 50)[:, :30], photo[:50, 70:])
    assert whole.shape == (50, 50, 3)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_face_is_cut_upright(rotation):
    photo, face = smooth(), Face(30, 20, 40, 40, 1.0)
    turned = np.rot90(photo, rotation // 90)
    x, y = {90: (20, 150 - 70), 180: (150 - 70, 120 - 60), 270: (120 - 60, 30)}[rotation]
    crop = cut_crop(turned, Face(x, y, 40, 40, 1.0, rotation=rotation), 0.2, 48)
    assert apart(crop, cut_crop(photo, face, 0.2, 48)).max() <= 1


def test_no_aliasing_when_shrinking():
    stripes = np.zeros((480, 480, 3), np.uint8)
    stripes[:, ::2] = 255
    inside = resize_margin(stripes, 0.0, 0.0, 48)[2:-2, 2:-2].astype(int)
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
    with pytest.raises(EmojaxError, match=f"`face` '?{choice}"):
        face_weights(TWO, choice, 4)
