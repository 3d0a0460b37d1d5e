import math
from itertools import pairwise

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emojax.faces import detector, views
from emojax.faces.detector import MULTIPLE, Detections
from emojax.faces.views import TILE, TILE_OVERLAP, FaceDetector, bucket, plan_views, turn_back
from emojax.util.compiling import jit

DETECTOR = FaceDetector()

sizes = st.tuples(st.integers(1, 5000), st.integers(1, 5000))


def found(*rows):
    """Faces from rows of (score, left, top, right, bottom)."""
    rows = np.array(rows, np.float32).reshape(-1, 5)
    return Detections(rows[:, 0], rows[:, 1:], np.repeat(rows[:, None, 1:3], 5, axis=1))


# --- what is looked at


@given(st.integers(1, TILE), st.integers(1, TILE))
def test_a_bucket_holds_the_view_and_there_are_few(height, width):
    padded = bucket(height, width)
    assert padded[0] >= height and padded[1] >= width and max(padded) < max(height, width) + 384
    assert not any(side % MULTIPLE for side in padded)
    assert (padded[0] <= padded[1]) == (height <= width)


def test_the_buckets_are_few():
    assert len({bucket(height, width) for height in range(1, TILE, 7) for width in range(1, TILE, 7)}) <= 12


@pytest.mark.parametrize(
    ("shape", "tiles", "fine"),
    [
        ((480, 640), 0, 640),
        ((768, 1024), 0, 640),
        ((1440, 1920), 4, 1280),
        ((1920, 1440), 4, 1280),
        ((3000, 4000), 12, 2560),
        ((4000, 6000), 12, 2560),
        ((1, 2000), 2, 1280),
        ((900, 1100), 4, 1100),
    ],
)
def test_large_photos_are_seen_whole_and_in_tiles(shape, tiles, fine):
    photo = np.zeros((*shape, 3), np.uint8)
    whole, *rest = plan_views(photo)
    assert max(whole.pixels.shape) == 640 and whole.start == (0, 0) and whole.largest == math.inf
    assert len(rest) == tiles and all(max(view.pixels.shape) <= TILE for view in rest)
    along = 1 if shape[1] > shape[0] else 0
    assert max(view.start[1 - along] + view.pixels.shape[along] for view in rest or [whole]) == fine
    for view in rest:
        assert view.scale[1 - along] == pytest.approx(max(shape) / fine)


@given(st.integers(1, 3000))
def test_spans_cover_all_and_overlap(length):
    spans = views._spans(length)
    assert spans[0].start == 0 and spans[-1].stop >= length
    assert max(span.stop - span.start for span in spans) <= TILE
    for one, other in pairwise(spans):
        assert one.stop - other.start >= TILE_OVERLAP and other.start > one.start and other.stop <= length


def test_memory_does_not_grow_with_the_photo():
    """At most a whole view and 16 tiles, one after the other, each with less than 200 MB of the network's activations."""
    assert len(plan_views(np.broadcast_to(np.uint8(0), (9000, 9000, 3)))) <= 17
    image = jax.ShapeDtypeStruct((TILE, TILE, 3), np.uint8)
    program = jit(detector.detect).lower(detector.load_detector(), image, np.float32(0.6)).compile()
    assert program.memory_analysis().temp_size_in_bytes < 200e6


# --- what is found


@given(size=sizes, rotation=st.sampled_from([0, 90, 180, 270]), seed=st.integers(0, 99))
def test_points_are_turned_back(size, rotation, seed):
    """Turning the picture as NumPy does takes a pixel where its point is taken from."""
    height, width = (min(side, 60) for side in size)
    picture = np.arange(height * width).reshape(height, width)
    turned = np.rot90(picture, -rotation // 90)
    y, x = (np.random.default_rng(seed).integers(side) for side in turned.shape)
    ((back_x, back_y),) = turn_back(np.array([[x + 0.5, y + 0.5]]), (height, width), rotation)
    assert picture[int(back_y), int(back_x)] == turned[y, x]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_boxes_of_turned_tiles_lie_where_they_were_seen(monkeypatch, rotation):
    """The detector is one that finds white rectangles."""

    def look(pixels):
        rows, columns = np.nonzero(pixels[..., 0] > 127)
        if not len(rows):
            return found()
        return found((0.9, columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))

    monkeypatch.setattr(DETECTOR, "in_view", look)
    photo = np.zeros((1500, 2000, 3), np.uint8)
    photo[900:960, 1500:1580] = 255
    seen = DETECTOR.in_views(plan_views(photo), rotation)
    assert len(seen.scores) == 1
    np.testing.assert_allclose(seen.boxes[0], [1500, 900, 1580, 960], atol=3.5)
    first = {0: (1500, 900), 90: (1500, 960), 180: (1580, 960), 270: (1580, 900)}[rotation]
    np.testing.assert_allclose(seen.landmarks[0], [first] * 5, atol=3.5)


def test_large_boxes_are_left_to_the_whole(monkeypatch):
    monkeypatch.setattr(DETECTOR, "in_view", lambda pixels: found((0.9, 0, 0, 300, 300)))
    photo = np.zeros((1500, 2000, 3), np.uint8)
    assert len(DETECTOR.in_views(plan_views(photo), 0).scores) == 1
    assert len(DETECTOR.in_views(plan_views(photo)[1:], 0).scores) == 0


def test_a_face_that_several_views_show_is_one():
    one = found((0.8, 10, 10, 30, 30), (0.7, 100, 10, 120, 30))
    other = found((0.9, 11, 10, 31, 30), (0.65, 200, 10, 220, 30))
    merged = DETECTOR.merge([one, other])
    np.testing.assert_allclose(merged.scores, [0.9, 0.7, 0.65])
    np.testing.assert_array_equal(merged.boxes[:, 0], [11, 100, 200])
    assert DETECTOR.merge([one]) is one and len(DETECTOR.merge([found(), found()]).scores) == 0
