import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from emojax import checkpoint as ckpt
from emojax.errors import UserError
from emojax.stylizer import StylizerConfig, init_stylizer

CONFIG = StylizerConfig(width=2, blocks=1, styles=("sad", "happy"))


@pytest.fixture(scope="module")
def params():
    return jax.tree.map(np.asarray, init_stylizer(CONFIG, jax.random.PRNGKey(0)))


@pytest.fixture(scope="module")
def saved(params, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "styles"
    training = {"opt": (np.arange(3.0), [np.int32(7)]), "key": np.array([1, 2], np.uint32)}
    ckpt.save_checkpoint(
        path, "styles", CONFIG, params, step=5, metrics={"loss": 1.5}, score=-1.5, training=training, iterator={"at": 9}
    )
    return path


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def load(path, params):
    found = ckpt.read_checkpoint(path, "styles")
    return ckpt.load_params(found, params)


def test_what_was_saved_is_loaded(saved, params):
    found = ckpt.read_checkpoint(saved, "styles")
    assert (found.step, found.metrics, found.score) == (5, {"loss": 1.5}, -1.5)
    assert ckpt.model_config(found, StylizerConfig) == CONFIG
    jax.tree.map(np.testing.assert_array_equal, ckpt.load_params(found, params), params)
    target = {"opt": (np.zeros(3), [np.int32(0)]), "key": np.zeros(2, np.uint32)}
    state, position = ckpt.load_training(found, target)
    assert position == {"at": 9} and isinstance(state["opt"], tuple)
    np.testing.assert_array_equal(state["opt"][0], [0, 1, 2])
    assert state["opt"][1][0] == 7


def test_nothing_but_the_checkpoint_is_left(saved):
    assert [p.name for p in saved.parent.iterdir()] == ["styles"]


def test_the_hash_sees_values_shapes_and_names():
    a = {"x": np.arange(4.0), "y": np.ones(2)}
    assert ckpt.content_hash(a) == ckpt.content_hash({"y": np.ones(2), "x": np.arange(4.0)})
    for other in (
        {"x": np.arange(4.0), "z": np.ones(2)},
        {**a, "x": np.arange(4.0).reshape(2, 2)},
        {**a, "y": np.zeros(2)},
    ):
        assert ckpt.content_hash(a) != ckpt.content_hash(other)


def largest_file(path):
    return max((p for p in (path / "params").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_overwritten_bytes_are_noticed(copy, params):
    file = largest_file(copy)
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 16] = bytes(b ^ 0xFF for b in data[middle : middle + 16])
    file.write_bytes(data)
    with pytest.raises(UserError, match="corrupt|damaged"):
        load(copy, params)


# TensorStore abandons the reads that were under way when one of them fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_truncated_file_is_noticed(copy, params):
    file = largest_file(copy)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(UserError, match="damaged") as error:
        load(copy, params)
    assert "\n" not in str(error.value)


def test_another_architecture_is_named(saved):
    larger = dataclasses.replace(CONFIG, width=3)
    with pytest.raises(UserError, match="another architecture.*instead of"):
        load(saved, jax.eval_shape(lambda: init_stylizer(larger, jax.random.PRNGKey(0))))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"format": 99}, "format 99"),
        ({"kind": "classifier"}, "of kind 'classifier'"),
        ({"sha256": "0" * 64}, "corrupt"),
        ({"config": {"width": 2}}, "another architecture: its config differs in blocks, styles"),
        ({"config": {"width": 0, "blocks": 1, "styles": ["a"]}}, "invalid config"),
    ],
)
def test_descriptions_that_do_not_fit(copy, params, change, part):
    file = copy / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))

    def read():
        ckpt.model_config(ckpt.read_checkpoint(copy, "styles"), StylizerConfig)
        load(copy, params)

    with pytest.raises(UserError, match=part):
        read()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 1}'])
def test_foreign_descriptions(copy, text):
    (copy / "model.json").write_text(text)
    with pytest.raises(UserError, match=r"model\.json is damaged"):
        ckpt.read_checkpoint(copy, "styles")


def test_no_checkpoint(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        ckpt.read_checkpoint(tmp_path / "none", "styles")
    with pytest.raises(UserError, match=r"no model\.json"):
        ckpt.read_checkpoint(tmp_path, "styles")


def test_a_checkpoint_without_training_state_cannot_be_resumed(copy):
    shutil.rmtree(copy / "training")
    with pytest.raises(UserError, match="not resumed"):
        ckpt.load_training(ckpt.read_checkpoint(copy, "styles"), {})


def test_the_newest_and_the_best_are_kept(tmp_path, params):
    for step, score in ((1, 0.1), (2, 0.9), (3, 0.5), (4, 0.6)):
        path = tmp_path / f"step_{step:08d}"
        ckpt.save_checkpoint(path, "styles", CONFIG, params, step=step, score=score, training={"a": np.ones(1)})
        ckpt.keep_newest_and_best(tmp_path, "styles")
    assert [p.name for p in ckpt.checkpoints_in(tmp_path)] == ["step_00000002", "step_00000004"]
    assert ckpt.read_checkpoint(tmp_path, "styles").step == 2
    assert not (tmp_path / "step_00000002" / "training").exists()


def test_a_folder_that_cannot_be_written(tmp_path, params):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"):
        ckpt.save_checkpoint(tmp_path / "file" / "step", "styles", CONFIG, params)
