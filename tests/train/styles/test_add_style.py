"""`emojax style add`: a new row for a frozen network, as a style file that the pipeline takes."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny
from PIL import Image

from configs.style import ADD, EMOTIONS
from emojax.errors import EmojaxError
from emojax.nets.stylizer import init_stylizer
from emojax.nets.stylizer_config import StylizerConfig
from emojax.pipeline import Model
from emojax.train.loop import LoopConfig
from emojax.train.styles import add as add_style
from emojax.weights.load import load_styles
from emojax.weights.store import save_checkpoint
from emojax.weights.style_file import network_fingerprint, open_preview, read_style_file

CONFIG = StylizerConfig(width=4, blocks=1, style_names=("sad", "happy"))
EXAMPLE = Path(__file__).parents[3] / "examples" / "astronaut.jpg"
TINY = dataclasses.replace(
    ADD,
    steps=4,
    data=dataclasses.replace(ADD.data, crop=32, held_out=1),
    loop=LoopConfig(log_every=1, evaluate_every=2, save_every=2),
)


@pytest.fixture(scope="module")
def flags(tiny_style_data, tmp_path_factory):
    root = tmp_path_factory.mktemp("network")
    save_checkpoint(root / "styles", "styles", CONFIG, tiny.stylizer_params(CONFIG))
    found = dict(zip(tiny_style_data[::2], tiny_style_data[1::2], strict=True))
    painting = Path(found["--data.paintings"]) / "fear" / "painting.png"
    return [
        *("--painting", str(painting), "--name", "joy", "--checkpoint", str(root / "styles")),
        *("--photos", found["--data.photos"], "--vgg16", found["--vgg16"], "--style-scale", "0.125"),
    ]


def test_a_painting_becomes_a_pack(flags, tmp_path, capsys):
    out = ["--run", str(tmp_path / "run"), "--output", str(tmp_path / "joy.pack"), "--author", "Munch"]
    assert add_style.main([*flags, *out], TINY, EXAMPLE) == 0
    assert "joy starts from the style" in capsys.readouterr().err
    style_file = read_style_file(tmp_path / "joy.pack")
    assert (style_file.name, style_file.author, style_file.licence) == ("joy", "Munch", "")
    assert open_preview(style_file).size == (128, 128)
    checkpoint = flags[flags.index("--checkpoint") + 1]
    network = load_styles(checkpoint)
    model = Model(tiny.FACES, network[0], {"classifier": None, "stylizer": network[1]}).with_style_files([style_file])
    photo = np.asarray(Image.open(EXAMPLE).resize((64, 64)))
    joy = model.stylize(photo, "joy")
    assert all((model.stylize(photo, name) != joy).any() for name in CONFIG.style_names)
    # what was learned is a row, and the network is what it was
    before, (_, after) = network[1], _learned(tmp_path / "run")
    jax.tree.map(np.testing.assert_array_equal, after["network"], before["network"])
    rows = jax.tree.leaves(
        jax.tree.map(lambda new, old: (new[0] != old).any(1).all(), after["style_table"], before["style_table"])
    )
    assert all(rows)  # every scale and shift moved
    with pytest.raises(EmojaxError, match="exists"):
        add_style.main([*flags, *out], TINY, EXAMPLE)


def test_a_weaker_style_is_nearer_to_the_photo():
    config = StylizerConfig(width=4, blocks=1, style_names=("sad", "photo"))
    rows = {"down0": {"scale": np.float32([[1, 1], [0, 4]])}}
    row = {"down0": {"scale": np.float32([2, 2])}}
    np.testing.assert_allclose(add_style.weaken(config, row, rows, 0.75)["down0"]["scale"], [1.5, 2.5])
    assert add_style.weaken(config, row, rows, 1.0)["down0"]["scale"].tolist() == [2, 2]
    assert add_style.weaken(CONFIG, row, rows, 0.5) is row  # a network without that row has no weaker styles


def _learned(run):
    from emojax.weights import store

    found = store.read_checkpoint(store.checkpoints_in(run)[-1], "styles")
    config = store.model_config(found, StylizerConfig)
    return config, store.load_params(found, jax.eval_shape(lambda: init_stylizer(config, jax.random.PRNGKey(0))))


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--name", "sad"], "an emotion's"),
        (["--painting", "missing.jpg"], "does not exist"),
        (["--output", "joy.png"], "ends in .pack"),
        (["--style-scale", "0"], "0.1 to 8"),
        (["--strength", "1.1"], "0, the photo, to 1"),
        (["--checkpoint", "missing"], "no checkpoint"),
    ],
)
def test_mistakes_are_told_before_the_work(flags, more, reason, tmp_path):
    with pytest.raises(EmojaxError, match=reason):
        add_style.main([*flags, "--run", str(tmp_path / "run"), *more], TINY, EXAMPLE)
    assert not (tmp_path / "run").exists()


def test_the_astronaut_is_enough_to_learn_on(flags, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos = flags.index("--photos")
    short = dataclasses.replace(TINY, steps=1, loss=EMOTIONS.loss)  # with the fewest terms to compile
    assert add_style.main([*flags[:photos], *flags[photos + 2 :]], short, EXAMPLE) == 0
    assert read_style_file("joy.pack").name == "joy"
    assert [path.name[:8] for path in Path("runs").iterdir()] == ["add_joy_"]


def test_another_network_or_painting_is_another_run(flags, tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"1")
    second.write_bytes(b"2")
    assert len({add_style.run_folder("joy", network, p) for network in "xy" for p in (first, second)}) == 4
    other = dataclasses.replace(CONFIG, style_names=("joy",))
    params = tiny.stylizer_params(other, seed=1)
    save_checkpoint(tmp_path / "run" / "step_00000001", "styles", other, params)
    assert add_style.check_run(tmp_path / "run", other, network_fingerprint(params["network"]))
    with pytest.raises(EmojaxError, match="for another network"):
        add_style.main([*flags, "--run", str(tmp_path / "run"), "--output", str(tmp_path / "j.pack")], TINY, EXAMPLE)
