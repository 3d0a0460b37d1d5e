import dataclasses
import io
import shutil
import tarfile
import types

import numpy as np
import pytest
from PIL import Image

from emojax.errors import EmojaxError
from emojax.faces.find import Face
from emojax.faces.views import FaceDetector
from emojax.train.styles.config import PhotoConfig, parse_crop
from emojax.train.styles.crops import (
    Square,
    center_crop,
    center_square,
    known_faces,
    photo_batches,
    random_square,
)
from emojax.train.styles.paintings import find_paintings, read_paintings, read_resized_painting
from emojax.train.styles.sources import EncodedPhotos, decode, open_photos


def encoded(color, size=(40, 32)):
    stream = io.BytesIO()
    Image.new("RGB", size, color).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "photos"
    (root / "deep").mkdir(parents=True)
    for index in range(9):
        (root / ("deep" if index % 2 else ".") / f"{index}.png").write_bytes(encoded((20 * index, 0, 0)))
    (root / "notes.txt").write_text("not a photo")
    return root


def config(*photos, **more):
    return PhotoConfig(photos=tuple(map(str, photos)), crop=16, held_out=1, **more)


def random_crop(photo, size, rng, *scale):
    return random_square(photo.size, size, rng, *scale).cut(photo, size)


def red_of(held_out):
    """The number of the one photo that is held out."""
    return int(held_out["photo"][0, 0, 0, 0]) // 20


def reds(batch):
    return sorted((batch["photo"][:, 0, 0, 0] // 20).tolist())


def test_folders_are_searched_recursively_and_tars_hold_the_same_bytes(folder, tmp_path):
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(folder, "photos")
    a, b = EncodedPhotos([str(folder)]), EncodedPhotos([str(tmp_path / "photos.tar")])
    assert len(a) == len(b) == 9
    assert sorted(a[i] for i in range(9)) == sorted(b[i] for i in range(9))
    assert len(EncodedPhotos([str(folder), str(tmp_path / "photos.tar")])) == 18


def test_single_photos(folder):
    source = open_photos([str(folder / "0.png"), str(folder / "deep" / "1.png")])
    assert [decode(source[i]).getpixel((0, 0))[0] for i in range(len(source))] == [0, 20]
    with pytest.raises(EmojaxError, match=r"no photos at .*notes\.txt"):
        open_photos([str(folder / "notes.txt"), str(folder)])


def test_every_epoch_draws_every_photo_once_and_none_that_is_held_out(folder):
    data = photo_batches(config(folder), 4, styles=3, seed=0)
    held = red_of(data.held_out)
    for _ in range(2):
        assert sorted(reds(next(data.iterator)) + reds(next(data.iterator))) == sorted(set(range(9)) - {held})
    batch = next(data.iterator)
    assert batch["photo"].shape == (4, 16, 16, 3) and batch["photo"].dtype == np.uint8
    assert batch["style"].dtype == np.int32 and set(batch["style"].tolist()) <= {0, 1, 2}
    assert batch["faces"].shape == (4, 4, 4) and batch["faces"].dtype == np.uint8 and not batch["faces"].any()
    assert {name: leaf.shape for name, leaf in data.held_out.items()} == {"photo": (1, 16, 16, 3), "faces": (1, 4, 4)}


def test_the_stream_depends_on_the_seed_and_resumes_exactly(folder):
    first, same, other = (photo_batches(config(folder), 2, 3, seed).iterator for seed in (1, 1, 2))
    batches = [next(first) for _ in range(10)]
    for batch in batches[:5]:
        np.testing.assert_array_equal(next(same)["photo"], batch["photo"])
    assert any((next(other)["photo"] != batch["photo"]).any() for batch in batches[:5])
    resumed = photo_batches(config(folder), 2, 3, 1).iterator
    resumed.set_state(same.get_state())
    for batch in batches[5:]:
        again = next(resumed)
        np.testing.assert_array_equal(again["photo"], batch["photo"])
        np.testing.assert_array_equal(again["style"], batch["style"])


def test_hosts_share_the_batches_of_one(folder, monkeypatch):
    whole = next(photo_batches(config(folder), 4, 3, 0).iterator)
    monkeypatch.setattr("jax.process_count", lambda: 2)
    parts = []
    for host in range(2):
        monkeypatch.setattr("jax.process_index", lambda host=host: host)
        parts.append(next(photo_batches(config(folder), 4, 3, 0).iterator))
    for name in whole:
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), whole[name])


def test_bad_photos_are_skipped_counted_and_reported_once(folder, capfd):
    held = red_of(photo_batches(config(folder), 1, 1, 0).held_out)
    for index in {0, 1, 2} - {held}:
        (folder / ("deep" if index % 2 else ".") / f"{index}.png").write_bytes(encoded((9, 9, 9))[:40])
    data = photo_batches(config(folder), 1, 1, 0)
    drawn = {reds(next(data.iterator))[0] for _ in range(20)}
    bad = {0, 1, 2} - {held}
    assert not drawn & bad and data.skipped() == len(bad)
    assert capfd.readouterr().err.count("skipping") == 1


