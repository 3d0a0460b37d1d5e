"""Makes the tests hostile: two devices, no silent rank promotion, shapes are checked (warnings: see pyproject.toml).

What is set through the environment also holds for the commands that tests start.
"""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # configs/ and the scripts are no part of the installed package

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2".strip()
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
for name in ("EMOJAX_VGG16", "JAX_ENABLE_X64"):
    os.environ.pop(name, None)

from jaxtyping import install_import_hook  # noqa: E402 (jax reads the environment when it is imported)

install_import_hook("emojax", "typechecker.check")


def pytest_configure(config: pytest.Config) -> None:
    """Keeps compiled programs between runs in pytest's cache folder, never in the user's."""
    cache = config.cache.mkdir("emojax")
    os.environ["EMOJAX_CACHE"] = str(cache)

    from emojax.compiling import enable_cache

    enable_cache()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with faces, photos, paintings and VGG16 that are too large for the repository."""
    path = Path(os.environ.get("EMOJAX_SHARED") or ROOT.parent / "shared" / "data")
    if not path.is_dir():
        pytest.skip(f"no shared data at {path}: set EMOJAX_SHARED to the folder that has them")
    return path
