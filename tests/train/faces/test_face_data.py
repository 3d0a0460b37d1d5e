"""Face archives: reading, soft labels, balanced draws, shuffling, several hosts, damaged files."""

import csv
import dataclasses
import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from emojax.errors import EmojaxError
from emojax.nets.classifier_config import ClassifierConfig
from emojax.train.faces import data
from emojax.train.faces.data import draw_weights, face_batches, held_out_faces, smooth_label
from emojax.train.faces.sources import SIDES, VOTES, FaceArchive, FaceConfig, open_faces
from emojax.train.stream import Unreadable
from emojax.util.batches import map_batches

MODEL = ClassifierConfig(widths=(2, 2, 2), dense=4, size=12)


def jpeg(value, size=20):
    """A flat grey face, so that a batch tells which face it came from."""
    stream = io.BytesIO()
    Image.new("RGB", (size, size), (value,) * 3).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def write_archive(path, labels, splits=None, values=None, images=None):
    count = len(labels)
    images = images or [jpeg(value) for value in (values or [5 * i % 256 for i in range(count)])]
    np.savez(
        path,
        jpeg=np.frombuffer(b"".join(images), np.uint8),
        offsets=np.cumsum([0, *map(len, images)]).astype(np.int64),
        label=np.array(labels, np.uint8),
        split=np.array(splits or ["train"] * count),
    )
    return str(path)


def write_votes(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([f"votes_{name}" for name in (*VOTES, "contempt")])
        writer.writerows(rows)


def draws(config, count, batch=20, seed=0):
    """Grey levels and labels of `count` draws."""
    stream = face_batches(config, MODEL, batch, seed).iterator
    batches = [next(stream) for _ in range(count // batch)]
    greys = np.concatenate([b["image"].mean((1, 2, 3)).round().astype(int) for b in batches])
    return greys.tolist(), np.concatenate([b["label"].argmax(1) for b in batches]), batches


def test_an_archive_by_split(tmp_path):
    archive = write_archive(tmp_path / "a.npz", [0, 1, 2, 3], ["train", "val", "train", "test"])
    train, val, none = (FaceArchive(archive, split, 0.2) for split in ("train", "val", "other"))
    assert [len(train), len(val), len(none)] == [2, 1, 0]
    assert train.labels().tolist() == [0, 2]
    face = train[1]
    assert face["label"] == 2 and face["margin"] == 0.2
    np.testing.assert_array_equal(face["votes"], np.eye(7)[2])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(face["image"]))), np.full((20, 20, 3), 10))


def test_votes_become_shares_without_contempt(tmp_path):
    archive = write_archive(tmp_path / "a.npz", [0, 1, 6])
    write_votes(tmp_path / "a.csv", [[3, 0, 0, 1, 0, 0, 0, 6], [0, 0, 0, 0, 0, 0, 0, 10], [0, 0, 0, 0, 0, 0, 10, 0]])
    faces = FaceArchive(archive, "train", 0.0)
    np.testing.assert_allclose(faces[0]["votes"], [0.75, 0, 0, 0.25, 0, 0, 0])
    np.testing.assert_array_equal(faces[1]["votes"], np.eye(7)[1])  # nobody voted for one of ours: the label stays
    np.testing.assert_array_equal(faces[2]["votes"], np.eye(7)[6])
    np.testing.assert_array_equal(FaceArchive(archive, "train", 0.0, soft_labels=False)[0]["votes"], np.eye(7)[0])


def test_sharper_votes_are_a_power_of_the_shares(tmp_path):
    archive = write_archive(tmp_path / "a.npz", [0])
    write_votes(tmp_path / "a.csv", [[3, 0, 0, 1, 0, 0, 0, 6]])
    votes = FaceArchive(archive, "train", 0.0, sharpness=2.0)[0]["votes"]
    np.testing.assert_allclose(votes, [0.9, 0, 0, 0.1, 0, 0, 0], atol=1e-6)  # 3^2 to 1^2
    votes = FaceArchive(archive, "train", 0.0, sharpness=1e4)[0]["votes"]
    np.testing.assert_array_equal(votes, np.eye(7)[0])
    held_out = held_out_faces(FaceConfig(archives=(archive,), sharpness=2.0), MODEL, "train")["a"]
    np.testing.assert_allclose(held_out.labels[0], [0.75, 0, 0, 0.25, 0, 0, 0])  # as voted


