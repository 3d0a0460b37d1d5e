#!/usr/bin/env python3
"""Trains the classifier: `python train_classifier.py PRESET --data.packs ... --data.root ... [--field value ...]`."""

import sys
from pathlib import Path

from configs.classifier import PRESETS
from emojax.commandline import run
from emojax.compiling import enable_cache
from emojax.errors import UserError
from emojax.train.classifier import train
from emojax.train.options import parse_preset

RESERVED = ("evaluate",)  # a command to come: the scores of a checkpoint


def main() -> int:
    if sys.argv[1:2] and sys.argv[1] in RESERVED:
        raise UserError(f"{sys.argv[1]!r} is not there yet: choose a preset from {', '.join(PRESETS)}")
    preset, config = parse_preset(sys.argv[1:], PRESETS, "train_classifier.py")
    enable_cache()
    train(config, Path(config.output or f"runs/{preset}"))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
