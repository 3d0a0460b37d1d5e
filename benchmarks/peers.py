"""Our transform net, rebuilt from its parameters as an ONNX graph and as PyTorch functions: NCHW, one style, fixed sizes.

Both compute the same as `emojax.nets.transform_net.Stylizer`, except for the order of the axes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from emojax.nets.stylizer_config import StylizerConfig

EPSILON = 1e-5


def layers(params: Mapping[str, Any], style: int | slice) -> dict[str, dict[str, np.ndarray]]:
    """Layer -> "kernel" (OIHW), and "bias" or "scale" and "shift": [C] for one style, [S, C] for several."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, layer in params["network"].items():
        found[name] = {"kernel": np.ascontiguousarray(np.asarray(layer["kernel"]).transpose(3, 2, 0, 1))}
        if name in params["style_table"]:
            found[name] |= {part: np.asarray(table)[style] for part, table in params["style_table"][name].items()}
        else:
            found[name]["bias"] = np.asarray(layer["bias"])
    return found


def onnx_graph(config: StylizerConfig, params: Mapping[str, Any], style: int, height: int, width: int) -> bytes:
    """The network as a serialized ONNX model: "photo" [1, 3, H, W] -> "stylized"."""
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes: list[Any] = []
    constants: dict[str, Any] = {}

    def constant(name: str, value: Any) -> str:
        constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def node(operator: str, inputs: list[str], **attributes: Any) -> str:
        output = f"{operator}_{len(nodes)}"
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def conv(x: str, name: str, layer: Mapping[str, np.ndarray], stride: int = 1) -> str:
        pad = layer["kernel"].shape[-1] // 2
        x = node("Pad", [x, constant(f"pad{pad}", np.array([0, 0, pad, pad] * 2, np.int64))], mode="reflect")
        inputs = [x, constant(f"{name}_kernel", layer["kernel"])]
        if "bias" in layer:
            inputs.append(constant(f"{name}_bias", layer["bias"]))
        return node("Conv", inputs, strides=[stride, stride])

    def norm(x: str, name: str, layer: Mapping[str, np.ndarray]) -> str:
        parts = [constant(f"{name}_{part}", layer[part]) for part in ("scale", "shift")]
        return node("InstanceNormalization", [x, *parts], epsilon=EPSILON)

    def enlarge(x: str) -> str:
        scales = constant("twice", np.array([1, 1, 2, 2], np.float32))
        mode = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return node("Resize", [x, "", scales], **mode)

    def run(name: str, x: str, stride: int = 1) -> str:
        return norm(conv(x, name, parameters[name], stride), name, parameters[name])

    parameters = layers(params, style)
    first, *downs = (name for name, _ in config.norm_layers() if name.startswith("down"))
    x = node("Sub", ["photo", constant("half", np.float32(0.5))])
    if config.patch > 1:
        x = node("SpaceToDepth", [x], blocksize=config.patch)
    x = node("Relu", [run(first, x)])
    for name in downs:
        x = node("Relu", [run(name, x, 2)])
    for i in range(config.blocks):
        x = node("Add", [x, run(f"block{i}_b", node("Relu", [run(f"block{i}_a", x)]))])
    for name in (name for name, _ in config.norm_layers() if name.startswith("up")):
        x = node("Relu", [run(name, enlarge(x))])
    x = conv(x, "out", parameters["out"])
    if config.patch > 1:
        x = node("DepthToSpace", [x], blocksize=config.patch)
    nodes.append(helper.make_node("Sigmoid", [x], ["stylized"]))
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, height, width]) for n in ("photo", "stylized")]
    graph = helper.make_graph(nodes, "emojax", ends[:1], ends[1:], list(constants.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def torch_parameters(params: Mapping[str, Any], style: int | slice) -> dict[str, dict[str, Any]]:
    """The result of `layers` as torch tensors."""
    import torch

    return {name: {k: torch.tensor(v) for k, v in layer.items()} for name, layer in layers(params, style).items()}


def torch_function(config: StylizerConfig) -> Callable[[Mapping[str, Any], Any], Any]:
    """The network as a function of `torch_parameters` and a torch tensor [N, 3, H, W].

    Scales and shifts are [C] for one style, or [N, C] for a style per photo.
    """
    import torch
    from torch.nn import functional

    patch = config.patch

    def conv(x: Any, layer: Mapping[str, Any], stride: int = 1) -> Any:
        pad = layer["kernel"].shape[-1] // 2
        x = functional.pad(x, (pad,) * 4, mode="reflect")
        return functional.conv2d(x, layer["kernel"], layer.get("bias"), stride)

    def run(x: Any, layer: Mapping[str, Any], stride: int = 1) -> Any:
        x = conv(x, layer, stride)
        if layer["scale"].ndim == 1:
            return functional.instance_norm(x, weight=layer["scale"], bias=layer["shift"], eps=EPSILON)
        scale, shift = (layer[part][:, :, None, None] for part in ("scale", "shift"))
        return functional.instance_norm(x, eps=EPSILON) * scale + shift

    def space_to_depth(x: Any) -> Any:  # pixel_unshuffle orders the channels differently
        n, c, height, width = x.shape
        x = x.reshape(n, c, height // patch, patch, width // patch, patch)
        return x.permute(0, 3, 5, 1, 2, 4).reshape(n, -1, height // patch, width // patch)

    def depth_to_space(x: Any) -> Any:
        n, _, h, w = x.shape
        x = x.reshape(n, patch, patch, 3, h, w).permute(0, 3, 4, 1, 5, 2)
        return x.reshape(n, 3, h * patch, w * patch)

    first, *downs = (name for name, _ in config.norm_layers() if name.startswith("down"))
    ups = [name for name, _ in config.norm_layers() if name.startswith("up")]

    def apply(parameters: Mapping[str, Any], x: Any) -> Any:
        x = torch.relu(run(space_to_depth(x - 0.5) if patch > 1 else x - 0.5, parameters[first]))
        for name in downs:
            x = torch.relu(run(x, parameters[name], 2))
        for i in range(config.blocks):
            x = x + run(torch.relu(run(x, parameters[f"block{i}_a"])), parameters[f"block{i}_b"])
        for name in ups:
            x = torch.relu(run(functional.interpolate(x, scale_factor=2, mode="nearest"), parameters[name]))
        x = conv(x, parameters["out"])
        return torch.sigmoid(depth_to_space(x) if patch > 1 else x)

    return apply
