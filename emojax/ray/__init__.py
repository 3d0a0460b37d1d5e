"""Painting photos on many machines with Ray Data: `stylize` for a data set, `python -m emojax.ray` for a folder.

Install it with `pip install 'emojax[ray]'`. Ray moves the rows, restarts actors that die, and shows the progress.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emojax.errors import InputError

if TYPE_CHECKING:
    from emojax.ray.dataset import stylize

__all__ = ["stylize"]


def __getattr__(name: str) -> Any:
    if name != "stylize":
        raise AttributeError(f"module 'emojax.ray' has no attribute {name!r}")
    try:
        from emojax.ray import dataset
    except ModuleNotFoundError as error:
        raise InputError(f"emojax.ray needs the package {error.name}: pip install 'emojax[ray]'") from error
    return dataset.stylize
