"""The planned photos are painted: what is told of them, what fails alone, and several at once."""

import json
import threading
import time

import pytest
from PIL import Image

from emojax.cli import work
from emojax.cli.job import Job
from emojax.cli.plan import plan
from emojax.cli.work import DONE, FAILED, SOME_FAILED, run
from emojax.errors import InputError
from emojax.images import read_photo, write_image
from tests import fakes
from tests.fakes import several

# --- the work


def test_lines_and_pictures(here, capsys):
    fakes.write_photo(here / "photo.png", (200, 30, 30))
    assert run(plan(["photo.png"], "deep/art"), fakes.result) == DONE
    captured = capsys.readouterr()
    assert captured.out == "photo.png -> deep/art/photo.happy.png (happy 0.60, 1 face)\n" and captured.err == ""
    assert (read_photo("deep/art/photo.happy.png").pixels == (55, 225, 225)).all()


def test_json_rows(here, capsys):
    fakes.write_photo(here / "a.png", size=(8, 6))
    (here / "b.png").write_bytes(b"junk")
    fakes.write_photo(here / "c.png")

    def stylize(photo):
        if photo.pixels.shape[0] == 7:
            return fakes.result(photo, faces=0, image=False, note="no face found, skipped")
        return fakes.result(photo, "happy:0.6,surprise:0.4", faces=2)

    fakes.write_photo(here / "c.png", size=(8, 7))
    assert run(plan(["."]), stylize, as_json=True) == SOME_FAILED
    captured = capsys.readouterr()
    a, b, c = map(json.loads, captured.out.splitlines())
    assert all(row["seconds"] >= 0 for row in (a, b, c))
    emotion = {"angry": 0.1, "disgust": 0, "fear": 0, "happy": 0.6, "sad": 0, "surprise": 0.3, "neutral": 0}
    # 0.1 angry, 0.6 happy, 0.3 surprise on the circumplex
    valence, arousal = -0.051 + 0.486 + 0.12, 0.059 + 0.306 + 0.201
    state = {
        "emotion": emotion,
        "dominant_emotion": "happy",
        "compound_emotion": "happily surprised",
        "valence": pytest.approx(valence),
        "arousal": pytest.approx(arousal),
    }
    found = {"face_confidence": 0.9, "landmarks": [[3.0, 4.0]], "rotation": 0}
    face = {"id": 0, "region": {"x": 1.0, "y": 2.0, "w": 10.0, "h": 10.0}, **found, **state}
    second = {**face, "id": 1, "region": {"x": 1.0, "y": 2.0, "w": 9.0, "h": 9.0}}
    assert a == {
        "input": "a.png",
        "output": "a.happy+surprise.png",
        "size": [8, 6],
        "faces": [face, second],
        **state,
        "style": pytest.approx({"happy": 0.6, "surprise": 0.4}),
        "seconds": a["seconds"],
    }
    empty = {"output": None, "faces": [], **dict.fromkeys(state), "style": None}
    assert b == {"input": "b.png", "size": None, "error": b["error"], "seconds": b["seconds"], **empty}
    assert c == {
        "input": "c.png",
        "size": [8, 7],
        "note": "no face found, skipped",
        "seconds": c["seconds"],
        **empty,
    }
    assert captured.err.splitlines() == [
        "emojax: error: cannot read b.png: not an image, or of a format that Pillow does not know",
        "emojax: c.png: no face found, skipped",
    ]


def test_the_notes_of_a_photo_reach_the_report(here, capsys):
    data = fakes.write_photo(here / "a.jpg", size=(64, 64)).read_bytes()
    (here / "a.jpg").write_bytes(data[:-2])
    assert run(plan(["a.jpg"]), fakes.result, as_json=True) == DONE
    captured = capsys.readouterr()
    assert "its last bytes are missing" in json.loads(captured.out)["note"]
    assert captured.err == "emojax: a.jpg: the file is truncated, its last bytes are missing\n"

    def fails(photo):
        raise InputError("no style")

    assert run(plan(["a.jpg"]), fails, force=True) == FAILED
    assert "its last bytes" in capsys.readouterr().err  # also where the photo fails later


def test_a_skipped_photo_is_done(here, capsys):
    fakes.write_photo(here / "a.png")

    def stylize(photo):
        return fakes.result(photo, faces=0, image=False, note="no face found, skipped")

    assert run(plan(["a.png"]), stylize) == DONE
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == "emojax: a.png: no face found, skipped\n"
    assert fakes.names(here) == ["a.png"]


def test_quiet_leaves_errors_only(here, capsys):
    fakes.write_photo(here / "a.png")
    (here / "b.png").touch()
    assert run(plan(["."]), lambda photo: fakes.result(photo, note="hm"), quiet=True) == SOME_FAILED
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == "emojax: error: cannot read b.png: the file is empty\n"


