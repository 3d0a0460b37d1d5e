"""Users' styles and strengths -> weights over a transform net's styles. No function here is compiled."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from emojax.emotions import EMOTIONS, PHOTO, style_weights
from emojax.errors import InputError
from emojax.nets.stylizer_config import StylizerConfig
from emojax.options import StylizeOptions

_CANNOT_MIX = "this set has a network of its own for every style and cannot mix them"


def check_options(config: StylizerConfig, options: StylizeOptions) -> None:
    """Raises InputError for options that this network does not support, and styles that it lacks, whatever the photo."""
    if config.network_per_style and (options.per_face or options.mix == "probabilities"):
        raise InputError(
            f"{_CANNOT_MIX}: leave out `per_face` and the `mix` probabilities, or take a network of all styles"
        )
    if options.style_given is not None:
        explicit_style(config, options.style_given)


def spares_faces(config: StylizerConfig, options: StylizeOptions) -> bool:
    """Whether faces are painted with less strength than the rest; only a network with the style "photo" can do that."""
    return PHOTO in config.style_names and options.face_strength < 1


def code_and_amount(config: StylizerConfig, strength: float) -> tuple[np.float32 | None, float]:
    """Splits a strength into the share of the style's code and the amount of the cross-fade with the photo.

    If the network has the style "photo", strengths from 1 down to a half only move the code towards that style: strokes and
    palette get weaker, and no edge is doubled. From a half down to 0, where picture and photo are alike, pixels are
    cross-faded as well. Without that style, there is only the cross-fade (share None). A mask multiplies the strength in every
    pixel; where the mask is white, amounts above 1 give the picture alone.
    """
    if PHOTO not in config.style_names:
        return None, strength
    return np.float32(strength), 2 * strength


def explicit_style(config: StylizerConfig, emotion: str | Mapping[str, float]) -> np.ndarray:
    """Converts the weights that the user gave to weights float32 [S] over the network's styles."""
    names = (*EMOTIONS, *(name for name in config.style_names if name not in EMOTIONS))
    weights = dict(zip(names, style_weights(emotion, names).tolist(), strict=True))
    missing = [name for name, weight in weights.items() if weight and name not in config.style_names]
    if missing:
        raise InputError(f"this network has no style for {missing[0]!r}: it has {', '.join(config.style_names)}")
    if config.network_per_style and max(weights.values()) < 1:
        raise InputError(f"{_CANNOT_MIX}: name one emotion, not a mix")
    return np.array([weights[name] for name in config.style_names], np.float32)


def style_dict(config: StylizerConfig, weights: np.ndarray) -> dict[str, float]:
    """The weights of the styles used, without those that are 0."""
    pairs = zip(config.style_names, weights, strict=True)
    return {name: float(weight) for name, weight in pairs if weight > 0}
