import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from emojax.util import compiling, files


def test_options_are_for_the_cpu_only():
    assert compiling.compiler_options("gpu") == {}
    assert compiling.compiler_options("tpu") == {}


def test_this_backend_knows_the_option():
    """It is worth a factor of three: where this fails, measure whether the new version of XLA needs another one."""
    assert compiling.compiler_options("cpu") == compiling.CPU_OPTIONS


def test_an_option_that_the_backend_does_not_know_is_left_out_and_told(monkeypatch):
    monkeypatch.setattr(compiling, "CPU_OPTIONS", {"xla_no_such_option": "1"})
    compiling.compiler_options.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match=r"xla_no_such_option.*more slowly"):
            assert compiling.compiler_options("cpu") == {}
    finally:
        compiling.compiler_options.cache_clear()


def test_jit_computes_what_jax_jit_computes():
    x = jnp.arange(12.0).reshape(3, 4)
    assert (compiling.jit(jnp.sin)(x) == jax.jit(jnp.sin)(x)).all()


CACHED = (
    "from emojax.util import compiling; compiling.enable_cache(); import jax; print(int(jax.jit(lambda x: x + 1)(1)))"
)


def run_cached(folder):
    return subprocess.run(
        [sys.executable, "-c", CACHED],
        capture_output=True,
        text=True,
        check=True,
        env={"EMOJAX_CACHE": str(folder), "PATH": "", "PYTHONPATH": ".", "JAX_PLATFORMS": "cpu"},
    )


def test_the_cache_fills_and_broken_entries_are_replaced(tmp_path):
    assert run_cached(tmp_path / "cache").stdout == "2\n"
    entries = {path: path.read_bytes() for path in (tmp_path / "cache" / "xla").iterdir()}
    assert entries
    for entry, data in entries.items():
        entry.write_bytes(data[: len(data) // 2])
    again = run_cached(tmp_path / "cache")
    assert again.stdout == "2\n" and again.stderr == ""
    assert all(entry.stat().st_size == len(data) for entry, data in entries.items())


def test_a_user_without_a_home_has_no_cache(monkeypatch):
    def homeless(name):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("EMOJAX_CACHE")
    monkeypatch.setattr(files.platformdirs, "user_cache_dir", homeless)
    before = jax.config.jax_compilation_cache_dir
    compiling.enable_cache()
    assert jax.config.jax_compilation_cache_dir == before


def test_a_cache_that_cannot_be_made_is_ignored(tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = run_cached(tmp_path / "file")
    assert result.stdout == "2\n" and result.stderr == ""
