"""Opens ONNX models in ONNX Runtime, for the tests that compare them with the functions that they were written from."""

import pytest

pytest.importorskip("onnx", reason="pip install 'emojax[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="pip install onnxruntime")


def open_model(data):
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = False  # it would keep the memory of the largest photo for the worker's further tests
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
