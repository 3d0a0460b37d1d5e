"""Photo in, picture out, as one ONNX model; see `emojax.export` for inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from emojax.emotions import EMOTIONS, NEUTRAL, PHOTO
from emojax.export.graph import Graph
from emojax.export.onnx import StyleCode, classified, padded, refuse_network_set, style_code, stylized
from emojax.export.onnx_detector import fill
from emojax.export.onnx_faces import FoundFaces, find_and_cut_faces
from emojax.faces.detector import load_detector
from emojax.faces.exportable import MAX_FACES
from emojax.nets.classifier_config import ClassifierConfig
from emojax.nets.style_code import early_layers, reduction
from emojax.nets.stylizer_config import StylizerConfig
from emojax.options import StylizeOptions
from emojax.pipeline.regions import MAX_REGIONS, SPARED, STRENGTH_RADII


def export_onnx_all(
    classifier: ClassifierConfig, variables: Mapping[str, Any], styles: StylizerConfig, params: Any
) -> bytes:
    """The model of `--part all`; see `emojax.export`. It computes what `classify_then_stylize` does with "dominant".

    Raises:
        InputError: a network set, or the package onnx is not installed.
    """
    refuse_network_set(styles)
    graph = Graph()
    photo = graph("Unsqueeze", graph("Transpose", "photo", perm=[2, 0, 1]), [0])
    faces = find_and_cut_faces(graph, load_detector(), graph.cast(photo, "FLOAT"), classifier)
    graph.cast(faces.number, "INT32", output="number")
    graph("Identity", faces.boxes, output="boxes")
    fill(graph, faces.landmarks, MAX_FACES, 3, output="landmarks")
    read = classified(graph, classifier, variables, faces.crops)
    probabilities = fill(graph, read, MAX_FACES, 2, output="probabilities")
    weights = _chosen(graph, styles.style_names, _emotion(graph, faces.boxes, probabilities))
    graph("Squeeze", weights, [0], output="style")

    size = graph("Shape", "photo", start=0, end=2)
    photo = padded(graph, photo, size)
    table = params["style_table"]
    code: StyleCode = style_code(graph, styles, table, weights)
    if PHOTO in styles.style_names:
        code = _spared(graph, styles, table, code, faces, photo)
    pixels = stylized(graph, styles, params, photo, code, size)
    graph("Transpose", graph("Squeeze", pixels, [0]), perm=[1, 2, 0], output="picture")
    outputs = {
        "picture": ("UINT8", "height", "width", 3),
        "number": ("INT32",),
        "boxes": ("FLOAT", MAX_FACES, 4),
        "landmarks": ("FLOAT", MAX_FACES, 5, 2),
        "probabilities": ("FLOAT", MAX_FACES, len(EMOTIONS)),
        "style": ("FLOAT", len(styles.style_names)),
    }
    metadata = {"part": "all", "emotions": EMOTIONS, "styles": styles.style_names}
    return graph.model({"photo": outputs["picture"]}, outputs, metadata)


def _emotion(graph: Graph, boxes: str, probabilities: str) -> str:
    """The mean of the faces' probabilities by the areas of their boxes, float32 [1, 7]; without a face it is neutral."""
    areas = graph("Transpose", graph("ReduceProd", graph("Slice", boxes, [2], [4], [1]), [1]), perm=[1, 0])
    total = graph("ReduceSum", areas, [1])
    mean = graph("MatMul", graph("Div", areas, graph("Max", total, 1e-9)), probabilities)
    return graph("Where", graph("Greater", total, 0.0), mean, np.eye(len(EMOTIONS))[NEUTRAL : NEUTRAL + 1])


def _chosen(graph: Graph, styles: tuple[str, ...], emotion: str) -> str:
    """All weight for the strongest emotion's style, float32 [1, S]; see `style_choice`."""
    if len(styles) == 1:
        return graph("Identity", [[1.0]])
    own = np.array([[emotion == style for style in styles] for emotion in EMOTIONS], np.float32)
    best = graph("ArgMax", graph("MatMul", emotion, own), axis=1)
    return graph.cast(graph("Equal", best, np.arange(len(styles))[None]), "FLOAT")


def _spared(
    graph: Graph, config: StylizerConfig, table: Any, code: StyleCode, faces: FoundFaces, photo: str
) -> StyleCode:
    """The code, moved towards that of the style "photo" in small faces, in the first half of the layers; see `spare_faces`."""
    early, own = early_layers(config), config.style_names.index(PHOTO)
    # Masks of rows after the last face would cost as much as those of faces. Without a face there is one mask, of width 0.
    count = graph("Reshape", graph("Min", graph("Max", faces.number, 1), MAX_REGIONS), [1])
    boxes = graph("Slice", faces.boxes, [0], count, [0])
    size = graph("Shape", photo, start=2, end=4)
    shares = {factor: _share(graph, boxes, size, factor) for factor in sorted({reduction(name) for name in early})}

    def towards(name: str, part: str, plain: str) -> str:
        row = np.asarray(table[name][part][own])[None, :, None, None]
        return graph("Add", plain, graph("Mul", shares[reduction(name)], graph("Sub", row, plain)))

    moved = {name: (towards(name, "scale", code[name][0]), towards(name, "shift", code[name][1])) for name in early}
    return {**code, **moved}


def _share(graph: Graph, boxes: str, size: str, factor: int) -> str:
    """How much the strength is reduced in every pixel, [1, 1, h, w] at 1 / factor of the photo's size; see `face_shares`.

    Args:
        boxes: float32 [F, 4].
        size: (H, W) of the padded photo, int64 [2].
    """
    x, y, w, h = (graph("Reshape", graph("Gather", boxes, side, axis=1), [-1, 1, 1]) for side in range(4))
    down = _from_centre(graph, graph("Gather", size, 0), factor, [1, -1, 1], y, h)
    across = _from_centre(graph, graph("Gather", size, 1), factor, [1, 1, -1], x, w)
    distance = graph("Sqrt", graph("Add", graph("Mul", across, across), graph("Mul", down, down)))
    inner, outer = STRENGTH_RADII
    inside = _clipped(graph, graph("Div", graph("Sub", outer, distance), outer - inner))
    fade = graph("Mul", graph("Mul", inside, inside), graph("Sub", 3.0, graph("Mul", inside, 2.0)))
    masks = graph("Where", graph("Greater", w, 0.0), fade, 0.0)
    small, large = SPARED
    smallness = _clipped(graph, graph("Div", graph("Sub", large, w), large - small))
    less = graph("Mul", masks, graph("Mul", smallness, 1 - StylizeOptions.face_strength))
    total = graph("Max", graph("ReduceSum", masks, [0]), 1.0)
    return graph("Unsqueeze", graph("Div", graph("ReduceSum", less, [0]), total), [0])


def _clipped(graph: Graph, x: str) -> str:
    return graph("Min", graph("Max", x, 0.0), 1.0)


def _from_centre(graph: Graph, side: str, factor: int, shape: list[int], start: str, length: str) -> str:
    """How far rows or columns are from the centres of boxes, in halves of the boxes' sides.

    Args:
        side: the padded photo's height or width, int64 [].
        shape: of the result, -1 for the rows or columns and 1 for the other axes.
        start, length: top and height, or left and width, of the boxes; [F, 1, 1].
    """
    lines = graph.cast(graph("Range", 0, graph("Div", side, factor), 1), "FLOAT")
    positions = graph("Mul", graph("Add", graph("Reshape", lines, shape), 0.5), float(factor))
    half = graph("Mul", length, 0.5)
    return graph("Div", graph("Sub", positions, graph("Add", start, half)), graph("Max", half, 1e-6))
