"""A photo's faces and their crops in an ONNX graph; see `emojax.faces.exportable`, whose functions are written here.

Photos and crops are float32, RGB, 0 to 255; photos are [1, 3, H, W]. A table of faces has a row of 18 numbers for every face:
score, box (x, y, w, h), five landmarks, and the square before it is clipped (x and y of the centre, side).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from emojax.export.graph import Graph
from emojax.export.onnx_detector import BOX, POINTS, SCORE, columns, detect
from emojax.faces import find
from emojax.faces.align import TEMPLATE_SIZE, template
from emojax.faces.detector import LANDMARKS, MAXIMUM, Params
from emojax.faces.exportable import FINEST, MAX_FACES, QUARTERS
from emojax.faces.views import WHOLE_SIDE
from emojax.nets.classifier_config import ClassifierConfig

_SQUARE = (POINTS[1], POINTS[1] + 3)
_TABLE = ("FLOAT", MAX_FACES, _SQUARE[1])


class FoundFaces(NamedTuple):
    """Faces, largest first; names of values."""

    number: str
    """int64 []"""
    boxes: str
    """float32 [64, 4]: x, y, w, h; 0 after the last face"""
    landmarks: str
    """float32 [F, 5, 2] of the faces only; of one face if there is none"""
    crops: str
    """float32 [F, S, S, 3], likewise"""


class _Similarity(NamedTuple):
    """A rotation, a uniform scale and a shift of rows (x, y): points @ matrix + shift. Names of values."""

    factor: str
    """float32 [2]: real and imaginary part of the factor by which it multiplies x + iy"""
    matrix: str
    """float32 [2, 2]"""
    shift: str
    """float32 [2]"""


def find_and_cut_faces(graph: Graph, params: Params, photo: str, config: ClassifierConfig) -> FoundFaces:
    """The faces of a photo, and their crops for a classifier; see `detect_faces` and `cut_faces`."""
    limits = graph("Gather", graph.cast(graph("Shape", photo, start=2, end=4), "FLOAT"), [1, 0])  # (width, height)
    faces, turn = _faces(graph, params, photo, limits)
    number = graph.cast(graph("ReduceSum", _present(graph, faces), keepdims=0), "INT64")
    landmarks = graph("Reshape", columns(graph, faces, POINTS), [MAX_FACES, LANDMARKS, 2])
    squares = columns(graph, faces, _SQUARE)

    def cut_one(index: str) -> tuple[str, list[str], list[str]]:
        points = _realigned(graph, params, photo, limits, graph("Gather", landmarks, index), turn)
        if config.aligned:
            to_photo = _fit_inverse(graph, points, template(config.size, config.margin))
        else:
            to_photo = _upright_square(graph, graph("Gather", squares, index), turn, config)
        crop = graph("Squeeze", _cut(graph, photo, limits, to_photo, config.size), [0])
        return "", [], [points, graph("Transpose", crop, perm=[1, 2, 0])]

    collected = [("FLOAT", LANDMARKS, 2), ("FLOAT", config.size, config.size, 3)]
    # At least one crop is cut, because a batch of 0 is a trap in some runtimes. Its reading has the weight 0.
    points, crops = graph.loop(graph("Max", number, 1), "", {}, cut_one, collected)
    return FoundFaces(number, columns(graph, faces, BOX), points, crops)


def _present(graph: Graph, faces: str) -> str:
    """1 for the rows of a table that are faces, else 0; float32 [64, 1]."""
    return graph.cast(graph("Greater", columns(graph, faces, SCORE), 0.0), "FLOAT")


def _faces(graph: Graph, params: Params, photo: str, limits: str) -> list[str]:
    """The table of a photo's faces, and the number of the orientation in which they are upright; see `QUARTERS`."""
    scale = graph("Max", graph("Div", graph("ReduceMax", limits, keepdims=0), float(WHOLE_SIDE)), 1.0)
    sides = graph("Max", graph("Round", graph("Div", limits, scale)), 1.0)  # of the view, in its pixels
    scales = graph("Div", limits, sides)
    view = _view(graph, photo, limits, scales, sides)

    def try_orientation(number: str, best: str, turn: str) -> tuple[str, list[str], list[str]]:
        found = detect(graph, params, _turned(graph, view, number), WHOLE_SIDE, MAX_FACES)
        faces = _upright(graph, found, number, scales, limits)
        least = graph("Max", _best_score(graph, best), find.CONFIDENT_TURNED)
        least = graph("Where", graph("Greater", number, 0), least, 0.0)
        better = graph("GreaterOrEqual", _best_score(graph, faces), least)
        best, turn = graph("Where", better, faces, best), graph("Where", better, number, turn)
        return graph("Less", _best_score(graph, best), find.CONFIDENT), [best, turn], []

    nothing = graph("Identity", np.zeros(_TABLE[1:], np.float32))
    states = {nothing: _TABLE, graph("Identity", 0): ("INT64",)}
    return graph.loop(len(QUARTERS), "", states, try_orientation)


def _best_score(graph: Graph, faces: str) -> str:
    return graph("ReduceMax", columns(graph, faces, SCORE), keepdims=0)


