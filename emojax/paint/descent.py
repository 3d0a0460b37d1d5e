"""Gradient descent on the pixels of one picture, for any objective: Adam on the picture's Laplacian pyramid.

The pyramid's coarse levels let a step move large areas at once (Kolkin et al. 2019, arXiv:1904.12785, section 2.5). Pictures
are float32 [1, H, W, 3], 0 to 1; they may leave that range unless the objective prevents it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import Array, Float

from emojax.util import compiling

SMALLEST_LEVEL = 8
"""approximate short side of the pyramid's coarsest level, in pixels"""
LEARNING_RATE = 0.01
"""Adam's learning rate, in units of a pixel's range"""
_ADAM = optax.scale_by_adam()

Objective = Callable[..., tuple[jax.Array, Any]]
"""(picture [1, H, W, 3], further arguments) -> (loss [], further values)"""
DescentState = tuple[list[Array], Any]
"""the state of the optimization: the picture's pyramid and Adam's state"""


def laplacian_pyramid(picture: Float[Array, "1 H W 3"], levels: int) -> list[Array]:
    """Details at sizes that halve from level to level, finest first, and the residual at the coarsest size."""
    details = []
    for _ in range(levels):
        height, width = (max(1, side // 2) for side in picture.shape[1:3])
        small = jax.image.resize(picture, (1, height, width, 3), "linear")
        details.append(picture - jax.image.resize(small, picture.shape, "linear"))
        picture = small
    return [*details, picture]


def from_pyramid(pyramid: Sequence[Array]) -> Float[Array, "1 H W 3"]:
    """The inverse of `laplacian_pyramid`."""
    picture = pyramid[-1]
    for detail in reversed(pyramid[:-1]):
        picture = detail + jax.image.resize(picture, detail.shape, "linear")
    return picture


def initial_state(picture: Float[Array, "1 H W 3"]) -> DescentState:
    """The state before the first step; the number of levels follows the short side."""
    levels = max(1, round(np.log2(min(picture.shape[1:3]) / SMALLEST_LEVEL)))
    pyramid = laplacian_pyramid(picture, levels)
    return pyramid, _ADAM.init(pyramid)


def make_step(objective: Objective) -> jax.stages.Wrapped:
    """The compiled step: (state, rate, further arguments) -> (state, loss, further values).

    Loss and values are those of the picture before the step. The state is donated. The step is compiled once per size.
    """

    def step(state, rate, *arguments):
        pyramid, adam = state

        def loss_of(pyramid):
            loss, values = objective(from_pyramid(pyramid), *arguments)
            return loss, (loss, values)

        gradients, (loss, values) = jax.grad(loss_of, has_aux=True)(pyramid)
        updates, adam = _ADAM.update(gradients, adam, pyramid)
        pyramid = jax.tree.map(lambda x, update: x - rate * update, pyramid, updates)
        return (pyramid, adam), loss, values

    return compiling.jit(step, donate_argnums=0)


def losses(
    step: Callable[..., tuple[DescentState, jax.Array, Any]], picture: Float[Array, "1 H W 3"], *arguments: Any
) -> Iterator[float]:
    """The loss of the picture, then after each step at `LEARNING_RATE`, without end.

    Args:
        step: see `make_step`.
        arguments: further arguments of the objective.
    """
    state = initial_state(picture)
    while True:
        state, loss, _ = step(state, np.float32(LEARNING_RATE), *arguments)
        yield float(loss)
