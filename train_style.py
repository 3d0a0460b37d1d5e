#!/usr/bin/env python3
"""Trains the styles: `python train_style.py PRESET --data.photos ... --data.paintings ... [--field value ...]`.

`python train_style.py evaluate --checkpoint DIR --photos DIR --paintings DIR` scores one.
"""

import sys
from pathlib import Path

from emojax.interrupts import exit_on_interrupt

exit_on_interrupt()  # the imports below take a while

from configs.style import PRESETS, PRIMARY_PAINTINGS
from emojax.commandline import run
from emojax.compiling import enable_cache
from emojax.errors import UserError
from emojax.train import evaluate_styles
from emojax.train.options import parse_preset
from emojax.train.style import train


def main() -> int:
    if sys.argv[1:2] == ["add"]:
        raise UserError(f"'add' is not there yet: choose a preset from {', '.join(PRESETS)}, or evaluate")
    enable_cache()
    if sys.argv[1:2] == ["evaluate"]:
        return evaluate_styles.main(sys.argv[2:], PRIMARY_PAINTINGS)
    preset, config = parse_preset(sys.argv[1:], PRESETS, "train_style.py", commands=["evaluate"])
    train(config, Path(config.output or f"runs/{preset}"))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
