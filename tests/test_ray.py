"""Painting with Ray Data on two local workers, with tiny networks: nothing is lost, and nothing is done twice."""

import json
import os
import signal
import warnings

import pytest
import tiny
from fakes import names, write_photo
from PIL import Image

from emojax.errors import InputError
from emojax.nets.stylizer_config import StylizerConfig
from emojax.options import StylizeOptions
from emojax.weights.store import save_checkpoint

pa = pytest.importorskip("pyarrow", reason="pip install 'emojax[ray]'")
ray = pytest.importorskip("ray", reason="pip install 'emojax[ray]'")

from emojax.ray.__main__ import main  # noqa: E402 (they import pyarrow)
from emojax.ray.folder import Record, open_folder, plan, readings, write_pictures  # noqa: E402
from emojax.ray.painter import PAINTED, ActorSettings, BatchPainter  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("default"),  # Ray's are not ours to mend
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # its processes run until it is shut down
]
HAPPY = StylizeOptions(emotion="happy")


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """A tiny network of all styles, which finds no faces since it lacks the style "photo"."""
    root, config = tmp_path_factory.mktemp("networks"), StylizerConfig(width=4, blocks=1)
    save_checkpoint(root / "styles", "styles", config, tiny.stylizer_params(config))
    return {"styles": str(root / "styles")}


def start_ray():
    """Ray gives a start 30 seconds, and a busy machine may need more."""
    for _ in range(3):
        try:
            return ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=10**8)
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise
            ray.shutdown()
    pytest.skip("Ray did not start within 30 seconds, three times: the machine is too busy")


@pytest.fixture(scope="module")
def cluster():
    psutil, terminated = pytest.importorskip("psutil"), signal.getsignal(signal.SIGTERM)
    os.environ |= {"RAY_worker_niceness": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    with warnings.catch_warnings():  # a fixture does not have the filters of the module's mark
        warnings.simplefilter("ignore")
        start_ray()
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield psutil.Process()
    ray.shutdown()
    signal.signal(signal.SIGTERM, terminated)  # Ray keeps its own handler, which later tests of this process would meet


def photos_in(folder, count=3):
    return [write_photo(folder / f"{index}.jpg", (40 * index, 30, 30), (32, 32)) for index in range(count)]


def test_an_actor_paints_bytes_and_paths_and_says_why_it_cannot(networks, tmp_path, monkeypatch):
    for name in ("JAX_PLATFORMS", "PJRT_NPROC"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))  # an actor sets them for its process
    painter = BatchPainter(ActorSettings(HAPPY, **networks))
    good, bad = photos_in(tmp_path, 1)[0], tmp_path / "bad.jpg"
    bad.write_text("no photo")
    rows = pa.table(
        {"path": [str(good), str(bad), str(tmp_path / "gone.jpg"), None, good.as_uri()], "id": [5, 6, 7, 8, 9]}
    )
    painted = painter(rows)
    assert painted.column_names == ["path", "id", *PAINTED.names] and painted.schema.field("error").type == pa.string()
    first, *failed, last = painted.to_pylist()
    assert first["suffix"] == ".jpg" and first["style"] == "happy" and first["error"] is None
    assert json.loads(first["reading"])["size"] == [32, 32] and json.loads(first["reading"])["style"] == {"happy": 1.0}
    assert last["painted"] == first["painted"]  # file:///... goes through pyarrow's file system
    assert [row["painted"] for row in failed] == [None] * 3 and all(row["error"] for row in failed)
    assert "bad.jpg" in failed[0]["error"] and "gone.jpg" in failed[1]["error"]

    encoded = painter(pa.table({"bytes": [good.read_bytes()], "id": [1]}))
    assert encoded.column_names == ["id", *PAINTED.names]  # the photo is dropped
    (row,) = encoded.to_pylist()
    assert row["suffix"] == ".png" and row["painted"].startswith(b"\x89PNG")
    with pytest.raises(InputError, match="rows have id"):
        painter(pa.table({"id": [1]}))


