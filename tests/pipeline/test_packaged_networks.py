"""The networks that travel in the package."""

import json
from pathlib import Path

import goldens
import numpy as np
import pytest
from photos import apart, photo
from PIL import Image
from tiny import FACES

import emojax
from emojax.emotions import EMOTIONS, PHOTO
from emojax.nets.stylizer_config import StylizerConfig
from emojax.pipeline import Model, load
from emojax.weights.load import find_styles, load_styles


def test_a_picture_of_one_colour_gets_no_pattern(optimized):
    """The CPU's convolutions round unevenly, which the norms must not amplify."""
    model = load()
    out = model.stylize(np.full((90, 90, 3), 128, np.uint8), "happy")
    assert (out.max((0, 1)).astype(int) - out.min((0, 1))).max() <= 1


def test_the_packaged_model_repaints_the_astronaut(optimized):
    model = emojax.load()
    astronaut = np.asarray(Image.open("examples/astronaut.jpg"))
    result = model(astronaut)
    assert len(result.faces) == 1 and result.faces[0].face.confidence > 0.7
    assert max(result.emotion, key=result.emotion.get) == "happy" and result.style == {"happy": 1.0}
    assert result.image.size == (512, 512)
    assert apart(result.image, astronaut).mean() > 10
    pictures = [model.stylize(astronaut[:128, :128], name).astype(int) for name in EMOTIONS]
    for i, one in enumerate(pictures):
        for other in pictures[:i]:
            assert np.abs(one - other).mean() > 8  # seven styles, all different


@pytest.mark.parametrize("network", [None, "fast"])
def test_the_packaged_styles_are_those_that_were_packed(optimized, network):
    """Roughly, so that no compiler matters: a few levels, and each style is nearest to what it was itself."""
    expected = json.loads(goldens.FILE.read_text())[network or "default"]
    found = goldens.found(network)
    assert found.keys() == expected.keys()
    for name, cells in found.items():
        distances = {other: apart(cells, golden).mean() for other, golden in expected.items()}
        assert distances[name] < 3 and min(distances, key=distances.get) == name, (
            f"the packaged style {name!r} paints otherwise than it did ({distances[name]:.1f} levels). If its weights were "
            "replaced on purpose, run python tests/goldens.py and commit tests/goldens.json with them; else this is a bug"
        )


@pytest.mark.parametrize(("name", "patch"), [(None, 2), ("fast", 4)])
def test_two_networks_travel_in_the_package(optimized, name, patch):
    """They have all styles, and paint; a path is what it says."""
    assert find_styles(Path("fast")) == find_styles("./fast") == Path("fast")
    config, params = load_styles(find_styles(name))
    assert config == StylizerConfig(width=16, patch=patch, blocks=config.blocks, style_names=(*EMOTIONS, PHOTO))
    model = Model(FACES, config, {"classifier": None, "stylizer": params})
    picture = model.stylize(photo(), "happy")
    assert picture.shape == photo().shape and np.abs(picture.astype(int) - model.stylize(photo(), "sad")).mean() > 5


def test_the_packaged_models_have_names():
    assert emojax.available_models() == ["default", "fast"]
    assert find_styles("default") == find_styles(None)
