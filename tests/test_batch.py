import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emojax.cli import work
from emojax.cli.job import Job, style_name
from emojax.cli.plan import plan
from emojax.cli.work import DONE, FAILED, SOME_FAILED, run
from emojax.errors import EmojaxError, InputError
from emojax.images import FORMATS, is_ours, read_photo, write_image
from tests import fakes


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sources(jobs):
    return [job.source for job in jobs]


# --- names


@pytest.mark.parametrize(
    ("style", "name"),
    [
        ({"sad": 1.0}, "sad"),
        ({"surprise": 0.4, "happy": 0.6}, "happy+surprise"),
        ({"sad": 0.1, "happy": 0.9}, "happy"),
        ({"sad": 0.5, "angry": 0.5}, "angry+sad"),  # a tie goes by the emotions' order
        ({"neutral": 0.25, "fear": 0.75}, "fear+neutral"),
        (dict.fromkeys(("neutral", "fear", "sad", "happy"), float(np.float32(0.25))), "fear+happy+sad+neutral"),
        (dict.fromkeys(("sad", "disgust", "happy", "fear", "neutral"), 0.2), "disgust"),
    ],
)
def test_style_name(style, name):
    assert style_name(style) == name


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("photo.jpg", "photo.sad.jpg"),
        ("a.b.JPG", "a.b.sad.JPG"),
        ("photo.webp", "photo.sad.webp"),
        ("photo.psd", "photo.sad.png"),  # Pillow cannot write it
        ("photo.bmp", "photo.sad.png"),  # has no place for our mark
        ("photo", "photo.sad.png"),
    ],
)
def test_output_names(source, output, here):
    (here / "in").mkdir()
    (here / "in" / source).touch()
    (job,) = plan([f"in/{source}"])
    assert job.problem is None and job.output is None and job.output_for("sad") == os.path.join("in", output)
    (job,) = plan([f"in/{source}"], "art", style={"sad": 1.0})
    assert job.output == os.path.join("art", output) and not (here / "art").exists()


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_output_with_an_image_suffix_is_a_file(suffix):
    fakes.write_photo(Path("photo.png"))
    assert plan(["photo.png"], f"art{suffix.upper()}")[0].output == f"art{suffix.upper()}"


@pytest.mark.parametrize("output", ["art", "art.v2", "art.d/", "art.jpg/", "art.2024.05"])
def test_any_other_output_is_a_folder(output):
    fakes.write_photo(Path("photo.png"))
    (job,) = plan(["photo.png"], output)
    assert job.output is None and job.output_for("sad") == os.path.join(output.rstrip("/"), "photo.sad.png")


def test_a_folder_named_like_a_picture(here):
    fakes.write_photo(here / "photo.png")
    (here / "art.jpg").mkdir()
    assert plan(["photo.png"], "art.jpg")[0].output_for("sad") == "art.jpg/photo.sad.png"


# --- which photos


def test_folders(here):
    for name in ("b.png", "a.JPG", ".hidden.png", "sub/c.png", ".cache/d.png"):
        fakes.write_photo(here / "in" / name)
    (here / "in" / "notes.txt").touch()
    (here / "in" / "broken.png").touch()
    write_image(Image.new("RGB", (2, 2)), here / "in" / "a.sad.jpg")
    assert sources(plan(["in"])) == ["in/a.JPG", "in/b.png", "in/broken.png"]
    assert sources(plan(["in"], recursive=True)) == ["in/a.JPG", "in/b.png", "in/broken.png", "in/sub/c.png"]
    # our own output is done when it is named, and a file is done once however often it is named
    assert sources(plan(["in/a.sad.jpg", "in/b.png", "./in/b.png", "in"])) == [
        "in/a.sad.jpg",
        "in/b.png",
        "in/a.JPG",
        "in/broken.png",
    ]


def test_a_second_run_over_a_folder_finds_the_same_photos(here):
    for suffix in (".jpg", ".png", ".gif", ".bmp", ".tif", ".webp", ".jp2", ".ppm", ".tga"):
        fakes.write_photo(here / f"photo-{suffix[1:]}{suffix}")
    first = plan(["."])
    assert run(first, fakes.result) == DONE
    assert len(fakes.names(here)) == 18
    assert sources(plan(["."])) == sources(first)


