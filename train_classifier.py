#!/usr/bin/env python3
"""Trains the classifier: `python train_classifier.py PRESET --data.packs ... --data.root ... [--field value ...]`.

`python train_classifier.py evaluate --checkpoint DIR --data FILE.npz` scores one, and `calibrate` fits its temperature.
"""

import sys
from pathlib import Path

from emojax.util.interrupts import exit_on_interrupt

exit_on_interrupt()  # the imports below take a while

from configs.classifier import PRESETS
from emojax.cli.parser import run
from emojax.train.faces import calibrate, evaluate
from emojax.train.faces.training import train
from emojax.train.options import parse_preset
from emojax.util.compiling import enable_cache


def main() -> int:
    commands = {"evaluate": evaluate.main, "calibrate": calibrate.main}
    if sys.argv[1:] and sys.argv[1] in commands:
        enable_cache()
        return commands[sys.argv[1]](sys.argv[2:])
    preset, config = parse_preset(sys.argv[1:], PRESETS, "train_classifier.py", commands=list(commands))
    enable_cache()
    train(config, Path(config.output or f"runs/{preset}"))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