def test_a_held_out_photo_that_cannot_be_read_is_replaced(folder, capfd):
    held = red_of(photo_batches(config(folder), 1, 1, 0).held_out)
    (folder / ("deep" if held % 2 else ".") / f"{held}.png").write_bytes(encoded((9, 9, 9))[:40])
    data = photo_batches(config(folder), 1, 1, 0)
    other = red_of(data.held_out)
    assert other != held and data.photos == 7 and data.skipped() == 1
    assert {reds(next(data.iterator))[0] for _ in range(30)} == set(range(9)) - {held, other}
    assert f"{held}.png" in capfd.readouterr().err


def test_no_photo_can_be_read(tmp_path):
    (tmp_path / "photos").mkdir()
    for index in range(3):
        (tmp_path / "photos" / f"{index}.png").write_bytes(b"no photo")
    with pytest.raises(
        EmojaxError, match=r"none of the training photos can be read, first .*png: cannot identify image file$"
    ):
        next(photo_batches(config(tmp_path / "photos"), 1, 1, 0).iterator)
    (tmp_path / "photos" / "good.png").write_bytes(encoded((0, 0, 0)))
    messages = "none of the training photos can be read|no photos are left to train on: only 1 of 4"
    for seed in range(4):  # the good one is held out
        with pytest.raises(EmojaxError, match=messages):
            next(photo_batches(config(tmp_path / "photos"), 1, 1, seed).iterator)


def test_a_bad_member_of_a_tar_is_named(folder, tmp_path, capfd):
    (folder / "0.png").write_bytes(b"no photo")
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(folder, "photos")
    data = photo_batches(config(tmp_path / "photos.tar"), 1, 1, 0)
    for _ in range(20):
        next(data.iterator)
    assert "photos.tar:photos/0.png: cannot identify" in capfd.readouterr().err


def test_crops_are_inside_the_photo_and_photos_smaller_than_a_crop_are_enlarged():
    ramp = np.zeros((64, 96, 3), np.uint8)
    ramp[..., 0] = np.arange(96)[None]
    photo, rng = Image.fromarray(ramp), np.random.default_rng(0)
    crops = [random_crop(photo, 16, rng) for _ in range(40)]
    slopes = {int(np.sign(int(crop[8, -1, 0]) - int(crop[8, 0, 0]))) for crop in crops}
    assert slopes == {-1, 1}  # some are mirrored, some not
    assert random_crop(Image.new("RGB", (3, 200)), 16, rng).shape == (16, 16, 3)


def test_the_scale_says_how_much_of_the_photo_a_crop_shows():
    """On a ramp of one grey level a pixel the crop's range is the number of pixels that it shows."""
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :, None], (200, 200, 3))
    photo, rng = Image.fromarray(ramp), np.random.default_rng(0)

    def shown(scale):
        crops = [random_crop(photo, 40, rng, scale) for _ in range(30)]
        return [int(np.ptp(crop[20, :, 0].astype(int))) + 1 for crop in crops]

    assert all(abs(width - 40) <= 2 for width in shown((1.0, 1.0)))
    widths = shown((0.5, 2.0))
    assert 18 <= min(widths) < 25 and 65 < max(widths) <= 82
    assert all(abs(width - 200) <= 4 for width in shown((0.01, 0.02)))  # all of it, not more
    assert abs(int(np.ptp(center_crop(photo, 40, 2.0)[20, :, 0])) - 19) <= 2
    assert int(np.ptp(center_crop(photo, 40)[20, :, 0])) > 190


def test_a_square_is_cut_where_it_says_and_mirrored():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    photo = Image.fromarray(pixels)
    np.testing.assert_array_equal(Square(20, 8, 16).cut(photo, 16), pixels[8:24, 20:36])
    np.testing.assert_array_equal(Square(20, 8, 16, mirrored=True).cut(photo, 16), pixels[8:24, 20:36][:, ::-1])
    assert center_square((60, 40), 16, 2.0) == Square(26, 16, 8) and center_square((60, 40), 16) == Square(10, 0, 40)
    rng = np.random.default_rng(0)
    squares = [random_square((60, 40), 16, rng, (0.5, 1.0)) for _ in range(200)]
    assert all(16 <= s.side <= 32 and 0 <= s.left <= 60 - s.side and 0 <= s.top <= 40 - s.side for s in squares)
    assert 0.4 < np.mean([s.mirrored for s in squares]) < 0.6


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_face_map_lies_over_the_squares_faces(mirrored):
    """1 in a face's box, 3 from its brows to its mouth, wherever the square is and however large its map."""
    face = (30, 20, 20, 20)
    whole = Square(0, 0, 80, mirrored).face_map([face], 80)
    whole = whole[:, ::-1] if mirrored else whole
    assert whole.dtype == np.uint8 and set(np.unique(whole)) == {0, 1, 3}
    rows, columns = np.nonzero(whole)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 39, 30, 49) and (whole > 0).sum() == 400
    rows, columns = np.nonzero(whole == 3)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (25, 37, 34, 45)  # 0.25 to 0.88, 0.18 to 0.82
    part = Square(28, 16, 40, mirrored).face_map([face], 10)  # a cell is 4 pixels
    part = part[:, ::-1] if mirrored else part
    rows, columns = np.nonzero(part)
    assert (rows.min(), rows.max()) == (1, 5) and columns.min() in (0, 1) and columns.max() in (4, 5)
    outside = Square(60, 50, 20, mirrored).face_map([face], 10)
    assert not outside.any() and not Square(0, 0, 80).face_map([], 20).any()
    cut_off = Square(40, 0, 40, mirrored).face_map([face], 40)  # its right half is there
    cut_off = cut_off[:, ::-1] if mirrored else cut_off
    assert (cut_off > 0).sum() == 20 * 10 and cut_off[30, 0] == 3
    two = Square(0, 0, 80).face_map([face, (30, 30, 20, 20)], 80)
    assert two[31, 40] == 3  # the second's forehead leaves the first's mouth alone


