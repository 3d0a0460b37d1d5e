"""`python -m emojax.ray IN OUT`: a folder of photos, of any size, painted by several actors of a Ray cluster."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from emojax.cli.flags import add_style, style_options
from emojax.cli.stylize import named_style
from emojax.errors import InputError
from emojax.options import StylizeOptions
from emojax.util.commandline import Parser, run

_DESCRIPTION = """\
Paints a folder and its subfolders on a Ray cluster: that of $RAY_ADDRESS, or one on this machine. IN and OUT are local, or
s3://... and gs://... (on a cluster, local folders are those that all machines share). OUT gets the pictures and
OUT/readings/*.jsonl. Run it again to go on where it stopped, and to try again what failed.
"""


def parser() -> Parser:
    """The parser of the command."""
    parser = Parser(
        prog="python -m emojax.ray", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("input", metavar="IN", help="the folder of the photos")
    parser.add_argument("output", metavar="OUT", help="the folder for the pictures, new or of an earlier run")
    actors = parser.add_argument_group("actors")
    actors.add_argument("--actors", type=int, default=1, metavar="N", help="processes with a model each (default: 1)")
    actors.add_argument("--cpus", type=float, default=1.0, metavar="N", help="cores of each (default: 1)")
    actors.add_argument(
        "--gpus", type=float, default=0.0, metavar="N", help="GPUs of each, such as 0.25 for four on one (default: 0)"
    )
    add_style(parser, "photo")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0, or 1 if some photos failed."""
    args = parser().parse_args(argv)
    if args.emotion is not None and args.style is not None:
        raise InputError("--emotion and --style both name the style: give one of them")
    style_files, style = named_style(args)
    options = StylizeOptions(emotion=style, **style_options(args))
    names = {"emotion": args.emotion or args.style, "styles": args.styles, "classifier": args.classifier}
    recorded = vars(options) | names | {"mood": args.mood}
    try:
        from emojax.ray.job import Actors, paint_folder
    except ModuleNotFoundError as error:
        raise InputError(f"this command needs the package {error.name}: pip install 'emojax[ray]'") from None
    actors = Actors(args.actors, args.cpus, args.gpus)
    return paint_folder(
        args.input,
        args.output,
        options,
        actors,
        recorded,
        styles=args.styles,
        classifier=args.classifier,
        style_files=style_files,
    )


if __name__ == "__main__":
    sys.exit(run(main))
