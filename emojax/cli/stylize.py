"""The command line of stylize.py: arguments -> plan -> photos -> exit code."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from PIL import Image
from tqdm import tqdm

from emojax import __version__
from emojax.cli import batch
from emojax.cli.parser import Parser, run
from emojax.emotions import EMOTIONS, as_dict, parse_weights, style_weights
from emojax.errors import UserError
from emojax.images import MAX_MEGAPIXELS, Photo, check_style_scale, to_picture
from emojax.images.finish import check_finish
from emojax.weights.style_file import SUFFIX, StylePack, read_pack

if TYPE_CHECKING:  # they import JAX
    from emojax.paint.painter import Progress
    from emojax.pipeline import Model, Result

_DESCRIPTION = "Repaints photos in the style of the emotion on their faces."
_EPILOG = f"""\
emotions: {", ".join(EMOTIONS)}

examples:
  stylize.py photo.jpg                                writes photo.happy.jpg beside it, or whatever the faces show
  stylize.py --input photo.jpg --emotion sad          does not read the faces
  stylize.py --input photo.jpg --emotion happy:0.6,surprise:0.4
  stylize.py --input photo.jpg --painting any.jpg     in the style of any painting: minutes, no training
  stylize.py --input photo.jpg --quality best         the emotion's painting, optimized instead of the network
  stylize.py --input photo.jpg --strength 0.6 --colors photo
  stylize.py --input photo.jpg --style joy.pack:0.5,sad:0.5  a style of your own (train_style.py add), mixed with ours
  stylize.py --input group.jpg --per-face             every face in the style of its own emotion
  stylize.py --input holiday/ --output art/ --json    a folder, one JSON object per photo on stdout
  stylize.py holiday/ --recursive --output art/ --skip-existing    go on where an earlier run ended
  stylize.py --input - --output - <in.jpg >out.png    a filter (writes PNG)

