"""The command line of `emojax stylize`: the flags of `emojax.cli.flags`, and those of the optimization."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from emojax import __version__
from emojax.cli.flags import add_inputs, add_messages, add_style, check_style, parse_inputs
from emojax.emotions import EMOTIONS
from emojax.errors import InputError
from emojax.options import StylizeOptions
from emojax.paint.limits import LARGEST, SEED, SMALLEST, check_limits
from emojax.util.commandline import Parser
from emojax.weights.style_file import SUFFIX

_DESCRIPTION = "Repaints photos in the style of the emotion on their faces."
_EPILOG = f"""\
emotions: {", ".join(EMOTIONS)}

examples:
  emojax photo.jpg                                    writes photo.happy.jpg, or another emotion, beside the photo
  emojax photo.jpg --emotion sad                      does not read the faces
  emojax photo.jpg --emotion happy:0.6,surprise:0.4   a mix of styles
  emojax photo.jpg --mood 0.6,-0.2                    the styles around a point of valence and arousal, mixed
  emojax photo.jpg --painting any.jpg                 the style of any painting: minutes, no training
  emojax photo.jpg --quality best                     the emotion's painting, optimized instead of the network
  emojax photo.jpg --strength 0.6 --colors photo      a weaker style in the colours of the photo
  emojax photo.jpg --style joy.pack:0.5,sad:0.5       a style of your own (emojax style add), mixed with a packaged one
  emojax group.jpg --per-face                         every face in the style of its own emotion
  emojax holiday/ --output art/ --json                a folder, one JSON object per photo on stdout
  emojax holiday/ --recursive --output art/ --skip-existing    continues an earlier run
  emojax - --output - <in.jpg >out.png                a filter, which writes PNG

exit codes: 0 all photos are done (a skipped photo counts as done), 1 some of several photos failed, 2 a mistake in the
request or a single photo that failed, 130 interrupted
"""


def parser() -> Parser:
    """Returns the parser of `emojax stylize`."""
    parser = Parser(
        prog="emojax stylize",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"emojax {__version__}")
    add_inputs(parser, "photo", stream=True)
    add_style(parser, "photo")
    _add_optimization(parser)
    add_messages(parser, "photo")
    return parser


def _add_optimization(parser: Parser) -> None:
    best = parser.add_argument_group("optimization", "optimizing takes minutes per photo on two CPU cores")
    best.add_argument("--painting", metavar="FILE", help="paint in the style of this picture")
    best.add_argument(
        "--quality",
        choices=("network", "best"),
        default="network",
        help="use one pass of the network (default), or optimize the pixels for the emotion's painting (best)",
    )
    best.add_argument("--paintings", metavar="DIR", help="with --quality best: a folder with a painting per emotion")
    best.add_argument(
        "--size",
        type=int,
        metavar="N",
        help=f"long side that is optimized, {SMALLEST} to {LARGEST} (default: 512 on a CPU, else 1024); the result is enlarged "
        "for a larger photo",
    )
    best.add_argument("--minutes", type=float, metavar="N", help="time limit per photo (default: none)")
    best.add_argument(
        "--seed",
        type=int,
        default=SEED,
        metavar="N",
        help=f"random seed; the same seed gives the same picture (default: {SEED})",
    )


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Returns the options. `input` has all photos, whether given by --input, by position, or after --.

    Raises:
        InputError: an unknown flag, a value out of range, or flags that exclude each other.
    """
    options = parse_inputs(parser(), argv, "photo.jpg")
    check_style(options)
    _check_optimization(options)
    return options


def optimizes(options: argparse.Namespace) -> bool:
    """Whether pictures are optimized instead of painted by the network."""
    return options.painting is not None or options.quality == "best"


def _check_optimization(options: argparse.Namespace) -> None:
    """Raises InputError for options of the optimization that make no sense, alone or together."""
    reading = {"--emotion": options.emotion, "--style": options.style, "--mood": options.mood}
    reading |= {"--per-face": options.per_face or None}
    if options.painting is not None and (named := [flag for flag, value in reading.items() if value is not None]):
        raise InputError(f"--painting and {named[0]} both name the style: give one of them")
    if options.painting is not None and options.paintings is not None:
        raise InputError("--painting and --paintings: give the one painting, or the folder for --quality best")
    if options.paintings is not None and options.quality != "best":
        raise InputError("--paintings is for --quality best: give both")
    check_limits(options.size, None, options.seed)
    if options.minutes is not None and not (options.minutes > 0 and math.isfinite(options.minutes)):
        raise InputError(f"--minutes {options.minutes:g}: give a number above 0", "minutes")
    unused = {"--size": options.size, "--minutes": options.minutes}
    if not optimizes(options) and (named := [flag for flag, value in unused.items() if value is not None]):
        raise InputError(f"{named[0]} is for --painting or --quality best: give one of them, too")
    if optimizes(options) and options.face_strength != StylizeOptions.face_strength:
        raise InputError(
            "--face-strength is for the network: an optimized picture keeps faces by itself", "face_strength"
        )
    if optimizes(options) and options.styles is None and options.style is not None and SUFFIX in options.style:
        raise InputError(f"--style {options.style}: a style file is for the network; give its picture as --painting")


def painting_name(options: argparse.Namespace) -> str:
    """The name of the style of --painting."""
    return Path(options.painting).stem or "painting"
