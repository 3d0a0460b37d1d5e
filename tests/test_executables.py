"""Programs that start from disk: the same results without tracing, and whatever a program depends on makes another one."""

import functools
import json
import subprocess
import sys
import zlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from emojax.pipeline.regions import Regions
from emojax.util import compiling, executables
from emojax.util.executables import Compiled

traced = []


def scaled(factor, regions):
    traced.append(factor)
    return Regions(factor * regions.boxes, None)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A cache of its own for every test."""
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    compilation_cache.reset_cache()  # JAX opens its cache once
    traced.clear()
    yield tmp_path
    jax.config.update("jax_compilation_cache_dir", before)
    compilation_cache.reset_cache()


def run(factor=2.0, size=3):
    """What a new process would: the function is made anew."""
    found = Compiled(functools.partial(scaled, factor))(Regions(np.arange(size, dtype=np.float32), None))
    np.testing.assert_array_equal(found.boxes, factor * np.arange(size))
    assert isinstance(found, Regions) and found.weights is None


def test_it_is_traced_once_for_each_function_and_shape():
    run()
    run()
    assert traced == [2.0]
    run(factor=3.0)
    run(size=4)
    run(factor=3.0)
    assert traced == [2.0, 3.0, 2.0]


def test_all_that_a_program_depends_on_is_in_its_key(monkeypatch):
    facts = executables._facts
    names = facts("f", (), jax.local_devices()[0])
    assert len(names) == 9
    run()
    for number, part in enumerate(names, 2):
        with monkeypatch.context() as patch:
            patch.setattr(executables, "_facts", lambda *given, part=part: facts(*given) | {part: "another"})
            run()
        assert len(traced) == number, part
    run()
    assert len(traced) == 1 + len(names)


def test_what_the_parts_of_the_key_say(monkeypatch):
    """Each of them follows what it is named after."""

    def facts(device=0):
        return executables._facts("f", (), jax.local_devices()[device])

    before = facts()
    assert before == facts()
    assert {part for part, value in facts(device=1).items() if value != before[part]} == {"device"}
    with jax.default_matmul_precision("highest"):
        assert facts()["settings"] != before["settings"]
    with jax.log_compiles():  # as `--quiet` does, it changes only what is printed
        assert facts() == before
    for target, name, value, part in (
        (executables, "code_hash", lambda: "other", "code"),
        (executables.importlib.metadata, "version", lambda library: "0.0", "versions"),
        (executables, "processor", lambda: "another", "processor"),
        (compiling, "CPU_OPTIONS", {}, "options"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, value)
            assert {name for name, value in facts().items() if value != before[name]} == {part}
    monkeypatch.setenv("XLA_FLAGS", "--another")
    assert {part for part, value in facts().items() if value != before[part]} == {"flags"}


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: data[:-1] + b"?"]
)
@pytest.mark.parametrize("entry", ["executable-*", "jit_*"])
def test_a_damaged_entry_is_replaced(folder, entry, damage):
    run()
    (file,) = folder.glob(entry)
    file.write_bytes(damage(file.read_bytes()))
    run()
    run()
    assert traced == [2.0, 2.0]


def test_an_executable_that_was_thrown_out_is_compiled_again(folder):
    run()
    (file,) = folder.glob("jit_*")
    file.unlink()
    run()
    run()
    assert traced == [2.0, 2.0] and file.exists()


@pytest.mark.parametrize("found", [b"no JSON", b"[]", b'{"executable": "jit_none", "result": 0}', b'{"executable": 1}'])
def test_an_entry_that_is_whole_but_wrong_is_replaced(found):
    run()
    cache = compiling.program_cache()
    (file,) = cache.path.glob("executable-*")
    cache.put(file.name.removesuffix("-program"), found)
    run()
    run()
    assert traced == [2.0, 2.0]


def test_an_executable_that_does_not_load_is_compiled_again(folder):
    run()
    cache = compiling.program_cache()
    (file,) = folder.glob("jit_*")
    cache.put(file.name.removesuffix("-program"), zlib.compress(b"0000 no program"))
    with pytest.warns(UserWarning, match="persistent compilation cache"):  # JAX reads the same entry
        run()
    assert traced == [2.0, 2.0]


def test_what_jax_had_compiled_already_is_kept(folder):
    """An executable that was loaded cannot be saved again, but it lies in JAX's cache."""
    run()
    (file,) = folder.glob("executable-*")
    file.unlink()
    for _ in range(3):
        run()
    assert traced == [2.0, 2.0]


class Foreign(NamedTuple):
    """A class that is not emojax'."""

    one: int


def test_structures_come_back():
    for tree in (1, None, (), (1, (2, None)), {"a": Regions(1, None), "b": ({"c": 2},)}):
        described = json.loads(json.dumps(executables._described(tree)))
        assert jax.tree.structure(executables._rebuilt(described)) == jax.tree.structure(tree)
    for tree in ([1], Foreign(1)):
        with pytest.raises(TypeError, match="is not kept on disk"):
            executables._described(tree)
    for name in ("os.system", "emojax.pipeline.load", "emojax.missing.Regions", "collections.UserList"):
        with pytest.raises((ValueError, ImportError)):
            executables._rebuilt([name, 0])


def test_on_another_device_it_is_jit(folder):
    other = jax.device_put(np.arange(3, dtype=np.float32), jax.local_devices()[1])
    for _ in range(2):
        assert Compiled(functools.partial(scaled, 2.0))(Regions(other, None)).boxes.tolist() == [0, 2, 4]
    assert traced == [2.0, 2.0] and not list(folder.glob("executable-*"))


def test_a_function_that_has_no_name_of_its_own_is_not_kept(folder):
    for factor in (2.0, 3.0):
        found = Compiled(lambda x, factor=factor: factor * x)(np.float32([1]))
        assert found.tolist() == [factor]
    found = Compiled(functools.partial(jnp.add, jnp.ones(1)))(np.float32([1]))  # an array does not say what it is
    assert found.tolist() == [2] and not list(folder.glob("executable-*"))


def test_without_a_cache_it_is_plain_jit():
    jax.config.update("jax_compilation_cache_dir", None)
    run()
    run()
    assert traced == [2.0, 2.0]


def test_the_programs_are_bounded():
    function = Compiled(functools.partial(scaled, 2.0), limit=2)
    for size in (1, 2, 3, 3, 2):
        function(Regions(np.zeros(size, np.float32), None))
    assert traced == [2.0] * 3
    assert len(function._programs) == 2


def test_linear_algebra_works_in_a_new_process(tmp_path):
    """JAX loads LAPACK when it lowers a function; so a function that needs it is lowered in every process."""
    code = (
        "import sys, jax, numpy as np; from pathlib import Path; from emojax.util.compiling import enable_cache;"
        "enable_cache(Path(sys.argv[1])); from emojax.util.executables import Compiled; from jax.numpy.linalg import inv;"
        "print(Compiled(inv)(np.diag(np.float32([2, 4]))).tolist())"
    )
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
        assert done.stdout == "[[0.5, 0.0], [0.0, 0.25]]\n", done.stderr
    assert list(tmp_path.glob("jit_*")) and not list(tmp_path.glob("executable-*"))
