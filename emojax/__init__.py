"""emojax repaints a photo in the style of the emotion on its faces.

    import emojax
    model = emojax.load()
    model("photo.jpg").image.save("out.png")

Names are imported on first use, so that `import emojax` and `stylize.py --help` cost nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emojax.emotions import EMOTIONS
    from emojax.errors import UserError
    from emojax.faces.find import Face
    from emojax.pipeline import Model, NoFaceError, ReadFace, Result, available_models, load

__version__ = "0.1.0"
__all__ = ["EMOTIONS", "Face", "Model", "NoFaceError", "ReadFace", "Result", "UserError", "available_models", "load"]

_HOME = {
    "EMOTIONS": "emojax.emotions",
    "UserError": "emojax.errors",
    "Face": "emojax.faces.find",
    "Model": "emojax.pipeline",
    "NoFaceError": "emojax.pipeline",
    "ReadFace": "emojax.pipeline",
    "Result": "emojax.pipeline",
    "available_models": "emojax.pipeline",
    "load": "emojax.pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'emojax' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)
