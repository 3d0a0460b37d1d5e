"""`python -m emojax.style_pack` shows what is in a style file; the code is in `emojax.weights.style_file`."""

import sys

from emojax.cli.parser import run
from emojax.weights.style_file import main

if __name__ == "__main__":
    sys.exit(run(main))