def test_photos_come_with_their_faces(folder, monkeypatch):
    """Each photo's are looked for once, and move with the crop."""
    looked = []

    def find(detector, pixels):
        looked.append(int(pixels[0, 0, 0]) // 20)
        return [Face(0, 0, 100, 100, 0.9)] if looked[-1] % 2 else []

    monkeypatch.setattr("emojax.train.styles.crops.find_faces", find)
    data = photo_batches(config(folder, find_faces=True, workers=1), 4, 1, 0)
    for _ in range(6):
        batch = next(data.iterator)
        for photo, faces in zip(batch["photo"], batch["faces"], strict=True):
            odd = int(photo[0, 0, 0]) // 20 % 2
            assert (faces == 0).all() if not odd else faces.min() >= 1
    assert len(looked) == len(set(looked)) == 9


def test_faces_are_found_once_and_kept_in_a_file(folder, tmp_path, monkeypatch):
    """By the photos' bytes, so that the file serves them wherever they lie."""
    looked = []

    def find(detector, pixels):
        looked.append(int(pixels[0, 0, 0]) // 20)
        return [Face(1, 2, 30.04, 40, 0.9)] if looked[-1] % 2 else []

    monkeypatch.setattr("emojax.train.styles.crops.find_faces", find)
    kept = tmp_path / "faces.json"
    first = known_faces(open_photos((str(folder),)), kept, FaceDetector())
    count = len(looked)
    assert count >= 9 and sorted(map(len, first.values())) == sorted(index % 2 for index in looked)
    assert all(boxes in ([], [(1, 2, 30, 40)]) for boxes in first.values())
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    data = photo_batches(config(moved, find_faces=True, workers=1, faces=str(kept)), 4, 1, 0)
    for _ in range(6):
        next(data.iterator)
    assert len(looked) == count
    kept.write_text("[1]")
    with pytest.raises(EmojaxError, match=r"faces.json has no faces.*delete it"):
        known_faces(open_photos((str(folder),)), kept, FaceDetector())


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


@pytest.mark.parametrize("scale", [(1.0,), (2.0, 1.0), (0.0, 1.0), (1.0, 99.0)])
def test_a_scale_is_a_range(scale):
    with pytest.raises(EmojaxError, match="two factors"):
        PhotoConfig(scale=scale)


def test_grey_photos_become_rgb():
    assert decode(np.zeros((4, 5, 1), np.uint8)).mode == "RGB"
    stream = io.BytesIO()
    Image.new("L", (4, 4), 7).save(stream, "PNG")
    assert decode(stream.getvalue()).getpixel((0, 0)) == (7, 7, 7)


@pytest.mark.parametrize(
    ("photos", "part"),
    [
        ((), "no content photos"),
        (("/no/such/folder",), "no photos at /no/such/folder"),
        (("data/photos",), "no photos at 'data/photos': no such folder, .tar file or photo"),
    ],
)
def test_missing_photos(photos, part):
    with pytest.raises(EmojaxError, match=part):
        open_photos(photos)


def test_an_empty_folder_a_fake_tar_and_too_few_photos(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(EmojaxError, match="none ends in"):
        open_photos([str(tmp_path / "empty")])
    (tmp_path / "fake.tar").write_text("not a tar file" * 100)
    with pytest.raises(EmojaxError, match=r"cannot read .*fake\.tar"):
        open_photos([str(tmp_path / "fake.tar")])
    with pytest.raises(EmojaxError, match="9 photos with 9 held out"):
        photo_batches(dataclasses.replace(config(folder), held_out=9), 1, 1, 0)


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


def test_a_tfds_data_set_by_name(tmp_path, monkeypatch):
    class Fake:
        dataset_info = types.SimpleNamespace(features={"image": None})

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return {"image": np.full((20, 20, 3), index, np.uint8)}

    monkeypatch.setattr("tensorflow_datasets.data_source", lambda name, split: Fake())
    data = photo_batches(config("coco/2017"), 2, 1, 0)
    assert data.photos == 2 and next(data.iterator)["photo"].shape == (2, 16, 16, 3)


def test_the_shared_tar(shared_data):
    source = EncodedPhotos([str(shared_data / "content" / "content_s.tar")])
    assert len(source) == 1600
    assert decode(source[1599]).size == (288, 288)
