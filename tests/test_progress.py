import io

import pytest

from emojax.util import progress as module
from emojax.util.progress import progress, track


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a test sets."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_redirected_stream_gets_a_line_now_and_then(clock, capsys):
    for _ in track(range(100), "photo", "scoring"):
        clock[0] += 1
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"emojax: scoring {count} of 100 photos" for count in (30, 60, 90)]


def test_short_work_prints_no_line(clock, capsys):
    assert list(track([1, 2], "photo")) == [1, 2]
    assert capsys.readouterr().err == ""


def test_without_a_unit_lines_show_a_percentage(clock, capsys):
    with progress(1000, initial=100) as shown:
        shown.set_postfix_str("512x512")
        clock[0] += 31
        shown.update(150)
    assert shown.n == 250 and capsys.readouterr().err == "emojax: 25 % 512x512\n"


def test_a_terminal_gets_a_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    assert list(track(iter([1, 2]), "photo", "scoring", 2)) == [1, 2]
    assert "scoring: 100%" in terminal.getvalue() and "2/2" in terminal.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal(), None])
def test_quiet_shows_nothing(monkeypatch, clock, stream):
    monkeypatch.setattr("sys.stderr", stream)
    with progress(2, quiet=True) as shown:
        clock[0] += 100
        shown.update()
    assert stream is None or stream.getvalue() == ""