exit codes: 0 all done (a skipped photo is done), 1 some of several photos failed, 2 a mistake in the request or a
single photo that failed, 130 interrupted
"""


def parser() -> Parser:
    """The arguments of stylize.py."""
    made = Parser(
        prog="stylize.py",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=f"emojax {__version__}")
    photos = made.add_argument_group("photos")
    photos.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="files, folders (our own outputs in them are skipped), or - for standard input;"
        " after -- also names that begin with a dash",
    )
    photos.add_argument("--input", nargs="+", action="extend", default=[], metavar="PATH", help="the same, as a flag")
    photos.add_argument(
        "--output",
        metavar="PATH",
        help="a file if it has an image suffix, else a folder; - for standard output; default: beside the photo",
    )
    photos.add_argument(
        "--recursive", action="store_true", help="look into subfolders, too; an output folder keeps their tree"
    )
    photos.add_argument("--force", action="store_true", help="replace outputs that exist (never an input)")
    photos.add_argument(
        "--skip-existing",
        action="store_true",
        help="leave out photos whose output, in any emotion where it is read from the faces, was made before",
    )
    photos.add_argument(
        "--max-megapixels",
        type=float,
        default=MAX_MEGAPIXELS,
        metavar="N",
        help=f"refuse larger photos (default {MAX_MEGAPIXELS:g})",
    )
    style = made.add_argument_group("style")
    style.add_argument("--emotion", metavar="NAME", help="this emotion, or a mix such as happy:0.6,surprise:0.4")
    style.add_argument(
        "--style",
        metavar="NAME",
        help="like --emotion, and takes style packs (NAME.pack), too, alone or in a mix: joy.pack:0.5,sad:0.5",
    )
    style.add_argument(
        "--per-face",
        action="store_true",
        help="every face's region takes its own emotion's style, the rest of the picture the photo's",
    )
    style.add_argument(
        "--style-scale",
        type=float,
        default=1.0,
        metavar="N",
        help="size of the strokes, 0.25 to 4 (default 1): above 1 bolder, with less detail, below 1 finer, and slower",
    )
    style.add_argument(
        "--mix",
        choices=("dominant", "probabilities"),
        default="dominant",
        help="the strongest emotion's style alone (default), or all styles as much as each emotion was read",
    )
    style.add_argument(
        "--face",
        type=_face,
        default="all",
        metavar="all|largest|N",
        help="whose emotion counts: all faces by their area (default), the largest, or face N (0 is the largest)",
    )
    style.add_argument(
        "--no-face",
        choices=("neutral", "skip", "error"),
        default="neutral",
        help="a photo without a face gets the neutral style (default), is skipped, or fails",
    )
    style.add_argument(
        "--strength",
        type=float,
        default=1.0,
        metavar="N",
        help="of the style: 0 is the photo itself, 1 (default) all of it",
    )
    style.add_argument(
        "--colors",
        choices=("painting", "photo"),
        default="painting",
        help="the painting's palette (default), or its brushwork in the photo's own colours",
    )
    style.add_argument("--classifier", metavar="DIR", help="of train_classifier.py; default: the packaged checkpoint")
    style.add_argument(
        "--styles",
        metavar="DIR",
        help="of train_style.py, or a folder with a one-style network per emotion, or fast, a smaller packaged network;"
        " default: the packaged checkpoint",
    )
    best = made.add_argument_group("optimization", "takes minutes a photo on a CPU, seconds on a GPU")
    best.add_argument("--painting", metavar="FILE", help="paint in the style of this picture, whatever it is")
    best.add_argument(
        "--quality",
        choices=("network", "best"),
        default="network",
        help="one pass of the network (default), or best: the pixels are optimized after the emotion's painting",
    )
    best.add_argument("--paintings", metavar="DIR", help="for --quality best: a folder with a painting per emotion")
    best.add_argument(
        "--mask", metavar="FILE", help="for --painting: a grey picture, white where to paint; the rest stays the photo"
    )
    best.add_argument(
        "--size",
        type=int,
        metavar="N",
        help="long side to paint at, 64 to 2048 (default 512 on a CPU, 1024 elsewhere); the paint of a larger photo is "
        "carried up",
    )
    best.add_argument("--minutes", type=float, metavar="N", help="time for a photo; default: as many steps as it takes")
    best.add_argument(
        "--seed", type=int, default=0, metavar="N", help="the same seed gives the same picture (default 0)"
    )
    telling = made.add_argument_group("messages")
    telling.add_argument("--json", action="store_true", help="one JSON object per photo on stdout, nothing else there")
    telling.add_argument("-q", "--quiet", action="store_true", help="only errors")
    return made


def _face(text: str) -> str | int:
    """The value of --face."""
    if text in ("all", "largest"):
        return text
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is neither all, nor largest, nor the number of a face, from 0")


def stylize(argv: Sequence[str]) -> int:
    """Does what the arguments ask for and returns the exit code.

    Raises:
        UserError: a mistake in the request as a whole; nothing was done.
    """
    options = _parse(argv)
    if options.force and options.skip_existing:
        raise UserError("--force and --skip-existing contradict each other: give one of them")
    if not options.max_megapixels > 0:
        raise UserError(f"--max-megapixels {options.max_megapixels:g}: give a number above 0")
    if options.emotion is not None and options.style is not None:
        raise UserError("--emotion and --style both name the style: give one of them")
    if options.per_face and (options.emotion is not None or options.style is not None):
        raise UserError("--per-face reads the faces: leave out --emotion and --style")
    check_style_scale(options.style_scale)
    check_finish(options.strength, options.colors)
    _check_optimization(options)
    packs, style = _named_style(options)
    if options.output == batch.STREAM and sys.stdout is not None and sys.stdout.isatty():
        raise UserError("--output - would write a picture into the terminal: send it to a file or a pipe")
    jobs = batch.plan(
        options.input,
        options.output,
        style=style,
        force=options.force,
        recursive=options.recursive,
        as_json=options.json,
        skip_existing=options.skip_existing,
    )
    possible = any(job.is_open for job in jobs)
    stylize, prepare = _load(options, packs, style, jobs) if possible else (_nothing, [])
    return batch.run(
        jobs,
        stylize,
        prepare,
        force=options.force,
        as_json=options.json,
        quiet=options.quiet,
        max_megapixels=options.max_megapixels,
        previews=_optimizes(options),
    )


def _optimizes(options: argparse.Namespace) -> bool:
    """Whether pictures are optimized instead of painted by the network."""
    return options.painting is not None or options.quality == "best"


def _check_optimization(options: argparse.Namespace) -> None:
    """Raises UserError for options of the optimization that make no sense, alone or together."""
    reading = {"--emotion": options.emotion, "--style": options.style, "--per-face": options.per_face or None}
    if options.painting is not None and (named := [flag for flag, value in reading.items() if value is not None]):
        raise UserError(f"--painting and {named[0]} both name the style: give one of them")
    if options.painting is not None and options.paintings is not None:
        raise UserError("--painting and --paintings: give the one painting, or the folder for --quality best")
    if options.mask is not None and options.painting is None:
        raise UserError("--mask says where --painting counts: give both")
    if options.paintings is not None and options.quality != "best":
        raise UserError("--paintings is for --quality best: give both")
    if options.size is not None and not 64 <= options.size <= 2048:
        raise UserError(f"--size {options.size}: it is 64 to 2048")
    if options.minutes is not None and not options.minutes > 0:
        raise UserError(f"--minutes {options.minutes:g}: give a number above 0")
    if options.seed < 0 or options.seed >= 2**32:
        raise UserError(f"--seed {options.seed}: it is 0 to {2**32 - 1}")
    unused = {"--size": options.size, "--minutes": options.minutes}
    if not _optimizes(options) and (named := [flag for flag, value in unused.items() if value is not None]):
        raise UserError(f"{named[0]} is for --painting or --quality best: give one of them, too")
    if _optimizes(options) and options.style_scale != 1:
        raise UserError(
            "--style-scale is for the network: --size makes strokes larger or smaller in an optimized picture"
        )
    if _optimizes(options) and options.styles is None and options.style is not None and SUFFIX in options.style:
        raise UserError(f"--style {options.style}: a style file is for the network; give its picture as --painting")


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """The options; `input` has the photos, whether they were given by --input, by position, or after --."""
    argv, after = list(argv), list[str]()
    if "--" in argv:
        end = argv.index("--")
        argv, after = argv[:end], argv[end + 1 :]
        if argv[-1:] == ["--input"]:  # its values follow
            argv.pop()
    options = parser().parse_intermixed_args(argv)
    options.input = [*options.input, *options.paths, *after]
    if not options.input:
        raise UserError("no photo: name files or folders, such as --input photo.jpg; see --help")
    return options


def _named_style(options: argparse.Namespace) -> tuple[list[StylePack], dict[str, float] | None]:
    """The packs of --style, and the weights of the styles if --style, --emotion or --painting names any."""
    if options.painting is not None:
        return [], {Path(options.painting).stem or "painting": 1.0}
    if options.style is None:
        return [], None if options.emotion is None else as_dict(style_weights(options.emotion).tolist())
    packs, weights = [], {}
    for name, weight in parse_weights(options.style).items():
        if name.endswith(SUFFIX):
            packs.append(read_pack(name))
            name = packs[-1].name
        if name in weights:
            raise UserError(f"the style {name!r} is named twice in {options.style!r}: give each style once")
        weights[name] = weight
    names = (*EMOTIONS, *(pack.name for pack in packs))
    return packs, dict(zip(names, style_weights(weights, names).tolist(), strict=True))


def _load(
    options: argparse.Namespace, packs: Sequence[StylePack], style: dict[str, float] | None, jobs: Sequence[batch.Job]
) -> tuple[Callable[[Photo], Result], list[Callable[[], Any]]]:
    """The model with the options that concern it, and what prepares it for the photos if there are several.

    Imports JAX, which takes a second: hence not at the top.
    """
    from emojax.pipeline import load
    from emojax.util.compiling import enable_cache

    enable_cache()
    model = load(classifier=options.classifier, styles=options.styles)
    if packs:
        model = model.with_packs(packs)
    if _optimizes(options):
        return _optimizer(options, model, style), []
    shared = {"mix": options.mix, "per_face": options.per_face, "style_scale": options.style_scale}
    sizes = batch.sizes(jobs, options.max_megapixels) if len(jobs) > 1 else []
    prepare = model.expect(sizes, read=style is None, **shared) if len(sizes) > 1 else []
    finishing = {"strength": options.strength, "colors": options.colors}
    whole = functools.partial(model, emotion=style, face=options.face, no_face=options.no_face, **finishing, **shared)
    return whole, prepare


def _optimizer(options: argparse.Namespace, model: Model, style: dict[str, float] | None) -> Callable[..., Result]:
    """What optimizes a photo, tells how far it is and shows what there is after every scale."""
    from emojax.paint.photo import read_painting

    shared: dict[str, Any] = {"strength": options.strength, "colors": options.colors, "seed": options.seed}
    shared |= {"size": options.size, "seconds": None if options.minutes is None else 60 * options.minutes}
    if options.painting is not None:
        read_painting(options.painting)  # before anything is painted: a mistake in it is one of the request
        shared |= {"painting": options.painting, "mask": options.mask}
    else:
        shared |= {"paintings": options.paintings, "emotion": style, "mix": options.mix, "per_face": options.per_face}
        shared |= {"face": options.face, "no_face": options.no_face}

    def optimize(photo: Photo, preview: Callable[[Image.Image], None]) -> Result:
        with tqdm(total=1000, bar_format=_BAR, disable=True if options.quiet else None, leave=False) as bar:

            def tell(progress: Progress) -> None:
                bar.set_postfix_str("x".join(map(str, progress.scale[::-1])))
                bar.update(round(1000 * progress.fraction) - bar.n)
                if progress.finished_scale and progress.fraction < 1:
                    preview(to_picture(progress.picture(), photo.alpha))

            return model.paint(photo, on_progress=tell, **shared)

    return optimize


_BAR = "{percentage:3.0f}%|{bar}| {elapsed}<{remaining} {postfix}"


def _nothing(photo: object) -> NoReturn:
    """Stands in for the model where no photo gets that far."""
    raise AssertionError(photo)


def main(argv: Sequence[str]) -> int:
    """The program: returns the exit code, with every mistake told in one line on stderr."""
    try:
        return run(lambda: stylize(argv))
    finally:
        _give_up_stdout()


def _give_up_stdout() -> None:
    """Keeps Python from complaining at its exit about a standard output that cannot be written; we already have."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