@pytest.mark.parametrize(
    "error",
    [
        InputError("this network has no style for 'fear'"),
        MemoryError(),
        RuntimeError("RESOURCE_EXHAUSTED: out of memory"),
        OSError(5, "Input/output error"),
    ],
)
def test_what_fails_fails_alone(here, capsys, error):
    for name in ("a.png", "b.png", "c.png"):
        fakes.write_photo(here / name, size=(8, ord(name[0]) - 90))

    def stylize(photo):
        if photo.pixels.shape[0] == ord("b") - 90:
            raise error
        return fakes.result(photo)

    assert run(plan(["."]), stylize) == SOME_FAILED
    assert fakes.names(here) == ["a.happy.png", "a.png", "b.png", "c.happy.png", "c.png"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("emojax: error: b.png: ")


def test_a_bug_is_not_hidden(here):
    fakes.write_photo(here / "a.png")
    with pytest.raises(ZeroDivisionError):
        run(plan(["a.png"]), lambda photo: 1 // 0)


# --- several photos at once


def until(condition):
    """Waits for what another thread does."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("the other thread did nothing")


def test_reading_painting_and_writing_overlap(here, monkeypatch, capsys):
    jobs, read, painted, ahead = several(here), [], [], []

    def reading(path, *args, **options):
        photo = read_photo(path, *args, **options)
        read.append(path)
        return photo

    def stylize(photo):
        index = photo.pixels.shape[0] - 10
        until(lambda: len(read) >= min(index + 2, 5))  # the next one is there while this one is painted
        until(lambda: index == 0 or (here / f"{'abcde'[index - 1]}.happy.png").exists())  # the one before is written
        ahead.append(len(read) - index - 1)
        painted.append(index)
        return fakes.result(photo)

    monkeypatch.setattr(work, "read_photo", reading)
    assert run(jobs, stylize) == DONE
    assert painted == [0, 1, 2, 3, 4] and max(ahead) == 1  # no more photos are held
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [job.source for job in jobs]


def test_lines_keep_their_order_whatever_fails(here, capsys):
    jobs = several(here, "abcdef")
    (here / "b.png").write_bytes(b"junk")
    fakes.write_photo(here / "e.happy.png")

    def stylize(photo):
        if photo.pixels.shape[0] == 12:
            raise InputError("too blue")
        return fakes.result(photo, note="hm")

    assert run(jobs, stylize, as_json=True) == SOME_FAILED
    captured = capsys.readouterr()
    rows = [json.loads(line) for line in captured.out.splitlines()]
    assert [row["input"] for row in rows] == [job.source for job in jobs]
    assert [row["input"] for row in rows if "error" in row] == ["b.png", "c.png", "e.png"]
    assert all(list(row)[-1] == "seconds" and row["seconds"] >= 0 for row in rows)
    told = [line.split(": ")[1:3] for line in captured.err.splitlines()]
    assert [name for name, _ in told if name != "error"] == ["a.png", "d.png", "e.png", "f.png"]


@pytest.mark.parametrize("where", ["read_photo", "stylize", "write_image"])
def test_a_bug_ends_the_run_after_what_is_done_was_told(here, monkeypatch, capsys, where):
    jobs, calls = several(here), []
    real = {"read_photo": read_photo, "stylize": fakes.result, "write_image": write_image}[where]

    def third_time_wrong(*args, **options):
        calls.append(args)
        return real(*args, **options) if len(calls) < 3 else 1 // 0

    if where != "stylize":
        monkeypatch.setattr(work, where, third_time_wrong)
    with pytest.raises(ZeroDivisionError):
        run(jobs, third_time_wrong if where == "stylize" else fakes.result)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["a.png", "b.png"]
    assert not (here / "c.happy.png").exists() and not (here / "e.happy.png").exists()


def test_what_prepares_runs_beside_and_may_fail(here):
    done, begun = [], threading.Event()

    def slowly():
        begun.set()
        until((here / "a.happy.png").exists)
        done.append(threading.current_thread())

    assert run(several(here), lambda photo: begun.wait() and fakes.result(photo), [lambda: 1 // 0, slowly]) == DONE
    assert len(done) == 1 and done[0] is not threading.current_thread()


def test_what_is_not_prepared_in_time_is_dropped(here):
    begun, over = threading.Event(), threading.Event()

    def first():
        begun.set()
        until(over.is_set)

    def stylize(photo):
        begun.wait()
        threading.Timer(0.1, over.set).start()
        return fakes.result(photo)

    assert run(several(here, "a"), stylize, [first, *[lambda: pytest.fail("prepared")] * 99]) == DONE


def test_sizes(here):
    several(here, "ab")
    (here / "c.png").write_bytes(b"junk")
    fakes.write_photo(here / "d.png", size=(200, 100))
    jobs = [*plan(["d.png", "c.png", "b.png", "a.png"]), Job("-"), Job("d.png", problem="it is")]
    assert work.sizes(jobs) == [(100, 200), (11, 8), (10, 8)]
    assert work.sizes(jobs, max_megapixels=0.01) == [(11, 8), (10, 8)]


def test_alpha_survives_where_it_can(here):
    Image.new("RGBA", (4, 4), (0, 0, 0, 99)).save(here / "a.png")
    assert run(plan(["a.png"], "art.png"), fakes.result) == DONE
    assert run(plan(["a.png"], "art.jpg"), fakes.result) == DONE
    alpha = read_photo("art.png").alpha
    assert alpha is not None and (alpha == 99).all() and read_photo("art.jpg").alpha is None


def test_a_job_without_a_name_yet_has_none():
    assert Job("photo.jpg", "photo", ".jpg").output is None
