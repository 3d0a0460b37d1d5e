"""The stream of photos that styles are trained on: sources, order, faces, and photos that cannot be read."""

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
from emojax.train.styles.config import PhotoConfig
from emojax.train.styles.crops import known_faces, photo_batches
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
