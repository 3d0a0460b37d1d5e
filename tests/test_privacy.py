"""What emojax does with other people's photos and files: nothing goes out, nothing of strangers is run."""

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jaxtyping
import numpy as np
import pytest
import tiny
from PIL import ExifTags, Image
from safetensors.numpy import save

from emojax.cli import stylize as program
from emojax.errors import CheckpointError, EmojaxError
from emojax.images import read_photo, write_image
from emojax.nets.classifier_config import ClassifierConfig
from emojax.nets.stylizer_config import StylizerConfig
from emojax.weights import arrays, store
from emojax.weights.load import load_styles
from emojax.weights.style_file import FORMAT, LARGEST, read_style_file
from tests import fakes
from tests.fuzz.corpus import exif

ROOT = Path(__file__).parent.parent
WATCHED = """
import sys

def watch(event, arguments):
    if event.startswith("socket.") and event not in ("socket.gethostname", "socket.__new__"):
        sys.stderr.write(f"network: {event} {arguments}\\n"); sys.stderr.flush()
        raise RuntimeError(event)
    if event == "pickle.find_class":
        sys.stderr.write(f"pickle: {arguments}\\n"); sys.stderr.flush()
        raise RuntimeError(event)
    if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):
        sys.stderr.write(f"process: {event} {arguments}\\n")

sys.addaudithook(watch)
from emojax.__main__ import entry
sys.exit(entry(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--emotion", "sad", "--json"]])
def test_stylizing_touches_no_network_and_starts_nothing(tmp_path, flags):
    photo = shutil.copy(ROOT / "examples" / "astronaut.jpg", tmp_path / "photo.jpg")
    command = [sys.executable, "-c", WATCHED, str(photo), *flags]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert len(list(tmp_path.iterdir())) == 2


@pytest.fixture
def as_users_have_it():
    """Without the checks of annotations, which would come first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


# --- metadata


def paint(here, monkeypatch, *argv):
    monkeypatch.setattr(program, "_load", lambda *_: (fakes.result, []))
    monkeypatch.chdir(here)
    return program.main(list(argv))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
@pytest.mark.parametrize("keep", [False, True])
def test_places_are_dropped_and_the_harmless_may_be_kept(tmp_path, monkeypatch, suffix, keep):
    Image.new("RGB", (12, 8), (200, 30, 30)).save(tmp_path / "photo.jpg", exif=exif())
    flags = ["--keep-metadata"] * keep
    assert paint(tmp_path, monkeypatch, "photo.jpg", "--output", f"art{suffix}", *flags) == 0
    data = (tmp_path / f"art{suffix}").read_bytes()
    with Image.open(tmp_path / f"art{suffix}") as image:
        assert image.size == (8, 12)  # upright, and no tag turns it again
        image.load()
        found = image.getexif()
        details = dict(found.get_ifd(ExifTags.IFD.Exif))
        assert not found.get_ifd(ExifTags.IFD.GPSInfo) and found.get(ExifTags.Base.Orientation, 1) == 1
    assert b"SERIAL" not in data
    date = found.get(ExifTags.Base.DateTime) if suffix == ".tif" else details.get(ExifTags.Base.DateTimeOriginal)
    assert date == ("2026:01:02 03:04:05" if keep else None)
    assert found.get(ExifTags.Base.Make) == ("Camera" if keep else None)
    assert (ExifTags.Base.Copyright in found) == keep
    if keep and suffix != ".tif":
        assert float(details[ExifTags.Base.FNumber]) == 2.8


def test_a_format_without_a_place_for_them_is_told(tmp_path, monkeypatch, capsys):
    Image.new("RGB", (12, 8)).save(tmp_path / "photo.jpg", exif=exif())
    assert paint(tmp_path, monkeypatch, "photo.jpg", "--output", "art.gif", "--keep-metadata") == 0
    assert "GIF has no place for the metadata" in capsys.readouterr().err


def test_letters_beyond_ascii_are_kept():
    """Texts of EXIF have no encoding that is named: their bytes stay."""
    image, first, again = Image.new("RGB", (4, 4)), io.BytesIO(), io.BytesIO()
    tags = Image.Exif()
    tags[ExifTags.Base.Copyright] = "© José".encode()
    image.save(first, "JPEG", exif=tags)
    write_image(image, again, "JPEG", metadata=read_photo(first.getvalue()).metadata)
    assert "© José".encode() in again.getvalue()


def test_odd_tags_are_left_out():
    tags = exif()
    tags[ExifTags.Base.Model] = "x" * 100_000 + "\x1b[2J"
    tags[ExifTags.Base.Artist] = "\x00\x1b"
    image, buffer = Image.new("RGB", (4, 4)), io.BytesIO()
    image.save(buffer, "PNG", exif=tags)
    metadata = read_photo(buffer.getvalue()).metadata
    assert len(metadata[ExifTags.Base.Model]) == 500 and ExifTags.Base.Artist not in metadata
    write_image(image, io.BytesIO(), "JPEG", metadata=metadata)


# --- files of strangers


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("stranger") / "styles"
    store.save_checkpoint(path, "styles", tiny.STYLES, tiny.stylizer_params())
    return path


