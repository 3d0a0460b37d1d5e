"""YuNet in an ONNX graph; see `emojax.faces.detector`. Images are float32 [1, 3, H, W], RGB, 0 to 255."""

from __future__ import annotations

import numpy as np

from emojax.export.graph import Graph
from emojax.faces.detector import HEADS, LANDMARKS, MAXIMUM_OVERLAP, PARTS, STRIDES, Params
from emojax.faces.views import MINIMUM_CONFIDENCE

SCORE, BOX, POINTS = (0, 1), (1, 5), (5, 5 + 2 * LANDMARKS)
"""columns of a table of faces"""


def detect(graph: Graph, params: Params, image: str, side: int, maximum: int) -> str:
    """The faces of a square image, float32 [maximum, 15]: score, box and landmarks; rows of 0 after the last face.

    Args:
        side: of the image, a multiple of 32.
        maximum: how many faces are kept at most.
    """
    cells = _decoded(graph, _outputs(graph, params, image), side)
    boxes = graph("Unsqueeze", columns(graph, cells, BOX), [0])
    scores = graph("Reshape", columns(graph, cells, SCORE), [1, 1, -1])
    below = np.nextafter(np.float32(MINIMUM_CONFIDENCE), np.float32(0))  # ONNX drops scores that equal the threshold
    kept = graph("NonMaxSuppression", boxes, scores, [maximum], [MAXIMUM_OVERLAP], [below])
    return fill(graph, graph("Gather", cells, graph("Gather", kept, 2, axis=1)), maximum, 2)


def columns(graph: Graph, table: str, ends: tuple[int, int]) -> str:
    """The columns of a table from the first to before the second."""
    return graph("Slice", table, [ends[0]], [ends[1]], [1])


def fill(graph: Graph, rows: str, maximum: int, rank: int, output: str = "") -> str:
    """Appends zeros to an array of this rank so that its first axis has the length `maximum`."""
    missing = graph("Sub", [maximum], graph("Shape", rows, start=0, end=1))
    return graph("Pad", rows, graph("Concat", [0] * rank, missing, [0] * (rank - 1), axis=0), output=output)


def _outputs(graph: Graph, params: Params, image: str) -> list[str]:
    """For each stride, [1, 16, h, w]; see `detector_outputs`."""
    kernel = _kernel(np.asarray(params["stem/conv/kernel"]))[:, ::-1]  # the network takes blue first
    x = graph("Relu", graph("Conv", image, kernel, params["stem/conv/bias"], strides=[2, 2], pads=[1, 1, 0, 0]))
    x = _pool(graph, _units(graph, params, x, "stem"))
    x = _units(graph, params, x, "stage1/a", "stage1/b")
    x = _pool(graph, _units(graph, params, x, "stage2/a", "stage2/b"))
    fine = _units(graph, params, x, "stage3/a", "stage3/b")
    middle = _units(graph, params, _pool(graph, fine), "stage4/a", "stage4/b")
    coarse = _units(graph, params, _pool(graph, middle), "stage5/a", "stage5/b", "neck/32")
    middle = _units(graph, params, graph("Add", middle, _enlarge(graph, coarse)), "neck/16")
    fine = _units(graph, params, graph("Add", fine, _enlarge(graph, middle)), "neck/8")
    return [_head(graph, params, x, stride) for stride, x in zip(STRIDES, (fine, middle, coarse), strict=True)]


def _units(graph: Graph, params: Params, x: str, *names: str) -> str:
    """A sequence of units, each followed by a ReLU."""
    for name in names:
        x = graph("Relu", _unit(graph, x, *(np.asarray(params[f"{name}/{part}"]) for part in PARTS)))
    return x


def _unit(graph: Graph, x: str, point: np.ndarray, point_bias: np.ndarray, depth: np.ndarray, bias: np.ndarray) -> str:
    x = graph("Conv", x, _kernel(point), point_bias)
    return graph("Conv", x, _kernel(depth), bias, group=len(bias), pads=[1, 1, 1, 1])


def _kernel(kernel: np.ndarray) -> np.ndarray:
    return kernel.transpose(3, 2, 0, 1)


def _pool(graph: Graph, x: str) -> str:
    return graph("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])


def _enlarge(graph: Graph, x: str) -> str:
    nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return graph("Resize", x, "", [1.0, 1.0, 2.0, 2.0], **nearest)


def _head(graph: Graph, params: Params, x: str, stride: int) -> str:
    """The four outputs of a stride; their units are concatenated and computed as one."""
    x = _units(graph, params, x, f"head/{stride}/shared")
    unit = (np.concatenate([params[f"head/{stride}/{name}/{part}"] for name in HEADS], axis=-1) for part in PARTS)
    return _unit(graph, x, *unit)


def _decoded(graph: Graph, outputs: list[str], side: int) -> str:
    """A row of score, box and landmarks for each cell of each stride; see `decode`."""
    tables = []
    for stride, output in zip(STRIDES, outputs, strict=True):
        cells = graph("Reshape", graph("Transpose", output, perm=[0, 2, 3, 1]), [-1, 6 + 2 * LANDMARKS])
        numbers = np.arange(side // stride)
        corners = np.stack(np.meshgrid(numbers, numbers), axis=-1).reshape(-1, 2).astype(np.float32)
        likely = graph("Sigmoid", columns(graph, cells, (0, 2)))
        score = graph("Sqrt", graph("ReduceProd", likely, [1]))
        centre = graph("Mul", graph("Add", columns(graph, cells, (2, 4)), corners), float(stride))
        half = graph("Mul", graph("Exp", columns(graph, cells, (4, 6))), stride / 2)
        points = graph("Add", columns(graph, cells, (6, 6 + 2 * LANDMARKS)), np.tile(corners, LANDMARKS))
        box = graph("Sub", centre, half), graph("Add", centre, half)
        tables.append(graph("Concat", score, *box, graph("Mul", points, float(stride)), axis=1))
    return graph("Concat", *tables, axis=0)
