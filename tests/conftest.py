"""Makes the tests hostile: two devices, no silent rank promotion, shapes are checked (warnings: see pyproject.toml).

What is set through the environment also holds for the commands that tests start.
"""

import gc
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # configs/ and the scripts are no part of the installed package

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
# What is compiled here runs a few times on tiny arrays: optimizing it takes longer than it saves. So does the detour of XLA's
# fusions through MLIR, more than half of a compilation. The fixture `optimized` is for tests of what users get.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"
os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"] = "0"  # no test looks at where in our code an operation comes from
os.environ["MALLOC_ARENA_MAX"] = "2"  # XLA's threads would otherwise keep more memory; for workers and commands
QUICK: dict[str, Any] = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}
USUAL: dict[str, Any] = {"xla_cpu_use_fusion_emitters": True, "xla_cpu_parallel_codegen_split_count": 32}
if not metadata.version("jaxlib").startswith("0.10."):  # XLA ends a process that has a flag it does not know
    QUICK = USUAL = {}
_ours = [f"--{name}={str(value).lower()}" for name, value in QUICK.items()]
_given = [flag for flag in os.environ.get("XLA_FLAGS", "").split() if flag not in _ours]  # a worker inherits them
XLA_FLAGS = " ".join([*_given, "--xla_force_host_platform_device_count=2"])
os.environ["XLA_FLAGS"] = " ".join([XLA_FLAGS, *_ours])
for name in ("EMOJAX_VGG16", "JAX_ENABLE_X64"):
    os.environ.pop(name, None)

from jaxtyping import install_import_hook  # noqa: E402 (jax reads the environment when it is imported)


def _with_shapes() -> list[str]:
    """The modules that say what shapes arrays have. mypy checks the types of the others: to check every call takes long."""
    found = [path for path in (ROOT / "emojax").rglob("*.py") if "jaxtyping" in path.read_text(encoding="utf-8")]
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in found]


install_import_hook(_with_shapes(), "typechecker.check")

# No deadlines: the first example pays for a compilation. Derandomized: a red run can be repeated.
hypothesis.settings.register_profile("emojax", deadline=None, derandomize=True, max_examples=25)
hypothesis.settings.load_profile("emojax")


def pytest_configure(config: pytest.Config) -> None:
    """Keeps compiled programs between runs in pytest's cache folder, never in the user's."""
    cache = config.cache.mkdir("emojax")
    os.environ["EMOJAX_CACHE"] = str(cache)

    import jax

    from emojax.util.compiling import enable_cache

    enable_cache()
    jax.monitoring.register_event_duration_secs_listener(_count_program)


# What the tests cost is mostly compiling, and what creeps in is networks called without `jit`, a program for each operation.
PROGRAMS = json.loads((ROOT / "tests" / "programs.json").read_text())
"""how many programs each file of tests may compile, with some to spare; a file that is not named: `FEW`"""
FEW = 10
_compiled: Counter[str] = Counter()
_running = ""


def _count_program(event: str, seconds: float, **_: Any) -> None:
    if event == "/jax/core/compile/backend_compile_duration":  # or reading it from the cache
        _compiled[_running] += 1


def _file_of(item: pytest.Item) -> str:
    return item.path.relative_to(ROOT / "tests").as_posix()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    global _running
    _running = _file_of(item)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """The last test of a file fails if the file's tests together have compiled too much."""
    result = yield
    file = _file_of(item)
    if nextitem is None or _file_of(nextitem) != file:
        _free_memory()
        found, allowed = _compiled.pop(file, 0), PROGRAMS.get(file, FEW)
        if found > allowed:
            pytest.fail(
                f"tests/{file} compiles {found} programs, tests/programs.json allows {allowed}: call networks through "
                "tests/tiny.py; or raise the number, where more are needed",
                pytrace=False,
            )
    return result


MEMORY = 3 << 28
"""bytes of a worker above which it forgets the programs of earlier files, so that it stays below 1.5 GB"""


