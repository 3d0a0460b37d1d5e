"""Loading of models from checkpoints."""

from __future__ import annotations

import os

import jax

from emojax.errors import InputError
from emojax.pipeline.model import Model
from emojax.util.files import PACKAGED, PACKAGED_STYLES
from emojax.weights.load import find_styles, load_classifier, load_styles


def load(styles: str | os.PathLike | None = None, classifier: str | os.PathLike | None = None) -> Model:
    """Loads a model from checkpoints, by default the packaged ones.

    Args:
        styles: the transform net: a name of `available_models`, a checkpoint, the folder of a training run (then its best
            checkpoint), or a folder with a network for each emotion.
        classifier: a checkpoint or the folder of a training run.

    Raises:
        InputError: an argument that is not a name or a path.
        ResourceError: JAX cannot start, or there is too little memory.
        CheckpointError: a checkpoint that is missing, damaged, of another kind or of another architecture.
    """
    for value, field in ((styles, "styles"), (classifier, "classifier")):
        if value is not None and not isinstance(value, str | os.PathLike):
            raise InputError(f"`{field}` is a {type(value).__name__}: give a name or a path", field)
    classifier_config, variables = load_classifier(classifier or PACKAGED / "classifier")
    stylizer_config, params = load_styles(find_styles(styles))
    return Model(classifier_config, stylizer_config, jax.device_put({"classifier": variables, "stylizer": params}))


def available_models() -> list[str]:
    """The names of the packaged transform nets, for `load`."""
    return list(PACKAGED_STYLES)
