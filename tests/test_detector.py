import jax
import numpy as np
import pytest
from PIL import Image

from emojax.faces import detector
from emojax.faces.detector import (
    MAXIMUM,
    STRIDES,
    Detections,
    decode,
    detector_outputs,
    load_detector,
    overlaps,
    suppress,
)
from emojax.util.compiling import jit

HEADS = ("cls", "obj", "bbox", "kps")
GOLDEN_SCORE, GOLDEN_BOX = 0.919, [57.1, 19.7, 85.7, 54.0]
GOLDEN_LANDMARKS = [[64.8, 33.0], [77.8, 33.0], [70.8, 39.5], [65.7, 45.2], [76.3, 45.2]]


@pytest.fixture(scope="module")
def outputs():
    return jit(detector_outputs)


@pytest.fixture(scope="module")
def kept():
    """The numbers of the faces that are kept."""
    program = jit(suppress, static_argnums=2)

    def numbers(found, minimum=0.5, maximum=4):
        found = program(found, minimum, maximum)
        count = np.count_nonzero(found.scores)
        assert not np.asarray(found.scores[count:]).any()
        return found.landmarks[:count, 0, 0].astype(int).tolist()

    return numbers


# --- the network


@pytest.mark.parametrize("name", ["pattern", "astronaut320"])
def test_the_outputs_are_those_of_the_published_network(outputs, shared_data, name):
    path = shared_data / "yunet" / "reference.npz"
    if not path.is_file():
        pytest.skip(f"no reference outputs of YuNet at {path}")
    with np.load(path) as reference:
        found = outputs(load_detector(), reference[name])
        for stride in STRIDES:
            numbers = np.asarray(found[stride]).reshape(-1, 16)
            for head, part in zip(HEADS, np.split(numbers, [1, 2, 6], axis=1), strict=True):
                expected = reference[f"{name}__{head}_{stride}"]
                np.testing.assert_allclose(part, expected, rtol=1e-4, atol=max(1e-6, 1e-4 * np.abs(expected).max()))


def test_the_astronaut_at_160_pixels():
    """Change these numbers only with other weights."""
    photo = Image.open("examples/astronaut.jpg").convert("RGB").resize((160, 160), Image.Resampling.BOX)
    found = jit(detector.detect)(load_detector(), np.asarray(photo), 0.6)
    assert np.count_nonzero(found.scores) == 1
    np.testing.assert_allclose(found.scores[0], GOLDEN_SCORE, atol=0.01)
    np.testing.assert_allclose(found.boxes[0], GOLDEN_BOX, atol=0.3)
    np.testing.assert_allclose(found.landmarks[0], GOLDEN_LANDMARKS, atol=0.3)


def test_the_weights_are_all_there():
    params = load_detector()
    assert sum(value.size for value in params.values()) == 73_840
    assert (detector.WEIGHTS.parent / "NOTICE").read_text().count("Apache License, Version 2.0") == 1


def test_a_grouped_convolution_says_the_same():
    rng = np.random.default_rng(0)
    x, point, point_bias, kernel, bias = (
        rng.normal(size=shape).astype(np.float32) for shape in ((6, 9, 4), (1, 1, 4, 8), (8,), (3, 3, 1, 8), (8,))
    )
    y = x @ point[0, 0] + point_bias[None, None]
    layout = ("NHWC", "HWIO", "NHWC")
    expected = jax.lax.conv_general_dilated(
        y[None], kernel, (1, 1), [(1, 1)] * 2, dimension_numbers=layout, feature_group_count=8
    )
    np.testing.assert_allclose(
        detector._unit(x, point, point_bias, kernel, bias), expected[0] + bias[None, None], atol=1e-5
    )


def test_sides_that_do_not_fit():
    with pytest.raises(ValueError, match="40 x 64.*32"):
        detector_outputs(load_detector(), np.zeros((40, 64, 3), np.uint8))


