"""Traces that are kept on disk: the same results without tracing, and another function, code or shape is another trace."""

import functools
import subprocess
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emojax.util import compiling, exported
from emojax.util.exported import Exported, kept_on_disk

traced = []


@kept_on_disk
class Pair(NamedTuple):
    one: jax.Array
    other: jax.Array | None


def scaled(factor, pair):
    traced.append(factor)
    return Pair(factor * pair.one, None)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A cache of its own for every test."""
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    traced.clear()
    yield tmp_path
    jax.config.update("jax_compilation_cache_dir", before)


def run(factor=2.0, size=3):
    """What a new process would: the function is made anew."""
    found = Exported(functools.partial(scaled, factor))(Pair(np.arange(size, dtype=np.float32), None))
    np.testing.assert_array_equal(found.one, factor * np.arange(size))
    assert isinstance(found, Pair) and found.other is None


def test_it_is_traced_once_for_each_function_and_shape():
    run()
    run()
    assert traced == [2.0]
    run(factor=3.0)
    run(size=4)
    run(factor=3.0)
    assert traced == [2.0, 3.0, 2.0]


def test_other_code_is_another_trace(monkeypatch):
    run()
    monkeypatch.setattr(exported, "code_hash", lambda: "other")
    run()
    assert traced == [2.0, 2.0]


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: data[:-1] + b"?"]
)
def test_a_damaged_trace_is_replaced(folder, damage):
    run()
    (file,) = folder.glob("trace-*")
    file.write_bytes(damage(file.read_bytes()))
    run()
    run()
    assert traced == [2.0, 2.0]


def test_what_another_version_of_jax_wrote_is_replaced():
    run()
    cache = compiling.program_cache()
    (file,) = cache.path.glob("trace-*")
    cache.put(file.name.removesuffix("-program"), b"no module")  # whole, but not what it should be
    run()
    assert traced == [2.0, 2.0]


def test_a_function_that_has_no_name_of_its_own_is_not_kept(folder):
    for factor in (2.0, 3.0):
        found = Exported(lambda x, factor=factor: factor * x)(np.float32([1]))
        assert found.tolist() == [factor]
    found = Exported(functools.partial(jnp.add, jnp.ones(1)))(np.float32([1]))  # an array does not say what it is
    assert found.tolist() == [2] and not list(folder.glob("trace-*"))


def test_without_a_cache_it_is_plain_jit():
    jax.config.update("jax_compilation_cache_dir", None)
    run()
    run()
    assert traced == [2.0, 2.0]


def test_the_programs_are_bounded():
    function = Exported(functools.partial(scaled, 2.0), limit=2)
    for size in (1, 2, 3, 3, 2):
        function(Pair(np.zeros(size, np.float32), None))
    assert traced == [2.0] * 3
    assert len(function._programs) == 2


def test_linear_algebra_works_in_a_new_process(tmp_path):
    """Whether LAPACK is needed is seen from the module."""
    code = (
        "import sys, jax, numpy as np; jax.config.update('jax_compilation_cache_dir', sys.argv[1]);"
        "from emojax.util.exported import Exported; from jax.numpy.linalg import inv;"
        "print(Exported(inv)(np.diag(np.float32([2, 4]))).tolist(), 'scipy' in sys.modules)"
    )
    for _ in range(2):  # the second finds the trace of the first
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
        assert done.stdout.split("\n")[0] == "[[0.5, 0.0], [0.0, 0.25]] True", done.stderr
    assert list(tmp_path.glob("trace-*"))
