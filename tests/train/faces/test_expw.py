"""The data set ExpW: prepared from its folder, split without copies between the splits, and cut into faces."""

import io
import os
import pickle
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from emojax.errors import EmojaxError
from emojax.train.faces import expw

LINE = "a.jpg 0 20 30 90 80 45.5 3"  # top 20, left 30, right 90, bottom 80


def random_photo(seed, size=(160, 120)):
    """A picture unlike those of other seeds, smooth enough to survive JPEG and resizing."""
    noise = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def write_expw(root, photos, lines):
    (root / "origin").mkdir(parents=True)
    for name, photo in photos.items():
        photo.save(root / "origin" / name, quality=95)
    (root / "label.lst").write_text("".join(f"{line}\n" for line in lines))
    return root


def fields(source, index):
    """All fields of a face, with its photo and group as text; the source itself yields what training needs."""
    row = source._rows[index]
    return row | {"photo": row["photo"].decode(), "group": row["group"].decode()}


def read_all(builder):
    """split -> rows without the image, in the order of the files."""
    sources = {split: expw.ExpwFaces(builder, split) for split in builder.info.splits}
    return {split: [fields(source, i) for i in range(len(source))] for split, source in sources.items()}


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """An ExpW folder of 24 pictures, each also mirrored and as a small, re-encoded copy; two faces a photo."""
    photos, lines = {}, []
    for seed in range(24):
        photo = random_photo(seed)
        for kind, copy in {"z": photo, "m": ImageOps.mirror(photo), "a": photo.resize((120, 90))}.items():
            name = f"{kind}_{seed}.jpg"
            photos[name] = copy
            scale = copy.width / 160
            for face, left in enumerate((10, 80)):
                top, left, side = round(20 * scale), round(left * scale), round(60 * scale)
                lines.append(f"{name} {face} {top} {left} {left + side} {top + side} 50.0 {seed % 7}")
    return write_expw(tmp_path_factory.mktemp("copies") / "ExpW", photos, lines)


@pytest.fixture(scope="module")
def prepared(copies):
    return expw.prepare_expw(copies)


def test_copies_of_a_photo_share_a_split(prepared):
    rows = read_all(prepared)
    splits = {(row["photo"], split) for split, faces in rows.items() for row in faces}
    assert len(splits) == 72, "a photo is in two splits"
    splits = dict(splits)
    for seed in range(24):
        assert splits[f"z_{seed}.jpg"] == splits[f"m_{seed}.jpg"] == splits[f"a_{seed}.jpg"]
    groups = {row["photo"]: row["group"] for faces in rows.values() for row in faces}
    assert set(groups.values()) == {f"a_{seed}.jpg" for seed in range(24)}
    assert len(set(splits.values())) > 1


def test_the_order_of_the_lines_changes_nothing(copies, prepared, tmp_path):
    lines = (copies / "label.lst").read_text().splitlines()
    random.Random(0).shuffle(lines)
    shuffled = tmp_path / "shuffled"
    shuffled.mkdir()
    (shuffled / "origin").symlink_to(copies / "origin")
    (shuffled / "label.lst").write_text("\r\n".join([*lines, lines[0], ""]) + "\r\n")
    again = read_all(expw.prepare_expw(shuffled))
    first = read_all(prepared)
    assert again.keys() == first.keys()
    for split, rows in first.items():
        for ours, theirs in zip(rows, again[split], strict=True):
            np.testing.assert_equal(ours, theirs)


def test_preparing_again_does_nothing(copies, prepared, monkeypatch, capsys):
    monkeypatch.setattr(expw.dataset, "_hash_photo", None)
    assert expw.prepare_expw(copies).data_dir == prepared.data_dir
    assert Path(prepared.data_dir).is_relative_to(copies.with_name("ExpW.prepared"))
    assert capsys.readouterr().out == ""


def test_changed_labels_are_prepared_anew(tmp_path):
    root = write_expw(tmp_path / "ExpW", {"a.jpg": random_photo(0)}, [LINE])
    first = expw.prepare_expw(root, tmp_path / "data")
    (root / "label.lst").write_text(LINE[:-1] + "5\n")
    second = expw.prepare_expw(root, tmp_path / "data")
    (label,) = [row["label"] for rows in read_all(second).values() for row in rows]
    assert label == 5 and first.data_dir != second.data_dir


