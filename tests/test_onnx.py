"""ONNX models against the functions that they were written from, in ONNX Runtime."""

import functools
import json

import numpy as np
import pytest
import tiny
from sessions import open_model

import emojax
from emojax import export
from emojax.cli.export import export as main
from emojax.emotions import EMOTIONS
from emojax.errors import EmojaxError
from emojax.export import export_onnx_classify, export_onnx_stylize
from emojax.faces.align import template
from emojax.nets import classifier
from emojax.nets.classifier_config import ClassifierConfig
from emojax.nets.stylizer_config import StylizerConfig
from emojax.weights.load import find_styles, load_styles

NETWORKS = [StylizerConfig(width=4, blocks=1, patch=patch) for patch in (1, 2, 4)]
classify = tiny.compiled(classifier.classify, static_argnums=0)
stylize_any_size = tiny.compiled(export.stylize_any_size, static_argnums=0)


def photos(n, h, w):
    return np.random.default_rng(0).integers(0, 256, (n, h, w, 3)).astype(np.uint8)


def run(session, **inputs):
    return session.run(None, inputs)[0]


@functools.cache
def session_of(config):
    return open_model(export_onnx_stylize(config, tiny.stylizer_params(config, apart=0.3)))


def most_different(a, b):
    return np.abs(a.astype(int) - b).max()


@pytest.mark.parametrize(("n", "h", "w"), [(3, 16, 16), (1, 64, 48), (2, 37, 50)])
@pytest.mark.parametrize("config", NETWORKS, ids=lambda config: f"patch{config.patch}")
def test_stylize_equals_jax_for_any_batch_and_size(config, n, h, w):
    weights = np.random.default_rng(1).random((n, 7)).astype(np.float32)  # a mix of its own for every photo
    out = run(session_of(config), photos=photos(n, h, w), weights=weights)
    assert out.shape == (n, h, w, 3) and out.dtype == np.uint8
    source = stylize_any_size(config, tiny.stylizer_params(config, apart=0.3), photos(n, h, w), weights)
    assert most_different(out, source) <= 1
    assert source.std() > 5  # a picture, in which a difference would be seen


def test_weights_are_normalized_and_none_are_all():
    session, photo = session_of(NETWORKS[1]), photos(1, 16, 20)
    ones = np.ones((1, 7), np.float32)
    for weights in (3 * ones, 0 * ones):
        np.testing.assert_array_equal(
            run(session, photos=photo, weights=weights), run(session, photos=photo, weights=ones)
        )


@pytest.mark.parametrize("config", NETWORKS[1:], ids=lambda config: f"patch{config.patch}")
@pytest.mark.parametrize("grey", [0, 87, 255])
def test_a_flat_photo_is_as_flat_as_in_jax(config, grey):
    """Norms that divide rounding errors by the root of epsilon would paint noise."""
    photo, weights = np.full((1, 33, 24, 3), grey, np.uint8), np.eye(7, dtype=np.float32)[2:3]
    source = stylize_any_size(config, tiny.stylizer_params(config, apart=0.3), photo, weights)
    assert most_different(run(session_of(config), photos=photo, weights=weights), source) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("styles", ["default", "fast"])
def test_the_packaged_networks_equal_the_pipeline_from_small_to_large(styles, optimized):
    config, params = load_styles(find_styles(styles))
    session, model = open_model(export_onnx_stylize(config, params)), emojax.load(styles)
    for h, w in ((48, 64), (741, 1003)):
        photo = np.asarray(tiny.blocks(np.random.default_rng(h), 1024, 9).crop((0, 0, w, h)))
        weights = np.array(
            [[0.7 if name == "sad" else 0.3 if name == "happy" else 0 for name in config.style_names]], "f"
        )
        mine = model.stylize(photo, {"sad": 0.7, "happy": 0.3})
        assert most_different(run(session, photos=photo[None], weights=weights)[0], mine) <= 1


