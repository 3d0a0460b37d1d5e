from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import emojax
from emojax.util.files import PACKAGED
from emojax.video.motion import IDENTITY, compare, grid_shape, shrink, warp

PHOTO = Path(emojax.__file__).parent.parent / "examples" / "astronaut.jpg"


@pytest.fixture(scope="module")
def photo():
    return Image.open(PHOTO).convert("RGB")


def shown(photo, x=0.0, y=0.0, zoom=1.0, turn=0.0, size=(300, 400)):
    """What a camera sees of a photo; its motion is known."""
    height, width = size
    c, s = zoom * np.cos(turn), zoom * np.sin(turn)
    data = (c, -s, 60 + x, s, c, 60 + y)
    return np.asarray(photo.transform((width, height), Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)), data


def displacement(motion, data, size=(300, 400)):
    """The largest error of a motion from the camera at (60, 60), in pixels, over the corners of the frame."""
    errors = []
    for x in (0, size[1] - 1):
        for y in (0, size[0] - 1):
            true = [data[0] * (x + 0.5) + data[1] * (y + 0.5) + data[2] - 60.5]
            true.append(data[3] * (x + 0.5) + data[4] * (y + 0.5) + data[5] - 60.5)
            found = [motion[0] * x + motion[1] * y + motion[2], motion[3] * x + motion[4] * y + motion[5]]
            errors.append(np.hypot(found[0] - true[0], found[1] - true[1]))
    return max(errors)


@pytest.mark.parametrize(
    "camera",
    [{"x": 3.0}, {"x": -1.5, "y": 0.5}, {"x": 40.0, "y": -20.0}, {"turn": 0.01}, {"x": 2.0, "zoom": 1.01}, {"y": 7.3}],
)
def test_the_motion_of_the_camera_is_found(photo, camera):
    (before, _), (after, data) = shown(photo), shown(photo, **camera)
    change = compare(shrink(before), shrink(after))
    assert not change.cut and displacement(change.motion, data) < 0.35
    moved = warp(before, change.motion)
    inner = (slice(50, -50), slice(60, -60))
    assert np.abs(moved[inner].astype(int) - after[inner]).mean() < 3
    assert change.same.shape == grid_shape(300, 400) and change.same[40:-40, 50:-50].mean() > 0.7


def test_noise_is_no_motion(photo):
    rng, (frame, _) = np.random.default_rng(0), shown(photo)
    a, b = ((frame + rng.normal(0, 5, frame.shape)).clip(0, 255).astype(np.uint8) for _ in range(2))
    change = compare(shrink(a), shrink(b))
    assert change.motion == IDENTITY and change.same.min() > 0.9


def test_what_moves_by_itself_is_not_the_same(photo):
    before, _ = shown(photo)
    after = before.copy()
    before, after = before.copy(), after
    before[100:160, 100:160] = (250, 20, 20)
    after[100:160, 180:240] = (250, 20, 20)
    change = compare(shrink(before), shrink(after))
    rows, columns = (slice(round(a * 0.64) + 2, round(b * 0.64) - 2) for a, b in ((100, 160), (100, 160)))
    assert change.motion == IDENTITY
    assert change.same[rows, columns].max() == 0 and change.same[:40].min() > 0.9 and change.same[150:].min() > 0.9


def test_cuts(photo):
    frame, _ = shown(photo)
    other = np.asarray(Image.open(PACKAGED / "paintings" / "sad.jpg").convert("RGB").resize((400, 300)))
    assert compare(shrink(frame), shrink(other)).cut
    assert not compare(shrink(frame), shrink((frame * 0.9).astype(np.uint8))).cut  # the light changes
    flat = np.full((300, 400, 3), 90, np.uint8)
    assert compare(shrink(flat), shrink(flat)).motion == IDENTITY


def test_whole_pixels_keep_their_values(photo):
    frame, _ = shown(photo)
    moved = warp(frame, (1.0, 0.0, 5.0, 0.0, 1.0, -3.0))
    np.testing.assert_array_equal(moved[3:, :-5], frame[:-3, 5:])


@given(st.floats(-20, 20), st.floats(-20, 20))
def test_moving_there_and_back_neither_blurs_nor_sharpens(x, y):
    rng = np.random.default_rng(0)
    frame = np.asarray(Image.fromarray(rng.integers(60, 190, (12, 16, 3)).astype(np.uint8)).resize((128, 96), 3))
    moved = frame
    for _ in range(4):
        moved = warp(warp(moved, (1.0, 0.0, x, 0.0, 1.0, y)), (1.0, 0.0, -x, 0.0, 1.0, -y))
    inner = (slice(34, -34), slice(34, -34))
    assert np.abs(moved[inner].astype(int) - frame[inner]).mean() < 2


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (17, 16)])
def test_frames_of_any_size(size):
    frames = np.random.default_rng(0).integers(0, 256, (2, *size, 3)).astype(np.uint8)
    change = compare(shrink(frames[0]), shrink(frames[1]))
    assert change.same.shape == grid_shape(*size)
    assert warp(frames[0], change.motion).shape == frames[0].shape


def test_a_frame_may_be_painted_in_another_size(photo):
    (before, _), (after, _) = shown(photo), shown(photo, x=4.0)
    motion = compare(shrink(before, (150, 200)), shrink(after, (150, 200))).motion
    assert motion[2] == pytest.approx(2, abs=0.15)
