from collections import Counter
from functools import partial
from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from tiny import FACES as TINY
from tiny import classifier_variables, compiled

from emojax.errors import EmojaxError
from emojax.nets import classifier
from emojax.nets.classifier import init_classifier
from emojax.nets.classifier_config import ClassifierConfig
from emojax.nets.classifier_nets import Classifier, FaceNet, PaperNet, Vgg16Net
from emojax.nets.mobilefacenet import MobileFaceNet

classify = compiled(classifier.classify, static_argnums=0)
classifier_logits = compiled(classifier.classifier_logits, static_argnums=0)
network_input = compiled(classifier.network_input, static_argnums=0)

VGG16 = ClassifierConfig("vgg16", widths=(4, 4, 8, 8), size=16)


@pytest.fixture(scope="module")
def variables():
    return classifier_variables()


def network_of(variables):
    return {"params": variables["params"], "batch_stats": variables["batch_stats"]}


def crops(count=5, size=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


def layer_names(config):
    """The names of the network's layers in the order in which they run ("Conv_0", "BatchNorm_0", ...)."""
    names = []

    def record(run, args, kwargs, context):
        if context.method_name == "__call__" and not isinstance(
            context.module, (Classifier, PaperNet, Vgg16Net, FaceNet, MobileFaceNet)
        ):
            names.append(context.module.name or type(context.module).__name__)
        return run(*args, **kwargs)

    with nn.intercept_methods(record):
        jax.eval_shape(lambda: init_classifier(config, jax.random.PRNGKey(0)))
    return tuple(names)


def test_the_network_that_runs_has_the_papers_21_layers():
    names = layer_names(ClassifierConfig())
    assert len(names) == 21 and len(set(names)) == 21
    kinds = [name.split("_")[0] for name in names]
    block = ["Conv", "BatchNorm", "Conv", "BatchNorm", "MaxPool", "Dropout"]
    assert kinds == [*block, *block, *block, "Dense", "Dropout", "Dense"]
    assert Counter(kinds) == {"Conv": 6, "BatchNorm": 6, "MaxPool": 3, "Dropout": 4, "Dense": 2}


def test_the_vgg16_network_has_its_convolutions_and_two_norms():
    names = layer_names(VGG16)
    assert [name for name in names if name.startswith("conv")] == [
        f"conv{layer}" for layer in ("1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1")
    ]
    assert names[-5:] == ("Dropout_2", "conv4_1", "BatchNorm_1", "Dropout_3", "Dense_0")
    real = ClassifierConfig("vgg16", widths=(64, 128, 256, 512))
    variables = jax.eval_shape(partial(init_classifier, real), tiny.KEY)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == 2_919_623


def test_layers_are_counted_by_tracing():
    assert len(layer_names(ClassifierConfig(widths=(4, 4), dense=8))) == 15


def test_convolutions_are_3x3_and_widths_are_configured():
    params = jax.eval_shape(partial(init_classifier, ClassifierConfig()), tiny.KEY)["params"]
    kernels = [params[f"Conv_{i}"]["kernel"].shape for i in range(6)]
    assert kernels == [(3, 3, *io) for io in ((1, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128))]
    assert params["Dense_0"]["kernel"].shape == (6 * 6 * 128, 128) and params["Dense_1"]["kernel"].shape == (128, 7)


def test_a_fresh_network_has_lecuns_kernels():
    """The one test that compiles the initializer."""
    config = ClassifierConfig(widths=(8,), dense=16, size=16)
    made, other = (compiled(partial(init_classifier, config))(np.array([0, seed], np.uint32)) for seed in (1, 2))
    assert made["temperature"] == 1
    for name in ("Conv_1", "Dense_0"):
        kernel = made["params"][name]["kernel"]
        np.testing.assert_allclose(kernel.std() * np.sqrt(np.prod(kernel.shape[:-1])), 1, atol=0.15)
        assert (kernel != other["params"][name]["kernel"]).any()


@pytest.mark.parametrize("config", [TINY, VGG16], ids=["paper", "vgg16"])
def test_probabilities(config):
    rows = classify(config, classifier_variables(config), crops())
    assert rows.shape == (5, 7) and rows.dtype == np.float32 and float(rows.min()) >= 0
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-6)


