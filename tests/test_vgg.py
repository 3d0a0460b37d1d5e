"""VGG16: the reference activations of the data's README, closed forms, and a loader that accepts nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from safetensors.numpy import load_file, save_file

from emojax.errors import EmojaxError
from emojax.nets import vgg16 as vgg
from emojax.nets.vgg16 import FEATURES, SHAPES, shapes
from emojax.weights.vgg16_file import FAMILIES, PACKAGED_VGG16, TORCHVISION, find_vgg16, load_vgg16, read_weights


def random_weights(seed=0):
    """Weights of VGG16's shapes that keep the size of what passes through."""
    rng = np.random.default_rng(seed)
    return {
        name: (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:3])) if len(shape) == 4 else np.zeros(shape))
        .astype(np.float32)
        for name, shape in SHAPES.items()
    }  # fmt: skip


vgg16_features = tiny.vgg16_features


def torchvision_layout(weights):
    return {
        theirs: np.ascontiguousarray(weights[ours].transpose(3, 2, 0, 1)) if weights[ours].ndim == 4 else weights[ours]
        for theirs, ours in TORCHVISION.items()
    }


@pytest.fixture(scope="module")
def weights():
    return random_weights()


@pytest.fixture(scope="module")
def caffe_file(weights, tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "caffe.safetensors"
    save_file(weights, path)
    return path


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """Parameters of a file that is narrower than VGG16, as tests have it."""
    path = tmp_path_factory.mktemp("vgg") / "narrow.safetensors"
    save_file(tiny.vgg16_tensors(), path)
    return load_vgg16(path)


def test_a_network_may_be_narrower_by_one_factor(narrow, tmp_path):
    assert narrow["conv1_1"]["kernel"].shape == (3, 3, 3, 4) and narrow["conv4_3"]["bias"].shape == (32,)
    mixed = tiny.vgg16_tensors() | {"conv2_2/bias": np.zeros(16, np.float32)}
    save_file(mixed, tmp_path / "mixed.safetensors")
    with pytest.raises(EmojaxError, match=r"misshapen: conv2_2/bias \[16\]$"):
        load_vgg16(tmp_path / "mixed.safetensors")
    assert shapes() == SHAPES and SHAPES["conv4_3/kernel"] == (3, 3, 512, 512)


def test_reference_activations(shared_data):
    params = load_vgg16(shared_data / "vgg16" / "vgg16_to_conv4_3_f16.safetensors")
    row, column = np.mgrid[:64, :64]
    image = np.stack([4 * row % 256, 4 * column % 256, 2 * (row + column) % 256], -1).astype(np.float32)
    features = vgg16_features(params, image[None])
    reference = {
        "relu1_2": ((64, 64, 64), 135.60425, 3852.0601),
        "relu2_2": ((32, 32, 128), 183.77826, 7718.8320),
        "relu3_3": ((16, 16, 256), 194.39780, 14224.3730),
        "relu4_3": ((8, 8, 512), 23.43417, 2019.7352),
    }
    assert tuple(features) == FEATURES
    for name, (shape, mean, largest) in reference.items():
        assert features[name].shape == (1, *shape)
        np.testing.assert_allclose(features[name].mean(), mean, rtol=1e-3)
        np.testing.assert_allclose(features[name].max(), largest, rtol=1e-3)


def test_stops_at_the_map_asked_for_with_the_same_values(narrow):
    params = narrow
    image = np.random.default_rng(1).uniform(0, 255, (2, 16, 24, 3)).astype(np.float32)
    every = vgg16_features(params, image)
    for index, name in enumerate(FEATURES):
        some = vgg16_features(params, image, layers=(name,))
        assert tuple(some) == (FEATURES[index],)
        np.testing.assert_allclose(some[name], every[name], rtol=1e-5)
    with pytest.raises(ValueError, match="relu9_9"):
        vgg16_features(params, image, layers=("relu9_9",))


@pytest.mark.parametrize(("strip", "rows"), [(400, [6, 4, 4, 3]), (2**24, [24, 12, 6, 3])])
def test_sums_in_strips_are_those_of_whole_maps_and_so_are_their_gradients(narrow, strip, rows):
    rng = np.random.default_rng(4)
    params = {layer: dict(part) if isinstance(part, dict) else part for layer, part in narrow.items()}
    for layer in vgg.LAYERS:  # a bias, so that padding and what lies outside the photo differ
        params[f"conv{layer}"]["bias"] = rng.normal(size=params[f"conv{layer}"]["bias"].shape).astype(np.float32)
    image = rng.uniform(0, 255, (2, 24, 20, 3)).astype(np.float32)
    names, halvings = ("relu1_1", "relu2_2", "relu3_1", "relu4_1"), (0, 1, 2, 3)
    sizes = dict(zip(names, ((24 >> n, 20 >> n) for n in halvings), strict=True))
    beside = {name: rng.normal(size=(1, *size, 1)).astype(np.float32) for name, size in sizes.items()}
    calls = []

    def sums_of(found, weights, first):
        calls.append(found.shape)
        number = first + np.arange(found.shape[1])[None, :, None, None]
        return {"weighed": (weights * found).sum((1, 2)), "by row": (number * jnp.square(found)).sum()}

    def in_strips(image):
        found = vgg.vgg16_sums(params, image, dict.fromkeys(names, sums_of), beside, strip)
        return sum(jnp.square(x).mean() for x in jax.tree.leaves(found)), found

    def whole(image):
        features = vgg.vgg16_features(params, image, names)
        found = {name: sums_of(features[name], beside[name], 0) for name in names}
        return sum(jnp.square(x).mean() for x in jax.tree.leaves(found)), found

    (_, found), gradient = tiny.compiled(jax.value_and_grad(in_strips, has_aux=True))(image)
    assert [shape[1] for shape in calls] == rows
    (_, expected), expected_gradient = tiny.compiled(jax.value_and_grad(whole, has_aux=True))(image)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-2), found, expected)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-3, atol=1e-5 * np.abs(expected_gradient).max())


