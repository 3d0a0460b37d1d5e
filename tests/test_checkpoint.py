import dataclasses
import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest
import tiny

from emojax.errors import EmojaxError
from emojax.nets.classifier_config import ClassifierConfig
from emojax.nets.stylizer import init_stylizer
from emojax.nets.stylizer_config import StylizerConfig
from emojax.weights import store

CONFIG = StylizerConfig(width=2, blocks=1, style_names=("sad", "happy"))


@pytest.fixture(scope="module")
def params():
    return tiny.stylizer_params(CONFIG)


@pytest.fixture(scope="module")
def saved(params, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "styles"
    training = {"opt": (np.arange(3.0), [np.int32(7)]), "key": np.array([1, 2], np.uint32)}
    store.save_checkpoint(
        path, "styles", CONFIG, params, step=5, metrics={"loss": 1.5}, score=-1.5, training=training, position={"at": 9}
    )
    return path


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def load(path, params):
    found = store.read_checkpoint(path, "styles")
    return store.load_params(found, params)


def test_what_was_saved_is_loaded(saved, params):
    found = store.read_checkpoint(saved, "styles")
    assert (found.step, found.metrics, found.score) == (5, {"loss": 1.5}, -1.5)
    assert store.model_config(found, StylizerConfig) == CONFIG
    jax.tree.map(np.testing.assert_array_equal, store.load_params(found, params), params)
    target = {"opt": (np.zeros(3), [np.int32(0)]), "key": np.zeros(2, np.uint32)}
    state = store.load_training(found, target)
    assert store.load_position(found) == {"at": 9} and isinstance(state["opt"], tuple)
    np.testing.assert_array_equal(state["opt"][0], [0, 1, 2])
    assert state["opt"][1][0] == 7


def test_no_file_tells_where_it_was_written(saved):
    for file in saved.rglob("*"):
        assert not file.is_file() or str(saved.parent).encode() not in file.read_bytes(), file


def test_nothing_but_the_checkpoint_is_left(saved):
    assert [p.name for p in saved.parent.iterdir()] == ["styles"]


def test_the_hash_sees_names_bytes_and_the_header(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a").write_bytes(b"one")
    before = store.content_hash(tmp_path, {"x": 1})
    assert store.content_hash(tmp_path, {"x": 1}) == before != store.content_hash(tmp_path, {"x": 2})
    (tmp_path / ".DS_Store").write_bytes(b"left by a file manager")
    assert store.content_hash(tmp_path, {"x": 1}) == before
    (tmp_path / "deep" / "a").rename(tmp_path / "deep" / "b")
    renamed = store.content_hash(tmp_path, {"x": 1})
    (tmp_path / "deep" / "b").write_bytes(b"two")
    assert len({before, renamed, store.content_hash(tmp_path, {"x": 1})}) == 3


def overwrite(file):
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 16] = bytes(b ^ 0xFF for b in data[middle : middle + 16])
    file.write_bytes(data)


def truncate(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize(
    "damage", [overwrite, truncate, lambda file: file.unlink(), lambda file: file.write_bytes(b"")]
)
def test_damage_to_any_file_is_noticed(saved, params, tmp_path, damage):
    """By us, not by Orbax, which loads overwritten bytes silently and prints tracebacks of its threads for others."""
    files = sorted(path.relative_to(saved) for path in (saved / "params").rglob("*") if path.is_file())
    assert len(files) > 3
    for index, file in enumerate(files):
        copy = shutil.copytree(saved, tmp_path / str(index))
        if not (copy / file).stat().st_size:
            continue
        damage(copy / file)
        with pytest.raises(EmojaxError, match="damaged or incomplete") as error:
            load(copy, params)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", [overwrite, truncate])
def test_damage_to_the_training_state_is_noticed(copy, damage):
    damage(max((p for p in (copy / "training").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size))
    found = store.read_checkpoint(copy, "styles")
    with pytest.raises(EmojaxError, match="damaged or incomplete: model.json and training/"):
        store.load_position(found)


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, params):
    """A limit on the size of files stands in for it: TensorStore reports both as its own errors."""
    code = (
        "import resource, signal, sys, numpy as np\n"
        "from pathlib import Path\nfrom emojax.weights import store\nfrom emojax.util.commandline import run\n"
        "from emojax.nets.stylizer_config import StylizerConfig\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))\n"
        "noise = np.random.default_rng(0).normal(size=(100, 100))\n"
        "sys.exit(run(lambda: store.save_checkpoint(Path('step'), 'styles', StylizerConfig(), {'a': noise})))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and "emojax: error: cannot write the checkpoint step" in done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.iterdir())


def test_another_architecture_is_named(saved):
    larger = dataclasses.replace(CONFIG, width=3)
    with pytest.raises(EmojaxError, match="another architecture.*instead of"):
        load(saved, jax.eval_shape(lambda: init_stylizer(larger, jax.random.PRNGKey(0))))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"format": 99}, "format 99"),
        ({"kind": "classifier"}, "of kind 'classifier'"),
        ({"sha256": "0" * 64}, "damaged or incomplete"),
        ({"config": {"width": 2, "blocks": 1, "style_names": ["happy", "sad"]}}, "damaged or incomplete"),
        ({"score": "high"}, r"model\.json is damaged"),
        ({"config": {"width": 2, "depth": 1, "layers": 9}}, "another architecture: its config has depth, layers"),
        ({"config": {"width": 2.0, "blocks": 1, "style_names": ["sad", "happy"]}}, "damaged or incomplete"),
    ],
)
def test_descriptions_that_do_not_fit(copy, params, change, part):
    file = copy / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))

    def read():
        store.model_config(store.read_checkpoint(copy, "styles"), StylizerConfig)
        load(copy, params)

    with pytest.raises(EmojaxError, match=part):
        read()


