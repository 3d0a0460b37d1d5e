"""YuNet, a small face detector, as pure functions.

The architecture is that of W. Wu, H. Peng, S. Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence
Research, 2023 (yunet_n, 73,840 parameters); checkpoints/yunet/NOTICE says where the weights come from.

Images are uint8 [H, W, 3], RGB, and the sides are multiples of 32. Coordinates are pixels of the image, x to the right and y
down; a box is (left, top, right, bottom). Landmarks are the person's right eye, left eye, nose tip, right and left corner of
the mouth.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, UInt8
from safetensors.numpy import load_file

from emojax.util.files import PACKAGED

WEIGHTS = PACKAGED / "yunet" / "params.safetensors"
STRIDES = (8, 16, 32)
MULTIPLE = 32
"""the sides of an image are multiples of this"""
LANDMARKS = 5
MAXIMUM = 256
"""the maximum number of faces that are found in one image"""
MAXIMUM_OVERLAP = 0.3
"""two boxes whose intersection over union is larger are the same face"""

Numbers = Array | np.ndarray
Params = Mapping[str, Numbers]
HEADS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 2 * LANDMARKS}


class Detections(NamedTuple):
    """Detected faces, by descending score; after the last face, scores are 0."""

    scores: Float[Numbers, " N"]
    """0 to 1"""
    boxes: Float[Numbers, "N 4"]
    landmarks: Float[Numbers, "N 5 2"]


def load_detector() -> dict[str, np.ndarray]:
    """The packaged weights: float32 kernels [k, k, C, D] and biases [D], named as in `detector_outputs`."""
    return load_file(WEIGHTS)


def detector_outputs(params: Params, image: UInt8[Numbers, "H W 3"]) -> dict[int, Float[Array, "h w 16"]]:
    """The network.

    Args:
        params: see `load_detector`.
        image: its sides are multiples of 32.

    Returns:
        For each stride of `STRIDES`, 16 numbers for each cell of stride x stride pixels: two probabilities (that there is a
        face, and how well the box fits), the box (centre and logarithmic size) and five landmarks, in units of the stride
        from the cell's corner.
    """
    height, width = image.shape[:2]
    if height % MULTIPLE or width % MULTIPLE:
        raise ValueError(f"image {height} x {width}: give sides that are multiples of {MULTIPLE}")
    blue_first = image[:, :, ::-1].astype(jnp.float32)
    x = jax.nn.relu(_stem(params, blue_first))
    x = _pool(_units(params, x, "stem"))
    x = _units(params, x, "stage1/a", "stage1/b")
    x = _pool(_units(params, x, "stage2/a", "stage2/b"))
    fine = _units(params, x, "stage3/a", "stage3/b")
    middle = _units(params, _pool(fine), "stage4/a", "stage4/b")
    coarse = _units(params, _pool(middle), "stage5/a", "stage5/b")
    coarse = _units(params, coarse, "neck/32")
    middle = _units(params, middle + _enlarge(coarse), "neck/16")
    fine = _units(params, fine + _enlarge(middle), "neck/8")
    return {stride: _head(params, x, stride) for stride, x in zip(STRIDES, (fine, middle, coarse), strict=True)}


def _stem(params: Params, x: Float[Numbers, "H W 3"]) -> Float[Array, "H//2 W//2 16"]:
    """A 3 x 3 convolution of stride 2, computed as one matrix product, which takes half the time on a CPU."""
    height, width, channels = x.shape
    x = jnp.pad(x, ((1, 0), (1, 0), (0, 0)))
    taps = [x[i : i + height : 2, j : j + width : 2] for i in range(3) for j in range(3)]
    kernel = params["stem/conv/kernel"]
    y = jnp.concatenate(taps, axis=2).reshape(-1, 9 * channels) @ kernel.reshape(9 * channels, -1)
    return (y + params["stem/conv/bias"][None]).reshape(height // 2, width // 2, -1)


def _units(params: Params, x: Float[Array, "h w c"], *names: str) -> Float[Array, "h w d"]:
    """A sequence of units, each followed by a ReLU."""
    for name in names:
        x = jax.nn.relu(_unit(x, *(params[f"{name}/{part}"] for part in PARTS)))
    return x


PARTS = ("point/kernel", "point/bias", "depth/kernel", "depth/bias")


def _unit(
    x: Float[Numbers, "h w c"],
    point: Float[Numbers, "1 1 c d"],
    point_bias: Float[Numbers, " d"],
    depth: Float[Numbers, "3 3 1 d"],
    depth_bias: Float[Numbers, " d"],
) -> Float[Array, "h w d"]:
    """A 1 x 1 convolution and a depthwise 3 x 3 convolution, padded with zeros.

    The depthwise convolution is a sum of nine shifted products, because XLA's grouped convolutions are several times slower
    on a CPU.
    """
    height, width, channels = x.shape
    y = (x.reshape(-1, channels) @ point[0, 0] + point_bias[None]).reshape(height, width, -1)
    y = jnp.pad(y, ((1, 1), (1, 1), (0, 0)))
    taps = (y[i : i + height, j : j + width] * depth[i, j, None] for i in range(3) for j in range(3))
    return functools.reduce(operator.add, taps) + depth_bias[None, None]


def _pool(x: Float[Array, "h w c"]) -> Float[Array, "h//2 w//2 c"]:
    """2 x 2 max pooling, as maxima of pairs; a reduction over windows would recompute its input for every window."""
    x = jnp.maximum(x[::2], x[1::2])
    return jnp.maximum(x[:, ::2], x[:, 1::2])


def _enlarge(x: Float[Array, "h w c"]) -> Float[Array, "2*h 2*w c"]:
    return x.repeat(2, axis=0).repeat(2, axis=1)


def _head(params: Params, x: Float[Array, "h w c"], stride: int) -> Float[Array, "h w 16"]:
    """The four outputs of a stride; their units are concatenated and computed as one."""
    x = _units(params, x, f"head/{stride}/shared")
    unit = (jnp.concatenate([params[f"head/{stride}/{name}/{part}"] for name in HEADS], axis=-1) for part in PARTS)
    y = _unit(x, *unit)
    return jnp.concatenate([jax.nn.sigmoid(y[..., :2]), y[..., 2:]], axis=-1)


def decode(outputs: Mapping[int, Float[Numbers, "_ _ 16"]]) -> Detections:
    """One face per cell of each stride; its score is the geometric mean of the two probabilities."""
    scores, boxes, landmarks = [], [], []
    for stride, output in outputs.items():
        height, width = output.shape[:2]
        cells = output.reshape(height * width, -1)
        corners = jnp.stack(jnp.meshgrid(jnp.arange(width), jnp.arange(height)), axis=-1).reshape(-1, 1, 2)
        points = (cells[:, 6:].reshape(-1, LANDMARKS, 2) + corners) * stride
        centres, halves = (cells[:, 2:4] + corners[:, 0]) * stride, jnp.exp(cells[:, 4:6]) * stride / 2
        scores.append(jnp.sqrt(cells[:, 0] * cells[:, 1]))
        boxes.append(jnp.concatenate([centres - halves, centres + halves], axis=1))
        landmarks.append(points)
    return Detections(jnp.concatenate(scores), jnp.concatenate(boxes), jnp.concatenate(landmarks))


def overlaps(box: Float[Numbers, " 4"], boxes: Float[Numbers, "N 4"]) -> Float[Array, " N"]:
    """The intersection over union of one box with others; 0 where both are empty."""
    sides = jnp.minimum(box[None, 2:], boxes[:, 2:]) - jnp.maximum(box[None, :2], boxes[:, :2])
    both = jnp.maximum(sides, 0).prod(axis=1)
    either = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - both
    return both / jnp.maximum(either, 1e-9)


def suppress(found: Detections, minimum: Float[Array, ""] | float, maximum: int = MAXIMUM) -> Detections:
    """Non-maximum suppression: repeatedly keeps the face with the highest score and drops those that overlap it.

    Args:
        found: faces in any order.
        minimum: the lowest score that is kept.
        maximum: how many faces are kept at most; the result has this many rows.

    Returns:
        The kept faces, by descending score.
    """

    def unfinished(state: tuple[Int[Array, ""], Int[Array, " M"], Float[Array, " N"]]) -> Bool[Array, ""]:
        count, _, scores = state
        return (count < maximum) & (scores.max() >= minimum)

    def keep(
        state: tuple[Int[Array, ""], Int[Array, " M"], Float[Array, " N"]],
    ) -> tuple[Int[Array, ""], Int[Array, " M"], Float[Array, " N"]]:
        count, kept, scores = state
        best = scores.argmax()
        same = overlaps(found.boxes[best], found.boxes) > MAXIMUM_OVERLAP
        return count + 1, kept.at[count].set(best), jnp.where(same, 0, scores).at[best].set(0)

    start = jnp.int32(0), jnp.zeros(maximum, jnp.int32), jnp.asarray(found.scores)
    count, kept, _ = lax.while_loop(unfinished, keep, start)
    scores = jnp.where(jnp.arange(maximum) < count, found.scores[kept], 0)
    return Detections(scores, found.boxes[kept], found.landmarks[kept])


def detect(params: Params, image: UInt8[Numbers, "H W 3"], minimum: Float[Array, ""] | float) -> Detections:
    """The faces of an image with a score of at least `minimum` (0 to 1), by descending score, at most `MAXIMUM`."""
    return suppress(decode(detector_outputs(params, image)), minimum)
