"""The commands for training and evaluation. They need `pip install 'emojax[train]'`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from emojax.errors import InputError
from emojax.util.files import ASTRONAUT
from emojax.util.machine import check_machine


@contextlib.contextmanager
def _training() -> Iterator[None]:
    """The context in which a command of `emojax.train` is imported and run, with the cache of compiled programs.

    Raises:
        InputError: a package is not installed.
    """
    check_machine()
    try:
        from emojax.util.compiling import enable_cache

        enable_cache()
        yield
    except ModuleNotFoundError as error:
        if (error.name or "emojax").partition(".")[0] in ("emojax", "jax", "jaxlib"):
            raise
        raise InputError(f"this command needs the package {error.name}: pip install 'emojax[train]'") from error


def styles(argv: Sequence[str]) -> int:
    """`emojax train styles`: trains by a preset, then releases and scores the result if the config says so."""
    started = time.monotonic()
    with _training():
        import jax

        from emojax.train.options import parse_preset
        from emojax.train.presets.style import PRESETS
        from emojax.train.styles import evaluate as evaluation
        from emojax.train.styles.sources import open_photos
        from emojax.train.styles.training import release, train
        from emojax.weights.store import check_new_checkpoint

        preset, config = parse_preset(argv, PRESETS, "emojax train styles")
        # One folder per emotion, so that runs/paper is a set of one-style networks.
        run_folder = Path(config.output or f"runs/{preset}/{config.emotion or ''}")
        if config.release:
            check_new_checkpoint(Path(config.release), [run_folder], force=True)
        if config.score_on:
            open_photos(config.score_on)
        train(config, run_folder, started)
        if jax.process_index() != 0:  # one host releases and scores
            return 0
        if config.release:
            release(config, run_folder, Path(config.release))
        if config.score_on:
            paintings = ["--paintings", *config.data.paintings, *(["--vgg16", config.vgg16] if config.vgg16 else [])]
            score = ["--checkpoint", str(run_folder), "--photos", *config.score_on]
            score += ["--output", str(run_folder / "scores")]
            return evaluation.main([*score, *paintings], config.data.prefer)
        return 0


def classifier(argv: Sequence[str]) -> int:
    """`emojax train classifier`: trains by a preset."""
    with _training():
        from emojax.train.faces.training import train
        from emojax.train.options import parse_preset
        from emojax.train.presets.classifier import PRESETS

        preset, config = parse_preset(argv, PRESETS, "emojax train classifier")
        train(config, Path(config.output or f"runs/{preset}"))
        return 0


def calibrate(argv: Sequence[str]) -> int:
    """`emojax train calibrate`: fits a classifier's temperature."""
    with _training():
        from emojax.train.faces import calibrate as command

        return command.main(argv)


def evaluate_styles(argv: Sequence[str]) -> int:
    """`emojax evaluate styles`: scores a style network."""
    with _training():
        from emojax.train.presets.style import PRIMARY_PAINTINGS
        from emojax.train.styles import evaluate as command

        return command.main(argv, PRIMARY_PAINTINGS)


def evaluate_classifier(argv: Sequence[str]) -> int:
    """`emojax evaluate classifier`: scores a classifier."""
    with _training():
        from emojax.train.faces import evaluate as command

        return command.main(argv)


def add_style(argv: Sequence[str]) -> int:
    """`emojax style add`: learns the style of a painting."""
    with _training():
        from emojax.train.presets.style import ADD
        from emojax.train.styles import add as command

        return command.main(argv, ADD, ASTRONAUT)


def average(argv: Sequence[str]) -> int:
    """`emojax style average`: averages the weights of several networks."""
    with _training():
        from emojax.train.styles import average as command

        return command.main(argv)


def swatches(argv: Sequence[str]) -> int:
    """`emojax style swatches`: makes the pictures that `stylize --quality best` paints after."""
    with _training():
        from emojax.train.presets.style import GPU
        from emojax.train.styles import swatches as command

        return command.main(argv, GPU)
