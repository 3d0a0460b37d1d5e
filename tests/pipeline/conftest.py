"""What tests of the pipeline share."""

import jax
import pytest
import tiny
from photos import TWO_FACES
from tiny import FACES, STYLES

from emojax import pipeline
from emojax.pipeline import Model


@pytest.fixture(scope="module")
def model():
    params = {"classifier": tiny.classifier_variables(), "stylizer": tiny.random_styles(STYLES)}
    return Model(FACES, STYLES, jax.device_put(params))


@pytest.fixture
def faces(monkeypatch):
    monkeypatch.setattr(pipeline.model, "find_faces", lambda detector, photo: list(TWO_FACES))


@pytest.fixture
def no_faces(monkeypatch):
    monkeypatch.setattr(pipeline.model, "find_faces", lambda detector, photo: [])