def test_no_split_without_faces(tmp_path):
    root = write_expw(tmp_path / "ExpW", {"a.jpg": random_photo(0)}, [LINE])
    (only,) = expw.prepare_expw(root).info.splits
    other = next(split for split in expw.SPLITS if split != only)
    with pytest.raises(EmojaxError, match=f"no faces in split '{other}'.*choose from {only}"):
        expw.ExpwFaces(expw.prepare_expw(root), other)


def test_groups_join_copies_and_nothing_else():
    names = ["c", "b", "a", "d"]
    photos = [random_photo(0), ImageOps.mirror(random_photo(0)), random_photo(1), random_photo(2)]
    hashes = np.stack([expw.perceptual_hashes(photo) for photo in photos])
    np.testing.assert_array_equal(hashes[0], hashes[1][::-1])
    faces, owners = hashes[:0], np.arange(0)
    assert expw.group_photos(names, hashes, faces, owners) == {"c": "b", "b": "b", "a": "a", "d": "d"}
    # The photos a and d show the same face.
    faces, owners = hashes[[1, 1]], np.array([2, 3])
    assert expw.group_photos(names, hashes, faces, owners) == {"c": "b", "b": "b", "a": "a", "d": "a"}


@pytest.mark.parametrize("count", [1, 70, 1500])
def test_near_pairs_are_those_of_a_plain_search(count):
    rng = np.random.default_rng(count)
    bits = rng.integers(0, 2, (count, 2, 128), dtype=np.uint8)
    bits[count // 2 :, 1] = bits[: count - count // 2, 0]
    hashes = np.packbits(bits, axis=2).view(np.uint64)
    found = {pair for rows in expw.near_pairs(hashes, 45) for pair in zip(*rows, strict=True)}
    plain, mirrored = (2.0 * bits[:, view] - 1 for view in (0, 1))  # <a, b> = 128 - 2 distance
    near = np.maximum(plain @ plain.T, plain @ mirrored.T) >= 128 - 2 * 45
    assert found == set(zip(*np.nonzero(np.triu(near)), strict=True))


def test_fractions_of_the_splits():
    names = [f"{feeling}_person_{number}.jpg" for feeling in ("cross", "glad", "glum") for number in range(300)]
    splits = expw.assign_splits({name: name for name in names}, {})
    counts = Counter(splits.values())
    for split, fraction in {"train": 0.7, "val": 0.1, "test": 0.2}.items():
        assert abs(counts[split] / len(names) - fraction) < 0.04
    assert splits == expw.assign_splits({name: name for name in reversed(names)}, {})
    assert splits != expw.assign_splits({name: name for name in names}, {}, seed=1)


def test_a_group_goes_where_its_packed_photos_are():
    groups = {name: name[0] for name in ("a1", "a2", "b1", "b2", "b3", "c1", "c2", "c3", "c4")}
    packed = {"a1": "train", "b2": "val", "b3": "train", "c1": "train", "c2": "test", "c4": "val"}
    for seed in range(10):
        splits = expw.assign_splits(groups, packed, seed)
        assert {name: splits[name] for name in packed} == packed
        assert (splits["a2"], splits["b1"], splits["c3"]) == ("train", "val", "test")


def test_the_shipped_names_are_those_of_the_packed_crops(shared_data):
    table = shared_data / "faces/expw_crops112.csv"
    shipped = Path(expw.__file__).with_name("expw_packed_splits.txt").read_text()
    assert shipped == expw.archive_splits_text(table)
    packed = expw.archive_splits()
    assert Counter(packed.values()) == {"train": 3795, "val": 541, "test": 534}
    groups = {name: name for name in packed} | {"new.jpg": "new.jpg"}
    splits = expw.assign_splits(groups, packed)
    tested = {line.split(",")[4] for line in table.read_text().splitlines() if line.split(",")[1] == "test"}
    assert len(tested) == 534 and {splits[name] for name in tested} == {"test"}


def test_packed_test_photos_and_their_copies_are_never_trained_on(tmp_path):
    name = next(name for name, split in expw.archive_splits().items() if split == "test")
    photos = {name: random_photo(0), "mirrored.jpg": ImageOps.mirror(random_photo(0))}
    builder = expw.prepare_expw(write_expw(tmp_path / "ExpW", photos, [LINE.replace("a.jpg", n) for n in photos]))
    assert {split: len(rows) for split, rows in read_all(builder).items()} == {"test": 2}


def test_the_real_thing(shared_data, tmp_path):
    root = shared_data / "faces/expw_sample"
    source = expw.ExpwFaces(expw.prepare_expw(root, tmp_path), "train")
    assert list(expw.prepare_expw(root, tmp_path).info.splits) == ["train"]
    assert len(source) == 55
    rows = [fields(source, i) for i in range(55)]
    ours = [(r["photo"], r["face_id"], *r["box"], float(r["confidence"]), r["label"]) for r in rows]
    lines = (line.split() for line in (root / "label.lst").read_text().splitlines())
    assert sorted(ours) == sorted((n, *map(int, f[:5]), float(np.float32(f[5])), int(f[6])) for n, *f in lines)
    assert source.labels().tolist() == [row["label"] for row in rows]
    for index in range(55):
        item = source[index]
        assert item.keys() == {"image", "label", "votes", "margin", "from_photo"}
        crop = Image.open(io.BytesIO(item["image"]))
        top, _, _, bottom = rows[index]["box"]
        assert crop.format == "JPEG" and crop.mode == "RGB"
        assert crop.size == (min(112, round(1.4 * (bottom - top))),) * 2
        assert item["votes"].dtype == np.float32 and item["votes"].tolist() == np.eye(7)[item["label"]].tolist()
        assert item["margin"] == 0.2
    assert pickle.loads(pickle.dumps(source))[3]["image"] == source[3]["image"]
    assert "tensorflow" not in sys.modules


def test_crops_show_what_the_packed_crops_show(shared_data, tmp_path):
    """Where the square lies inside the photo, both cut the same region, to a pixel; JPEG and resampling differ."""
    table = (shared_data / "faces/expw_crops112.csv").read_text().splitlines()
    columns = table[0].split(",")
    packed = np.load(shared_data / "faces/expw_crops112.npz")
    jpeg, offsets = packed["jpeg"], packed["offsets"]
    rows = [dict(zip(columns, line.split(","), strict=True)) for line in table[1:]]
    by_face = {(row["image_name"], int(row["face_id_in_image"])): row for row in rows}
    root, compared = shared_data / "faces/expw_sample", 0
    for face in expw.parse_labels(root / "label.lst"):
        row = by_face[face.photo, face.face_id]
        left, top, right, bottom = (int(row[f"crop_{side}"]) for side in ("left", "top", "right", "bottom"))
        width, height = right - left, bottom - top
        if min(width, height) < 1.4 * (face.right - face.left) - 2 or width < 112:
            continue
        start, end = offsets[int(row["index"]) : int(row["index"]) + 2]
        theirs = np.asarray(Image.open(io.BytesIO(jpeg[start:end].tobytes())).convert("L"))
        ours = np.asarray(
            Image.fromarray(expw.cut_labelled_face(Image.open(root / "origin" / face.photo), face)).convert("L")
        )
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.98, face  # two pixels off: 0.75 to 0.97
        compared += 1
    assert compared >= 10


def test_a_crop_is_the_box_with_its_margin():
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8))
    pixels = np.asarray(photo)
    crop = expw.cut_labelled_face(
        photo, expw.FaceLabel("a", 0, 50, 100, 150, 100, 1.0, 0)
    )  # 50 pixels, plus 10 on each side
    np.testing.assert_array_equal(crop, pixels[40:110, 90:160])
    # A box in the corner: rows and columns outside repeat the edge.
    crop = expw.cut_labelled_face(photo, expw.FaceLabel("a", 0, -5, 0, 50, 45, 1.0, 0))
    np.testing.assert_array_equal(crop, np.pad(pixels, ((15, 0), (10, 0), (0, 0)), "edge")[:70, :70])
    # A box that is not square becomes so about its centre; a large one is shrunk.
    assert expw.cut_labelled_face(photo, expw.FaceLabel("a", 0, 50, 100, 140, 100, 1.0, 0)).shape == (70, 70, 3)
    assert expw.cut_labelled_face(photo, expw.FaceLabel("a", 0, 50, 50, 150, 150, 1.0, 0)).shape == (112, 112, 3)


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA", "1"])
def test_crops_are_rgb_whatever_the_photo_is(mode):
    face = expw.FaceLabel("a", 0, 20, 30, 90, 80, 1.0, 0)
    assert expw.cut_labelled_face(random_photo(0).convert(mode), face).shape == (84, 84, 3)


