"""--skip-existing: a folder goes on where an earlier run has ended."""

import json
import os

import pytest
from PIL import Image

from emojax.cli import work
from emojax.cli.plan import plan
from emojax.cli.work import DONE, run
from emojax.images import write_image
from tests import fakes
from tests.fakes import several


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