def _free_memory() -> None:
    """Returns what the compiler used; forgets all programs where they are many, because JAX keeps what it has compiled."""
    import jax

    from emojax.util.machine import return_memory

    return_memory()
    if _memory() > MEMORY:
        jax.clear_caches()
        gc.collect()
        return_memory()


def _memory() -> int:
    """Bytes of memory that this process holds; 0 where there is no /proc."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files begin, those that start processes and those that compile most, so that no worker waits at the end."""
    slow = {_file_of(item) for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (_file_of(item) not in slow, -PROGRAMS.get(_file_of(item), FEW), _file_of(item)))


def pytest_collection_finish() -> None:
    """What the imports have made stays until the end: the garbage collector would look through it again and again.

    It also looks less often than it would, because tracing makes many objects that are no garbage.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture
def computes_long() -> Iterator[None]:
    """Programs are optimized, though not as for users: for tests that compute for longer than optimizing takes."""
    import jax

    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def optimized(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What emojax compiles in a test, or in a command that it starts, is what users get; for tests of what only that has."""
    import jax

    from emojax.util import compiling

    monkeypatch.delenv("JAX_DISABLE_MOST_OPTIMIZATIONS")
    monkeypatch.setenv("XLA_FLAGS", XLA_FLAGS)
    monkeypatch.setattr(compiling, "CPU_OPTIONS", {**compiling.CPU_OPTIONS, **USUAL})
    compiling.compiler_options.cache_clear()
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)
    compiling.compiler_options.cache_clear()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with faces, photos, paintings and VGG16 that are too large for the repository."""
    path = Path(os.environ.get("EMOJAX_SHARED") or ROOT.parent / "shared" / "data")
    if not path.is_dir():
        pytest.skip(f"no shared data at {path}: set EMOJAX_SHARED to the folder that has them")
    return path


@pytest.fixture(scope="session")
def tiny_style_data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags for `emojax train styles`: small photos, a painting per emotion, and a narrow VGG16 of random weights."""
    import numpy as np
    import tiny
    from safetensors.numpy import save_file

    from emojax.emotions import EMOTIONS

    root, rng = tmp_path_factory.mktemp("style_data"), np.random.default_rng(0)
    (root / "photos").mkdir()
    for index in range(9):
        tiny.blocks(rng, 40, 5).save(root / "photos" / f"{index}.png")
    for emotion in EMOTIONS:
        (root / "paintings" / emotion).mkdir(parents=True)
        tiny.blocks(rng, 32, 5).save(root / "paintings" / emotion / "painting.png")
    save_file(tiny.vgg16_tensors(), root / "vgg16.safetensors")
    photos, paintings, vgg16 = (str(root / name) for name in ("photos", "paintings", "vgg16.safetensors"))
    return ["--data.photos", photos, "--data.paintings", paintings, "--vgg16", vgg16]


@pytest.fixture(scope="session")
def tiny_face_data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags for `emojax train classifier`: an archive of small faces (blocks of colour), two of each class and split."""
    import csv
    import io

    import numpy as np
    import tiny

    root, rng = tmp_path_factory.mktemp("face_data"), np.random.default_rng(0)
    faces = [(label, split) for split in ("train", "val", "test") for label in range(7) for _ in range(2)]
    images = []
    for _ in faces:
        stream = io.BytesIO()
        tiny.blocks(rng, 28).save(stream, "JPEG")
        images.append(stream.getvalue())
    np.savez(
        root / "faces.npz",
        jpeg=np.frombuffer(b"".join(images), np.uint8),
        offsets=np.cumsum([0, *map(len, images)]).astype(np.int64),
        label=np.array([label for label, _ in faces], np.uint8),
        split=np.array([split for _, split in faces]),
    )
    with (root / "faces.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "split", "label"])
        writer.writerows([index, split, label] for index, (label, split) in enumerate(faces))
    return ["--data.archives", str(root / "faces.npz")]
