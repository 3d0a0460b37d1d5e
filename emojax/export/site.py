"""A page that paints photos and the webcam in a browser: a folder for any static host, which can also be opened from disk.

When a page is opened from disk, a browser loads only scripts, style sheets and pictures beside it. Therefore the model and ONNX
Runtime Web are stored in scripts, gzipped and in base64, which the page unpacks (`page/painter.js`). A browser loads one of two
builds of ONNX Runtime Web: the build for WebGPU is larger, and slower without a GPU.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emojax import __version__
from emojax.emotions import PHOTO
from emojax.errors import InputError
from emojax.export.onnx import export_onnx_stylize
from emojax.nets.stylizer_config import MINIMUM, StylizerConfig
from emojax.util.files import ASTRONAUT

PACKAGE = "onnxruntime-web"
TESTED = "1.30"
"""the version of the npm package that the tests ran with"""
RUNTIMES = {
    "wasm": ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"),
    "webgpu": ("ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm"),
}
"""where the network runs -> the library and its WebAssembly, both in the folder dist of the npm package"""
PAGE = Path(__file__).parent / "page"


def find_runtime(folder: Path | None = None) -> Path:
    """The folder of the npm package onnxruntime-web: the given one, or node_modules in this folder or a parent folder.

    Raises:
        InputError: there is none, or it lacks a file.
    """
    above = [Path.cwd(), *Path.cwd().parents]
    places = [folder] if folder else [place / "node_modules" / PACKAGE for place in above]
    found = next((place for place in places if (place / "package.json").is_file()), None)
    if found is None:
        missing = f"no package {PACKAGE} in {folder}" if folder else f"no node_modules/{PACKAGE} here or further up"
        raise InputError(f"{missing}: run npm install {PACKAGE}@{TESTED}, or name its folder with `onnxruntime_web`")
    for name in (name for names in RUNTIMES.values() for name in names):
        if not (found / "dist" / name).is_file():
            raise InputError(f"{found} lacks dist/{name}: run npm install {PACKAGE}@{TESTED}")
    return found


def export_site(config: StylizerConfig, params: Any, runtime: Path) -> dict[str, bytes]:
    """The files of the page, by name.

    Args:
        runtime: see `find_runtime`.

    Raises:
        InputError: a network set, or the package onnx is not installed.
    """
    model = export_onnx_stylize(config, params)
    version = json.loads((runtime / "package.json").read_text(encoding="utf-8"))["version"]
    example = "data:image/jpeg;base64," + base64.b64encode(ASTRONAUT.read_bytes()).decode()
    styles = [style for style in config.style_names if style != PHOTO]
    settings = {
        "version": __version__,
        "styles": styles,
        "first": "happy" if "happy" in styles else styles[0],
        "photoStyle": PHOTO in config.style_names,
        "columns": list(config.style_names),
        "minimum": MINIMUM,
        "example": example,
    }
    files = {path.name: path.read_bytes() for path in sorted(PAGE.iterdir()) if path.is_file()}
    files["LICENSES.txt"] = files["LICENSES.txt"].replace(b"{version}", version.encode())
    files["settings.js"] = f"const SETTINGS = {json.dumps(settings)};\n".encode()
    files["model.js"] = _packed({"model.onnx": model})
    for name, (library, program) in RUNTIMES.items():
        parts = {"ort.mjs": library, "ort.wasm": program}
        files[f"runtime-{name}.js"] = _packed(
            {part: (runtime / "dist" / file).read_bytes() for part, file in parts.items()}
        )
    return files


def _packed(files: Mapping[str, bytes]) -> bytes:
    """A script that puts files, gzipped and in base64, into the page's `packed`; deterministic."""
    packed = {name: base64.b64encode(gzip.compress(data, 9, mtime=0)).decode() for name, data in files.items()}
    return f"Object.assign(packed, {json.dumps(packed)});\n".encode()
