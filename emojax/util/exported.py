"""Compiled pure functions whose traces are kept on disk, so that a new process neither traces nor lowers them from Python.

Tracing a network takes longer than painting a photo with it. `Exported` keeps the traced module (StableHLO, by `jax.export`) in
the folder of compiled programs, see `emojax.util.compiling.enable_cache`. JAX keeps the program that XLA compiles from the
module in the same folder. Without such a folder, `Exported` is plain `jit`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.export
import numpy as np

from emojax.util import compiling
from emojax.util.machine import return_memory

Tuple = TypeVar("Tuple")
LIMIT = 8
"""number of programs (one per shapes of the arguments) that a function keeps in memory; the least recently used goes first"""
_SPARING = threading.Lock()
_PACKAGE = Path(__file__).parent.parent
_SETTINGS = ("jax_enable_x64", "jax_default_matmul_precision", "jax_default_prng_impl", "jax_numpy_dtype_promotion")


def kept_on_disk(cls: type[Tuple]) -> type[Tuple]:
    """Decorates a NamedTuple that an `Exported` function takes or returns."""
    jax.export.register_namedtuple_serialization(cls, serialized_name=f"{cls.__module__}.{cls.__qualname__}")
    return cls


class Exported:
    """A compiled pure function of arrays. Thread-safe: only one thread at a time compiles for new shapes."""

    def __init__(self, function: Callable[..., Any], limit: int = LIMIT) -> None:
        """Takes a module-level function, or a `functools.partial` of one with numbers, strings, tuples and configs."""
        self._function, self._limit, self._lock = function, limit, threading.Lock()
        self._programs: OrderedDict[Hashable, Callable[..., Any]] = OrderedDict()

    def __call__(self, *arguments: Any) -> Any:
        return self.compile(*arguments)(*arguments)

    def compile(self, *arguments: Any) -> Callable[..., Any]:
        """The program for arguments of these shapes, which may be `jax.ShapeDtypeStruct`s."""
        shapes = _shapes(arguments)
        with self._lock:
            if shapes not in self._programs:
                self._programs[shapes] = _compile(self._function, arguments, shapes)
                return_memory()  # that the compiler used
            self._programs.move_to_end(shapes)
            while len(self._programs) > self._limit:
                self._programs.popitem(last=False)
            return self._programs[shapes]


def _shapes(arguments: Sequence[Any]) -> Hashable:
    leaves, structure = jax.tree.flatten(arguments)
    return structure, tuple((np.shape(leaf), np.dtype(leaf.dtype).str) for leaf in leaves)


def _compile(function: Callable[..., Any], arguments: Sequence[Any], shapes: Hashable) -> Callable[..., Any]:
    cache, name = compiling.program_cache(), _name(function)
    if cache is None or name is None:
        return compiling.jit(function).lower(*arguments).compile()
    key = _key(name, shapes)
    exported = _load(cache.get(key))
    if exported is None:
        exported = jax.export.export(jax.jit(function))(*arguments)
        cache.put(key, bytes(exported.serialize()))
    with _without_scipy(exported):
        lowered = compiling.jit(exported.call).lower(*arguments)
    return lowered.compile()


@contextlib.contextmanager
def _without_scipy(exported: jax.export.Exported) -> Iterator[None]:
    """Skips JAX's import of SciPy (0.2 s) for modules on a CPU that do not call LAPACK; JAX imports it for every module."""
    try:
        from jax._src.export import _export
    except ImportError:  # another version of JAX
        _export = None  # type: ignore[assignment]
    name, needed = "_ensure_backends_initialized", b"lapack" in exported.mlir_module_serialized
    if needed or not hasattr(_export, name):
        yield
        return
    with _SPARING:
        initialize = getattr(_export, name)
        setattr(_export, name, lambda platforms: None)
        try:
            yield
        finally:
            setattr(_export, name, initialize)


def _load(data: bytes | None) -> jax.export.Exported | None:
    """The module in a cache entry; None if the entry is missing, or this version of JAX cannot read it."""
    if data is None:
        return None
    try:
        return jax.export.deserialize(bytearray(data))
    except Exception:  # JAX raises different errors depending on where the format differs
        return None


def _key(name: str, shapes: Hashable) -> str:
    """A key over all that a trace depends on: the function, its arguments, emojax' code, JAX and its settings."""
    settings = [getattr(jax.config, setting) for setting in _SETTINGS]
    facts = (name, shapes, code_hash(), jax.__version__, jax.default_backend(), settings)
    return "trace-" + hashlib.sha256(repr(facts).encode()).hexdigest()


def _name(function: Callable[..., Any]) -> str | None:
    """A name that identifies a function across processes; None if the function cannot be identified."""
    if isinstance(function, functools.partial):
        inner = _name(function.func)
        given = [*function.args, *function.keywords.items()]
        return f"{inner}{given!r}" if inner is not None and all(_is_telling(value) for value in given) else None
    if "<" in getattr(function, "__qualname__", "<"):  # defined inside another function, whose variables it may use
        return None
    return f"{function.__module__}.{function.__qualname__}"


def _is_telling(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_is_telling(item) for item in value)
    return value is None or isinstance(value, str | int | float) or dataclasses.is_dataclass(value)


@functools.cache
def code_hash() -> str:
    """A hash of emojax' sources, so that a trace is not used after the code has changed."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
