"""Distillation: a small transform net learns the pictures of a larger one.

A smaller net can approximate the pictures of a transform net directly. This takes far fewer steps than learning from paintings,
and needs no VGG16. Hinton, Vinyals, Dean 2015 (arXiv:1503.02531) distil classifiers; this loss is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from emojax.images import to_unit
from emojax.nets.style_code import mix_styles
from emojax.nets.stylizer import stylize_with_code
from emojax.nets.stylizer_config import StylizerConfig
from emojax.train.styles.config import StyleTraining


def detail(pictures: Float[Array, "N H W 3"]) -> tuple[jax.Array, jax.Array]:
    """Differences of vertical and horizontal neighbours."""
    return pictures[:, 1:] - pictures[:, :-1], pictures[:, :, 1:] - pictures[:, :, :-1]


def imitation_loss(pictures: Float[Array, "N H W 3"], wanted: Float[Array, "N H W 3"]) -> Float[Array, " N"]:
    """Mean absolute difference of the pixels, plus that of the neighbours' differences, which keeps strokes sharp."""
    pairs = [(pictures, wanted), *zip(detail(pictures), detail(wanted), strict=True)]
    return jnp.stack([jnp.abs(one - other).mean((1, 2, 3)) for one, other in pairs]).sum(0)


def distillation_losses(
    config: StyleTraining,
    teacher: StylizerConfig,
    constants: Mapping[str, Any],
    params: Any,
    batch: Mapping[str, Any],
    key: jax.Array,
) -> dict[str, jax.Array]:
    """The loss of a batch, as `perceptual_losses` gives it. Pure.

    Args:
        constants: {"teacher": the teacher's parameters, with the rows of the trained styles}.
        key: not used.
    """
    model, dtype = config.resolved_model(), jnp.dtype(config.dtype)
    photos = to_unit(jnp.asarray(batch["photo"]))
    choice = jax.nn.one_hot(jnp.asarray(batch["style"]), len(model.style_names))
    wanted = stylize_with_code(
        teacher, constants["teacher"]["network"], photos, mix_styles(constants["teacher"]["style_table"], choice)
    )
    pictures = stylize_with_code(
        model, params["network"], photos, mix_styles(params["style_table"], choice), dtype=dtype
    )
    return {"loss": imitation_loss(pictures, jax.lax.stop_gradient(wanted)).mean()}
