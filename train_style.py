#!/usr/bin/env python3
"""Trains the styles: `python train_style.py PRESET --data.photos ... --data.paintings ... [--field value ...]`."""

import sys
from pathlib import Path

from emojax.interrupts import exit_on_interrupt

exit_on_interrupt()  # the imports below take a while

from configs.style import PRESETS
from emojax.commandline import run
from emojax.compiling import enable_cache
from emojax.errors import UserError
from emojax.train.options import parse_preset
from emojax.train.style import train

RESERVED = ("evaluate", "add")  # commands to come: scores of a checkpoint, and a style of one's own painting


def main() -> int:
    if sys.argv[1:2] and sys.argv[1] in RESERVED:
        raise UserError(f"{sys.argv[1]!r} is not there yet: choose a preset from {', '.join(PRESETS)}")
    preset, config = parse_preset(sys.argv[1:], PRESETS, "train_style.py")
    enable_cache()
    train(config, Path(config.output or f"runs/{preset}"))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