@pytest.mark.parametrize(
    "config",
    [
        tiny.FACES,
        ClassifierConfig(widths=(4, 8), dense=8, size=12, channels=3),
        ClassifierConfig(architecture="vgg16", widths=(4, 4, 8, 8), size=18),
        ClassifierConfig(architecture="vgg16", widths=(4,), size=8, channels=3),
        ClassifierConfig("mobilefacenet", widths=(4, 4, 4), dense=8, size=32, channels=3),
        ClassifierConfig("mobilefacenet", widths=(4, 4, 4), dense=8, size=16, channels=3, domains=2),
    ],
    ids=["paper", "paper, colour", "vgg16", "vgg16, one block", "mobilefacenet", "mobilefacenet, two domains"],
)
def test_classify_equals_jax(config):
    variables = tiny.classifier_variables(config)
    rng = np.random.default_rng(2)
    for norm in variables["batch_stats"].values():
        norm["mean"], norm["var"] = rng.normal(size=norm["mean"].shape), rng.uniform(0.5, 2, norm["var"].shape)
        norm.update({name: value.astype(np.float32) for name, value in norm.items()})
    for name, layer in variables["params"].items():
        if name.startswith("conv"):
            layer["kernel"] = 2 * layer["kernel"]  # without norms signals fade
    if config.architecture == "mobilefacenet":
        variables["params"]["Dense_0"]["kernel"] = 300 * variables["params"]["Dense_0"]["kernel"]
    variables["temperature"] = np.float32(1.5)
    crops = photos(3, config.size, config.size)
    crops[1:] //= np.array([2, 5], np.uint8)[:, None, None, None]  # noise alone would give equal averages
    expected = classify(config, variables, crops)
    np.testing.assert_allclose(
        run(open_model(export_onnx_classify(config, variables)), crops=crops), expected, atol=1e-5
    )
    assert expected.std(axis=0).max() > 1e-3  # the crops differ


def test_metadata_and_opset():
    import onnx

    model = onnx.load_from_string(export_onnx_stylize(NETWORKS[0], tiny.stylizer_params(NETWORKS[0])))
    assert [opset.version >= 18 for opset in model.opset_import] == [True]
    metadata = {prop.key: prop.value for prop in model.metadata_props}
    assert tuple(json.loads(metadata["styles"])) == EMOTIONS and metadata["part"] == "stylize"
    size = [dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    assert size == ["batch", "height", "width", 3]


def test_the_metadata_say_how_faces_are_aligned():
    import onnx

    aligned = ClassifierConfig("mobilefacenet", widths=(4, 4, 4), dense=8, size=16, channels=3, aligned=True)
    for config, points in ((aligned, template(16, 0.0)), (tiny.FACES, None)):
        model = onnx.load_from_string(export_onnx_classify(config, tiny.classifier_variables(config)))
        found = json.loads({prop.key: prop.value for prop in model.metadata_props}["landmarks"])
        assert found is points is None or np.allclose(found, points)


def test_network_sets_and_missing_packages_are_told(monkeypatch):
    per_style = StylizerConfig(width=4, blocks=1, network_per_style=True)
    with pytest.raises(EmojaxError, match="export each network by itself"):
        export_onnx_stylize(per_style, {})
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(EmojaxError, match=r"pip install 'emojax\[onnx\]'"):
        export_onnx_stylize(NETWORKS[0], {})


def test_the_command(tmp_path, capsys):
    assert main(["--format", "onnx", "--styles", "fast", "--output", str(tmp_path / "a.onnx")]) == 0
    assert main(["--format", "onnx", "--part", "classify", "--output", str(tmp_path / "b.onnx")]) == 0
    assert "onnx, classify, crops of 112 x 112" in capsys.readouterr().err
    for name, shape in (("a", ["batch", "height", "width", 3]), ("b", ["batch", 7])):
        assert open_model((tmp_path / f"{name}.onnx").read_bytes()).get_outputs()[0].shape == shape
    with pytest.raises(EmojaxError, match="safetensors has no part 'classify': leave out `part`"):
        main(["--format", "safetensors", "--part", "classify", "--output", str(tmp_path / "x")])
    with pytest.raises(EmojaxError, match="leave it out"):
        main(["--format", "onnx", "--onnxruntime-web", "x", "--output", str(tmp_path / "x")])
