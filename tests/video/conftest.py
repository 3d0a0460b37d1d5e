"""What tests of painted clips share."""

import jax
import pytest
import tiny
from clips import pan, write
from scenes import Scene
from tiny import FACES

from emojax import pipeline
from emojax.emotions import EMOTIONS, PHOTO
from emojax.nets.stylizer_config import StylizerConfig
from emojax.pipeline import Model
from emojax.video import analysis
from emojax.video import write as writing

STYLES = StylizerConfig(width=4, blocks=1, style_names=(*EMOTIONS, PHOTO))


@pytest.fixture(scope="module")
def model():
    params = {"classifier": tiny.classifier_variables(), "stylizer": tiny.stylizer_params(STYLES, apart=0.5)}
    return Model(FACES, STYLES, jax.device_put(params))


@pytest.fixture
def scene(monkeypatch):
    made = Scene()
    monkeypatch.setattr(analysis, "find_faces", made.find_faces)
    monkeypatch.setattr(Model, "read_crops", lambda model, crops: made.read_crops(model, crops))
    return made


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write(tmp_path_factory.mktemp("clips") / "clip.mkv", pan(20))


@pytest.fixture
def folder(model, scene, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "load", lambda **_: model)
    (tmp_path / "in").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(writing, "MARK", "a camera")  # or they would be left out as outputs of an earlier run
        write(tmp_path / "in" / "a.mp4", pan(5))
        write(tmp_path / "in" / "b.gif", pan(3))
    (tmp_path / "in" / "c.mov").write_text("no clip")
    (tmp_path / "in" / "notes.txt").write_text("no clip either")
    return tmp_path
