"""`emojax style swatches`: textures of the paintings that a style mixes."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from emojax.errors import EmojaxError
from emojax.nets.stylizer_config import StylizerConfig
from emojax.train.styles import swatches
from emojax.train.styles.config import StyleTraining

STYLES = StyleTraining(
    model=StylizerConfig(style_names=("red", "blue", "photo")), mixes=("sad=red:0.5,blue:0.5", "happy=red")
)


@pytest.fixture
def command(tiny_style_data, tmp_path, monkeypatch):
    for name, color in (("red", (200, 20, 20)), ("blue", (20, 20, 200))):
        Image.new("RGB", (70, 70), color).save(tmp_path / f"{name}.png")
    monkeypatch.setattr(swatches, "CONFIG", dataclasses.replace(swatches.CONFIG, steps=(1, 2), coarsest=64))
    vgg16 = tiny_style_data[tiny_style_data.index("--vgg16") + 1]
    fixed = ["--paintings", str(tmp_path), "--vgg16", vgg16, "--size", "64", "--output", str(tmp_path / "out")]
    return lambda *more: swatches.main([*fixed, *more], STYLES)


def test_a_swatch_has_the_colours_of_its_mix(command, tmp_path, capsys):
    assert command("--emotions", "sad", "happy") == 0
    sad, happy = (np.asarray(Image.open(tmp_path / "out" / f"{name}.jpg")) for name in ("sad", "happy"))
    assert sad.shape == happy.shape == (64, 64, 3)
    assert happy[..., 0].mean() > 5 * happy[..., 2].mean()
    assert 0.5 < sad[..., 0].mean() / sad[..., 2].mean() < 2
    with pytest.raises(EmojaxError, match="exists"):
        command("--emotions", "sad")


def test_sizes(command):
    with pytest.raises(EmojaxError, match="--size 32"):
        command("--size", "32")
