"""Compiling: the `jit` of inference and evaluation, the XLA options that training uses, too, and the cache on disk."""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

from emojax.errors import EmojaxError, ResourceError
from emojax.util.files import cache_folder
from emojax.util.machine import check_machine, lack
from emojax.util.program_cache import ProgramCache, use_program_cache

# XLA's CPU backend of jax 0.10 hands convolutions to a library that is slow for these networks. Restricting it to
# reductions makes inference about 3.1 times and training about 1.6 times as fast. Experimental, hence the probe.
CPU_OPTIONS: dict[str, Any] = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}

_LONGEST = 200  # characters of a library's error that a message quotes


def check_process() -> None:
    """Raises ResourceError in a child of fork(): it has no copy of JAX's threads, and would wait for them for ever."""
    if os.getpid() != _started_in():
        raise ResourceError(
            "JAX was started before this process was forked: load the model in each process, and start processes by "
            'multiprocessing.get_context("spawn")'
        )


@functools.cache
def _started_in() -> int:
    return os.getpid()


def start_backend() -> list[jax.Device]:
    """Starts JAX's backend, so that its errors appear here and not in later calls; returns the devices.

    Raises:
        ResourceError: too little memory or too few threads, no device as the environment names it, or a forked process.
    """
    check_process()
    check_machine()
    try:
        return jax.devices()
    except Exception as error:  # JAX raises AssertionError, RuntimeError and errors of the driver's library
        reason = lack(error) or " ".join(str(error).partition(" (set JAX_PLATFORMS")[0].split())[:_LONGEST]
        asked = os.environ.get("JAX_PLATFORMS")
        what = f"the platform {asked!r}, as JAX_PLATFORMS says" if asked else "on any device"
        way_out = "set it to cpu, or leave it out" if asked else "set JAX_PLATFORMS=cpu"
        raise ResourceError(f"JAX cannot start {what}{f' ({reason})' if reason else ''}: {way_out}") from None


@contextlib.contextmanager
def as_resource_errors() -> Iterator[None]:
    """Turns errors about what the machine lacks, raised while JAX computes, into ResourceError. Also a decorator."""
    check_process()
    try:
        yield
    except EmojaxError:
        raise
    except (MemoryError, RuntimeError, OSError) as error:
        if (reason := lack(error)) is None:
            raise
        raise ResourceError(reason) from error


@functools.cache
def compiler_options(platform: str) -> dict[str, Any]:
    """XLA options for a platform ("cpu", "gpu", "tpu"): those of `CPU_OPTIONS` if this backend accepts them."""
    if platform != "cpu":
        return {}
    try:
        jax.jit(lambda: 0, compiler_options=CPU_OPTIONS).lower().compile()
    except jax.errors.JaxRuntimeError as error:
        if "INVALID_ARGUMENT" not in str(error):  # another error, such as too little memory, must not be hidden
            raise
        reason = str(error).removeprefix("INVALID_ARGUMENT: ")
        warnings.warn(
            f"this version of XLA refuses a compiler option ({reason}): everything works, up to three times more slowly; "
            "the versions of constraints.txt have it",
            RuntimeWarning,
            stacklevel=2,
        )
        return {}
    return dict(CPU_OPTIONS)


def jit(function: Callable[..., Any], **options: Any) -> Any:
    """`jax.jit` with the compiler options that suit the default backend."""
    return jax.jit(function, compiler_options=compiler_options(jax.default_backend()), **options)


def program_cache() -> ProgramCache | None:
    """The cache that `enable_cache` has chosen; None without one."""
    folder = jax.config.values["jax_compilation_cache_dir"]
    return None if folder is None else ProgramCache(Path(folder))


def enable_cache(folder: Path | None = None) -> None:
    """Keeps compiled programs in `folder`, by default the user's cache folder, so that a second run starts fast.

    See `emojax.util.program_cache` for what is kept and for how long.

    For scripts only: it changes JAX's global configuration. A folder that cannot be used is ignored, since a failing cache
    must not make a photo fail.
    """
    try:
        path = folder or cache_folder() / "xla"
        path.mkdir(parents=True, exist_ok=True, mode=0o700)  # it holds machine code
    except (OSError, RuntimeError):  # RuntimeError: a user without a home folder
        return
    if not os.access(path, os.W_OK):
        return
    use_program_cache()
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
