"""What is planned before anything is painted: which photos, and under which names the pictures are written."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emojax.cli.job import style_name
from emojax.cli.plan import plan
from emojax.cli.work import DONE, SOME_FAILED, run
from emojax.errors import EmojaxError
from emojax.images import FORMATS, write_image
from tests import fakes


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


# --- collisions


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


def test_one_file_cannot_take_several_photos(here):
    fakes.write_photo(here / "a.png")
    fakes.write_photo(here / "b.png")
    for output in ("art.png", "-"):
        with pytest.raises(EmojaxError, match="2 photos: give a folder"):
            plan(["a.png", "b.png"], output)


# --- folders and links


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


def test_pipes_in_a_folder_are_passed_over_and_broken_links_told(here):
    fakes.write_photo(here / "in" / "photo.png")
    os.mkfifo(here / "in" / "pipe.png")
    (here / "in" / "broken.png").symlink_to("nowhere")
    assert sources(plan(["in"])) == ["in/broken.png", "in/photo.png"]
