"""The networks as ONNX models, written from their parameters; see `emojax.export` for inputs and outputs.

The graphs are NCHW inside. They are as fast in ONNX Runtime as a graph of one style and one size (docs/export.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from emojax.emotions import EMOTIONS
from emojax.errors import InputError
from emojax.export.graph import Graph
from emojax.faces.align import template
from emojax.nets.classifier_config import STAGES, VGG16_DEPTHS, ClassifierConfig
from emojax.nets.layers import EPSILON, FLAT
from emojax.nets.stylizer import remove_checkerboard
from emojax.nets.stylizer_config import MULTIPLE, StylizerConfig

_SPATIAL = np.array([2, 3])  # axes


def export_onnx_stylize(config: StylizerConfig, params: Any) -> bytes:
    """The model of `--part stylize`; see `emojax.export`. It computes `stylize_any_size` with a weight per style.

    Raises:
        InputError: a network set, or the package onnx is not installed.
    """
    refuse_network_set(config)
    graph = Graph()
    size = graph("Shape", "photos", start=1, end=3)
    # Transpose and pad bytes rather than floats: that takes a quarter of the memory.
    photos = padded(graph, graph("Transpose", "photos", perm=[0, 3, 1, 2]), size)
    code = style_code(graph, config, params["style_table"], "weights")
    pixels = stylized(graph, config, params, photos, code, size)
    graph("Transpose", pixels, perm=[0, 2, 3, 1], output="stylized")
    axes = ("UINT8", "batch", "height", "width", 3)
    inputs = {"photos": axes, "weights": ("FLOAT", "batch", len(config.style_names))}
    return graph.model(inputs, {"stylized": axes}, {"part": "stylize", "styles": config.style_names})


def refuse_network_set(config: StylizerConfig) -> None:
    """Raises an `InputError` for a network set."""
    if config.network_per_style:
        raise InputError(
            "a network set is no ONNX model: export each network by itself, with its own folder as `styles`"
        )


def padded(graph: Graph, photos: str, size: str) -> str:
    """Photos (NCHW) of `size` (h, w), padded by reflection to sides that are multiples of 4."""
    missing = graph("Mod", graph("Neg", size), MULTIPLE)
    return graph("Pad", photos, graph("Concat", np.zeros(6, int), missing, axis=0), mode="reflect")


StyleCode = Mapping[str, tuple[str, str]]
"""norm layer -> its scale and shift, [B, C, 1, 1] or [B, C, h, w]"""


def stylized(graph: Graph, config: StylizerConfig, params: Any, photos: str, code: StyleCode, size: str) -> str:
    """Stylizes padded photos of `size` (h, w): uint8 (NCHW) to uint8 without the padding; see `stylize_photos`."""
    x = _transformed(graph, config, params, graph.cast(photos, "FLOAT"), code)
    pixels = graph.cast(graph("Add", graph("Mul", x, 255.0), 0.5), "UINT8")
    return graph("Slice", pixels, np.array([0, 0]), size, _SPATIAL)


def _transformed(graph: Graph, config: StylizerConfig, params: Any, x: str, code: StyleCode) -> str:
    """The transform net, from float32 0..255 to 0..1; see `Stylizer`."""
    network = remove_checkerboard(config, params["network"])
    names = [name for name, _ in config.norm_layers()]
    first, *downs = (name for name in names if name.startswith("down"))
    network = {**network, first: {"kernel": np.asarray(network[first]["kernel"]) / np.float32(255)}}

    def conv(x: str, name: str, stride: int = 1) -> str:
        layer = network[name]
        kernel = np.asarray(layer["kernel"]).transpose(3, 2, 0, 1)
        pad = kernel.shape[-1] // 2
        x = graph("Pad", x, np.array([0, 0, pad, pad] * 2), mode="reflect")
        biases = [np.asarray(layer["bias"])] if "bias" in layer else []
        return graph("Conv", x, kernel, *biases, strides=[stride, stride])

    def conv_norm(x: str, name: str, stride: int = 1) -> str:
        return _instance_norm(graph, conv(x, name, stride), *code[name])

    x = graph("Sub", x, 127.5)
    x = graph("SpaceToDepth", x, blocksize=config.patch) if config.patch > 1 else x
    x = graph("Relu", conv_norm(x, first))
    for name in downs:
        x = graph("Relu", conv_norm(x, name, stride=2))
    for i in range(config.blocks):
        inside = graph("Relu", conv_norm(x, f"block{i}_a"))
        x = graph("Add", x, conv_norm(inside, f"block{i}_b"))
    for name in (name for name in names if name.startswith("up")):
        nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        x = graph("Relu", conv_norm(graph("Resize", x, "", [1.0, 1.0, 2.0, 2.0], **nearest), name))
    x = conv(x, "out")
    x = graph("DepthToSpace", x, blocksize=config.patch) if config.patch > 1 else x
    return graph("Sigmoid", x)


def style_code(graph: Graph, config: StylizerConfig, table: Any, weights: str) -> dict[str, tuple[str, str]]:
    """The code of a mix of styles with these weights [B, S], which are normalized here; see `mix_styles`.

    Each layer has its own matrix product: a single product would be split into more outputs than a WebGPU shader may have.
    """
    total = graph("ReduceSum", weights, np.array([1]))
    equal = np.float32(1 / len(config.style_names))
    weights = graph("Where", graph("Greater", total, 0.0), graph("Div", weights, total), equal)

    def mixed(rows: Any) -> str:
        return graph("Unsqueeze", graph("MatMul", weights, np.asarray(rows)), _SPATIAL)

    return {name: (mixed(table[name]["scale"]), mixed(table[name]["shift"])) for name, _ in config.norm_layers()}


def _instance_norm(graph: Graph, x: str, scale: str, shift: str) -> str:
    """Instance normalization, each photo with its own scale and shift; a flat channel becomes the shift.

    ONNX's own operator has one scale for the whole batch, amplifies the rounding errors of a flat channel, and is no faster.
    """
    centred = graph("Sub", x, graph("ReduceMean", x, _SPATIAL))
    variance = graph("ReduceMean", graph("Mul", centred, centred), _SPATIAL)
    inverse = graph("Reciprocal", graph("Sqrt", graph("Add", variance, EPSILON)))
    factor = graph("Mul", graph("Where", graph("Greater", variance, FLAT), inverse, 0.0), scale)
    return graph("Add", graph("Mul", centred, factor), shift)


def export_onnx_classify(config: ClassifierConfig, variables: Mapping[str, Any]) -> bytes:
    """The model of `--part classify`; see `emojax.export`. It computes what `classify` does.

    Raises:
        InputError: the package onnx is not installed.
    """
    graph = Graph()
    classified(graph, config, variables, graph.cast("crops", "FLOAT"), output="probabilities")
    inputs = {"crops": ("UINT8", "batch", config.size, config.size, 3)}
    landmarks = template(config.size, config.margin).tolist() if config.aligned else None
    metadata = {"part": "classify", "emotions": EMOTIONS, "margin": config.margin, "landmarks": landmarks}
    return graph.model(inputs, {"probabilities": ("FLOAT", "batch", len(EMOTIONS))}, metadata)


def classified(
    graph: Graph, config: ClassifierConfig, variables: Mapping[str, Any], crops: str, output: str = ""
) -> str:
    """The probabilities [B, 7] of crops, float32 [B, S, S, 3], 0 to 255; see `classify`."""
    x = graph("Sub", graph("Div", crops, 127.5), 1.0)
    if config.channels == 1:
        x = graph("MatMul", x, [[0.299], [0.587], [0.114]])  # as `to_grey`
    x = graph("Transpose", x, perm=[0, 3, 1, 2])
    network = {"paper": _paper_logits, "vgg16": _vgg16_logits, "mobilefacenet": _facenet_logits}[config.architecture]
    logits = network(graph, config, variables, x)
    scaled = graph("Div", logits, np.asarray(variables["temperature"]))
    return graph("Softmax", scaled, axis=1, output=output)


def _paper_logits(graph: Graph, config: ClassifierConfig, variables: Mapping[str, Any], x: str) -> str:
    """See `PaperNet`."""
    for block in range(len(config.widths)):
        for index in (2 * block, 2 * block + 1):
            x = _conv_same(graph, variables, x, f"Conv_{index}")
            x = graph("Relu", _batch_norm(graph, variables, x, f"BatchNorm_{index}"))
        x = _max_pool(graph, x)
    x = graph("Flatten", graph("Transpose", x, perm=[0, 2, 3, 1]))
    x = graph("LeakyRelu", _dense(graph, variables, x, "Dense_0"), alpha=0.1)
    return _dense(graph, variables, x, "Dense_1")


def _vgg16_logits(graph: Graph, config: ClassifierConfig, variables: Mapping[str, Any], x: str) -> str:
    """See `Vgg16Net`."""
    first_norm = max(0, len(config.widths) - 2)  # the block
    for block in range(len(config.widths)):
        x = _max_pool(graph, x) if block else x
        for index in range(VGG16_DEPTHS[block]):
            x = graph("Relu", _conv_same(graph, variables, x, f"conv{block + 1}_{index + 1}"))
        if block >= first_norm:
            x = _batch_norm(graph, variables, x, f"BatchNorm_{block - first_norm}")
    return _dense(graph, variables, graph("Flatten", graph("GlobalAveragePool", x)), "Dense_0")


def _facenet_logits(graph: Graph, config: ClassifierConfig, variables: Mapping[str, Any], x: str) -> str:
    """See `FaceNet`."""
    layers = variables["params"]
    x = _facenet_layer(graph, layers["stem"], x, stride=2)
    x = _facenet_layer(graph, layers["stem_depth"], x)
    number = 0
    for blocks, _ in STAGES:
        for index in range(blocks):
            x = _facenet_block(graph, layers[f"block{number}"], x, stride=1 if index else 2)
            number += 1
    x = _facenet_layer(graph, layers["head"]["expand"], x)
    x = _facenet_layer(graph, layers["head"]["depth"], x, padding=0)
    x = _facenet_layer(graph, layers["head"]["project"], x)
    rows = _dense(graph, variables, graph("Flatten", x), "Dense_0")
    if config.domains == 1:
        return rows
    # `mix_domains`
    split = config.domains * len(EMOTIONS)
    emotions = graph("Reshape", graph("Slice", rows, [0], [split], [1]), [-1, config.domains, len(EMOTIONS)])
    domains = graph("Slice", rows, [split], [split + config.domains], [1])
    likely = graph("Unsqueeze", graph("LogSoftmax", domains, axis=1), [2])
    return graph("ReduceLogSumExp", graph("Add", graph("LogSoftmax", emotions, axis=2), likely), [1], keepdims=0)


def _facenet_block(graph: Graph, layers: Mapping[str, Any], x: str, stride: int) -> str:
    y = _facenet_layer(graph, layers["expand"], x)
    y = _facenet_layer(graph, layers["depth"], y, stride)
    y = _facenet_layer(graph, layers["project"], y)
    return graph("Add", x, y) if stride == 1 else y


def _facenet_layer(graph: Graph, layer: Mapping[str, Any], x: str, stride: int = 1, padding: int | None = None) -> str:
    """See `emojax.nets.mobilefacenet.Layer`; by default, the sides are padded to stay as they are."""
    kernel = np.asarray(layer["kernel"]).transpose(3, 2, 0, 1)
    outputs, inputs, side, _ = kernel.shape
    groups = outputs if inputs == 1 else 1  # depthwise
    pads = 4 * [(side - 1) // 2 if padding is None else padding]
    x = graph("Conv", x, kernel, np.asarray(layer["bias"]), strides=[stride, stride], pads=pads, group=groups)
    return graph("PRelu", x, np.asarray(layer["prelu"])[:, None, None]) if "prelu" in layer else x


def _conv_same(graph: Graph, variables: Mapping[str, Any], x: str, name: str) -> str:
    layer = variables["params"][name]
    biases = [np.asarray(layer["bias"])] if "bias" in layer else []
    return graph("Conv", x, np.asarray(layer["kernel"]).transpose(3, 2, 0, 1), *biases, pads=[1, 1, 1, 1])


def _batch_norm(graph: Graph, variables: Mapping[str, Any], x: str, name: str) -> str:
    parts = {**variables["params"][name], **variables["batch_stats"][name]}
    return graph("BatchNormalization", x, *(np.asarray(parts[key]) for key in ("scale", "bias", "mean", "var")))


def _max_pool(graph: Graph, x: str) -> str:
    return graph("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])


def _dense(graph: Graph, variables: Mapping[str, Any], x: str, name: str) -> str:
    layer = variables["params"][name]
    return graph("Gemm", x, np.asarray(layer["kernel"]), np.asarray(layer["bias"]))
