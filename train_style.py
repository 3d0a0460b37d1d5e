#!/usr/bin/env python3
"""Trains the styles: `python train_style.py PRESET --data.photos ... --data.paintings ... [--field value ...]`.

`python train_style.py evaluate --checkpoint DIR --photos DIR --paintings DIR` scores a checkpoint, and
`python train_style.py add --painting FILE --name NAME` learns one more style for it: a style pack.
"""

import sys
from pathlib import Path

from emojax.interrupts import exit_on_interrupt

exit_on_interrupt()  # the imports below take a while

from configs.style import ADD, PRESETS, PRIMARY_PAINTINGS
from emojax.commandline import run
from emojax.compiling import enable_cache
from emojax.train import add_style, evaluate_styles
from emojax.train.options import parse_preset
from emojax.train.style import train


def main() -> int:
    enable_cache()
    if sys.argv[1:2] == ["add"]:
        return add_style.main(sys.argv[2:], ADD, Path(__file__).parent / "examples" / "astronaut.jpg")
    if sys.argv[1:2] == ["evaluate"]:
        return evaluate_styles.main(sys.argv[2:], PRIMARY_PAINTINGS)
    preset, config = parse_preset(sys.argv[1:], PRESETS, "train_style.py", commands=["evaluate", "add"])
    train(config, Path(config.output or f"runs/{preset}"))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
