import dataclasses
from functools import partial

import jax
import numpy as np
import pytest
import tiny
from jax import lax

from emojax.errors import EmojaxError
from emojax.nets import classifier, domains, mobilefacenet
from emojax.nets.classifier import init_classifier
from emojax.nets.classifier_config import ClassifierConfig
from emojax.nets.classifier_nets import FaceNet
from emojax.nets.mobilefacenet import BLOCKS, MobileFaceNet, layers_before
from emojax.train.faces.transfer import from_mobilefacenet

CONFIG = ClassifierConfig(
    "mobilefacenet", widths=(4, 4, 4), dense=8, size=16, channels=3, aligned=True, domains=2, dense_dropout=0.0
)
ZOO = ClassifierConfig("mobilefacenet", widths=(64, 128, 128), dense=512, size=112, channels=3, aligned=True)
mix_domains = tiny.compiled(domains.mix_domains, static_argnums=0)


def faces(count=3, size=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


@tiny.compiled
def rows_and_halves(variables, crops):
    """The last layer's outputs, the same by way of what block 3 takes, and the logits."""
    config, params = CONFIG, {"params": variables["params"]}
    x = classifier.network_input(config, crops)
    network = FaceNet(config, np.float32)
    ours = {name: variables["params"][name] for name in layers_before(3)}
    half = MobileFaceNet(config.widths, config.dense, np.float32).apply({"params": ours}, x, 0, 3)
    whole, rest = (network.apply(params, y, begin=begin, mixed=False) for y, begin in ((x, 0), (half, 3)))
    return whole, rest, classifier.classifier_logits(config, variables, crops)


def test_the_zoos_weights_give_the_zoos_outputs(shared_data):
    folder = shared_data / "mobilefacenet"
    if not folder.is_dir():
        pytest.skip(f"no weights of MobileFaceNet in {folder}")
    shapes = jax.eval_shape(partial(init_classifier, ZOO), tiny.KEY)
    variables = from_mobilefacenet({**shapes, "temperature": np.float32(1)}, folder / "mobilefacenet_fer.safetensors")
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == 1_193_927
    reference = np.load(folder / "reference.npz")
    crops = np.stack([reference["pattern"], reference["astronaut112"]])
    logits = tiny.compiled(classifier.classifier_logits, static_argnums=0)(ZOO, variables, crops)
    expected = np.stack([reference["pattern_logits"], reference["astronaut_logits"]])[:, [0, 1, 2, 3, 5, 6, 4]]
    np.testing.assert_allclose(logits, expected, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [6, 7])
def test_shifted_products_are_a_depthwise_convolution(stride, size):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, size, size, 3)), rng.normal(size=(3, 3, 1, 3))
    x, kernel = x.astype(np.float32), kernel.astype(np.float32)

    def native(x, kernel):
        numbers = ("NHWC", "HWIO", "NHWC")
        pads = ((1, 1), (1, 1))
        return lax.conv_general_dilated(
            x, kernel, (stride, stride), pads, dimension_numbers=numbers, feature_group_count=3
        )

    def value_and_gradients(convolve):
        weigh = np.random.default_rng(1).normal(size=jax.eval_shape(convolve, x, kernel).shape).astype(np.float32)
        weighted = jax.grad(lambda *arrays: (convolve(*arrays) * weigh).sum(), (0, 1))
        return lambda x, kernel: (convolve(x, kernel), *weighted(x, kernel))

    ours = tiny.compiled(value_and_gradients(lambda x, kernel: mobilefacenet._depthwise(x, kernel, stride)))(x, kernel)
    theirs = tiny.compiled(value_and_gradients(native))(x, kernel)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_network_can_begin_behind_its_first_blocks():
    whole, rest, logits = rows_and_halves(tiny.classifier_variables(CONFIG), faces())
    assert whole.shape == (3, 2 * 8) and logits.shape == (3, 7)
    np.testing.assert_allclose(whole, rest, atol=1e-5)
    np.testing.assert_allclose(mix_domains(CONFIG, whole), logits, atol=1e-5)