# --- decoding


def test_a_cell_says_where_its_face_is():
    cells = np.zeros((2, 3, 16), np.float32)
    cells[1, 2] = [0.81, 0.49, 0.5, 0.25, np.log(2), np.log(3), 0, 0, 1, 0, 0.5, 0.5, 0, 1, 1, 1]
    found = decode({16: cells})
    assert found.scores.tolist() == pytest.approx([0, 0, 0, 0, 0, 0.63])
    np.testing.assert_allclose(found.boxes[5], [40 - 16, 20 - 24, 40 + 16, 20 + 24], rtol=1e-6)
    np.testing.assert_allclose(found.landmarks[5], [(32, 16), (48, 16), (40, 24), (32, 32), (48, 32)])
    np.testing.assert_allclose(found.boxes[1], [16 - 8, -8, 16 + 8, 8])


def test_the_strides_come_one_after_the_other():
    found = decode({stride: np.full((64 // stride, 32 // stride, 16), 0.5, np.float32) for stride in STRIDES})
    assert found.scores.shape == (32 + 8 + 2,) and found.landmarks.shape == (42, 5, 2)


# --- one box for each face


def faces(*rows):
    """Faces from rows of (score, left, top, right, bottom); the first landmark is the number of the row."""
    rows = np.array(rows, np.float32)
    landmarks = np.zeros((len(rows), 5, 2), np.float32)
    landmarks[:, 0, 0] = np.arange(len(rows))
    return Detections(rows[:, 0], rows[:, 1:], landmarks)


def test_overlaps():
    boxes = np.array([(0, 0, 2, 2), (1, 0, 3, 2), (2, 0, 4, 2), (9, 9, 9, 9), (0, 0, 4, 4)], np.float32)
    np.testing.assert_allclose(overlaps(boxes[0], boxes), [1, 1 / 3, 0, 0, 1 / 4], rtol=1e-6)
    assert overlaps(boxes[3], boxes).tolist() == [0, 0, 0, 0, 0]


def test_the_surest_of_overlapping_boxes_is_kept(kept):
    found = faces((0.7, 0, 0, 10, 10), (0.9, 1, 0, 11, 10), (0.8, 30, 0, 40, 10), (0.6, 2, 0, 12, 10))
    assert kept(found) == [1, 2]


def test_boxes_that_overlap_little_are_two_faces(kept):
    assert kept(faces((0.9, 0, 0, 10, 10), (0.8, 6, 0, 16, 10))) == [0, 1]  # 4 / 16
    assert kept(faces((0.9, 0, 0, 10, 10), (0.8, 5, 0, 15, 10))) == [0]  # 5 / 15


def test_a_dropped_box_drops_no_other(kept):
    assert kept(faces((0.9, 0, 0, 10, 10), (0.8, 5, 0, 15, 10), (0.7, 10, 0, 20, 10))) == [0, 2]


def test_the_unsure_and_those_beyond_the_maximum_are_not_kept(kept):
    row = [(0.9 - 0.1 * i, 20 * i, 0, 20 * i + 10, 10) for i in range(6)]
    assert kept(faces(*row)) == [0, 1, 2, 3]
    assert kept(faces(*row), minimum=0.75) == [0, 1]
    assert kept(faces(*row), maximum=2) == [0, 1]
    assert kept(faces(*row), minimum=1.0) == []


def test_the_order_of_the_cells_does_not_matter(kept):
    found = faces(*((0.55 + 0.04 * i, 7 * i, 0, 7 * i + 10, 10) for i in range(10)))
    mixed = np.random.default_rng(0).permutation(10)
    assert kept(Detections(*(part[mixed] for part in found)), maximum=9) == kept(found, maximum=9)


def test_the_result_has_a_fixed_size():
    assert jax.eval_shape(suppress, faces((0.9, 0, 0, 1, 1)), 0.5).boxes.shape == (MAXIMUM, 4)