def test_hidden_units_cannot_die(variables):
    """Adam's first steps can push all of them far below 0; with a plain ReLU no gradient would ever bring them back."""
    params = {
        **variables["params"],
        "Dense_0": {**variables["params"]["Dense_0"], "bias": np.full(8, -1e3, np.float32)},
    }

    def loss(params):
        network = {"params": params, "batch_stats": variables["batch_stats"]}
        return (Classifier(TINY).apply(network, classifier.network_input(TINY, jnp.asarray(crops()))) ** 2).sum()

    assert (np.abs(compiled(jax.grad(loss))(params)["Dense_0"]["kernel"]).max(0) > 0).all()


def test_the_temperature_divides_the_logits(variables):
    soft = classify(TINY, {**variables, "temperature": np.float32(2)}, crops())
    logits = classifier_logits(TINY, variables, crops())
    powers = np.exp(logits / 2)
    np.testing.assert_allclose(soft, powers / powers.sum(1, keepdims=True), atol=1e-6)
    np.testing.assert_array_equal(soft.argmax(1), classify(TINY, variables, crops()).argmax(1))
    assert float(soft.max()) < float(classify(TINY, variables, crops()).max())


def test_a_face_is_read_the_same_in_any_company(variables):
    faces = crops(6)
    alone = np.concatenate([classify(TINY, variables, faces[i : i + 1]) for i in range(6)])
    np.testing.assert_allclose(classify(TINY, variables, faces), alone, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_range_of_the_input(channels):
    config = ClassifierConfig(channels=channels)
    for value, expected in ((0, -1), (255, 1)):
        x = network_input(config, np.full((1, 48, 48, 3), value, np.uint8))
        assert x.shape == (1, 48, 48, channels) and x.dtype == np.float32
        np.testing.assert_allclose(x, expected, atol=1e-6)


def test_a_grey_network_sees_luminance_only():
    colour = np.broadcast_to(np.array([100, 50, 200], np.uint8), (1, 16, 16, 3))
    grey = network_input(TINY, colour)
    np.testing.assert_allclose(grey, (0.299 * 100 + 0.587 * 50 + 0.114 * 200) / 127.5 - 1, atol=1e-6)


def test_bfloat16_computes_near_float32_with_float32_parameters(variables):
    faces, half = network_input(TINY, crops()), Classifier(TINY, jnp.bfloat16)
    made = jax.eval_shape(half.init, tiny.KEY, faces)
    assert {leaf.dtype for leaf in jax.tree.leaves(made)} == {np.dtype("float32")}
    logits, full = (compiled(c.apply)(network_of(variables), faces) for c in (half, Classifier(TINY)))
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, full, atol=0.1)


def test_dropout_only_in_training(variables):
    faces, model, network = network_input(TINY, crops()), Classifier(TINY), network_of(variables)

    @compiled
    def train(faces, key):
        return model.apply(network, faces, train=True, rngs={"dropout": key}, mutable=["batch_stats"])[0]

    one, same, other = (train(faces, np.array([0, seed], np.uint32)) for seed in (0, 0, 1))
    assert not np.allclose(one, other)
    np.testing.assert_array_equal(one, same)
    evaluate = compiled(model.apply)
    np.testing.assert_array_equal(evaluate(network, faces), evaluate(network, faces))


def test_another_size_is_refused(variables):
    with pytest.raises(ValueError, match=r"takes \(N, 16, 16, 1\)"):
        classify(TINY, variables, crops(size=20))


@pytest.mark.parametrize(
    ("bad", "part"),
    [
        ({"architecture": "vgg16", "widths": (4,) * 5}, "channels of 1 to 4 blocks"),
        ({"widths": ()}, r"`widths` \(\)"),
        ({"dense": 0}, "`dense` 0"),
        ({"size": 7}, "`size` 7: it is a whole number, at least 8"),
        ({"channels": 2}, "`channels` 2"),
        ({"margin": -0.1}, "`margin` -0.1"),
        ({"margin": float("nan")}, "`margin` nan"),
        ({"dense_dropout": 1.0}, "`dense_dropout` 1.0"),
    ],
)
def test_invalid_configs(bad, part):
    with pytest.raises(EmojaxError, match=part):
        ClassifierConfig(**bad)


def test_an_unknown_architecture_is_named():
    fields = {**vars(ClassifierConfig()), "architecture": "resnet"}
    with pytest.raises(EmojaxError, match="`architecture` 'resnet': choose from paper, vgg16"):
        ClassifierConfig.__post_init__(SimpleNamespace(**fields))  # only tests check the type before
