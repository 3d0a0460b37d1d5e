"""How emojax compiles: one `jit` for inference and evaluation, the options that training shares, the cache on disk."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import platformdirs

# XLA's CPU backend of jax 0.10 hands convolutions to a library that is slow for these networks. Restricting it to
# reductions makes inference about 3.1 times and training about 1.6 times as fast. Experimental, hence the probe.
_CPU_OPTIONS: dict[str, Any] = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}


@functools.cache
def compiler_options(platform: str) -> dict[str, Any]:
    """XLA options for a platform ("cpu", "gpu", "tpu"): those of `_CPU_OPTIONS` if this backend accepts them."""
    if platform != "cpu":
        return {}
    try:
        jax.jit(lambda: 0, compiler_options=_CPU_OPTIONS).lower().compile()
    except jax.errors.JaxRuntimeError as error:
        if "INVALID_ARGUMENT" not in str(error):  # too little memory, say: not for us to hide
            raise
        reason = str(error).removeprefix("INVALID_ARGUMENT: ")
        warnings.warn(
            f"this version of XLA refuses a compiler option ({reason}): everything works, up to three times more slowly; "
            "the versions of constraints.txt have it",
            RuntimeWarning,
            stacklevel=2,
        )
        return {}
    return dict(_CPU_OPTIONS)


def jit(function: Callable[..., Any], **options: Any) -> Any:
    """`jax.jit` with the compiler options that suit the default backend."""
    return jax.jit(function, compiler_options=compiler_options(jax.default_backend()), **options)


def enable_cache(folder: Path | None = None) -> None:
    """Keeps compiled programs in `folder`, by default the user's cache folder, so that a second run starts fast.

    For scripts only: it changes JAX's global configuration. A folder that cannot be used is ignored, since a cache
    may never be the reason that a photo fails.
    """
    try:
        path = folder or Path(os.environ.get("EMOJAX_CACHE") or platformdirs.user_cache_dir("emojax")) / "xla"
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return
    if not os.access(path, os.W_OK):
        return
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
