"""`emojax export`: writes the networks for use without emojax."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from emojax.errors import InputError, OutputError
from emojax.util.commandline import Parser, check_stdout
from emojax.util.files import PACKAGED, make_folder, refuse_existing, write_atomically
from emojax.util.machine import check_machine
from emojax.util.words import tell

STDOUT = Path("-")
FORMATS = {
    "stablehlo": ("stylize", "classify", "all"),
    "onnx": ("stylize", "classify", "all"),
    "safetensors": (),
    "web": (),
}
"""format -> its parts; one of them is written, by default the first"""


def export(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code.

    Raises:
        EmojaxError: a checkpoint that cannot be read, a part that the format lacks, a package that is not installed, or an
            output that exists or cannot be written.
    """
    args = _parser().parse_args(argv)
    parts = FORMATS[args.format]
    if args.part and args.part not in parts:
        instead = f"choose from {', '.join(parts)}" if parts else "leave out `part`"
        raise InputError(f"--format {args.format} has no part {args.part!r}: {instead}", "part")
    if args.onnxruntime_web and args.format != "web":
        raise InputError("--onnxruntime-web is for --format web: leave it out", "onnxruntime_web")
    if args.format == "web":
        return _write_site(args)
    if args.output == STDOUT:
        check_stdout()
        if sys.stdout.isatty():
            raise InputError("--output - would write a program into the terminal: send it to a file or a pipe")
    else:
        refuse_existing(args.output, args.force)
    what, data = _single_file(args, args.part or parts[0] if parts else None)
    _write(args.output, data)
    tell(f"wrote {args.output}: {args.format}, {what}, {len(data) / 1e6:.1f} MB")
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="emojax export",
        description="Writes the networks for use without emojax; docs/export.md describes the inputs and outputs.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--format", choices=FORMATS, required=True, help="web: a page that paints in a browser")
    parts = tuple(dict.fromkeys(part for parts in FORMATS.values() for part in parts))
    parser.add_argument("--part", choices=parts, help="which network, for stablehlo and onnx; none: stylize")
    parser.add_argument("--output", type=Path, required=True, help="a file, - for standard output, for web a folder")
    parser.add_argument(
        "--classifier", type=Path, default=PACKAGED / "classifier", help="a checkpoint or a run's folder"
    )
    parser.add_argument("--styles", help="a checkpoint, a run's folder, or fast; none: the packaged checkpoint")
    parser.add_argument(
        "--onnxruntime-web",
        type=Path,
        metavar="FOLDER",
        help="for web: the npm package onnxruntime-web; none: that of node_modules here or further up",
    )
    parser.add_argument("--force", action="store_true", help="replace existing files")
    return parser


def _single_file(args: argparse.Namespace, part: str | None) -> tuple[str, bytes]:
    """A description of the file's content in words, and the bytes of the file."""
    check_machine()
    # They import JAX, which takes a second.
    from emojax import export
    from emojax.weights.load import find_styles, load_classifier, load_styles

    if args.format == "safetensors":
        models = (*load_classifier(args.classifier), *load_styles(find_styles(args.styles)))
        return "both models", export.export_safetensors(*models)
    if part == "all":
        models = (*load_classifier(args.classifier), *load_styles(find_styles(args.styles)))
        return "photo to picture", (export.export_onnx_all if args.format == "onnx" else export.export_all)(*models)
    if part == "classify":
        config, variables = load_classifier(args.classifier)
        write = export.export_onnx_classify if args.format == "onnx" else export.export_classify
        return f"classify, crops of {config.size} x {config.size}", write(config, variables)
    network = load_styles(find_styles(args.styles))
    return "stylize", (export.export_onnx_stylize if args.format == "onnx" else export.export_stylize)(*network)


def _write_site(args: argparse.Namespace) -> int:
    check_machine()
    from emojax.export.site import export_site, find_runtime

    runtime = find_runtime(args.onnxruntime_web)
    from emojax.weights.load import find_styles, load_styles

    files: Mapping[str, bytes] = export_site(*load_styles(find_styles(args.styles)), runtime)
    for name in files:
        refuse_existing(args.output / name, args.force)
    make_folder(args.output)
    for name, data in files.items():
        write_atomically(args.output / name, data)
    size = sum(map(len, files.values())) / 1e6
    tell(f"wrote {args.output}: {len(files)} files, {size:.1f} MB; open {args.output / 'index.html'}")
    return 0


def _write(output: Path, data: bytes) -> None:
    if output != STDOUT:
        write_atomically(output, data)
        return
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # the reader has gone
        raise
    except OSError as error:
        raise OutputError(f"cannot write to standard output: {error.strerror or error}") from None
