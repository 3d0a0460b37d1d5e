"""The flags of `emojax video`: its own, and the network flags of `emojax stylize`."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from typing import Any

from emojax import __version__
from emojax.cli.flags import add_inputs, add_messages, add_style, check_style, parse_inputs
from emojax.cli.job import STREAM
from emojax.errors import InputError
from emojax.util.commandline import Parser
from emojax.video.options import MAX_STEADY, VideoOptions

_DESCRIPTION = "Repaints clips in the style of the emotion on their faces: video with its sound, animated GIF and WebP."
_EPILOG = """\
examples:
  emojax video clip.mp4                               writes clip.happy.mp4, or another emotion, beside the clip
  emojax video clip.mp4 --output art.mp4 --emotion sad
  emojax video clip.mp4 --output art.webm --background-only
  emojax video clip.mp4 --every 10 --start 60 --end 90    a preview of half a minute
  emojax video cat.gif --per-face                     an animated GIF
  emojax video clips/ --output art/ --json            a folder; one JSON object per frame on stdout, and one per clip

Ctrl-C ends the clip early: what is done is written, and can be played. A second Ctrl-C discards it.

exit codes: 0 all clips are done (a skipped clip counts as done), 1 some of several clips failed, 2 a mistake in the request or
a single clip that failed, 130 interrupted
"""


def parser() -> Parser:
    """Returns the parser of `emojax video`."""
    parser = Parser(
        prog="emojax video",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"emojax {__version__}")
    add_inputs(parser, "clip", stream=False)
    _add_video(parser)
    add_style(parser, "clip")
    add_messages(parser, "frame")
    return parser


def _add_video(parser: Parser) -> None:
    video = parser.add_argument_group("video")
    video.add_argument("--start", type=float, metavar="SECONDS", help="where to begin (default: the clip's start)")
    video.add_argument("--end", type=float, metavar="SECONDS", help="where to end (default: the clip's end)")
    video.add_argument(
        "--every",
        type=int,
        default=VideoOptions.every,
        metavar="N",
        help="paint one of N frames and leave out the others, for a preview (default: 1)",
    )
    video.add_argument(
        "--crf",
        type=int,
        default=VideoOptions.crf,
        metavar="N",
        help=f"quality of the video, 0 (best, largest) to 51 (default: {VideoOptions.crf})",
    )
    video.add_argument(
        "--steady",
        type=float,
        default=VideoOptions.steady,
        metavar="N",
        help="how much of the paint stays where the clip does not change, 0 (every frame by itself) to "
        f"{MAX_STEADY} (default: {VideoOptions.steady})",
    )


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Returns the options; `input` has all clips.

    Raises:
        InputError: an unknown flag, a value out of range, or flags that exclude each other.
    """
    options = parse_inputs(parser(), argv, "clip.mp4")
    if STREAM in (*options.input, options.output):
        raise InputError("clips are read from files and written to files: give names instead of -")
    check_style(options)
    VideoOptions(**video_options(options))
    return options


def video_options(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of `VideoOptions` that the flags set."""
    return {field.name: getattr(options, field.name) for field in dataclasses.fields(VideoOptions)}