def test_each_source_has_its_own_smoothing(tmp_path):
    one, two = (
        write_archive(tmp_path / "a.npz", [0] * 10, values=[10] * 10),
        write_archive(tmp_path / "b.npz", [3] * 10),
    )
    _, _, batches = draws(FaceConfig(archives=(one, two), smoothing=(0.0, 0.7)), 40)
    labels = np.concatenate([batch["label"] for batch in batches])
    for row in labels:
        expected = np.eye(7)[0] if row[0] > 0.5 else smooth_label(np.eye(7)[3], 0.7)
        np.testing.assert_allclose(row, expected, atol=1e-6)
    assert {round(float(row.max()), 3) for row in labels} == {1.0, 0.4}


def test_a_table_of_another_archive_is_an_error(tmp_path):
    archive = write_archive(tmp_path / "a.npz", [0, 1, 6])
    write_votes(tmp_path / "a.csv", [[1] * 8] * 2)
    with pytest.raises(EmojaxError, match="2 rows for 3 faces"):
        FaceArchive(archive, "train", 0.0)


def write_boxes(path, rows):
    """Rows of (left, top, right, bottom) of the face's box, then of the crop."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([f"{name}_{side}" for name in ("face_box", "crop") for side in SIDES])
        writer.writerows(rows)


def test_the_table_says_how_faces_were_cut(tmp_path):
    """The margin is 0.25; the photo's edges have clipped the second and the third crop."""
    rows = [[100, 100, 180, 180, 80, 80, 200, 200], [0, 10, 40, 50, 0, 0, 50, 60], [0, 0, 30, 30, 0, 0, 38, 38]]
    cut, none = (write_archive(tmp_path / f"{name}.npz", [0, 1, 6], ["val"] * 3) for name in ("cut", "expw"))
    write_boxes(tmp_path / "cut.csv", rows)
    held_out = held_out_faces(FaceConfig(archives=(cut, none)), MODEL)
    assert held_out["cut"].from_photos and not held_out["expw"].from_photos
    assert [FaceArchive(path, "val")[0]["margin"] for path in (cut, none)] == [0.25, 0.0]
    (given,) = open_faces(FaceConfig(archives=(cut,), margins=(0.5,)), "val").values()
    assert given[0]["margin"] == 0.5 and given[0]["from_photo"]
    write_boxes(tmp_path / "cut.csv", [[*rows[0][:-1], "wide"], *rows[1:]])
    with pytest.raises(EmojaxError, match=r"cut.csv does not describe the faces.*wide"):
        FaceArchive(cut, "val")


def test_shares_of_draws():
    counts = np.array([[8, 2, 0], [0, 0, 10]])
    np.testing.assert_allclose(draw_weights(counts, [1, 1], 0.0), [[0.4, 0.1, 0], [0, 0, 0.5]])
    np.testing.assert_allclose(draw_weights(counts, [1, 1], 1.0), [[0.25, 0.25, 0], [0, 0, 0.5]])
    np.testing.assert_allclose(draw_weights(counts, [3, 1], 1.0), [[0.375, 0.375, 0], [0, 0, 0.25]])
    half = draw_weights(counts, [1, 1], 0.5)[0]
    np.testing.assert_allclose(half[0] / half[1], 2)  # the root of 8 / 2


@pytest.mark.parametrize("balance", [0.0, 1.0])
def test_rare_classes_are_drawn_as_often_as_balance_says(tmp_path, balance):
    labels = [0] * 36 + [1] * 4
    archive = write_archive(tmp_path / "a.npz", labels)
    _, found, _ = draws(FaceConfig(archives=(archive,), balance=balance), 400)
    share = (found == 1).mean()
    assert abs(share - (0.5 if balance else 0.1)) < 0.03


def test_every_face_comes_once_before_any_comes_again_and_afresh(tmp_path):
    archive = write_archive(tmp_path / "a.npz", [0] * 40)
    greys, _, batches = draws(FaceConfig(archives=(archive,)), 80)
    assert sorted(greys[:40]) == sorted(greys[40:]) == [5 * i for i in range(40)]
    assert greys[:40] != greys[40:] and greys[:40] != sorted(greys[:40])
    seeds = np.concatenate([batch["seed"] for batch in batches])
    assert len(set(seeds.tolist())) == 80


