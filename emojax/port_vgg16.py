"""`python -m emojax.port_vgg16` converts VGG16 weights; the code is in `emojax.weights.port_vgg16`."""

import sys

from emojax.cli.parser import run
from emojax.weights.port_vgg16 import main

if __name__ == "__main__":
    sys.exit(run(main))
