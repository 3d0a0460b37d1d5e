#!/usr/bin/env python3
"""Trains the classifier: `python train_classifier.py PRESET --data.packs ... --data.root ... [--field value ...]`.

`python train_classifier.py evaluate --checkpoint DIR --data FILE.npz` scores one.
"""

import sys
from pathlib import Path

from emojax.interrupts import exit_on_interrupt

exit_on_interrupt()  # the imports below take a while

from configs.classifier import PRESETS
from emojax.commandline import run
from emojax.compiling import enable_cache
from emojax.train import evaluate
from emojax.train.classifier import train
from emojax.train.options import parse_preset


def main() -> int:
    if sys.argv[1:2] == ["evaluate"]:
        enable_cache()
        return evaluate.main(sys.argv[2:])
    preset, config = parse_preset(sys.argv[1:], PRESETS, "train_classifier.py", commands=["evaluate"])
    enable_cache()
    train(config, Path(config.output or f"runs/{preset}"))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
