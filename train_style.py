#!/usr/bin/env python3
"""Trains the styles: `python train_style.py PRESET --data.photos ... --data.paintings ... [--field value ...]`.

`python train_style.py evaluate --checkpoint DIR --photos DIR --paintings DIR` scores a checkpoint.
`python train_style.py add --painting FILE --name NAME` learns one more style for it: a style pack.
`python train_style.py swatches --paintings DIR --output DIR` makes what `stylize.py --quality best` paints after.
`python train_style.py average --checkpoints RUN RUN --output DIR` writes the mean of the weights of several runs.
"""

import sys
import time
from pathlib import Path

from emojax.util.interrupts import exit_on_interrupt

started = time.monotonic()
exit_on_interrupt()  # the imports below take a while

import jax

from configs.style import ADD, PRESETS, PRIMARY_PAINTINGS
from emojax.cli.parser import run
from emojax.train.options import parse_preset
from emojax.train.styles import add as add_style
from emojax.train.styles import average, swatches
from emojax.train.styles import evaluate as evaluate_styles
from emojax.train.styles.sources import open_photos
from emojax.train.styles.training import release, train
from emojax.util.compiling import enable_cache
from emojax.weights.store import check_output


def main() -> int:
    enable_cache()
    if sys.argv[1:2] == ["add"]:
        return add_style.main(sys.argv[2:], ADD, Path(__file__).parent / "examples" / "astronaut.jpg")
    if sys.argv[1:2] == ["evaluate"]:
        return evaluate_styles.main(sys.argv[2:], PRIMARY_PAINTINGS)
    if sys.argv[1:2] == ["average"]:
        return average.main(sys.argv[2:])
    if sys.argv[1:2] == ["swatches"]:
        return swatches.main(sys.argv[2:], PRIMARY_PAINTINGS)
    preset, config = parse_preset(
        sys.argv[1:], PRESETS, "train_style.py", commands=["evaluate", "add", "average", "swatches"]
    )
    # A folder per emotion: runs/paper is then a bank.
    run_folder = Path(config.output or f"runs/{preset}/{config.emotion or ''}")
    if config.pack:
        check_output(Path(config.pack), [run_folder], force=True)
    if config.score_on:
        open_photos(config.score_on)
    train(config, run_folder, started)
    if jax.process_index() != 0:  # one host packs and scores
        return 0
    if config.pack:
        release(run_folder, Path(config.pack))
    if config.score_on:
        paintings = ["--paintings", *config.data.paintings, *(["--vgg16", config.vgg16] if config.vgg16 else [])]
        score = ["--checkpoint", str(run_folder), "--photos", *config.score_on, "--output", str(run_folder / "scores")]
        return evaluate_styles.main([*score, *paintings], config.data.prefer)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