def _view(graph: Graph, photo: str, limits: str, scales: str, sides: str) -> str:
    """The photo, reduced in size, at the top left of a square of zeros: [1, 3, S, S]."""
    matrix = graph("Mul", np.eye(2), scales)
    largest = graph("ReduceMax", scales, keepdims=0)
    shown = graph("Round", _averaged(graph, photo, limits, matrix, np.zeros(2), largest, WHOLE_SIDE))
    pixels = np.arange(WHOLE_SIDE, dtype=np.float32)
    across, down = (graph("Less", pixels, graph("Gather", sides, [axis])) for axis in (0, 1))
    inside = graph("And", graph("Unsqueeze", across, [0]), graph("Unsqueeze", down, [1]))
    return graph("Where", inside, shown, 0.0)


def _averaged(
    graph: Graph, photo: str, limits: str, matrix: str, shift: str | np.ndarray, scale: str, size: int
) -> str:
    """The photo's colours in size x size pixels: each is the mean of about one sample per covered pixel; [1, 3, S, S].

    Args:
        limits: width and height of the photo, float32 [2].
        matrix, shift: from points of the result to points of the photo, see `_Similarity`.
        scale: pixels of the photo per pixel of the result, float32 [].
    """
    each = graph("Min", graph("Max", graph("Ceil", scale), 1.0), float(FINEST))
    count = graph.cast(each, "INT64")
    samples = graph.cast(graph("Range", 0, graph("Mul", count, size), 1), "FLOAT")
    positions = graph("Unsqueeze", graph("Div", graph("Add", samples, 0.5), each), [1])
    # `GridSample` has the photo's edges at -1 and 1.
    unit = graph("Div", 2.0, limits)
    steps, start = graph("Mul", matrix, unit), graph("Sub", graph("Mul", shift, unit), 1.0)
    across = graph("Mul", positions, graph("Gather", steps, [0]))
    down = graph("Add", graph("Mul", positions, graph("Gather", steps, [1])), start)
    grid = graph("Add", graph("Unsqueeze", across, [0]), graph("Unsqueeze", down, [1]))
    colours = graph("GridSample", photo, graph("Unsqueeze", grid, [0]), mode="bilinear", padding_mode="border")
    count = graph("Reshape", count, [1])
    squares = graph("Reshape", colours, graph("Concat", [1, 3, size], count, [size], count, axis=0))
    return graph("ReduceMean", squares, [3, 5], keepdims=0)


def _turned(graph: Graph, view: str, number: str) -> str:
    """The view in the orientation of this number: turned clockwise by `QUARTERS[number]` quarters."""
    across = graph("Transpose", view, perm=[0, 1, 3, 2])
    odd = graph("Equal", graph("Gather", np.array(QUARTERS) % 2, number), 1)
    view = graph("Where", odd, across, view)
    forwards = np.arange(WHOLE_SIDE)
    for axis, mirrored in ((2, (2, 3)), (3, (1, 2))):
        lines = [forwards[::-1] if quarter in mirrored else forwards for quarter in QUARTERS]
        view = graph("Gather", view, graph("Gather", np.stack(lines), number), axis=axis)
    return view


def _upright(graph: Graph, found: str, number: str, scales: str, limits: str) -> str:
    """Converts faces of a turned view to a table of faces of the photo; faces outside it are dropped."""
    side, quarters = float(WHOLE_SIDE), np.array(QUARTERS)
    turns = np.array([[[1, 0], [0, 1]], [[0, -1], [1, 0]], [[-1, 0], [0, -1]], [[0, 1], [-1, 0]]], np.float32)
    shifts = np.array([(0, 0), (0, side), (side, side), (side, 0)], np.float32)
    turn, shift = (graph("Gather", table[quarters], number) for table in (turns, shifts))

    def back(ends: tuple[int, int]) -> str:  # to points of the unturned view, then of the photo
        points = graph("Reshape", graph("Add", columns(graph, found, ends), 0.5), [MAX_FACES, -1, 2])
        return graph("Mul", graph("Add", graph("MatMul", points, turn), shift), scales)

    corners = back(BOX)
    low, high = (graph(operator, corners, [1], keepdims=0) for operator in ("ReduceMin", "ReduceMax"))
    length = graph("Mul", graph("Sqrt", graph("ReduceProd", graph("Sub", high, low), [1])), find.SQUARE_SCALE)
    ups = find.SQUARE_RISE * np.array([find.UP[90 * quarter] for quarter in QUARTERS], np.float32)
    middle = graph("Mul", graph("Add", low, high), 0.5)
    centre = graph("Add", middle, graph("Mul", length, graph("Gather", ups, number)))
    half = graph("Mul", length, 0.5)
    start = graph("Max", graph("Sub", centre, half), 0.0)
    extent = graph("Sub", graph("Min", graph("Add", centre, half), limits), start)
    score, points = columns(graph, found, SCORE), graph("Reshape", back(POINTS), [MAX_FACES, -1])
    wide = graph("GreaterOrEqual", graph("ReduceMin", extent, [1]), 1.0)
    good = graph("And", graph("Greater", score, 0.0), wide)
    rows = graph("Where", good, graph("Concat", score, start, extent, points, centre, length, axis=1), 0.0)
    areas = graph("Where", good, graph("ReduceProd", extent, [1]), -1.0)
    order = graph.several("TopK", ["", ""], graph("Reshape", areas, [-1]), [MAX_FACES])[1]
    return graph("Gather", rows, order)