# --- collisions and protection


def test_names_that_collide_are_the_problem_of_the_later_photo_alone(here, capsys):
    for name in ("a/x.jpg", "b/x.jpg", "a/x.png", "c.psd", "c.png", "d.bmp"):
        fakes.write_photo(here / name, format="PNG")
    for inputs, output in ((["a/x.jpg", "b/x.jpg"], "art"), (["b", "a"], "art"), (["c.psd", "c.png"], None)):
        first, *others = plan(inputs, output)
        (problem,) = filter(None, (job.problem for job in others))
        assert first.problem is None and first.source in problem
        assert ("would both be written to " in problem) and problem.rpartition(".EMOTION.")[2].startswith(
            ("jpg", "png")
        )
    _, job = plan(["a/x.jpg", "b/x.jpg"], "art", style={"sad": 1.0})
    assert "art/x.sad.jpg" in (job.problem or "")
    assert run(plan(["c.psd", "c.png", "d.bmp"]), fakes.result) == SOME_FAILED
    assert (here / "c.happy.png").exists() and (here / "d.happy.png").exists()
    assert capsys.readouterr().err.count("\n") == 1
    assert len(plan(["a/x.jpg", "a/x.png"], "art")) == 2
    assert len(plan(["a/x.jpg", "b/x.jpg"])) == 2


def test_a_photo_that_is_reached_by_two_folders_is_one(here):
    fakes.write_photo(here / "real" / "x.png")
    (here / "linked").symlink_to("real")
    assert sources(plan(["real/x.png", "linked/x.png"])) == ["real/x.png"]
    fakes.write_photo(here / "other" / "x.png")
    _, job = plan(["other/x.png", "linked/x.png"], "linked", style={"sad": 1.0})
    assert "would both be written" in (job.problem or "")


def test_what_cannot_be_read_takes_no_name(here):
    fakes.write_photo(here / "x.png")
    (here / "x.nef").write_bytes(b"II*\0\x08\0\0\0" + bytes(20))
    raw, photo = plan(["."])
    assert "RAW" in (raw.problem or "") and photo.problem is None


def test_an_output_folder_keeps_the_tree(here):
    for name in ("in/x.png", "in/a/x.png", "in/a/b/x.png"):
        fakes.write_photo(here / name)
    assert run(plan(["in"], "out", recursive=True), fakes.result) == DONE
    assert fakes.names(here / "out") == ["a/b/x.happy.png", "a/x.happy.png", "x.happy.png"]
    assert plan(["in/"], "out/", recursive=True)[0].output_for("sad") == "out/a/b/x.sad.png"
    assert plan(["in/a/b/x.png"], "out", recursive=True)[0].output_for("sad") == "out/x.sad.png"


def test_linked_subfolders_are_followed_and_circles_end(here):
    for name in ("in/real/x.png", "elsewhere/deep/y.png"):
        fakes.write_photo(here / name)
    (here / "in" / "a_link_to_real").symlink_to("real")
    (here / "in" / "real" / "up").symlink_to("..")
    (here / "in" / "self").symlink_to("self")
    (here / "in" / "far").symlink_to(here / "elsewhere")
    (here / "elsewhere" / "back").symlink_to(here / "in")
    assert sources(plan(["in"], recursive=True)) == ["in/far/deep/y.png", "in/real/x.png"]
    assert "no images in in" in (plan(["in"])[0].problem or "")  # without --recursive


# --- going on