def forged(saved, path, config=None, **description):
    """A copy whose description is changed, and its hash made right."""
    shutil.copytree(saved, path)
    text = json.loads((path / "model.json").read_text())
    text["config"] |= config or {}
    text |= description
    text["sha256"] = store.content_hash(path / "params", [text["kind"], text["config"]])
    (path / "model.json").write_text(json.dumps(text))
    return path


@pytest.mark.parametrize(
    "config",
    [
        {"width": 10**9},
        {"blocks": 10**9},
        {"width": 2.0},
        {"width": "4"},
        {"width": True},
        {"patch": [1]},
        {"style_names": ["../../etc/cron"]},
        {"style_names": ["\x1b[2J"]},
        {"style_names": ["x"] * 100_000},
        {"style_names": [["sad"]]},
        {"style_names": 7},
        {"style_names": "sad"},
        {"network_per_style": 1},
        {"style_names": [str(n) for n in range(900)], "width": 1024, "blocks": 100},  # allowed, but not what is stored
    ],
)
def test_configs_that_would_fill_the_memory_or_name_other_files(saved, tmp_path, config, as_users_have_it):
    with pytest.raises(CheckpointError) as error:
        load_styles(forged(saved, tmp_path / "copy", config))
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000


@pytest.mark.parametrize(
    "changes", [{"size": 10**6}, {"widths": [1] * 50}, {"dense": 10**9}, {"margin": "1"}, {"widths": 3}]
)
def test_classifiers_that_would_fill_the_memory(changes, as_users_have_it):
    with pytest.raises(EmojaxError):
        ClassifierConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in changes.items()})


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"format": 1e999}',
        '{"format": 1, "kind": "styles", "config": {}, "step": 1e999}',
        "\ud800",
        "[]",
        " " * (2 << 20),
    ],
)
def test_descriptions_of_strangers(saved, tmp_path, text):
    shutil.copytree(saved, tmp_path / "copy")
    (tmp_path / "copy" / "model.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(CheckpointError) as error:
        load_styles(tmp_path / "copy")
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


def test_small_files_that_unpack_to_large_arrays():
    array = SimpleNamespace(shape=(3,), storage=SimpleNamespace(chunk_shape=(10**6, 10**6)))
    with pytest.raises(CheckpointError, match="chunks"):
        arrays._check_chunks(Path("x"), array)
    stored = {"a": SimpleNamespace(shape=(10**6, 10**6))}
    with pytest.raises(CheckpointError, match="too large"):
        store._check_state({"a": np.zeros(3)}, Path("x"), stored)


def damages(data):
    """A file with each kind of damage at its start, in its middle and at its end."""
    for at in sorted({0, 1, len(data) // 2, len(data) - 1}):
        yield data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
        yield data[:at] + bytes([data[at] ^ 0x01]) + data[at + 1 :]
        yield data[:at] + data[at + 1 :]
        yield data[:at] + b"\0" * 8 + data[at:]
    yield data[: len(data) // 2]
    yield b""


def test_every_kind_of_damage_to_every_file(saved, tmp_path):
    """Damage is noticed, or changes nothing that is loaded."""
    expected = dict(store._leaves(load_styles(saved)[1])).keys()
    for file in sorted(path.relative_to(saved) for path in saved.rglob("*") if path.is_file()):
        for data in damages((saved / file).read_bytes()) if (saved / file).stat().st_size else ():
            copy = shutil.copytree(saved, tmp_path / "copy")
            (copy / file).write_bytes(data)
            try:
                config, params = load_styles(copy)
            except CheckpointError as error:
                told = str(error)
            else:
                told = ""
                assert file.name == "model.json" and config == tiny.STYLES
                assert {name for name, _ in store._leaves(params)} == expected
            assert "\n" not in told
            shutil.rmtree(copy)


class Bomb:
    """Pickled, it writes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("suffix", [".pack", ".safetensors", ".npz", ".npy", ".pth"])
def test_pickles_are_never_read(tmp_path, suffix):
    from emojax.weights.vgg16_file import read_weights

    mark, file = tmp_path / "mark", tmp_path / f"file{suffix}"
    file.write_bytes(pickle.dumps(Bomb(mark)))
    for read in (read_style_file, load_styles, read_weights, read_photo):
        with pytest.raises(EmojaxError):
            read(file)
    assert not mark.exists()


def test_large_style_files(tmp_path):
    """Also one whose header promises more than there is."""
    large, liar = tmp_path / "large.pack", tmp_path / "liar.pack"
    with large.open("wb") as file:
        file.truncate(LARGEST + 1)
    header = json.dumps({"preview": {"dtype": "U8", "shape": [10**12], "data_offsets": [0, 10**12]}}).encode()
    liar.write_bytes(len(header).to_bytes(8, "little") + header)
    for path in (large, liar):
        with pytest.raises(CheckpointError):
            read_style_file(path)


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "", "X", "x" * 40, "sad", "a b", "\x1b[2J", "photo/.."])
def test_names_of_style_files_are_no_paths(tmp_path, name):
    texts = {"format": FORMAT, "name": name, "network": "0", "author": "", "licence": ""}
    (tmp_path / "a.pack").write_bytes(save({"preview": np.zeros(1, np.uint8)}, texts))
    with pytest.raises(EmojaxError):
        read_style_file(tmp_path / "a.pack")


def test_allowed_sizes_are_those_that_are_used():
    StylizerConfig(width=64, blocks=9, style_names=("sad", "my-style_2", "van Gogh", "été"))
