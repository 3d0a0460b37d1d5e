"""Compiled pure functions that start fast: a new process neither traces nor lowers them again.

Tracing and lowering a network takes longer than painting a photo with it. JAX keeps the executables that XLA makes in the
folder of compiled programs (`emojax.util.compiling.enable_cache`), but finds them only by the lowered program. `Compiled`
keeps beside them, under all that the program depends on, which executable it is and what it returns, as JSON. Without such
a folder, `Compiled` is plain `jit`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import importlib.metadata
import json
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from emojax.util import compiling
from emojax.util.machine import processor, return_memory
from emojax.util.program_cache import compile_with_key, load_executable

LIMIT = 8
"""number of programs (one per shapes of the arguments) that a function keeps in memory; the least recently used goes first"""
_LIBRARIES = ("jax", "jaxlib", "flax", "numpy")
_NOT_IN_KEY = re.compile("jax_(debug_)?log|cache|traceback")
"""settings of JAX that change messages and where programs are kept, not the programs"""
_FLAGS = ("XLA_FLAGS", "LIBTPU_INIT_ARGS")
_PACKAGE = Path(__file__).parent.parent


class Compiled:
    """A compiled pure function of arrays, on the default device.

    Thread-safe: only one thread at a time compiles for new shapes.
    """

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


@dataclass(frozen=True)
class _Program:
    """An executable of XLA on one device, called like the function that it was compiled from."""

    executable: Any
    device: jax.Device
    result: Any
    """the structure of what it returns"""

    def __call__(self, *arguments: Any) -> Any:
        buffers = [self._placed(leaf) for leaf in jax.tree.leaves(arguments)]
        outputs = self.executable.execute_sharded(buffers).disassemble_into_single_device_arrays()
        return jax.tree.unflatten(self.result, [output[0] for output in outputs])

    def _placed(self, leaf: Any) -> jax.Array:
        if isinstance(leaf, jax.Array) and leaf.devices() == {self.device}:
            return leaf
        return jax.device_put(leaf, self.device)


def _shapes(arguments: Sequence[Any]) -> Hashable:
    leaves, structure = jax.tree.flatten(arguments)
    return structure, tuple((np.shape(leaf), np.dtype(leaf.dtype).str) for leaf in leaves)


def _compile(function: Callable[..., Any], arguments: Sequence[Any], shapes: Hashable) -> Callable[..., Any]:
    cache, name, device = compiling.program_cache(), _name(function), jax.local_devices()[0]
    if cache is None or name is None:
        return compiling.jit(function).lower(*arguments).compile()
    key = _key(_facts(name, shapes, device))
    if (kept := _load(cache.get(key), device)) is not None:
        return kept
    lowered = compiling.jit(function, keep_unused=True).lower(*arguments)
    compiled, executable = compile_with_key(lowered)
    if executable is not None and (entry := _entry(lowered, compiled, executable, device)) is not None:
        cache.put(key, entry)
    return compiled


def _entry(lowered: jax.stages.Lowered, compiled: jax.stages.Compiled, key: str, device: jax.Device) -> bytes | None:
    """What is kept of a program whose executable has this key; None if another process could not call it by the key alone."""
    if "custom_call" in lowered.as_text():  # such as LAPACK, which JAX loads when it lowers a function
        return None
    try:
        if list(compiled.runtime_executable().local_devices()) != [device]:  # type: ignore[union-attr]
            return None
        return json.dumps({"executable": key, "result": _described(compiled.out_info)}).encode()
    except (TypeError, AttributeError):  # an output that is no tuple of ours, or another version of JAX
        return None


def _load(entry: bytes | None, device: jax.Device) -> _Program | None:
    """The program of an entry; None if the entry or its executable is missing or cannot be loaded."""
    if entry is None:
        return None
    try:
        found = json.loads(entry)
        executable, result = load_executable(found["executable"], device), jax.tree.structure(_rebuilt(found["result"]))
    except (ValueError, TypeError, KeyError, ImportError):
        return None
    return None if executable is None else _Program(executable, device, result)


def _described(tree: Any) -> Any:
    """A pytree's structure as JSON: a leaf is 0, and a tuple is a list of its class's name and its items."""
    if isinstance(tree, tuple):
        return [_class_name(type(tree)), *map(_described, tree)]
    if isinstance(tree, dict):
        return {key: _described(value) for key, value in tree.items()}
    if tree is None:
        return None
    if not jax.tree_util.all_leaves([tree]):
        raise TypeError(f"{type(tree).__name__} is not kept on disk")
    return 0


def _rebuilt(described: Any) -> Any:
    """The pytree that `_described` describes, whose leaves are 0."""
    if isinstance(described, list):
        cls, items = _tuple_class(described[0]), [_rebuilt(item) for item in described[1:]]
        return tuple(items) if cls is tuple else cls(*items)
    if isinstance(described, dict):
        return {key: _rebuilt(value) for key, value in described.items()}
    return None if described is None else 0


def _key(facts: Mapping[str, Any]) -> str:
    return "executable-" + hashlib.sha256(repr(sorted(facts.items())).encode()).hexdigest()


def _facts(name: str, shapes: Hashable, device: jax.Device) -> dict[str, Any]:
    """All that an executable depends on: the function, its arguments, the code, libraries, settings and the machine."""
    return {
        "function": name,
        "shapes": shapes,
        "code": code_hash(),
        "versions": [importlib.metadata.version(library) for library in _LIBRARIES],
        "settings": {
            name: getattr(jax.config, name, value)
            for name, value in jax.config.values.items()
            if not _NOT_IN_KEY.search(name)
        },
        "flags": [os.environ.get(flag) for flag in _FLAGS],
        "options": compiling.CPU_OPTIONS,
        "device": (device.platform, device.device_kind, device.id, device.client.platform_version),
        "processor": processor(),
    }


def _name(function: Callable[..., Any]) -> str | None:
    """A name that identifies a function across processes; None if the function cannot be identified."""
    if isinstance(function, functools.partial):
        inner = _name(function.func)
        given = [*function.args, *function.keywords.items()]
        return f"{inner}{given!r}" if inner is not None and all(_has_stable_repr(value) for value in given) else None
    if "<" in getattr(function, "__qualname__", "<"):  # defined inside another function, whose variables it may use
        return None
    return f"{function.__module__}.{function.__qualname__}"


def _has_stable_repr(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_has_stable_repr(item) for item in value)
    return value is None or isinstance(value, str | int | float) or dataclasses.is_dataclass(value)


def _class_name(cls: type[tuple]) -> str:
    """The name of `tuple`, or of a NamedTuple of emojax.

    Raises:
        TypeError: another class.
    """
    if cls is not tuple and not (cls.__module__.startswith(f"{_PACKAGE.name}.") and cls.__qualname__ == cls.__name__):
        raise TypeError(f"{cls.__module__}.{cls.__qualname__} is not kept on disk")
    return f"{cls.__module__}.{cls.__name__}"


def _tuple_class(name: str) -> type[tuple]:
    """The class that `_class_name` names.

    Raises:
        ValueError: the name is another one, so the entry was not written by `Compiled`.
    """
    module, _, attribute = name.rpartition(".")
    if module != "builtins" and not module.startswith(f"{_PACKAGE.name}."):
        raise ValueError(f"{name} is no class of emojax")
    cls = getattr(importlib.import_module(module), attribute, None)
    if not (isinstance(cls, type) and issubclass(cls, tuple)):
        raise ValueError(f"{name} is no tuple")
    return cls


@functools.cache
def code_hash() -> str:
    """A hash of emojax' sources, so that an executable is not used after the code has changed."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
