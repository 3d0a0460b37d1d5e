"""The wheel, installed into an empty environment far from the checkout, stylizes with the checkpoints it carries."""

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PHOTO = ROOT / "examples" / "astronaut.jpg"

# Runs in the empty environment. Training's packages come with other packages or not at all; nobody may load them.
CHECK = """
import sys
from emojax.cli.stylize import main
code = main(["--input", sys.argv[1], "--output", sys.argv[2]])
loaded = {name.partition(".")[0] for name in sys.modules}
unwanted = loaded & {"optax", "grain", "tensorflow_datasets", "tensorflow", "tensorboardX", "matplotlib", "scipy"}
assert not unwanted, unwanted
assert "emojax.train" not in sys.modules
sys.exit(code)
"""


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=900, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE", "MODEL_CARD.md"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "emojax", source / "emojax", ignore=shutil.ignore_patterns("__pycache__"))
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        "dist",
        ".",
        cwd=source,
    )
    (built,) = (source / "dist").glob("emojax-*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_carries_the_checkpoints_and_no_training_state(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for kind in ("classifier", "styles", "fast"):
        assert f"emojax/checkpoints/{kind}/model.json" in names
        assert any(name.startswith(f"emojax/checkpoints/{kind}/params/") for name in names)
    assert {f"emojax/checkpoints/yunet/{name}" for name in ("params.safetensors", "NOTICE")} <= set(names)
    assert {f"emojax/checkpoints/{folder}/NOTICE" for folder in ("classifier", "vgg16")} <= set(names)
    assert {f"emojax/train/presets/{name}" for name in ("style.py", "classifier.py", "astronaut.jpg")} <= set(names)
    assert "emojax/export/page/index.html" in names and not [name for name in names if "onnxruntime" in name]
    assert not [name for name in names if "/training/" in name or name.startswith("tests")]
    assert wheel.stat().st_size < 32e6  # half of it is VGG16


@pytest.mark.slow
def test_installed_into_an_empty_environment_it_stylizes(wheel, tmp_path):
    venv.create(tmp_path / "venv")
    python = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    pip = [sys.executable, "-m", "pip", "--python", python]  # of the tests; a new one would take seconds
    options = ["--quiet", "--no-compile", "--constraint", ROOT / "constraints.txt"]
    run(*pip, "install", *options, wheel, cwd=tmp_path)
    run(python, "-c", CHECK, PHOTO, tmp_path / "out.png", cwd=tmp_path)
    with Image.open(tmp_path / "out.png") as art, Image.open(PHOTO) as photo:
        assert art.size == photo.size
        assert len(set(art.convert("L").tobytes())) > 50  # a picture, not a blank
