import numpy as np
import tiny
from hypothesis import given
from hypothesis import strategies as st

from emojax.faces.find import Face
from emojax.pipeline import regions
from emojax.pipeline.regions import Regions, box_array, face_shares, face_strengths

spread_over_faces = tiny.compiled(regions.spread_over_faces, static_argnums=(2, 3, 4))


def shares_of_faces(boxes, height, width, factor):
    """How much every pixel belongs to each face, [h, w, F]."""
    return spread_over_faces(boxes[None], np.eye(len(boxes), dtype=np.float32), height, width, factor)[0]


@tiny.compiled
def changes(found, weights):
    """Those of a picture of 80 x 128 at its full size."""
    return regions.weight_changes(found, weights, 80, 128)(1)


FACES = [Face(40, 20, 30, 30, 0.9), Face(76, 24, 24, 24, 0.8)]


def test_boxes_are_followed_by_filling():
    np.testing.assert_array_equal(box_array(FACES, 3), [[40, 20, 30, 30], [76, 24, 24, 24], [0, 0, 0, 0]])


@given(
    st.lists(st.tuples(*[st.floats(-20, 140), st.floats(-20, 90)], *[st.floats(0, 150)] * 2), min_size=1, max_size=4),
    st.sampled_from([1, 2, 4]),
)
def test_masks_are_shares_of_a_pixel(boxes, factor):
    filled = np.zeros((4, 4), np.float32)  # one program for any number of faces
    filled[: len(boxes)] = boxes
    masks = shares_of_faces(filled, 80, 128, factor)
    assert masks.shape == (80 // factor, 128 // factor, 4) and not masks[..., len(boxes) :].any()
    assert masks.min() >= 0 and masks.sum(-1).max() <= 1 + 1e-6
    for index, (_, _, w, _) in enumerate(boxes):
        assert w > 0 or masks[..., index].max() == 0


def test_a_face_owns_its_middle_and_nothing_far_away():
    first, second = np.moveaxis(shares_of_faces(box_array(FACES, 4), 80, 128, 1), -1, 0)[:2]
    assert first[35, 55] == 1 and second[35, 55] == 0
    assert first[:, :20].max() == first[70:].max() == second[:, :60].max() == 0
    assert (first > 0.99).sum() > 30 * 30 * 0.7  # most of the box


def test_masks_have_no_seam():
    mask = shares_of_faces(box_array(FACES[:1], 4), 80, 128, 1)[..., 0]
    assert max(np.abs(np.diff(mask, axis=axis)).max() for axis in (0, 1)) < 0.15  # no step, on 15 pixels of falling off
    small = shares_of_faces(box_array(FACES[:1], 4), 80, 128, 4)[..., 0]
    pooled = mask.reshape(20, 4, 32, 4).mean((1, 3))
    np.testing.assert_allclose(small, pooled, atol=0.06)  # all scales show the same mask


def test_weights_change_only_where_a_face_has_others():
    weights, boxes = np.array([0.25, 0.75], np.float32), box_array(FACES, 3)
    assert not changes(Regions(boxes, np.tile(weights, (3, 1))), weights).any()
    other = changes(Regions(boxes, np.array([[1, 0], [0.25, 0.75], [0, 1]], np.float32)), weights)
    np.testing.assert_allclose(other[0, 35, 55], [0.75, -0.75], atol=1e-6)
    np.testing.assert_allclose(other.sum(-1), 0, atol=1e-6)
    assert not other[0, 36, 95:].any()


def test_small_faces_have_less_strength():
    boxes = np.array([[0, 0, 20, 20], [0, 0, 80, 80], [0, 0, 136, 136], [0, 0, 192, 192], [0, 0, 500, 500]], np.float32)
    np.testing.assert_allclose(face_strengths(boxes, np.float32(0.4)), [0.4, 0.4, 0.7, 1, 1], rtol=1e-6)


def test_where_there_is_less_strength():
    """In the middle of a face as much as its strength says, far from it none, in windows as in the whole."""
    regions = Regions(box_array(FACES, 3), None, np.array([0.25, 0.5, 1], np.float32))
    share = tiny.compiled(lambda found, corners: face_shares(found, 80, 128, corners)(2))
    whole = np.asarray(share(regions, np.zeros((1, 2))))[0, ..., 0]
    assert whole.shape == (40, 64) and whole[17, 27] == 0.75 and whole[18, 44] == 0.5 and whole[35, 5] == 0
    moved = np.asarray(share(regions, np.array([[8, 4]])))[0, ..., 0]
    np.testing.assert_allclose(moved[:38, :60], whole[2:, 4:], atol=1e-6)


def test_faces_in_any_place_of_the_boxes_count():
    """Filling may stand between them, and nothing changes without a face."""
    values = np.array([[1.0, 0], [5, 5], [0, 2]], np.float32)
    boxes = box_array(FACES, 3)
    apart = np.stack([boxes[0], boxes[2], boxes[1]])
    found, expected = (
        spread_over_faces(b[None], v, 80, 128, 2) for b, v in ((apart, values), (boxes, values[[0, 2, 1]]))
    )
    np.testing.assert_array_equal(found, expected)
    assert expected.max() > 1.9 and not spread_over_faces(0 * boxes[None], values, 80, 128, 2).any()
