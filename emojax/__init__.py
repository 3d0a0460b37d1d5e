"""emojax repaints a photo in the style of the emotion on its faces.

    import emojax
    model = emojax.load()
    model("photo.jpg").image.save("out.png")

Names are imported on first use, so that `import emojax` and `emojax --help` start fast.
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emojax.emotions import EMOTIONS
    from emojax.errors import (
        CheckpointError,
        EmojaxError,
        InputError,
        NoFaceError,
        OutputError,
        ResourceError,
    )
    from emojax.faces.find import Face
    from emojax.options import StylizeOptions
    from emojax.pipeline import Model, ReadFace, Result, available_models, load
    from emojax.video.run import stylize_video

__version__ = "0.2.0.dev0"
__all__ = [
    "EMOTIONS",
    "CheckpointError",
    "EmojaxError",
    "Face",
    "InputError",
    "Model",
    "NoFaceError",
    "OutputError",
    "ReadFace",
    "ResourceError",
    "Result",
    "StylizeOptions",
    "available_models",
    "load",
    "stylize_video",
]

_MODULES = {
    "EMOTIONS": "emojax.emotions",
    "CheckpointError": "emojax.errors",
    "EmojaxError": "emojax.errors",
    "InputError": "emojax.errors",
    "NoFaceError": "emojax.errors",
    "OutputError": "emojax.errors",
    "ResourceError": "emojax.errors",
    "Face": "emojax.faces.find",
    "StylizeOptions": "emojax.options",
    "Model": "emojax.pipeline",
    "ReadFace": "emojax.pipeline",
    "Result": "emojax.pipeline",
    "available_models": "emojax.pipeline",
    "load": "emojax.pipeline",
    "stylize_video": "emojax.video.run",
}


if not TYPE_CHECKING:  # for type checkers, every name would exist

    def __getattr__(name: str) -> Any:
        if name == "UserError":
            warnings.warn("emojax.UserError is emojax.EmojaxError since version 0.2", DeprecationWarning, stacklevel=2)
            name = "EmojaxError"
        if name not in _MODULES:
            raise AttributeError(f"module 'emojax' has no attribute {name!r}")
        return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
