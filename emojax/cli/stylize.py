"""`emojax stylize`: flags -> plan -> photos -> exit code."""

from __future__ import annotations

import argparse
import functools
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from PIL import Image

from emojax.cli import work
from emojax.cli.flags import is_style_file, parse_style, style_options
from emojax.cli.job import STREAM, Job
from emojax.cli.plan import plan
from emojax.cli.stylize_parser import optimizes, painting_name, parse
from emojax.emotions import EMOTIONS, as_dict, mood_weights, style_weights
from emojax.errors import InputError
from emojax.images import Photo, read_mask, to_picture
from emojax.images.opening import silence_libtiff
from emojax.util.commandline import check_stdout, run
from emojax.util.machine import check_machine, collection_paused
from emojax.util.progress import progress
from emojax.weights.style_file import StyleFile, read_style_file

if TYPE_CHECKING:  # they import JAX
    from emojax.paint.painter import Progress
    from emojax.pipeline import Model, Result

_BAR = "{percentage:3.0f}%|{bar}| {elapsed}<{remaining} {postfix}"


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns the exit code. A mistake is one line on stderr."""
    return run(lambda: stylize(argv))


def stylize(argv: Sequence[str]) -> int:
    """Does what the flags ask for; returns the exit code.

    Raises:
        InputError: a mistake in the request as a whole; nothing is done.
    """
    options = parse(argv)
    silence_libtiff()
    if options.quiet:
        silence_jax()
    style_files, style = named_style(options)
    if options.painting is not None:
        style = {painting_name(options): 1.0}
    if options.output == STREAM or options.json:
        check_stdout()
    if options.output == STREAM and sys.stdout is not None and sys.stdout.isatty():
        raise InputError("--output - would write a picture into the terminal: send it to a file or a pipe")
    jobs = plan(
        options.input,
        options.output,
        style=style,
        force=options.force,
        recursive=options.recursive,
        as_json=options.json,
        skip_existing=options.skip_existing,
    )
    possible = any(job.is_open for job in jobs)
    paint, prepare = _load(options, style_files, style, jobs) if possible else (_nothing, [])
    return work.run(
        jobs,
        paint,
        prepare,
        force=options.force,
        as_json=options.json,
        quiet=options.quiet,
        max_megapixels=options.max_megapixels,
        previews=optimizes(options),
        name_compounds=options.name_compounds,
        keep_metadata=options.keep_metadata,
    )


def silence_jax() -> None:
    """Hides the warnings of JAX and XLA, such as the one about a GPU that is not used. Call it before JAX is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("jax").setLevel(logging.CRITICAL)


def named_style(options: argparse.Namespace) -> tuple[list[StyleFile], dict[str, float] | None]:
    """Returns the style files of --style, and the weights of the styles; None if the faces have to be read."""
    if options.mood is not None:
        return [], mood_weights(options.mood)
    if options.style is None:
        return [], None if options.emotion is None else as_dict(style_weights(options.emotion).tolist())
    style_files, weights = [], {}
    for name, weight in parse_style(options.style).items():
        if is_style_file(name):
            style_files.append(read_style_file(name))
            name = style_files[-1].name
        if name in weights:
            raise InputError(f"the style {name!r} is named twice in {options.style!r}: give each style once", "style")
        weights[name] = weight
    names = (*EMOTIONS, *(style_file.name for style_file in style_files))
    return style_files, dict(zip(names, style_weights(weights, names).tolist(), strict=True))


def _load(
    options: argparse.Namespace, style_files: Sequence[StyleFile], style: dict[str, float] | None, jobs: Sequence[Job]
) -> tuple[Callable[..., Result], list[Callable[[], Any]]]:
    """Returns the function that paints a photo, and calls that prepare the model for the sizes of the photos."""
    model = load_model(options, style_files)
    if optimizes(options):
        return _optimizer(options, model, style), []
    shared = {name: getattr(options, name) for name in ("mix", "per_face", "style_scale", "face_strength")}
    masked = options.mask is not None or options.faces_only or options.background_only
    sizes = work.sizes(jobs, options.max_megapixels)
    prepare = model.plan_sizes(sizes, read=style is None, masked=masked, **shared)
    paint = functools.partial(model, emotion=style, **style_options(options))
    return paint, prepare


def load_model(options: argparse.Namespace, style_files: Sequence[StyleFile]) -> Model:
    """The networks that the flags name. Imports JAX here, because that takes a second."""
    check_machine()
    with collection_paused():
        from emojax.pipeline import load
        from emojax.util.compiling import enable_cache

        enable_cache()
        model = load(classifier=options.classifier, styles=options.styles)
    if options.mask is not None:
        read_mask(options.mask, (64, 64))  # a mistake in it is reported before anything is painted
    return model.with_style_files(style_files) if style_files else model


def _optimizer(options: argparse.Namespace, model: Model, style: dict[str, float] | None) -> Callable[..., Result]:
    """Returns a function that optimizes a photo, shows a progress bar, and writes a preview after every scale."""
    from emojax.pipeline.painting import read_painting

    shared: dict[str, Any] = {"strength": options.strength, "colors": options.colors, "seed": options.seed}
    shared |= {name: getattr(options, name) for name in ("style_scale", "mask", "faces_only", "background_only")}
    shared |= {"size": options.size, "seconds": None if options.minutes is None else 60 * options.minutes}
    if options.painting is not None:
        read_painting(options.painting)  # a mistake in it is reported before anything is painted
        shared |= {"painting": options.painting}
    else:
        shared |= {"paintings": options.paintings, "emotion": style, "mix": options.mix, "per_face": options.per_face}
        shared |= {"face": options.face, "no_face": options.no_face}

    def optimize(photo: Photo, preview: Callable[[Image.Image], None]) -> Result:
        with progress(1000, quiet=options.quiet, bar_format=_BAR, leave=False) as bar:

            def tell(state: Progress) -> None:
                bar.set_postfix_str("x".join(map(str, state.scale[::-1])))
                bar.update(round(1000 * state.fraction) - int(bar.n))
                if state.finished_scale and state.fraction < 1:
                    preview(to_picture(state.picture(), photo.alpha))

            return model.paint(photo, on_progress=tell, **shared)

    return optimize


def _nothing(photo: object) -> NoReturn:
    """Stands in for the model if no photo can be painted."""
    raise AssertionError(photo)