def made(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(Image.new("RGB", (2, 2)), path)


@pytest.mark.parametrize("output", [None, "art"])
@pytest.mark.parametrize("style", [None, {"sad": 1.0}])
def test_what_is_done_is_skipped_before_anything_is_loaded(here, capsys, output, style):
    several(here, "abc")
    made(here / (output or ".") / "a.sad.png")
    made(here / (output or ".") / "b.happy+surprise.png")
    jobs = plan(["a.png", "b.png", "c.png"], output, style=style, skip_existing=True)
    done = [bool(job.done) for job in jobs]
    assert done == ([True, True, False] if style is None else [True, False, False])
    assert work.sizes(jobs) == [(10 + index, 8) for index in range(3) if not done[index]]
    painted = []

    def stylize(photo):
        painted.append(photo.pixels.shape[0] - 10)
        return fakes.result(photo, "sad")

    assert run(jobs, stylize, as_json=True) == DONE
    assert painted == [index for index in range(3) if not done[index]]
    captured = capsys.readouterr()
    row = json.loads(captured.out.splitlines()[0])
    assert row["output"] == os.path.join(output or "", "a.sad.png") and "done already" in row["note"]
    assert "error" not in row and captured.err.count("done already") == sum(done)
    again = plan(["a.png", "b.png", "c.png"], output, style=style, skip_existing=True)
    assert all(job.done for job in again) and run(again, lambda photo: pytest.fail("painted")) == DONE


@pytest.mark.parametrize("name", ["a.other.png", "a.sad.jpg", "aa.sad.png", "a.b.sad.png", "a.sad.happy.png"])
def test_other_names_are_not_taken_for_outputs(here, name):
    several(here, "a")
    made(here / name)
    assert plan(["a.png"], skip_existing=True)[0].done is None


@pytest.mark.parametrize("style", [None, {"happy": 1.0}])
def test_a_picture_that_may_be_of_two_photos_makes_neither_done(here, style):
    """Only a.png was there when it was painted."""
    several(here, "ab")
    assert run(plan(["."]), fakes.result) == DONE
    fakes.write_photo(here / "a.bmp")
    jobs = plan(["."], style=style, skip_existing=True)
    assert [job.source for job in jobs] == ["a.bmp", "a.png", "b.png"]
    for job in jobs[:2]:
        assert job.done is None and "a.happy.png may be the picture of" in job.problem and "rename" in job.problem
    assert jobs[2].done == "b.happy.png"
    (here / "a.happy.png").unlink()  # the first is painted, the second would be written over it
    first, second, _ = plan(["."], style=style, skip_existing=True)
    assert first.is_open and "both" in second.problem


def test_a_photo_that_changed_after_it_was_painted_is_named(here, capsys):
    several(here, "ab")
    assert run(plan(["."]), fakes.result) == DONE
    capsys.readouterr()
    later = (here / "a.happy.png").stat().st_mtime + 5
    os.utime(here / "a.png", (later, later))
    jobs = plan(["."], skip_existing=True)
    assert all(job.done for job in jobs) and run(jobs, lambda photo: pytest.fail("painted")) == DONE
    first, second = capsys.readouterr().err.splitlines()
    assert "a.happy.png" in first and "the photo is newer" in first and "newer" not in second


def test_foreign_files_are_not_taken_for_outputs(here):
    several(here, "a")
    fakes.write_photo(here / "a.sad.png")
    assert plan(["a.png"], skip_existing=True)[0].done is None
    (job,) = plan(["a.png"], style={"sad": 1.0}, skip_existing=True)
    assert job.done is None and "exists" in (job.problem or "")
    (job,) = plan(["a.png"], "a.png", skip_existing=True)
    assert job.done is None and "an input" in (job.problem or "")


def test_a_format_without_a_mark_is_done_if_it_is_there(here):
    several(here, "a")
    made(here / "art.bmp")
    assert plan(["a.png"], "art.bmp", skip_existing=True)[0].done == "art.bmp"


# --- links


def test_a_link_as_output_stays_and_its_target_is_written(here):
    several(here, "a")
    target = fakes.write_photo(here / "deep" / "target.png")
    (here / "link.png").symlink_to(target)
    (here / "broken.png").symlink_to(here / "deep" / "new.png")
    assert "--force" in (plan(["a.png"], "link.png")[0].problem or "")
    for link, end in (("link.png", target), ("broken.png", here / "deep" / "new.png")):
        assert run(plan(["a.png"], link, force=True), fakes.result, force=True) == DONE
        assert (here / link).is_symlink() and is_ours(end)
    assert fakes.names(here / "deep") == ["new.png", "target.png"]


def test_links_in_a_circle_are_one_line(here, capsys):
    several(here, "a")
    (here / "link.png").symlink_to("link.png")
    assert run(plan(["a.png"], "link.png", force=True), fakes.result, force=True) == FAILED
    assert "symbolic links" in capsys.readouterr().err and (here / "link.png").is_symlink()


def test_pipes_in_a_folder_are_passed_over_and_broken_links_told(here):
    fakes.write_photo(here / "in" / "photo.png")
    os.mkfifo(here / "in" / "pipe.png")
    (here / "in" / "broken.png").symlink_to("nowhere")
    assert sources(plan(["in"])) == ["in/broken.png", "in/photo.png"]


def test_one_file_cannot_take_several_photos(here):
    fakes.write_photo(here / "a.png")
    fakes.write_photo(here / "b.png")
    for output in ("art.png", "-"):
        with pytest.raises(EmojaxError, match="2 photos: give a folder"):
            plan(["a.png", "b.png"], output)


@pytest.mark.parametrize("link", ["itself", "symlink", "hard link", "input by a link", "in a linked folder"])
@pytest.mark.parametrize("early", [True, False])
def test_an_output_that_is_an_input_is_refused_even_with_force(here, link, early):
    photo = fakes.write_photo(here / "photo.png")
    target, source = here / "art.sad.png", "photo.png"
    if link == "itself":
        photo = photo.rename(target)
        fakes.write_photo(here / "art.png")
        inputs, output = ["art.png", "art.sad.png"], None
    else:
        if link == "symlink":
            target.symlink_to("photo.png")
        elif link == "hard link":
            target.hardlink_to(photo)
        elif link == "in a linked folder":
            (here / "real").mkdir()
            photo = photo.rename(here / "real" / "art.sad.png")
            (here / "linked").symlink_to("real")
            source, target = "real/art.sad.png", here / "linked" / "art.sad.png"
        else:
            photo = photo.rename(target)
            (here / "alias.png").symlink_to(target)
            source = "alias.png"
        inputs, output = [source], str(target)
    before = photo.read_bytes()
    jobs = plan(inputs, output, style={"sad": 1.0} if early else None, force=True)
    if early or output:
        assert "links to" in (jobs[0].problem or "")
    code = run(jobs, lambda photo: fakes.result(photo, "sad"), force=True)
    assert code == (SOME_FAILED if link == "itself" else FAILED)
    assert photo.read_bytes() == before


def test_standard_output_that_is_the_input(here, monkeypatch):
    fakes.write_photo(here / "photo.png")
    before = (here / "photo.png").read_bytes()
    with open(here / "photo.png", "a") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        (job,) = plan(["photo.png"], "-")
        assert job.problem is not None and "the photo itself" in job.problem
    assert (here / "photo.png").read_bytes() == before


def test_standard_input_that_is_the_output(here, monkeypatch):
    photo = fakes.write_photo(here / "photo.png")
    with photo.open("rb") as stream:
        monkeypatch.setattr("sys.stdin", stream)
        (job,) = plan(["-"], "photo.png", force=True)
    assert "links to" in (job.problem or "")


def test_two_names_for_one_output(here):
    # as on a file system that ignores case; here by a link
    for name in ("a.png", "b.png"):
        fakes.write_photo(here / name)
    (here / "art").mkdir()
    (here / "art" / "b.happy.png").symlink_to("a.happy.png")
    assert run(plan(["a.png", "b.png"], "art"), fakes.result, force=True) == SOME_FAILED
    assert (here / "art" / "b.happy.png").is_symlink() and is_ours(here / "art" / "a.happy.png")


@pytest.mark.parametrize("early", [True, False])
def test_an_existing_output_needs_force(here, early, capsys):
    fakes.write_photo(here / "photo.png")
    old = fakes.write_photo(here / "photo.happy.png")
    before, calls = old.read_bytes(), []

    def stylize(photo):
        calls.append(photo)
        return fakes.result(photo)

    style = {"happy": 1.0} if early else None
    assert run(plan(["photo.png"], style=style), stylize) == FAILED
    assert old.read_bytes() == before and len(calls) == (not early)
    assert capsys.readouterr().err.count("--force") == 1
    assert run(plan(["photo.png"], style=style, force=True), stylize, force=True) == DONE
    assert is_ours(old) and fakes.names(here) == ["photo.happy.png", "photo.png"]


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


def several(here, names="abcde"):
    """Photos of different heights."""
    for index, name in enumerate(names):
        fakes.write_photo(here / f"{name}.png", size=(8, 10 + index))
    return plan([f"{name}.png" for name in names])


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