def test_odd_sides_lose_their_last_row_as_in_the_original(narrow):
    features = jax.eval_shape(vgg.vgg16_features, narrow, np.zeros((1, 17, 23, 3), np.float32))
    assert [x.shape[1:3] for x in features.values()] == [(17, 23), (8, 11), (4, 5), (2, 2)]
    assert [vgg.map_size(name, 17, 23) for name in features] == [(17, 23), (8, 11), (4, 5), (2, 2)]


@pytest.mark.parametrize("family", FAMILIES)
def test_folding_the_input_conventions_is_exact(family, weights, tmp_path):
    """conv1_1 of the loaded parameters on RGB - mean equals the family's own kernel on its own input."""
    path = tmp_path / "weights.safetensors"
    save_file(weights, path, {"family": family})
    params, convention = load_vgg16(path), FAMILIES[family]
    patch = np.random.default_rng(2).uniform(0, 255, (3, 3, 3))
    theirs = (patch - convention.mean) / convention.std
    expected = np.einsum(
        "hwi,hwio->o", theirs[..., ::-1] if convention.bgr else theirs, weights["conv1_1/kernel"].astype(np.float64)
    )
    folded = np.einsum("hwi,hwio->o", patch - params["mean"], params["conv1_1"]["kernel"].astype(np.float64))
    np.testing.assert_allclose(folded, expected, rtol=1e-5, atol=1e-4)


def test_torchvision_layout_gives_the_same_tensors(weights, tmp_path):
    path = tmp_path / "torchvision.safetensors"
    save_file(torchvision_layout(weights), path)
    read = read_weights(path)
    assert read.family == "torchvision"
    for name in SHAPES:
        np.testing.assert_array_equal(read.tensors[name], weights[name])


@pytest.mark.parametrize(
    "extra", ["conv5_1/kernel", "block5_conv1/bias", "fc6/kernel", "classifier.0.weight", "features.28.bias"]
)
def test_block_5_and_the_dense_layers_are_dropped(extra, caffe_file, tmp_path):
    path = tmp_path / "more.safetensors"
    save_file({**load_file(caffe_file), extra: np.zeros(3, np.float32)}, path)
    assert set(read_weights(path).tensors) == set(SHAPES)


def test_everything_wrong_is_listed_in_one_line(weights, tmp_path):
    path = tmp_path / "broken.safetensors"
    broken = dict(weights)
    del broken["conv1_2/bias"], broken["conv3_1/kernel"]
    broken["conv2_1/bias"] = np.zeros(7, np.float32)
    broken["conv4_1/bias"] = np.full(512, np.nan, np.float32)
    broken["conv9_9/kernel"] = np.zeros(1, np.float32)
    save_file(broken, path)
    with pytest.raises(EmojaxError) as error:
        load_vgg16(path)
    text = str(error.value)
    assert "\n" not in text
    assert "missing: conv1_2/bias, conv3_1/kernel" in text
    assert "unexpected: conv9_9/kernel" in text
    assert "misshapen: conv2_1/bias [7]" in text
    assert "not finite: conv4_1/bias" in text


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", b"\xff" * 64])
def test_a_file_that_is_no_safetensors(content, tmp_path):
    path = tmp_path / "vgg.safetensors"
    path.write_bytes(content)
    with pytest.raises(EmojaxError, match="vgg.safetensors"):
        load_vgg16(path)


def test_other_networks_and_families_are_refused(weights, tmp_path):
    other = tmp_path / "other.safetensors"
    save_file({"layer1.0.weight": np.zeros(3, np.float32)}, other)
    with pytest.raises(EmojaxError, match="not VGG16: it holds layer1"):
        load_vgg16(other)
    strange = tmp_path / "strange.safetensors"
    save_file(weights, strange, {"family": "vgg-x"})
    with pytest.raises(EmojaxError, match="unknown family 'vgg-x'"):
        load_vgg16(strange)


def test_the_packaged_weights_serve_unless_others_are_named(caffe_file, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere.safetensors"
    elsewhere.write_bytes(caffe_file.read_bytes())
    monkeypatch.delenv("EMOJAX_VGG16", raising=False)
    assert find_vgg16() == PACKAGED_VGG16
    packaged = read_weights(PACKAGED_VGG16)
    assert packaged.family == "caffe" and {n: t.shape for n, t in packaged.tensors.items()} == SHAPES
    np.testing.assert_allclose(
        packaged.tensors["conv1_1/kernel"][0, 0, 0, 0], 0.42947057, rtol=1e-3
    )  # Keras' own value
    assert "CC BY 4.0" in (PACKAGED_VGG16.parent / "NOTICE").read_text()
    monkeypatch.setenv("EMOJAX_VGG16", str(elsewhere))
    assert find_vgg16() == elsewhere
    assert find_vgg16(caffe_file) == caffe_file
    with pytest.raises(EmojaxError, match="`vgg16` names"):
        find_vgg16(tmp_path / "nowhere")