def test_missing_parts(tmp_path):
    with pytest.raises(EmojaxError, match=r"none/label\.lst is missing: give the folder"):
        expw.prepare_expw(tmp_path / "none")
    (tmp_path / "label.lst").write_text(f"{LINE}\n{LINE.replace('a.jpg', 'b.jpg')}\n")
    with pytest.raises(EmojaxError, match=r"cannot read .*/origin \(No such file"):
        expw.prepare_expw(tmp_path)
    (tmp_path / "origin").mkdir()
    random_photo(0).save(tmp_path / "origin/a.jpg")
    with pytest.raises(EmojaxError, match=r"1 of the 2 photos in .*label\.lst are missing, first .*origin/b\.jpg"):
        expw.prepare_expw(tmp_path)


def test_bad_photos_are_skipped_and_reported_once(tmp_path, capsys):
    photos = {name: random_photo(seed) for seed, name in enumerate(("a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"))}
    lines = [LINE.replace("a.jpg", name) for name in photos]
    lines[4] = "e.jpg 7 1000 1000 1050 1050 45.5 3"  # a box outside the photo
    lines.append("d.jpg 8 1000 1000 1050 1050 45.5 3")  # whose other face is good
    root = write_expw(tmp_path / "ExpW", photos, lines)
    whole = (root / "origin/b.jpg").read_bytes()
    (root / "origin/b.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "origin/c.jpg").write_bytes(b"")
    builder = expw.prepare_expw(root)
    err = capsys.readouterr().err
    assert err.count("skipping") == 1 and "faces that cannot be read, first " in err
    assert f"{root}/origin/b.jpg: image file is truncated" in err
    assert {row["photo"] for rows in read_all(builder).values() for row in rows} == {"a.jpg", "d.jpg"}
    assert "skipping 4 of 6 faces" in err and builder.info.metadata == {"skipped_faces": 4}
    assert sum(len(rows) for rows in read_all(builder).values()) == 2


def test_two_processes_that_prepare_at_once(tmp_path, copies, monkeypatch):
    """The one that comes second cannot rename its folder, and takes the other's."""

    def overtaken(self, **options):
        monkeypatch.undo()
        expw.prepare_expw(copies, tmp_path)
        raise OSError("Cannot rename: it already exists")

    monkeypatch.setattr(expw.Expw, "download_and_prepare", overtaken)
    assert sum(map(len, read_all(expw.prepare_expw(copies, tmp_path)).values())) == 144


def test_only_bad_photos(tmp_path):
    root = write_expw(tmp_path / "ExpW", {"a.jpg": random_photo(0)}, [LINE])
    (root / "origin/a.jpg").write_bytes(b"no photo")
    with pytest.raises(EmojaxError, match=r"none of the 1 faces of ExpW can be read, first .*a\.jpg"):
        expw.prepare_expw(root)


def test_a_folder_that_cannot_be_written(tmp_path):
    root = write_expw(tmp_path / "ExpW", {"a.jpg": random_photo(0)}, [LINE])
    (tmp_path / "file").write_text("")
    with pytest.raises(EmojaxError, match=r"cannot prepare ExpW in .*file.*choose another folder") as caught:
        expw.prepare_expw(root, tmp_path / "file")
    assert "\n" not in str(caught.value)


def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    root = write_expw(tmp_path / "ExpW", {"a.jpg": random_photo(0)}, [LINE])
    # A limit on the size of files fails writes as a full disk does.
    program = f"""
import resource, signal
from emojax.errors import EmojaxError
from emojax.train.faces import expw
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    expw.prepare_expw({str(root)!r})
except EmojaxError as error:
    print(error)
"""
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.stdout.startswith("cannot prepare ExpW in ") and done.stdout.count("\n") == 1, done.stderr
    assert not [path for path in (tmp_path / "ExpW.prepared").rglob("*") if path.is_file()]
    assert expw.prepare_expw(root).info.splits  # and with space it works
