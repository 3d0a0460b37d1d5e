"""Loads the config and parameters of a network, or of a network set with one network per emotion."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from emojax.emotions import EMOTIONS
from emojax.errors import CheckpointError
from emojax.nets.classifier import init_classifier
from emojax.nets.classifier_config import ClassifierConfig
from emojax.nets.stylizer import init_stylizer, stack_networks
from emojax.nets.stylizer_config import StylizerConfig
from emojax.util.compiling import program_cache, start_backend
from emojax.util.executables import code_hash
from emojax.util.files import PACKAGED_STYLES
from emojax.weights import store
from emojax.weights.style_file import StyleFile, network_fingerprint


def find_styles(styles: str | os.PathLike | None = None) -> Path:
    """The path of a checkpoint, or of a packaged one by its name; None: the default. A user's folder "fast" is ./fast."""
    name = styles or "default"
    return PACKAGED_STYLES[name] if isinstance(name, str) and name in PACKAGED_STYLES else Path(name)


def add_style_files(
    config: StylizerConfig, params: Any, style_files: Sequence[StyleFile]
) -> tuple[StylizerConfig, Any]:
    """A network with further styles; see `Model.with_style_files`."""
    fingerprint = network_fingerprint(params["network"])
    for style_file in style_files:
        style_file.check(config, fingerprint)
        config = dataclasses.replace(config, style_names=(*config.style_names, style_file.name))
    rows = [jax.tree.map(lambda row: row[None], dict(style_file.code)) for style_file in style_files]
    table = jax.tree.map(lambda *rows: jnp.concatenate(rows), params["style_table"], *rows)
    return config, {**params, "style_table": table}


def load_classifier(path: str | os.PathLike) -> tuple[ClassifierConfig, Any]:
    """A classifier's config and linen variables; see `load`."""
    start_backend()
    checkpoint = store.read_checkpoint(path, "classifier")
    config = store.model_config(checkpoint, ClassifierConfig)
    variables = _params(checkpoint, lambda: init_classifier(config, jax.random.PRNGKey(0)))
    return config, {"batch_stats": {}, **variables}  # empty ones are not saved


def load_styles(path: str | os.PathLike) -> tuple[StylizerConfig, Any]:
    """A transform net's config and parameters; see `load`. A folder of them, one per emotion, becomes a network set."""
    start_backend()
    if singles := _network_set_folders(Path(path)):
        return _load_network_set(singles)
    checkpoint = store.read_checkpoint(path, "styles")
    config = store.model_config(checkpoint, StylizerConfig)
    return config, _params(checkpoint, lambda: init_stylizer(config, jax.random.PRNGKey(0)))


def _params(checkpoint: store.Checkpoint, initialize: Callable[[], Any]) -> Any:
    """The parameters of a checkpoint whose hash is verified; see `load`.

    With `emojax.util.compiling.enable_cache` a copy is kept in the cache under the checkpoint's hash. This saves half a second
    for importing Orbax, as long for reading, a quarter for importing Flax, and the tracing of the network's initialization.
    """
    cache, key = program_cache(), f"params-{checkpoint.sha256}-{code_hash()[:16]}"
    kept = None if cache is None else cache.get(key)
    if kept is not None:
        return _nested(safetensors.numpy.load(kept))
    params = store.load_params(checkpoint, jax.eval_shape(initialize))
    if cache is not None:
        leaves = jax.tree_util.tree_leaves_with_path(params)
        names = (jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves)
        cache.put(key, safetensors.numpy.save(dict(zip(names, (leaf for _, leaf in leaves), strict=True))))
    return params


def _nested(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Nested dicts from arrays named like "a/b/c"."""
    nested: dict[str, Any] = {}
    for name, array in arrays.items():
        *folders, last = name.split("/")
        functools.reduce(lambda inner, folder: inner.setdefault(folder, {}), folders, nested)[last] = array
    return nested


def _network_set_folders(path: Path) -> dict[str, Path]:
    """The checkpoints or runs of a network set, emotion -> folder; empty if `path` itself is a checkpoint or run."""
    if not os.path.isdir(path) or os.path.exists(path / "model.json") or store.checkpoints_in(path):
        return {}
    return {emotion: path / emotion for emotion in EMOTIONS if os.path.isdir(path / emotion)}


def _load_network_set(folders: Mapping[str, Path]) -> tuple[StylizerConfig, Any]:
    found = {emotion: load_styles(folder) for emotion, folder in folders.items()}
    shape = next(config for config, _ in found.values())
    for emotion, (config, _) in found.items():
        if config != dataclasses.replace(shape, style_names=(emotion,)):
            raise CheckpointError(
                f"{folders[emotion]} is a {config}: a network set needs width {shape.width}, {shape.blocks} blocks, patches "
                f"of {shape.patch} and the one style {emotion!r} there"
            )
    config = dataclasses.replace(shape, style_names=tuple(found), network_per_style=True)
    return config, jax.tree.map(np.asarray, stack_networks([params for _, params in found.values()]))