def test_the_seed_decides_and_the_state_goes_on_where_it_was(tmp_path):
    archive = write_archive(tmp_path / "a.npz", [i % 7 for i in range(40)])
    config = FaceConfig(archives=(archive,))
    assert draws(config, 40)[0] == draws(config, 40)[0] != draws(config, 40, seed=1)[0]
    one, two = (face_batches(config, MODEL, 8, 0).iterator for _ in range(2))
    for _ in range(3):
        next(one)
    two.set_state(one.get_state())
    first, second = next(one), next(two)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_faces_in_memory_are_decoded_once_and_the_batches_stay(tmp_path, monkeypatch):
    archive = write_archive(tmp_path / "a.npz", [i % 7 for i in range(14)])
    plain, kept = (FaceConfig(archives=(archive,), in_memory=kept) for kept in (False, True))
    model, decoded = dataclasses.replace(MODEL), []

    def decode(face, given, inner=data.decode_face):
        if given is model:
            decoded.append(face["label"])
        return inner(face, given)

    monkeypatch.setattr(data, "decode_face", decode)
    first, second = face_batches(plain, MODEL, 20, 0).iterator, face_batches(kept, model, 20, 0).iterator
    for _ in range(6):
        one, other = next(first), next(second)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    assert set(decoded) == set(range(7))
    decoded.clear()  # at first, a face that two threads draw at the same time may be decoded twice
    for _ in range(3):
        next(second)
    assert not decoded


def test_two_hosts_draw_together_what_one_draws(tmp_path, monkeypatch):
    config = FaceConfig(archives=(write_archive(tmp_path / "a.npz", [i % 7 for i in range(40)]),))
    whole = next(face_batches(config, MODEL, 8, 0).iterator)
    monkeypatch.setattr("jax.process_count", lambda: 2)
    parts = []
    for host in range(2):
        monkeypatch.setattr("jax.process_index", lambda host=host: host)
        parts.append(next(face_batches(config, MODEL, 8, 0).iterator))
    assert [len(part["seed"]) for part in parts] == [4, 4]
    for name in whole:  # in the same order, so that each face has the same place in the batch, and the same dropout
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), whole[name])


def test_bad_images_do_not_bring_hosts_out_of_step(tmp_path, monkeypatch):
    images = [jpeg(10 * i) if i % 3 else b"no jpeg" for i in range(12)]
    config = FaceConfig(archives=(write_archive(tmp_path / "a.npz", [0] * 12, images=images),))
    whole = face_batches(config, MODEL, 4, 0).iterator
    monkeypatch.setattr("jax.process_count", lambda: 2)
    for step in range(4):
        parts = []
        for host in range(2):
            monkeypatch.setattr("jax.process_index", lambda host=host: host)
            share = face_batches(config, MODEL, 4, 0).iterator
            parts.append([next(share)["image"] for _ in range(step + 1)][-1])
        np.testing.assert_array_equal(np.concatenate(parts), next(whole)["image"])


def test_crops_are_cut_to_what_the_network_wants(tmp_path):
    """A white face box inside a black surround of 20% on each side: only the box is left."""
    crop = np.zeros((112, 112, 3), np.uint8)
    crop[16:96, 16:96] = 255
    stream = io.BytesIO()
    Image.fromarray(crop).save(stream, "JPEG", quality=95)
    archive = write_archive(tmp_path / "face.npz", [3], ["val"], images=[stream.getvalue()])
    tight = ClassifierConfig(widths=(2, 2, 2), dense=4, size=12, margin=0.0)
    config = FaceConfig(archives=(archive,), margins=(0.2,))
    image = held_out_faces(config, tight)["face"].images[0]
    assert image.shape == (12, 12, 3) and image.min() > 200
    wide = ClassifierConfig(widths=(2, 2, 2), dense=4, size=12, margin=0.2)
    assert held_out_faces(config, wide)["face"].images[0][0, 0].max() < 50


def test_bad_images_are_skipped_counted_and_reported_once(tmp_path, capfd):
    images = [jpeg(10 * i) for i in range(9)] + [b"no jpeg", jpeg(200)[:80]]
    archive = write_archive(tmp_path / "a.npz", [0] * 11, images=images)
    data = face_batches(FaceConfig(archives=(archive,)), MODEL, 9, 0)
    seen = Counter()
    for _ in range(3):
        seen.update(next(data.iterator)["image"].mean((1, 2, 3)).round().astype(int).tolist())
    assert set(seen) == {10 * i for i in range(9)}
    assert data.skipped() == 2 and data.faces == 11
    assert capfd.readouterr().err.count("cannot be read") == 1


def test_unreadable_held_out_faces_are_told(tmp_path, capfd):
    archive = write_archive(tmp_path / "a.npz", [0, 1], ["val", "val"], images=[jpeg(50), b"no jpeg"])
    assert len(held_out_faces(FaceConfig(archives=(archive,)), MODEL)["a"].images) == 1
    assert "skipped 1 val faces" in capfd.readouterr().err


def test_only_bad_images_are_an_error(tmp_path):
    archive = write_archive(tmp_path / "a.npz", [0, 1], images=[b"x", b"y"])
    with pytest.raises(EmojaxError, match="none of the training faces can be read"):
        next(face_batches(FaceConfig(archives=(archive,)), MODEL, 2, 0).iterator)


