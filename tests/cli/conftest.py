"""What tests of the commands share."""

import pytest

from emojax.cli import stylize as program
from tests import fakes


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setattr(program, "_load", lambda *_: (fakes.result, []))


@pytest.fixture
def asked(monkeypatch):
    """A fake model; the options that it was made with."""
    seen = []

    def load(options, *_):
        seen.append(options)
        return lambda photo: fakes.result(photo, options.emotion or "happy", faces=not options.emotion), []

    monkeypatch.setattr(program, "_load", load)
    return seen
