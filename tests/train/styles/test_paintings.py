"""The paintings of the styles: where they are found, and which part of them counts."""

import numpy as np
import pytest
from PIL import Image

from emojax.errors import EmojaxError
from emojax.train.styles.config import PhotoConfig, parse_crop
from emojax.train.styles.paintings import find_paintings, read_paintings, read_resized_painting


def test_a_painting_by_its_own_name(tmp_path):
    (tmp_path / "fear").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "fear" / "the_scream.png")
    config = PhotoConfig(paintings=(str(tmp_path),))
    assert find_paintings(config, ("the_scream",)) == {"the_scream": tmp_path / "fear" / "the_scream.png"}
    with pytest.raises(EmojaxError, match="no painting for 'the_screem'"):
        find_paintings(config, ("the_screem",))


def test_a_part_of_a_painting(tmp_path):
    assert parse_crop("happy=0,0.33,1,1") == ("happy", (0, 0.33, 1, 1))
    picture = np.zeros((40, 80, 3), np.uint8)
    picture[20:, 40:] = 200
    Image.fromarray(picture).save(tmp_path / "own.png")
    assert (read_resized_painting(tmp_path / "own.png", 20, (0.5, 0.5, 1, 1)) == 200).all()
    assert read_resized_painting(tmp_path / "own.png", 20, (0.5, 0.5, 1, 1)).shape == (20, 40, 3)
    assert read_resized_painting(tmp_path / "own.png", 20, (0, 0, 0.25, 1)).shape == (40, 20, 3)
    entries = (f"happy={tmp_path / 'own.png'}", f"sad={tmp_path / 'own.png'}")
    cropped = PhotoConfig(paintings=entries, painting_size=20, painting_crops=("sad=0.5,0.5,1,1",))
    happy, sad = read_paintings(cropped, ("happy", "sad"))
    assert happy.shape == (1, 20, 40, 3) and happy.min() == 0 and (sad == 200).all()


@pytest.mark.parametrize(
    ("entry", "part"),
    [
        ("happy", "write STYLE=LEFT,TOP,RIGHT,BOTTOM"),
        ("happy=0,0,1", "write STYLE=LEFT,TOP,RIGHT,BOTTOM"),
        ("happy=a,0,1,1", "write STYLE=LEFT,TOP,RIGHT,BOTTOM"),
        ("happy=0.5,0,0.5,1", "left before right"),
        ("happy=0,0,1,1.1", "0 to 1"),
        ("happy=0,nan,1,1", "0 to 1"),
    ],
)
def test_what_is_no_part_of_a_painting(entry, part):
    with pytest.raises(EmojaxError, match=part):
        PhotoConfig(painting_crops=(entry,))


def paintings(root, **files):
    for style, names in files.items():
        (root / style).mkdir()
        for name in names:
            Image.new("RGB", (30, 20)).save(root / style / name)
    return root


def test_paintings_are_found_by_folder(tmp_path):
    root = paintings(tmp_path, sad=["a.png"], happy=["b.png", "c.png"])
    found = find_paintings(PhotoConfig(paintings=(str(root),), prefer=("c.png", "x.png")), ("happy", "sad"))
    assert [p.name for p in found.values()] == ["c.png", "a.png"]


def test_paintings_by_a_mapping(tmp_path):
    root = paintings(tmp_path, sad=["a.png"], happy=["b.png"])
    Image.new("RGB", (30, 20)).save(tmp_path / "own.png")
    own = f"happy={tmp_path / 'own.png'}"
    found = find_paintings(PhotoConfig(paintings=(str(root), own)), ("happy", "sad"))
    assert [p.name for p in found.values()] == ["own.png", "a.png"]
    assert find_paintings(PhotoConfig(paintings=(own,)), ("happy",)) == {"happy": tmp_path / "own.png"}
    for entries, part in (
        (("hapy=own.png",), "did you mean 'happy'"),
        (("happy=none.png",), "no painting for 'happy' at none.png"),
        (("a", "b"), "two folders of paintings, a and b"),
        ((own,), "no painting for 'sad'"),
    ):
        with pytest.raises(EmojaxError, match=part):
            find_paintings(PhotoConfig(paintings=entries), ("happy", "sad"))


def test_paintings_that_are_missing_or_ambiguous(tmp_path):
    root = paintings(tmp_path, sad=[], happy=["b.png", "c.png"])
    for style, part in (
        ("sad", "no painting for 'sad'"),
        ("happy", r"several .*b\.png, c\.png"),
        ("fear", "no painting"),
    ):
        with pytest.raises(EmojaxError, match=part):
            find_paintings(PhotoConfig(paintings=(str(root),)), (style,))
    with pytest.raises(EmojaxError, match="give a folder with a folder per emotion, or sad=PATH"):
        find_paintings(PhotoConfig(), ("sad",))
    with pytest.raises(EmojaxError, match="does not exist"):
        find_paintings(PhotoConfig(paintings=(str(root / "none"),)), ("sad",))


def test_a_painting_is_scaled_by_its_short_side(tmp_path):
    root = paintings(tmp_path, sad=["a.png"])
    assert read_resized_painting(root / "sad" / "a.png", 40).shape == (40, 60, 3)
    (root / "sad" / "a.png").write_bytes(b"")
    with pytest.raises(EmojaxError, match=r"the painting .*a\.png"):
        read_resized_painting(root / "sad" / "a.png", 40)
