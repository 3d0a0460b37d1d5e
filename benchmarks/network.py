"""The same network, photo array in and stylized array out: ours against ONNX Runtime, OpenVINO and PyTorch."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.peers import onnx_graph, torch_function
from benchmarks.timing import interleaved
from emojax import compiling
from emojax.pipeline import PACKAGED, load_styles
from emojax.stylizer import mix_styles, stylize_with_code

TOLERANCE = 1e-3  # between float32 networks, on a scale of 0 to 1


def runners(side: int, threads: int) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Every implementation by its name: float32 [1, 3, side, side] -> the same. PyTorch compiles in its first call."""
    import jax
    import onnxruntime
    import openvino
    import torch

    config, params = load_styles(PACKAGED / "styles")
    graph = onnx_graph(config, params, 0, side, side)
    choice = jax.numpy.eye(len(config.styles))[:1]
    params = jax.device_put(params)
    ours = compiling.jit(lambda p, x: stylize_with_code(config, p["network"], x, mix_styles(p["styles"], choice)))

    def emojax(photo: np.ndarray) -> np.ndarray:
        return np.asarray(ours(params, photo.transpose(0, 2, 3, 1))).transpose(0, 3, 1, 2)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    core = openvino.Core()

    def open_vino(precision: str) -> Callable[[np.ndarray], np.ndarray]:
        settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
        model = core.compile_model(core.read_model(io.BytesIO(graph)), "CPU", settings)
        return lambda photo: np.asarray(model(photo)[0])

    torch.set_num_threads(threads)
    eager = torch_function(config, params_of(params), 0)
    compiled: Any = torch.compile(eager)

    def pytorch(function: Any, dtype: Any = None) -> Callable[[np.ndarray], np.ndarray]:
        def run(photo: np.ndarray) -> np.ndarray:
            with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype is not None):
                return np.asarray(function(torch.from_numpy(photo)).float().numpy())

        return run

    return {
        "emojax": emojax,
        "ONNX Runtime": lambda photo: np.asarray(session.run(None, {"photo": photo})[0]),
        "OpenVINO": open_vino("f32"),
        "OpenVINO bf16": open_vino("bf16"),
        "PyTorch eager": pytorch(eager),
        "PyTorch compile": pytorch(compiled),
        "PyTorch compile bf16": pytorch(compiled, torch.bfloat16),
    }


def params_of(params: Any) -> Any:
    """Parameters as NumPy arrays."""
    import jax

    return jax.tree.map(np.asarray, params)


def measure(sides: list[int], threads: int, repeats: int) -> list[dict[str, Any]]:
    """A row per size and implementation: name, side, seconds (quartiles), and the largest difference to ours.

    Raises:
        RuntimeError: a float32 implementation whose output is not ours.
    """
    rows: list[dict[str, Any]] = []
    for side in sides:
        photo = np.random.default_rng(0).random((1, 3, side, side), np.float32)
        # Smooth, as photos are: noise would make the network's own rounding larger.
        photo = np.asarray(sum(np.roll(photo, (i, j), (2, 3)) for i in range(4) for j in range(4)) / 16, np.float32)
        found = runners(side, threads)
        expected = found["emojax"](photo)
        differences = {name: float(np.abs(runner(photo) - expected).max()) for name, runner in found.items()}
        for name, difference in differences.items():
            if difference > TOLERANCE and "bf16" not in name:
                raise RuntimeError(f"{name} differs by {difference:.4f} at {side}: it is not the same network")
        timed = interleaved({name: partial(runner, photo) for name, runner in found.items()}, repeats)
        for name, seconds in timed.items():
            row = {"what": "network", "name": name, "side": side, "difference": differences[name]}
            rows.append({**row, "seconds": seconds})
    return rows