def test_memory_that_does_not_suffice_for_one_photo_leaves_the_others(networks, tmp_path, monkeypatch):
    for name in ("JAX_PLATFORMS", "PJRT_NPROC"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    painter = BatchPainter(ActorSettings(HAPPY, **networks))
    real, calls = type(painter._model).stylize_many, []

    def stylize_many(self, photos, **options):
        for index, result in enumerate(real(self, photos, **options)):
            calls.append(index)
            if len(calls) == 2:
                raise MemoryError("too large")
            yield result

    monkeypatch.setattr(type(painter._model), "stylize_many", stylize_many)
    rows = painter(pa.table({"path": [str(path) for path in photos_in(tmp_path)]})).to_pylist()
    assert [row["error"] for row in rows] == [None, "MemoryError: too large", None]


def test_a_plan_leaves_out_what_is_done_and_names_what_collides(tmp_path):
    source, made = tmp_path / "in", {"emotion": "happy"}
    for name in ("a.jpg", "sub/b.jpg", "c.bmp", "c.png", ".hidden/d.jpg"):
        write_photo(source / name)
    (source / "notes.txt").write_text("no photo")
    photos, output = open_folder(str(source)), open_folder(str(tmp_path / "out"))
    first = plan(photos, output, made)
    assert (
        first.photos == ["a.jpg", "c.bmp", "sub/b.jpg"]
        and first.done == 0
        and "c.bmp and c.png" in first.problems["c.png"]
    )
    with Record(output) as record:
        record.add(json.dumps({"input": "sub/b.jpg", "output": "sub/b.happy.jpg"}))
        record.add(json.dumps({"input": "a.jpg", "error": "damaged"}))
    again = plan(photos, output, made)
    assert again.photos == ["a.jpg", "c.bmp"] and again.done == 1  # what failed is tried again
    with pytest.raises(InputError, match="another emotion"):
        plan(photos, output, {"emotion": "sad"})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("of somebody else")
    with pytest.raises(InputError, match="files that emojax.ray did not write"):
        plan(photos, open_folder(str(tmp_path / "other")), made)
    for inside in (source, source / "out"):
        with pytest.raises(InputError, match="lies in"):
            plan(photos, open_folder(str(inside)), made)
    with pytest.raises(InputError, match="no images in"):
        plan(open_folder(str(tmp_path / "other")), output, made)
    with pytest.raises(InputError, match="cannot read"):
        plan(open_folder(str(tmp_path / "missing")), output, made)
    with pytest.raises(InputError, match="cannot open"):
        open_folder("nonsense://bucket")
    with pytest.raises(InputError, match="cannot read"):
        plan(photos, open_folder(str(tmp_path / "other" / "file")), made)


def test_pictures_keep_the_tree_and_one_that_cannot_be_written_is_an_error(tmp_path):
    photos, output = open_folder(str(tmp_path / "in")), open_folder(str(tmp_path / "out"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "blocked").write_text("a file where a folder is needed")
    painted = {"painted": b"picture", "suffix": ".jpg", "style": "happy", "reading": '{"faces": []}', "error": None}
    rows = [
        {"path": photos.file("sub/a.jpg"), **painted},
        {"path": photos.file("blocked/b.jpg"), **painted},
        {"path": photos.file("c.jpg"), **dict.fromkeys(PAINTED.names), "error": "damaged"},
        {"path": photos.file("d.jpg"), **dict.fromkeys(PAINTED.names), "reading": '{"note": "skipped"}'},
    ]
    table = pa.Table.from_pylist(rows, pa.schema([("path", pa.string()), *PAINTED]))
    lines = [json.loads(line) for line in write_pictures(table, photos, output)["line"].to_pylist()]
    assert lines[0] == {"input": "sub/a.jpg", "output": "sub/a.happy.jpg", "faces": []}
    assert (tmp_path / "out" / "sub" / "a.happy.jpg").read_bytes() == b"picture"
    assert lines[1]["output"] is None and "cannot write" in lines[1]["error"]
    assert lines[2] == {"input": "c.jpg", "output": None, "error": "damaged"}
    assert lines[3] == {"input": "d.jpg", "output": None, "note": "skipped"}


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"actors": 0}, "`actors` 0"),
        ({"actors": (2, 1)}, "the fewest and the most"),
        ({"cpus": 0}, "`cpus` 0"),
        ({"gpus": 1.5}, "`gpus` 1.5"),
        ({"suffix": ".heic"}, "`suffix` '.heic'"),
        ({"batch_size": 0}, "`batch_size` 0"),
        ({"styles": "/no/such/run"}, "no such checkpoint"),
        ({"classifier": "fast"}, "`classifier` fast: no such checkpoint"),
        ({"options": StylizeOptions(emotion="hapy")}, "did you mean 'happy'"),
    ],
)
def test_mistakes_are_told_before_anything_is_painted(options, part, cluster):
    from emojax.ray import stylize

    dataset = ray.data.from_arrow(pa.table({"path": ["a.jpg"]}))
    with pytest.raises(InputError, match=part):
        stylize(dataset, **options)
    with pytest.raises(InputError, match="a column 'bytes' or 'path'"):
        stylize(ray.data.from_arrow(pa.table({"id": [1]})))