@pytest.mark.parametrize(
    ("earlier", "kind", "config"),
    [
        ("styles", "styles", CONFIG),
        ("bank", "styles", dataclasses.replace(CONFIG, network_per_style=True)),
        ("kinds", "classifier", ClassifierConfig("mobilefacenet", widths=(4, 4, 4), size=32, channels=3, domains=2)),
    ],
)
def test_fields_are_read_by_their_earlier_names(earlier, kind, config, tmp_path):
    fields = dataclasses.asdict(config)
    today = {"bank": "network_per_style", "kinds": "domains", "styles": "style_names"}[earlier]
    fields[earlier] = fields.pop(today)
    earlier_config = dataclasses.make_dataclass("Earlier", fields)(**fields)
    store.save_checkpoint(tmp_path / "old", kind, earlier_config, {"x": np.zeros(1)})
    assert store.model_config(store.read_checkpoint(tmp_path / "old", kind), type(config)) == config


def test_arrays_are_read_by_their_earlier_paths(tmp_path):
    """`styles/LAYER/scale` is `style_table/LAYER/scale` now, in the parameters and in the optimizer's state."""

    def state(params):
        return {"opt": (optax.ScaleByAdamState(np.int32(5), params, params), optax.EmptyState()), "ema": (params, None)}

    params = tiny.stylizer_params(CONFIG)
    earlier = {"network": params["network"], "styles": params["style_table"]}
    store.save_checkpoint(tmp_path / "old", "styles", CONFIG, earlier, training=state(earlier))
    found = store.read_checkpoint(tmp_path / "old", "styles")
    jax.tree.map(np.testing.assert_array_equal, store.load_params(found, params), params)
    target = jax.tree.map(np.zeros_like, state(params))
    jax.tree.map(np.testing.assert_array_equal, store.load_training(found, target), state(params))


def test_values_that_no_longer_are_allowed(copy):
    """Written by a version that was less strict, say: the hash is right."""
    file = copy / "model.json"
    description = json.loads(file.read_text()) | {"config": {"width": 0, "blocks": 1, "style_names": ["sad", "happy"]}}
    description["sha256"] = store.content_hash(copy / "params", ["styles", description["config"]])
    file.write_text(json.dumps(description))
    with pytest.raises(EmojaxError, match="invalid config"):
        store.model_config(store.read_checkpoint(copy, "styles"), StylizerConfig)


def test_a_field_that_came_later_takes_its_default(copy):
    file = copy / "model.json"
    description = json.loads(file.read_text())
    del description["config"]["blocks"]
    description["sha256"] = store.content_hash(copy / "params", ["styles", description["config"]])
    file.write_text(json.dumps(description))
    config = store.model_config(store.read_checkpoint(copy, "styles"), StylizerConfig)
    assert config.blocks == StylizerConfig().blocks and config.width == CONFIG.width


def test_a_newer_format_is_named_whatever_it_holds(copy):
    (copy / "model.json").write_text('{"format": 2, "arrays": []}')
    with pytest.raises(EmojaxError, match="format 2, this emojax reads 1: update"):
        store.read_checkpoint(copy, "styles")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 1}'])
def test_foreign_descriptions(copy, text):
    (copy / "model.json").write_text(text)
    with pytest.raises(EmojaxError, match=r"model\.json is damaged"):
        store.read_checkpoint(copy, "styles")


def test_no_checkpoint(tmp_path):
    with pytest.raises(EmojaxError, match="does not exist"):
        store.read_checkpoint(tmp_path / "none", "styles")
    with pytest.raises(EmojaxError, match=r"no model\.json"):
        store.read_checkpoint(tmp_path, "styles")


def test_a_checkpoint_without_training_state_cannot_be_resumed(copy):
    shutil.rmtree(copy / "training")
    with pytest.raises(EmojaxError, match="not resumed"):
        store.load_position(store.read_checkpoint(copy, "styles"))


def test_the_newest_and_the_best_are_kept(tmp_path, params):
    for step, score in ((1, 0.1), (2, 0.9), (3, 0.5), (4, 0.6)):
        path = tmp_path / f"step_{step:08d}"
        store.save_checkpoint(path, "styles", CONFIG, params, step=step, score=score, training={"a": np.ones(1)})
        store.keep_newest_and_best(tmp_path, "styles")
    assert [p.name for p in store.checkpoints_in(tmp_path)] == ["step_00000002", "step_00000004"]
    assert store.read_checkpoint(tmp_path, "styles").step == 2
    assert not (tmp_path / "step_00000002" / "training").exists()


def test_a_folder_that_cannot_be_written(tmp_path, params):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EmojaxError, match="cannot write"):
        store.save_checkpoint(tmp_path / "file" / "step", "styles", CONFIG, params)
