"""Our transform net, rebuilt from its parameters as an ONNX graph and as PyTorch functions: NCHW, one style, fixed sizes.

Both take and return what `emojax.stylizer.Stylizer` does, but for the order of the axes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from emojax.stylizer import StylizerConfig

EPSILON = 1e-5


def layers(params: Mapping[str, Any], style: int) -> dict[str, dict[str, np.ndarray]]:
    """Layer -> its "kernel" as OIHW, and "bias" or the style's "scale" and "shift"."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, layer in params["network"].items():
        found[name] = {"kernel": np.ascontiguousarray(np.asarray(layer["kernel"]).transpose(3, 2, 0, 1))}
        if name in params["styles"]:
            found[name] |= {part: np.asarray(table)[style] for part, table in params["styles"][name].items()}
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
    x = node("Sub", ["photo", constant("half", np.float32(0.5))])
    for name, stride in (("down0", 1), ("down1", 2), ("down2", 2)):
        x = node("Relu", [run(name, x, stride)])
    for i in range(config.blocks):
        x = node("Add", [x, run(f"block{i}_b", node("Relu", [run(f"block{i}_a", x)]))])
    for name in ("up0", "up1"):
        x = node("Relu", [run(name, enlarge(x))])
    nodes.append(helper.make_node("Sigmoid", [conv(x, "out", parameters["out"])], ["stylized"]))
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, height, width]) for n in ("photo", "stylized")]
    graph = helper.make_graph(nodes, "emojax", ends[:1], ends[1:], list(constants.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def torch_function(config: StylizerConfig, params: Mapping[str, Any], style: int) -> Callable[[Any], Any]:
    """The network as a function of a torch tensor [1, 3, H, W]."""
    import torch
    from torch.nn import functional

    parameters = {
        name: {part: torch.tensor(value) for part, value in layer.items()}
        for name, layer in layers(params, style).items()
    }

    def conv(x: Any, name: str, stride: int = 1) -> Any:
        kernel = parameters[name]["kernel"]
        pad = kernel.shape[-1] // 2
        x = functional.pad(x, (pad,) * 4, mode="reflect")
        return functional.conv2d(x, kernel, parameters[name].get("bias"), stride)

    def run(name: str, x: Any, stride: int = 1) -> Any:
        layer = parameters[name]
        return functional.instance_norm(conv(x, name, stride), weight=layer["scale"], bias=layer["shift"], eps=EPSILON)

    def apply(x: Any) -> Any:
        x = x - 0.5
        for name, stride in (("down0", 1), ("down1", 2), ("down2", 2)):
            x = torch.relu(run(name, x, stride))
        for i in range(config.blocks):
            x = x + run(f"block{i}_b", torch.relu(run(f"block{i}_a", x)))
        for name in ("up0", "up1"):
            x = torch.relu(run(name, functional.interpolate(x, scale_factor=2, mode="nearest")))
        return torch.sigmoid(conv(x, "out"))

    return apply
