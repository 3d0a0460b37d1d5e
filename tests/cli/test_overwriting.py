"""An input is never written over, by whatever name, and another file only with --force."""

import pytest

from emojax.cli.plan import plan
from emojax.cli.work import DONE, FAILED, SOME_FAILED, run
from emojax.images import is_ours
from tests import fakes
from tests.fakes import several


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