@pytest.mark.slow
def test_an_actor_that_is_killed_in_the_middle_loses_nothing(cluster, networks, tmp_path):
    from emojax.ray import stylize

    paths = [str(path) for path in photos_in(tmp_path, 12)]
    dataset = ray.data.from_arrow([pa.table({"path": [path]}) for path in paths])
    killed, found = [], []
    for row in stylize(dataset, HAPPY, actors=2, batch_size=1, cpus=0.5, **networks).iter_rows():
        found.append(row)
        if not killed:
            workers = [
                p for p in cluster.children(recursive=True) if "MapBatches(BatchPainter)" in " ".join(p.cmdline())
            ]
            killed = [workers[0].pid]
            os.kill(workers[0].pid, signal.SIGKILL)
    assert killed and sorted(row["path"] for row in found) == sorted(paths)
    assert all(row["error"] is None and row["painted"] for row in found)


@pytest.mark.parametrize(
    ("flags", "style"),
    [(["--mood", "0.81,0.51"], {"happy": 1.0}), (["--emotion", "sad"], {"sad": 1.0}), (["--per-face"], None)],
)
def test_the_flags_of_the_command(monkeypatch, flags, style):
    """They name the style, and a later run with another one is refused."""
    asked = []
    monkeypatch.setattr("emojax.ray.job.paint_folder", lambda *given, **_: asked.append(given) or 0)
    assert main(["in", "out", *flags]) == 0
    ((_, _, options, _, made),) = asked
    assert options.style_given == style or {k: v for k, v in options.style_given.items() if v} == style
    assert made["mood"] == ((0.81, 0.51) if "--mood" in flags else None) and options.per_face == ("--per-face" in flags)


@pytest.mark.slow
def test_the_command_goes_on_where_it_stopped(cluster, networks, tmp_path, capsys):
    source, output = tmp_path / "in", tmp_path / "out"
    photos_in(source, 2)
    (source / "bad.jpg").write_text("no photo")
    command = [str(source), str(output), "--emotion", "happy", "--styles", networks["styles"]]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "bad.jpg" in said and "2 photos are done, 1 failed" in said
    assert {"0.happy.jpg", "1.happy.jpg"} < set(names(output))
    before = (output / "0.happy.jpg").stat().st_mtime_ns
    (source / "bad.jpg").unlink()
    write_photo(source / "sub" / "new.png", size=(32, 32))
    assert main(command) == 0
    assert "2 photos are done already" in capsys.readouterr().err
    with Image.open(output / "sub" / "new.happy.png") as picture:
        assert picture.size == (32, 32)
    assert (output / "0.happy.jpg").stat().st_mtime_ns == before  # not painted again
    rows = list(readings(open_folder(str(output))))
    assert sorted(row["input"] for row in rows) == ["0.jpg", "1.jpg", "bad.jpg", "sub/new.png"]
    assert all(("error" in row) == (row["output"] is None) for row in rows)
