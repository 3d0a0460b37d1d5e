import json
import subprocess
import sys

import jax
import numpy as np
import pytest
import tiny
from PIL import Image
from safetensors import safe_open
from tiny import FACES

from emojax import export
from emojax.cli.export import export as main
from emojax.emotions import EMOTIONS
from emojax.errors import EmojaxError
from emojax.export import export_all, export_classify, export_safetensors, export_stylize
from emojax.nets import classifier
from emojax.nets.stylizer_config import StylizerConfig
from emojax.pipeline import Model

STYLES = StylizerConfig(width=4, blocks=1)
classify = tiny.compiled(classifier.classify, static_argnums=0)
stylize_any_size = tiny.compiled(export.stylize_any_size, static_argnums=0)


@pytest.fixture(scope="module")
def styles():
    return tiny.stylizer_params(STYLES)


@pytest.fixture(scope="module")
def variables():
    return tiny.classifier_variables()


def photos(n, h, w):
    return np.random.default_rng(0).integers(0, 256, (n, h, w, 3)).astype(np.uint8)


# In a process of its own, which proves that nothing of flax or emojax is needed to run it.
RUNNER = """
import sys
import numpy as np
from jax import export
program = export.deserialize(bytearray(open(sys.argv[1], "rb").read()))
inputs = np.load(sys.argv[2])
output = program.call(*(inputs[name] for name in sorted(inputs)))
np.save(sys.argv[3], output)
assert not [m for m in sys.modules if m.partition(".")[0] in ("flax", "emojax", "orbax")], "not self-contained"
"""


def run_elsewhere(program, folder, *inputs):
    (folder / "program").write_bytes(program)
    np.savez(folder / "in.npz", **{f"arg{i}": x for i, x in enumerate(inputs)})
    command = [sys.executable, "-c", RUNNER, *(str(folder / name) for name in ("program", "in.npz", "out.npy"))]
    subprocess.run(command, check=True, cwd=folder)
    return np.load(folder / "out.npy")


@pytest.mark.parametrize(("n", "h", "w"), [(2, 16, 16), (1, 37, 50)])
def test_stylize_runs_without_us_and_equals_the_source(styles, tmp_path, n, h, w):
    weights = np.random.default_rng(1).random((n, 7)).astype(np.float32)
    out = run_elsewhere(export_stylize(STYLES, styles), tmp_path, photos(n, h, w), weights)
    assert out.shape == (n, h, w, 3) and out.dtype == np.uint8
    source = stylize_any_size(STYLES, styles, photos(n, h, w), weights)
    assert np.abs(out.astype(int) - source).max() <= 1


def test_stylize_equals_the_pipeline(styles, variables):
    model = Model(FACES, STYLES, {"classifier": variables, "stylizer": styles})
    weights = np.eye(7, dtype=np.float32)[3:4]
    exported = stylize_any_size(STYLES, styles, photos(1, 37, 50), weights)[0]
    assert np.abs(model.stylize(photos(1, 37, 50)[0], "happy").astype(int) - exported).max() <= 1


def test_classify_runs_without_us_and_equals_the_source(variables, tmp_path):
    crops = photos(3, 16, 16)
    out = run_elsewhere(export_classify(FACES, variables), tmp_path, crops)
    np.testing.assert_allclose(out, classify(FACES, variables, crops), atol=1e-5)


def test_safetensors_hold_every_array_under_its_path(styles, variables, tmp_path):
    path = tmp_path / "all.safetensors"
    path.write_bytes(export_safetensors(FACES, variables, STYLES, styles))
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    assert tuple(json.loads(metadata["emotions"])) == EMOTIONS
    assert json.loads(metadata["styles"])["width"] == 4 and json.loads(metadata["classifier"])["size"] == 16
    np.testing.assert_array_equal(tensors["styles/network/down0/kernel"], styles["network"]["down0"]["kernel"])
    np.testing.assert_array_equal(tensors["styles/style_table/up1/scale"], styles["style_table"]["up1"]["scale"])
    assert len(tensors) == len(jax.tree.leaves((styles, variables)))
    assert any(name.startswith("classifier/batch_stats/") for name in tensors)


@pytest.mark.parametrize("per_style", [False, True])
def test_safetensors_hold_the_last_layer_that_paints(variables, tmp_path, per_style):
    config = StylizerConfig(width=4, blocks=1, style_names=("sad", "happy"), patch=2, network_per_style=per_style)
    network = tiny.stylizer_params(config)["network"]
    path = tmp_path / "all.safetensors"
    path.write_bytes(export_safetensors(FACES, variables, config, {"network": network, "style_table": {}}))
    with safe_open(path, "numpy") as file:
        kernel = file.get_tensor("styles/network/out/kernel")
    assert kernel.shape == network["out"]["kernel"].shape
    sums = kernel.sum((-4, -3)).reshape(-1, 4, 3)
    np.testing.assert_allclose(sums, np.broadcast_to(sums[:, :1], sums.shape), atol=1e-5)


def test_the_command(tmp_path, capsys):
    for argv in (
        ["--format", "safetensors"],
        ["--format", "stablehlo", "--part", "classify"],
        ["--format", "stablehlo"],
    ):
        path = tmp_path / "-".join(argv)
        assert main([*argv, "--output", str(path)]) == 0
        assert path.stat().st_size > 100_000
        with pytest.raises(EmojaxError, match="`force`"):
            main([*argv, "--output", str(path)])
    assert "wrote" in capsys.readouterr().err
    with pytest.raises(EmojaxError, match="invalid choice: 'tflite'"):
        main(["--format", "tflite", "--output", str(tmp_path / "x")])
    with pytest.raises(EmojaxError, match="no checkpoint at"):
        main(["--format", "safetensors", "--styles", str(tmp_path / "none"), "--output", str(tmp_path / "y")])


def test_a_photo_is_all_that_the_whole_program_needs(styles, variables):
    """Detection, alignment, reading and painting in one program with symbolic sides, against the Python API."""
    photo = np.asarray(Image.open("examples/astronaut.jpg").convert("RGB"))[:253, 50:349]
    model = Model(FACES, STYLES, {"classifier": variables, "stylizer": styles})
    expected = model(photo)
    program = jax.export.deserialize(bytearray(export_all(FACES, variables, STYLES, styles)))
    picture, count, boxes, landmarks, probabilities, style = jax.device_get(program.call(photo))
    assert count == len(expected.faces) == 1
    face = expected.faces[0]
    np.testing.assert_allclose(boxes[0], (face.x, face.y, face.w, face.h), atol=0.1)
    np.testing.assert_allclose(landmarks[0], face.face.landmarks, atol=0.5)
    np.testing.assert_allclose(probabilities[0], [*face.emotion.values()], atol=0.01)
    assert [*STYLES.style_names][style.argmax()] == face.dominant and style.max() == 1
    assert not boxes[1:].any()
    assert np.abs(picture.astype(int) - np.asarray(expected.image)).max() <= 1