def _realigned(graph: Graph, params: Params, photo: str, limits: str, points: str, turn: str) -> str:
    """Corrects the landmarks [5, 2] of a tilted face."""
    size = find.REALIGNED_SIZE
    # The tilt's cosine is compared, since ONNX has no angle of two sides.
    angles = np.deg2rad(90 * np.array(QUARTERS))
    upright = graph("Gather", np.stack([np.cos(angles), -np.sin(angles)], axis=1).round(), turn)

    def tilted(points: str) -> str:
        factor = _fit_inverse(graph, points, template(TEMPLATE_SIZE)).factor
        along = graph("ReduceSum", graph("Mul", factor, upright), keepdims=0)
        return graph("LessOrEqual", along, graph("Mul", _length(graph, factor), math.cos(math.radians(find.MIN_TILT))))

    def once(_: str, points: str) -> tuple[str, list[str], list[str]]:
        to_photo = _fit_inverse(graph, points, template(size, find.REALIGNED_MARGIN))
        found = detect(graph, params, _cut(graph, photo, limits, to_photo, size), size, MAXIMUM)
        corners = graph("Reshape", graph("Add", columns(graph, found, BOX), 0.5), [MAXIMUM, 2, 2])
        middle = graph("ReduceMean", corners, [1], keepdims=0)
        away = graph("ReduceMax", graph("Abs", graph("Sub", middle, size / 2)), [1])
        away = graph("Where", graph("Greater", columns(graph, found, SCORE), 0.0), away, np.inf)
        sure = graph("LessOrEqual", graph("ReduceMin", away, keepdims=0), size / 8)
        nearest = graph("Gather", columns(graph, found, POINTS), graph("ArgMin", away, axis=0, keepdims=0))
        seen = graph("Add", graph("Reshape", nearest, [LANDMARKS, 2]), 0.5)
        better = graph("Add", graph("MatMul", seen, to_photo.matrix), to_photo.shift)
        points = graph("Where", sure, better, points)
        return graph("And", sure, tilted(points)), [points], []

    return graph.loop(find.MAX_REALIGNMENTS, tilted(points), {points: ("FLOAT", LANDMARKS, 2)}, once)[0]


def _cut(graph: Graph, photo: str, limits: str, to_photo: _Similarity, size: int) -> str:
    """The crop [1, 3, S, S] at the place that the similarity from crop to photo gives; edges are repeated outside."""
    scale = _length(graph, to_photo.factor)
    return graph("Round", _averaged(graph, photo, limits, to_photo.matrix, to_photo.shift, scale, size))


def _length(graph: Graph, vector: str) -> str:
    return graph("ReduceL2", vector, keepdims=0)


def _fit_inverse(graph: Graph, points: str, targets: np.ndarray) -> _Similarity:
    """The inverse of the similarity that maps points [5, 2] to targets with the least squares; see `fit_similarity`."""
    centre, target = graph("ReduceMean", points, [0], keepdims=0), targets.mean(axis=0)
    apart = graph("Sub", points, centre)
    products = graph("Reshape", graph("MatMul", graph("Transpose", apart, perm=[1, 0]), targets - target), [4])
    # Of the sum of conj(z) w, the conjugate: the inverse of factor = sum / spread is conj(sum) spread / |sum|^2.
    conjugate = graph("MatMul", products, [[1, 0], [0, -1], [0, 1], [1, 0.0]])
    spread, square = graph("ReduceSumSquare", apart, keepdims=0), graph("ReduceSumSquare", conjugate, keepdims=0)
    factor = graph("Div", graph("Mul", conjugate, spread), graph("Max", square, 1e-30))
    factor = graph("Where", graph("Greater", square, 0.0), factor, [1.0, 0.0])  # a shift if all points coincide
    return _around(graph, factor, target, centre)


def _upright_square(graph: Graph, square: str, turn: str, config: ClassifierConfig) -> _Similarity:
    """The similarity from the crop of a face's square, with the classifier's margin, to the photo."""
    angles = -np.deg2rad(90 * np.array(QUARTERS))
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1).round() * (1 + 2 * config.margin) / config.size
    factor = graph("Mul", graph("Gather", directions, turn), graph("Gather", square, [2]))
    return _around(graph, factor, np.full(2, config.size / 2, np.float32), graph("Gather", square, [0, 1]))


def _around(graph: Graph, factor: str, start: np.ndarray, end: str) -> _Similarity:
    """The similarity with this factor that maps the point `start` to `end`."""
    matrix = graph("Reshape", graph("MatMul", factor, [[1, 0, 0, 1], [0, 1, -1, 0.0]]), [2, 2])
    return _Similarity(factor, matrix, graph("Sub", end, graph("MatMul", start, matrix)))