def test_groups_are_read_like_single_faces():
    variables, crops = tiny.classifier_variables(CONFIG), faces(8)
    read = tiny.compiled(classifier.classify, static_argnums=0)
    alone = np.concatenate([read(CONFIG, variables, crops[i : i + 1]) for i in range(8)])
    np.testing.assert_allclose(read(CONFIG, variables, crops), alone, atol=1e-5)


def test_all_layers_but_the_last_come_before_the_last_block():
    params = jax.eval_shape(partial(init_classifier, CONFIG), tiny.KEY)["params"]
    assert set(params) - set(layers_before(BLOCKS)) == {"head", "Dense_0"} and not layers_before(0)


def test_kinds_are_mixed_by_how_likely_they_are():
    rows = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)

    def softmax(x):
        powers = np.exp(x)
        return powers / powers.sum(-1, keepdims=True)

    domains = softmax(rows[:, 14:])
    mixed = domains[:, :1] * softmax(rows[:, :7]) + domains[:, 1:] * softmax(rows[:, 7:14])
    np.testing.assert_allclose(np.exp(mix_domains(CONFIG, rows)), mixed, atol=1e-6)
    sure = np.concatenate([rows[:, :14], np.full((5, 1), 60, np.float32), np.zeros((5, 1), np.float32)], axis=1)
    np.testing.assert_allclose(np.exp(mix_domains(CONFIG, sure)), softmax(rows[:, :7]), atol=1e-6)


def test_the_start_reads_the_same_whatever_the_kind(tmp_path):
    from flax.traverse_util import flatten_dict
    from safetensors.numpy import save_file

    variables = tiny.classifier_variables(CONFIG)
    tensors = {"/".join(path): leaf for path, leaf in flatten_dict(variables["params"]).items() if path[0] != "Dense_0"}
    rng = np.random.default_rng(0)
    dense = {"kernel": rng.normal(size=(8, 7)).astype(np.float32), "bias": rng.normal(size=7).astype(np.float32)}
    save_file(tensors | {f"dense/{name}": leaf for name, leaf in dense.items()}, tmp_path / "zoo.safetensors")
    made = from_mobilefacenet(variables, tmp_path / "zoo.safetensors")
    order = [0, 1, 2, 3, 5, 6, 4]  # the zoo ends with neutral, sad, surprise
    np.testing.assert_array_equal(made["params"]["Dense_0"]["kernel"][:, :7], dense["kernel"][:, order])
    np.testing.assert_array_equal(made["params"]["Dense_0"]["bias"][7:14], dense["bias"][order])
    assert not made["params"]["Dense_0"]["kernel"][:, 14:].any()
    with pytest.raises(EmojaxError, match="the zoo's"):
        from_mobilefacenet(
            jax.eval_shape(partial(init_classifier, dataclasses.replace(CONFIG, dense=16)), tiny.KEY),
            tmp_path / "zoo.safetensors",
        )
    (tmp_path / "damaged.safetensors").write_bytes(b"no")
    for path, part in (("none.safetensors", "does not exist"), ("damaged.safetensors", "is no safetensors file")):
        with pytest.raises(EmojaxError, match=part):
            from_mobilefacenet(variables, tmp_path / path)


@pytest.mark.parametrize(
    ("bad", "part"),
    [
        ({"widths": (4, 4)}, "mobilefacenet has 3 stages"),
        ({"size": 15}, "`size` 15: it is a whole number, at least 16"),
        ({"domains": 0}, "`model.domains` 0|`domains` 0"),
        ({"architecture": "paper", "domains": 2}, "only mobilefacenet has more than 1"),
    ],
)
def test_invalid_configs(bad, part):
    with pytest.raises(EmojaxError, match=part):
        dataclasses.replace(CONFIG, **bad)
