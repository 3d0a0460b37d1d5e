"""The flags that painting photos and clips share, their values, and the checks that need no photo."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from emojax.emotions import parse_mood, parse_weights
from emojax.errors import InputError
from emojax.images import MAX_MEGAPIXELS, STYLE_SCALES
from emojax.images.finish import Colors
from emojax.images.sizes import check_megapixels
from emojax.options import Mix, NoFace, StylizeOptions, check_choice
from emojax.util.commandline import Parser
from emojax.weights.style_file import SUFFIX


def add_inputs(parser: Parser, word: str, stream: bool) -> None:
    """Adds the flags for input and output files; `stream`: whether standard input and output are allowed."""
    photos = parser.add_argument_group(f"{word}s")
    files = "files, folders (outputs of emojax in them are left out)"
    photos.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help=f"{files}{', or - for standard input' * stream}; names after -- may begin with a dash",
    )
    photos.add_argument("--input", nargs="+", action="extend", default=[], metavar="PATH", help="the same, as a flag")
    photos.add_argument(
        "--output",
        metavar="PATH",
        help=f"a file if the name has {'an image' if stream else 'a video'} suffix, else a folder"
        f"{'; - for standard output' * stream} (default: beside the {word})",
    )
    photos.add_argument("--recursive", action="store_true", help="search subfolders; an output folder keeps their tree")
    photos.add_argument("--force", action="store_true", help="replace outputs that exist, but never an input")
    photos.add_argument(
        "--skip-existing",
        action="store_true",
        help=f"leave out {word}s that an earlier run has painted, in any emotion if the faces are read; {word}s that share "
        "an output's name are refused",
    )
    if stream:
        photos.add_argument(
            "--name-compounds",
            action="store_true",
            help="name the output by the compound emotion where one was read: photo.happily-surprised.jpg",
        )
        photos.add_argument(
            "--keep-metadata",
            action="store_true",
            help="keep date, camera, settings, author and copyright (default: no metadata); places and the rest are never kept",
        )
    photos.add_argument(
        "--max-megapixels",
        type=float,
        default=MAX_MEGAPIXELS,
        metavar="N",
        help=f"refuse larger {'photos' if stream else 'frames'} (default: {MAX_MEGAPIXELS:g})",
    )


def add_style(parser: Parser, word: str) -> None:
    """Adds the flags for how a photo or clip is painted by the network."""
    style = parser.add_argument_group("style")
    style.add_argument("--emotion", metavar="NAME", help="use this emotion, or a mix such as happy:0.6,surprise:0.4")
    style.add_argument(
        "--style",
        metavar="NAME",
        help="like --emotion, and takes style files, alone or in a mix: joy.pack:0.5,sad:0.5",
    )
    style.add_argument(
        "--mood",
        type=_mood,
        metavar="VALENCE,AROUSAL",
        help="use the mix of styles for a point of the circumplex of affect, such as 0.6,-0.2; both are -1 to 1",
    )
    style.add_argument(
        "--per-face",
        action="store_true",
        help=f"paint the region of every face in the style of its own emotion, and the rest in the style of the {word}",
    )
    style.add_argument(
        "--style-scale",
        type=float,
        default=StylizeOptions.style_scale,
        metavar="N",
        help=f"size of the strokes, {STYLE_SCALES[0]:g} to {STYLE_SCALES[1]:g} (default: {StylizeOptions.style_scale:g}); "
        "above 1 bolder with less detail, below 1 finer and slower",
    )
    style.add_argument(
        "--mix",
        choices=get_args(Mix),
        default=StylizeOptions.mix,
        help="use the style of the strongest emotion (default), or all styles, weighted by the probabilities",
    )
    style.add_argument(
        "--face",
        type=_face,
        default=StylizeOptions.face,
        metavar="all|largest|N",
        help="whose emotion counts: all faces, weighted by area (default), the largest, or face N (0 is the largest)",
    )
    style.add_argument(
        "--no-face",
        choices=get_args(NoFace),
        default=StylizeOptions.no_face,
        help=f"paint a {word} without a face in the neutral style (default), skip it, or fail",
    )
    _add_strength(style)
    _add_masks(style)
    _add_networks(style)


def _add_strength(style: argparse._ArgumentGroup) -> None:
    style.add_argument(
        "--strength",
        type=float,
        default=StylizeOptions.strength,
        metavar="N",
        help="strength of the style, from 0 (the photo itself) to 1 (default)",
    )
    style.add_argument(
        "--face-strength",
        type=float,
        default=StylizeOptions.face_strength,
        metavar="N",
        help="how much the style may change the features of small faces, 0 to 1 "
        f"(default: {StylizeOptions.face_strength:g}), so people stay themselves",
    )
    style.add_argument(
        "--colors",
        choices=get_args(Colors),
        default=StylizeOptions.colors,
        help="use the painting's palette (default), or the photo's colours with the painting's brushwork",
    )


def _add_masks(style: argparse._ArgumentGroup) -> None:
    where = style.add_mutually_exclusive_group()
    where.add_argument("--faces-only", action="store_true", help="paint the faces alone; the rest stays the photo")
    where.add_argument("--background-only", action="store_true", help="paint all but the faces")
    style.add_argument(
        "--mask",
        metavar="FILE",
        help="a grey picture: white where to paint, black where to keep the photo, grey for less strength",
    )


def _add_networks(style: argparse._ArgumentGroup) -> None:
    style.add_argument(
        "--classifier", metavar="DIR", help="a checkpoint of emojax train classifier (default: the packaged one)"
    )
    style.add_argument(
        "--styles",
        metavar="DIR",
        help="a checkpoint of emojax train styles, a folder with a one-style network per emotion, or fast, the smaller "
        "packaged network (default: the packaged checkpoint)",
    )


def _mood(text: str) -> tuple[float, float]:
    """Returns the value of --mood."""
    try:
        return parse_mood(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error).partition(": ")[2]) from None


def _face(text: str) -> str | int:
    """Returns the value of --face."""
    try:
        check_choice(text)
    except InputError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither all, nor largest, nor the number of a face, from 0"
        ) from None
    return int(text) if text.isdecimal() else text


def add_messages(parser: Parser, unit: str) -> None:
    """Adds the flags for what is printed, one JSON object per `unit`."""
    messages = parser.add_argument_group("messages")
    messages.add_argument("--json", action="store_true", help=f"print one JSON object per {unit}, and nothing else")
    messages.add_argument("-q", "--quiet", action="store_true", help="print errors only")


def parse_inputs(parser: Parser, argv: Sequence[str], example: str) -> argparse.Namespace:
    """Returns the options of a parser with `add_inputs`; `input` has all files. Raises InputError, also if there are none."""
    argv, after = list(argv), list[str]()
    if "--" in argv:
        end = argv.index("--")
        argv, after = argv[:end], argv[end + 1 :]
        if argv[-1:] == ["--input"]:  # its values follow the --
            argv.pop()
    for place in reversed(range(len(argv) - 1)):
        if argv[place] == "--mood":  # argparse would take a value that begins with a minus for a flag
            argv[place : place + 2] = [f"--mood={argv[place + 1]}"]
    options = parser.parse_intermixed_args(argv)
    options.input = [*options.input, *options.paths, *after]
    if not options.input:
        word = Path(example).stem
        raise InputError(f"no {word}: name files or folders, such as --input {example}; see --help")
    return options


def check_style(options: argparse.Namespace) -> None:
    """Raises InputError for files and styles that make no sense, alone or together."""
    if options.force and options.skip_existing:
        raise InputError("--force and --skip-existing contradict each other: give one of them")
    check_megapixels(options.max_megapixels)
    if options.emotion is not None and options.style is not None:
        raise InputError("--emotion and --style both name the style: give one of them")
    if options.mood is not None and options.style is not None:
        raise InputError("--mood and --style both name the style: give one of them")
    emotion = options.emotion if options.style is None else options.style
    StylizeOptions(emotion=emotion, mood=options.mood, **style_options(options))


def style_options(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of `StylizeOptions` that the flags set, except those that name the style; see `named_style`."""
    names = (field.name for field in dataclasses.fields(StylizeOptions))
    return {name: getattr(options, name) for name in names if name not in ("emotion", "mood")}


def is_style_file(name: str) -> bool:
    """Whether a name in --style names a style file."""
    return name.lower().endswith(SUFFIX)


def parse_style(text: str) -> dict[str, float]:
    """Reads --style: like `parse_weights`, but the paths of existing style files may contain commas and colons.

    Raises:
        InputError: see `parse_weights`.
    """
    weights: dict[str, float] = {}
    parts = text.split(",")
    while parts:
        count, found = 1, None
        for end in range(len(parts), 0, -1):
            name, colon, number = (whole := ",".join(parts[:end]).strip()).rpartition(":")
            if is_style_file(whole) and os.path.lexists(whole):
                count, found = end, {whole: 1.0}
            elif colon and is_style_file(name) and os.path.lexists(name):
                count, found = end, {name: parse_weights(f"weight:{number}")["weight"]}
            if found:
                break
        for name, weight in (found or parse_weights(parts[0])).items():
            if name in weights:
                raise InputError(f"the style {name!r} is named twice in {text!r}: give each style once", "style")
            weights[name] = weight
        parts = parts[count:]
    return weights
