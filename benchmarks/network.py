"""The same network, photo array in and stylized array out: ours against ONNX Runtime, OpenVINO and PyTorch."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from benchmarks.peers import layers, onnx_graph, torch_function, torch_parameters
from benchmarks.timing import Clock, interleaved
from emojax.nets.style_code import mix_styles
from emojax.nets.stylizer import remove_checkerboard, stylize_with_code
from emojax.nets.stylizer_config import StylizerConfig
from emojax.train.throughput import measure_matmul_peak
from emojax.util import compiling
from emojax.weights.load import find_styles, load_styles

TOLERANCE = 1e-3  # between float32 networks, on a scale of 0 to 1
DTYPES = {"": "float32", "bf16": "bfloat16"}


def runners(styles: str | None, photo: np.ndarray, threads: int) -> dict[str, Callable[[], np.ndarray]]:
    """Every implementation by its name: nothing -> float32 [1, 3, H, W]. PyTorch compiles in its first call.

    The photo is float32 [1, 3, H, W]; each implementation gets it in its own memory layout. emojax runs the program of the
    pipeline, which also takes the size of the picture inside its padded input.
    """
    import jax
    import onnxruntime
    import openvino
    import torch

    config, params = load_network(styles)
    graph = onnx_graph(config, params, 0, *photo.shape[2:])
    choice = jax.numpy.eye(len(config.style_names))[:1]
    params = jax.device_put(params)
    mine, size = np.ascontiguousarray(photo.transpose(0, 2, 3, 1)), np.array(photo.shape[2:], np.int32)

    @compiling.jit
    def ours(p: Any, x: Any, size: Any) -> Any:
        return stylize_with_code(config, p["network"], x, mix_styles(p["style_table"], choice), (size[0], size[1]))

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    core = openvino.Core()

    def open_vino(precision: str) -> Callable[[], np.ndarray]:
        settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
        model = core.compile_model(core.read_model(io.BytesIO(graph)), "CPU", settings)
        return lambda: np.asarray(model(photo)[0])

    torch.set_num_threads(threads)
    eager = partial(torch_function(config), torch_parameters(params_of(params), 0))
    # Compile a program for each size: from the second size on, PyTorch would compile a slower one for dynamic shapes.
    compiled: Any = torch.compile(eager, dynamic=False)

    def pytorch(function: Any, dtype: Any = None) -> Callable[[], np.ndarray]:
        def run() -> np.ndarray:
            with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype is not None):
                return np.asarray(function(torch.from_numpy(photo)).float().numpy())

        return run

    return {
        "emojax": lambda: np.asarray(ours(params, mine, size)).transpose(0, 3, 1, 2),
        "ONNX Runtime": lambda: np.asarray(session.run(None, {"photo": photo})[0]),
        "OpenVINO": open_vino("f32"),
        "OpenVINO bf16": open_vino("bf16"),
        "PyTorch eager": pytorch(eager),
        "PyTorch compile": pytorch(compiled),
        "PyTorch compile bf16": pytorch(compiled, torch.bfloat16),
    }


def load_network(styles: str | None) -> tuple[StylizerConfig, Any]:
    """A network with its last layer as inference uses it."""
    config, params = load_styles(find_styles(styles))
    return config, {**params, "network": remove_checkerboard(config, params["network"])}


def params_of(params: Any) -> Any:
    """Parameters as NumPy arrays."""
    import jax

    return jax.tree.map(np.asarray, params)


def device_runners(styles: str | None, photos: np.ndarray, device: str, peers: bool) -> dict[str, Callable[[], Any]]:
    """Every implementation on a GPU by its name: nothing -> float32 [N, 3, H, W] on the device, after waiting for it.

    Args:
        photos: float32 [N, 3, H, W]; they are copied to the device before the timing starts.
        device: "cuda", or "cpu" to try the benchmark without a GPU.
        peers: whether PyTorch is measured, too.
    """
    import jax
    import jax.numpy as jnp

    config, params = load_network(styles)
    choice = jnp.eye(len(config.style_names))[np.zeros(len(photos), np.int32)]
    placed, mine, size = jax.device_put((params, photos, np.array(photos.shape[2:], np.int32)))

    def ours(dtype: Any) -> Callable[[], Any]:
        def stylize(p: Any, x: Any, size: Any) -> Any:
            x, code = x.transpose(0, 2, 3, 1), mix_styles(p["style_table"], choice)
            return stylize_with_code(config, p["network"], x, code, (size[0], size[1]), dtype).transpose(0, 3, 1, 2)

        program = compiling.jit(stylize)
        return lambda: program(placed, mine, size).block_until_ready()

    found = {"emojax": ours(jnp.float32), "emojax bf16": ours(jnp.bfloat16)}
    return found | (_torch_runners(config, params, photos, device) if peers else {})


def _torch_runners(
    config: StylizerConfig, params: Any, photos: np.ndarray, device: str
) -> dict[str, Callable[[], Any]]:
    """The PyTorch runners of `device_runners`."""
    import torch

    torch.set_float32_matmul_precision("high")  # tensor cores for float32, which is JAX's default
    weights = torch_parameters(params, 0)
    for layer in weights.values():
        layer.update({part: value.to(device) for part, value in layer.items()})
        layer["kernel"] = layer["kernel"].to(memory_format=torch.channels_last)
    theirs = torch.from_numpy(photos).to(device).to(memory_format=torch.channels_last)

    def pytorch(function: Any, dtype: Any = None) -> Callable[[], Any]:
        def run() -> Any:
            with torch.inference_mode(), torch.autocast(device, dtype, enabled=dtype is not None):
                stylized = function(weights, theirs).float()
            if device == "cuda":
                torch.cuda.synchronize()
            return stylized

        return run

    eager = torch_function(config)
    # Compile a program for each size: from the second size on, PyTorch would compile a slower one for dynamic shapes.
    compiled: Any = torch.compile(eager, dynamic=False)
    return {
        "PyTorch eager": pytorch(eager),
        "PyTorch eager bf16": pytorch(eager, torch.bfloat16),
        "PyTorch compile bf16": pytorch(compiled, torch.bfloat16),
    }


def count_flops(styles: str | None, side: int) -> float:
    """FLOP of the network's convolutions in the plain form; a multiplication and an addition count as 2."""
    config, params = load_styles(find_styles(styles))
    factors = {"down0": 1, "down1": 2, "up0": 2, "up1": 1, "out": config.patch}  # downscaling; 4 for all other layers
    kernels = {name: layer["kernel"] for name, layer in layers(params, 0).items()}
    return sum(2.0 * kernel.size * (side // factors.get(name, 4)) ** 2 for name, kernel in kernels.items())


def on_host(array: Any) -> np.ndarray:
    """A JAX, torch or NumPy array as a NumPy one."""
    return np.asarray(array.cpu() if hasattr(array, "cpu") else array)


def make_photos(side: int, count: int = 1) -> np.ndarray:
    """Smooth noise, float32 [count, 3, side, side]; without smoothing, the network's rounding errors would be larger."""
    photos = np.random.default_rng(0).random((count, 3, side, side), np.float32)
    return np.asarray(sum(np.roll(photos, (i, j), (2, 3)) for i in range(4) for j in range(4)) / 16, np.float32)


def measure(styles: str | None, sides: list[int], threads: int, repeats: int) -> Iterator[dict[str, Any]]:
    """A row per size and implementation on the CPU: name, side, seconds (quartiles), and the largest difference to ours.

    Args:
        styles: as for `emojax.load`.

    Raises:
        RuntimeError: the output of a float32 implementation differs from ours.
    """
    for side in sides:
        found = runners(styles, make_photos(side), threads)
        yield from _rows({"what": "network", "side": side}, found, TOLERANCE, repeats)


def measure_on_device(
    styles: str | None, side: int, count: int, device: str, peers: bool, repeats: int, clock: Clock
) -> Iterator[dict[str, Any]]:
    """A row per implementation on a GPU, as `measure` gives, with photos a second and the share of the device's peak.

    Args:
        count: photos at once.
        device, peers: see `device_runners`.

    Raises:
        RuntimeError: the output of a float32 implementation differs from ours.
    """
    found = device_runners(styles, make_photos(side, count), device, peers)
    flops = count * count_flops(styles, side)
    ideal = {suffix: flops / measure_matmul_peak(dtype) for suffix, dtype in DTYPES.items()}
    what = {"what": "network" if count == 1 else f"network, {count} photos", "side": side}
    # The tolerance is larger because tensor cores round the factors to 10 bits.
    for row in _rows(what, found, 2e-2, repeats, clock):
        least, median = ideal["bf16" if row["name"].endswith("bf16") else ""], row["seconds"][1]
        yield {**row, "rate": count / median, "share": least / median}


def _rows(
    what: Mapping[str, Any],
    found: Mapping[str, Callable[[], Any]],
    tolerance: float,
    repeats: int,
    clock: Clock | None = None,
) -> Iterator[dict[str, Any]]:
    """Compares the outputs with ours, then times the implementations."""
    expected = on_host(found["emojax"]())
    differences = {name: float(np.abs(on_host(runner()) - expected).max()) for name, runner in found.items()}
    for name, difference in differences.items():
        if difference > tolerance and "bf16" not in name:
            raise RuntimeError(f"{name} differs by {difference:.4f} at {what['side']}: it is not the same network")
    for name, seconds in interleaved(found, repeats, until=clock).items():
        yield {**what, "name": name, "difference": differences[name], "seconds": seconds}
