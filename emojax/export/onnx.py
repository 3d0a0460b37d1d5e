"""The networks as ONNX models, written from their parameters; see `emojax.export` for inputs and outputs.

The graphs are NCHW inside. They are as fast in ONNX Runtime as a graph of one style and one size (docs/export.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from emojax.emotions import EMOTIONS
from emojax.errors import InputError
from emojax.faces.align import template
from emojax.nets.classifier import STAGES, VGG16_DEPTHS, ClassifierConfig
from emojax.nets.layers import EPSILON, FLAT
from emojax.nets.stylizer import MULTIPLE, StylizerConfig, remove_checkerboard

OPSET, IR_VERSION = 18, 9  # read by ONNX Runtime 1.14 and later
_SPATIAL = np.array([2, 3])  # axes


class _Graph:
    """The nodes and constants of a graph that is being written.

    Raises:
        InputError: the package onnx is not installed.
    """

    def __init__(self) -> None:
        try:
            import onnx
        except ModuleNotFoundError as error:
            if error.name != "onnx":
                raise
            raise InputError("ONNX models are written with the package onnx: pip install 'emojax[onnx]'") from None
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: dict[tuple[str, tuple[int, ...], bytes], Any] = {}

    def __call__(self, operator: str, *inputs: Any, output: str = "", **attributes: Any) -> str:
        """Adds a node and returns the name of its output.

        Inputs are names, or values, which become constants: integers are int64, all others float32.
        """
        output = output or f"{operator}_{len(self.nodes)}"
        inputs = tuple(value if isinstance(value, str) else self._constant(value) for value in inputs)
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, [output], **attributes))
        return output

    def _constant(self, value: Any) -> str:
        array = np.asarray(value)
        array = np.ascontiguousarray(array, np.int64 if array.dtype.kind == "i" else np.float32)
        key = array.dtype.str, np.shape(value), array.tobytes()
        if key not in self.constants:
            name = f"constant_{len(self.constants)}"
            self.constants[key] = self.onnx.numpy_helper.from_array(array.reshape(np.shape(value)), name)
        return str(self.constants[key].name)

    def cast(self, x: str, kind: str, output: str = "") -> str:
        """Casts to "FLOAT", or to "UINT8" with truncation."""
        return self("Cast", x, to=getattr(self.onnx.TensorProto, kind), output=output)

    def model(self, inputs: Mapping[str, tuple], outputs: Mapping[str, tuple], metadata: Mapping[str, Any]) -> bytes:
        """The serialized model.

        Args:
            inputs: name -> (type, axes...): the type is "UINT8" or "FLOAT", an axis is its length or the name of a dynamic one.
            outputs: as the inputs.
            metadata: strings, or values that are written as JSON.
        """
        helper, proto = self.onnx.helper, self.onnx.TensorProto
        ends = [
            [helper.make_tensor_value_info(name, getattr(proto, kind), axes) for name, (kind, *axes) in values.items()]
            for values in (inputs, outputs)
        ]
        graph = helper.make_graph(self.nodes, "emojax", *ends, list(self.constants.values()))
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="emojax")
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in metadata.items()}
        helper.set_model_props(model, {"format": "emojax 1", **texts})
        self.onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())


def export_onnx_stylize(config: StylizerConfig, params: Any) -> bytes:
    """The model of `--part stylize`; see `emojax.export`. It computes `stylize_any_size` with a weight per style.

    Raises:
        InputError: a network set, or the package onnx is not installed.
    """
    if config.network_per_style:
        raise InputError(
            "a network set is no ONNX model: export each network by itself, with its own folder as `styles`"
        )
    graph = _Graph()
    size = graph("Shape", "photos", start=1, end=3)
    # Transpose and pad bytes rather than floats: that takes a quarter of the memory.
    photos = _padded(graph, graph("Transpose", "photos", perm=[0, 3, 1, 2]), size)
    stylized = _stylized(graph, config, params, graph.cast(photos, "FLOAT"))
    pixels = graph.cast(graph("Add", graph("Mul", stylized, 255.0), 0.5), "UINT8")
    pixels = graph("Slice", pixels, np.array([0, 0]), size, _SPATIAL)
    graph("Transpose", pixels, perm=[0, 2, 3, 1], output="stylized")
    axes = ("UINT8", "batch", "height", "width", 3)
    inputs = {"photos": axes, "weights": ("FLOAT", "batch", len(config.style_names))}
    return graph.model(inputs, {"stylized": axes}, {"part": "stylize", "styles": config.style_names})


def _padded(graph: _Graph, photos: str, size: str) -> str:
    """Photos (NCHW), padded by reflection to sides that are multiples of 4."""
    missing = graph("Mod", graph("Neg", size), MULTIPLE)
    return graph("Pad", photos, graph("Concat", np.zeros(6, int), missing, axis=0), mode="reflect")


def _stylized(graph: _Graph, config: StylizerConfig, params: Any, x: str) -> str:
    """The transform net, from float32 0..255 to 0..1; see `Stylizer`."""
    network = remove_checkerboard(config, params["network"])
    names = [name for name, _ in config.norm_layers()]
    first, *downs = (name for name in names if name.startswith("down"))
    network = {**network, first: {"kernel": np.asarray(network[first]["kernel"]) / np.float32(255)}}
    code = _style_code(graph, config, params["style_table"])

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


def _style_code(graph: _Graph, config: StylizerConfig, table: Any) -> dict[str, tuple[str, str]]:
    """Norm layer -> its scale and shift, [B, C, 1, 1].

    Each layer has its own matrix product: a single product would be split into more outputs than a WebGPU shader may have.
    """
    total = graph("ReduceSum", "weights", np.array([1]))
    equal = np.float32(1 / len(config.style_names))
    weights = graph("Where", graph("Greater", total, 0.0), graph("Div", "weights", total), equal)

    def mixed(rows: Any) -> str:
        return graph("Unsqueeze", graph("MatMul", weights, np.asarray(rows)), _SPATIAL)

    return {name: (mixed(table[name]["scale"]), mixed(table[name]["shift"])) for name, _ in config.norm_layers()}


def _instance_norm(graph: _Graph, x: str, scale: str, shift: str) -> str:
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
    graph = _Graph()
    x = graph("Sub", graph("Div", graph.cast("crops", "FLOAT"), 127.5), 1.0)
    if config.channels == 1:
        x = graph("MatMul", x, [[0.299], [0.587], [0.114]])  # as `to_grey`
    x = graph("Transpose", x, perm=[0, 3, 1, 2])
    network = {"paper": _paper_logits, "vgg16": _vgg16_logits, "mobilefacenet": _facenet_logits}[config.architecture]
    logits = network(graph, config, variables, x)
    scaled = graph("Div", logits, np.asarray(variables["temperature"]))
    graph("Softmax", scaled, axis=1, output="probabilities")
    inputs = {"crops": ("UINT8", "batch", config.size, config.size, 3)}
    landmarks = template(config.size, config.margin).tolist() if config.aligned else None
    metadata = {"part": "classify", "emotions": EMOTIONS, "margin": config.margin, "landmarks": landmarks}
    return graph.model(inputs, {"probabilities": ("FLOAT", "batch", len(EMOTIONS))}, metadata)


def _paper_logits(graph: _Graph, config: ClassifierConfig, variables: Mapping[str, Any], x: str) -> str:
    """See `PaperNet`."""
    for block in range(len(config.widths)):
        for index in (2 * block, 2 * block + 1):
            x = _conv_same(graph, variables, x, f"Conv_{index}")
            x = graph("Relu", _batch_norm(graph, variables, x, f"BatchNorm_{index}"))
        x = _max_pool(graph, x)
    x = graph("Flatten", graph("Transpose", x, perm=[0, 2, 3, 1]))
    x = graph("LeakyRelu", _dense(graph, variables, x, "Dense_0"), alpha=0.1)
    return _dense(graph, variables, x, "Dense_1")


def _vgg16_logits(graph: _Graph, config: ClassifierConfig, variables: Mapping[str, Any], x: str) -> str:
    """See `Vgg16Net`."""
    first_norm = max(0, len(config.widths) - 2)  # the block
    for block in range(len(config.widths)):
        x = _max_pool(graph, x) if block else x
        for index in range(VGG16_DEPTHS[block]):
            x = graph("Relu", _conv_same(graph, variables, x, f"conv{block + 1}_{index + 1}"))
        if block >= first_norm:
            x = _batch_norm(graph, variables, x, f"BatchNorm_{block - first_norm}")
    return _dense(graph, variables, graph("Flatten", graph("GlobalAveragePool", x)), "Dense_0")


def _facenet_logits(graph: _Graph, config: ClassifierConfig, variables: Mapping[str, Any], x: str) -> str:
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


def _facenet_block(graph: _Graph, layers: Mapping[str, Any], x: str, stride: int) -> str:
    y = _facenet_layer(graph, layers["expand"], x)
    y = _facenet_layer(graph, layers["depth"], y, stride)
    y = _facenet_layer(graph, layers["project"], y)
    return graph("Add", x, y) if stride == 1 else y


def _facenet_layer(graph: _Graph, layer: Mapping[str, Any], x: str, stride: int = 1, padding: int | None = None) -> str:
    """See `emojax.nets.mobilefacenet.Layer`; by default, the sides are padded to stay as they are."""
    kernel = np.asarray(layer["kernel"]).transpose(3, 2, 0, 1)
    outputs, inputs, side, _ = kernel.shape
    groups = outputs if inputs == 1 else 1  # depthwise
    pads = 4 * [(side - 1) // 2 if padding is None else padding]
    x = graph("Conv", x, kernel, np.asarray(layer["bias"]), strides=[stride, stride], pads=pads, group=groups)
    return graph("PRelu", x, np.asarray(layer["prelu"])[:, None, None]) if "prelu" in layer else x


def _conv_same(graph: _Graph, variables: Mapping[str, Any], x: str, name: str) -> str:
    layer = variables["params"][name]
    biases = [np.asarray(layer["bias"])] if "bias" in layer else []
    return graph("Conv", x, np.asarray(layer["kernel"]).transpose(3, 2, 0, 1), *biases, pads=[1, 1, 1, 1])


def _batch_norm(graph: _Graph, variables: Mapping[str, Any], x: str, name: str) -> str:
    parts = {**variables["params"][name], **variables["batch_stats"][name]}
    return graph("BatchNormalization", x, *(np.asarray(parts[key]) for key in ("scale", "bias", "mean", "var")))


def _max_pool(graph: _Graph, x: str) -> str:
    return graph("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])


def _dense(graph: _Graph, variables: Mapping[str, Any], x: str, name: str) -> str:
    layer = variables["params"][name]
    return graph("Gemm", x, np.asarray(layer["kernel"]), np.asarray(layer["bias"]))
