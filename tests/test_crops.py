import numpy as np
from PIL import Image

from emojax.faces.crops import convert_crop, cut_face, find_landmarks
from emojax.faces.find import Face, cut_aligned, cut_crop, resize_margin
from emojax.faces.views import FaceDetector

ASTRONAUT = ((204.3, 104.8), (248.2, 105.1), (225.3, 128.5), (205.4, 144.0), (244.1, 144.1))


def photo():
    return np.asarray(Image.open("examples/astronaut.jpg").convert("RGB"))


def test_landmarks_in_a_crop_are_those_of_the_photo():
    face = Face(170, 60, 110, 110, 1.0)
    detector, crop = FaceDetector(), cut_crop(photo(), face, 0.2, 154)  # at the photo's own scale
    found = np.array(find_landmarks(detector, crop, 0.2)) + np.array([[170 - 22, 60 - 22]])
    np.testing.assert_allclose(found, ASTRONAUT, atol=4)
    assert find_landmarks(detector, np.full((90, 90, 3), 128, np.uint8), 0.0) is None


def test_a_face_without_landmarks_is_cut_by_its_box():
    face, marked = Face(170, 60, 110, 110, 1.0), Face(170, 60, 110, 110, 1.0, ASTRONAUT)
    box, aligned = cut_crop(photo(), face, 0.0, 48), cut_aligned(photo(), ASTRONAUT, 48)
    np.testing.assert_array_equal(cut_face(photo(), face, 0.0, 48, True), box)
    np.testing.assert_array_equal(cut_face(photo(), marked, 0.0, 48, False), box)
    np.testing.assert_array_equal(cut_face(photo(), marked, 0.0, 48, True), aligned)


def test_a_crop_is_cut_again_by_its_landmarks_or_its_margin():
    crop = photo()
    by_margin = resize_margin(crop, 0.2, 0.0, 32)
    np.testing.assert_array_equal(convert_crop(crop, 0.2, None, 0.0, 32, True), by_margin)
    np.testing.assert_array_equal(convert_crop(crop, 0.2, ASTRONAUT, 0.0, 32, False), by_margin)
    np.testing.assert_array_equal(convert_crop(crop, 0.2, ASTRONAUT, 0.0, 32, True), cut_aligned(crop, ASTRONAUT, 32))
