"""A writer of ONNX models: values are names, and every operator that is called becomes a node."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from emojax.errors import InputError

OPSET, IR_VERSION = 18, 9  # read by ONNX Runtime 1.14 and later


class Graph:
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
        self._numbers = itertools.count()

    def __call__(self, operator: str, *inputs: Any, output: str = "", **attributes: Any) -> str:
        """Adds a node and returns the name of its output.

        Inputs are names, or values, which become constants: integers are int64, all others float32.
        """
        return self.several(operator, [output], *inputs, **attributes)[0]

    def several(self, operator: str, outputs: Sequence[str], *inputs: Any, **attributes: Any) -> list[str]:
        """Adds a node with several outputs and returns their names; an empty name becomes a new one."""
        names = [name or self._new(operator) for name in outputs]
        inputs = tuple(value if isinstance(value, str) else self._constant(value) for value in inputs)
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, names, **attributes))
        return names

    def _new(self, word: str) -> str:
        return f"{word}_{next(self._numbers)}"

    def _constant(self, value: Any) -> str:
        array = np.asarray(value)
        array = np.ascontiguousarray(array, np.int64 if array.dtype.kind == "i" else np.float32)
        key = array.dtype.str, np.shape(value), array.tobytes()
        if key not in self.constants:
            name = f"constant_{len(self.constants)}"
            self.constants[key] = self.onnx.numpy_helper.from_array(array.reshape(np.shape(value)), name)
        return str(self.constants[key].name)

    def cast(self, x: str, kind: str, output: str = "") -> str:
        """Casts to "FLOAT", or to "UINT8", "INT32" or "INT64" with truncation."""
        return self("Cast", x, to=getattr(self.onnx.TensorProto, kind), output=output)

    def loop(
        self,
        trips: Any,
        condition: str,
        states: Mapping[str, tuple],
        body: Callable[..., tuple[str, Sequence[str], Sequence[str]]],
        collected: Sequence[tuple] = (),
    ) -> list[str]:
        """Adds a loop and returns the names of its last states, then of the values that it collected.

        Args:
            trips: the greatest number of iterations, int64 [].
            condition: whether there is a first iteration; "" stands for true here and in the results of `body`.
            states: first value -> (type, axes...), see `model`.
            body: the number of the iteration and the states -> whether to go on, the new states, and values to collect. It adds
                its nodes to this graph, and may use all values from outside the loop.
            collected: (type, axes...) of the values that are collected, which are stacked along a new first axis.
        """
        iteration, entered = self._new("iteration"), self._new("condition")
        before = {self._new("state"): kind for kind in states.values()}
        outside, self.nodes = self.nodes, []
        going, after, found = body(iteration, *before)
        going = going or self("Identity", entered)
        inside, self.nodes = self.nodes, outside
        graph = self.onnx.helper.make_graph(
            inside,
            self._new("body"),
            self._typed({iteration: ("INT64",), entered: ("BOOL",), **before}),
            self._typed(dict(zip([going, *after, *found], [("BOOL",), *states.values(), *collected], strict=True))),
        )
        return self.several("Loop", [""] * (len(states) + len(collected)), trips, condition, *states, body=graph)

    def _typed(self, values: Mapping[str, tuple]) -> list[Any]:
        helper, proto = self.onnx.helper, self.onnx.TensorProto
        return [
            helper.make_tensor_value_info(name, getattr(proto, kind), axes) for name, (kind, *axes) in values.items()
        ]

    def model(self, inputs: Mapping[str, tuple], outputs: Mapping[str, tuple], metadata: Mapping[str, Any]) -> bytes:
        """The serialized model.

        Args:
            inputs: name -> (type, axes...): the type is "UINT8", "INT32", "INT64", "FLOAT" or "BOOL", an axis is its length or
                the name of a dynamic one.
            outputs: as the inputs.
            metadata: strings, or values that are written as JSON.
        """
        helper = self.onnx.helper
        ends = self._typed(inputs), self._typed(outputs)
        graph = helper.make_graph(self.nodes, "emojax", *ends, list(self.constants.values()))
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="emojax")
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in metadata.items()}
        helper.set_model_props(model, {"format": "emojax 1", **texts})
        self.onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())
