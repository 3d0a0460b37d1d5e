"""What tests of training share."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def few_curves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs draw no curves but in the tests of the loop, and in commands: drawing takes longer than the steps of a tiny run."""
    if Path(request.path).name != "test_loop.py":
        monkeypatch.setattr("emojax.train.metrics_log.plot_curves", lambda log: b"")