def test_held_out_batches_are_filled_up(tmp_path):
    faces = held_out_faces(FaceConfig(archives=(write_archive(tmp_path / "a.npz", [0, 1, 2], ["val"] * 3),)), MODEL)[
        "a"
    ]
    batches = []
    rows = map_batches(lambda batch: batches.append(batch) or batch, faces.images, 2)
    np.testing.assert_array_equal(rows, faces.images)
    assert [batch.shape for batch in batches] == [(2, 12, 12, 3)] * 2 and not batches[1][1].any()


def damaged(tmp_path, **change):
    good = {
        "jpeg": np.zeros(4, np.uint8),
        "offsets": np.array([0, 4]),
        "label": np.array([0], np.uint8),
        "split": np.array(["train"]),
    }
    np.savez(tmp_path / "bad.npz", **{k: v for k, v in {**good, **change}.items() if v is not None})


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"jpeg": None}, "it needs jpeg, offsets, label and split"),
        ({"offsets": np.array([0, 2, 4])}, "is damaged"),
        ({"offsets": np.array([0, 9])}, "is damaged"),
        ({"label": np.array([7], np.uint8)}, "has a label 7"),
        ({"label": np.array([-1], np.int8)}, "has a label -1"),
        ({"label": np.array([0.5])}, "has a label 0.5"),
    ],
)
def test_damaged_archives(tmp_path, change, part):
    damaged(tmp_path, **change)
    with pytest.raises(EmojaxError, match=part):
        FaceArchive(tmp_path / "bad.npz", "train", 0.0)


def test_what_is_no_archive(tmp_path):
    with pytest.raises(EmojaxError, match="does not exist"):
        FaceArchive(tmp_path / "none.npz", "train", 0.0)
    for content in (b"", b"text", b"PK\x03\x04broken"):
        (tmp_path / "fake.npz").write_bytes(content)
        with pytest.raises(EmojaxError, match="is no face archive"):
            FaceArchive(tmp_path / "fake.npz", "train", 0.0)


def test_requests_that_make_no_sense(tmp_path):
    archive = write_archive(tmp_path / "a.npz", [0, 1], ["val", "val"])
    with pytest.raises(EmojaxError, match="no faces: give `data.archives`"):
        open_faces(FaceConfig(), "train")
    with pytest.raises(EmojaxError, match="two sources of faces are called 'a'"):
        open_faces(FaceConfig(archives=(archive, archive)), "train")
    with pytest.raises(EmojaxError, match="no training faces in a"):
        face_batches(FaceConfig(archives=(archive,)), MODEL, 2, 0)
    for name in ("shares", "smoothing"):
        with pytest.raises(EmojaxError, match=f"2 values of `data.{name}` for 1 sources"):
            face_batches(FaceConfig(archives=(archive,), **{name: (0.1, 0.2)}), MODEL, 2, 0)
    for bad in ({"smoothing": (1.0,)}, {"smoothing": (-0.1,)}, {"sharpness": 0.0}, {"sharpness": float("inf")}):
        with pytest.raises(EmojaxError, match="smoothing|sharpness"):
            FaceConfig(**bad)
    for bad in ({"margins": (0.1,)}, {"shares": (0.0,)}, {"balance": 2.0}, {"archives": ("a",), "margins": (3.0,)}):
        with pytest.raises(EmojaxError):
            FaceConfig(**bad)


def test_the_shared_archives(shared_data):
    folder = shared_data / "faces"
    names = ("expw_crops112", "ferplus48", "muxspace112")
    config = FaceConfig(archives=tuple(str(folder / f"{name}.npz") for name in names))
    for split in ("train", "val", "test"):
        for source in open_faces(config, split).values():
            if split != "train" and "muxspace" in repr(source):  # which is all for training
                assert len(source) == 0
                continue
            assert len(source) > 0 and set(source.labels()) == set(range(7))
            from_photos = "expw" in repr(source)
            assert (source[0]["from_photo"], source[0]["margin"]) == (from_photos, 0.2 * from_photos)
            votes = np.stack([source[i]["votes"] for i in range(0, len(source), 97)])
            np.testing.assert_allclose(votes.sum(1), 1, rtol=1e-5)
    batch = next(face_batches(config, ClassifierConfig(), 16, 0).iterator)
    assert batch["image"].shape == (16, 48, 48, 3) and batch["image"].std() > 20


def test_the_first_bad_image_is_told_once_however_often_it_comes(capsys):
    bad = Unreadable("faces", 3)
    for _ in range(3):
        bad.report(7, "number 7", ValueError("no jpeg"))
    assert len(bad) == 1 and capsys.readouterr().err.count("no jpeg") == 1
