"""`emojax export`: writes the networks for use without emojax."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from emojax.cli.parser import Parser
from emojax.util.files import PACKAGED, refuse_existing, write_atomically


def export(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code.

    Raises:
        EmojaxError: a checkpoint that cannot be read, or an output that exists or cannot be written.
    """
    parser = Parser(
        prog="emojax export",
        description="Writes the networks for use without emojax; see emojax/export.py for the inputs and outputs.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--format", choices=("stablehlo", "safetensors"), required=True, help="format of the file")
    parser.add_argument(
        "--part", choices=("stylize", "classify"), default="stylize", help="which program, of stablehlo"
    )
    parser.add_argument("--output", type=Path, required=True, help="the file to write")
    parser.add_argument(
        "--classifier", type=Path, default=PACKAGED / "classifier", help="a checkpoint or a run's folder"
    )
    parser.add_argument("--styles", help="a checkpoint, a run's folder, or fast; none: the packaged checkpoint")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    args = parser.parse_args(argv)
    refuse_existing(args.output, args.force)
    # They import JAX, which takes a second.
    from emojax.export import export_classify, export_safetensors, export_stylize
    from emojax.weights.load import find_styles, load_classifier, load_styles

    styles = find_styles(args.styles)
    if args.format == "safetensors":
        data = export_safetensors(*load_classifier(args.classifier), *load_styles(styles))
        what = "both models"
    elif args.part == "classify":
        config, variables = load_classifier(args.classifier)
        data, what = export_classify(config, variables), f"classify, crops of {config.size} x {config.size}"
    else:
        data, what = export_stylize(*load_styles(styles)), "stylize"
    write_atomically(args.output, data)
    print(f"wrote {args.output}: {args.format}, {what}, {len(data) / 1e6:.1f} MB", file=sys.stderr)
    return 0
