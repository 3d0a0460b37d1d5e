"""`python -m emojax.port_vgg16`, the name of `emojax vgg16 port` in version 0.1."""

import sys

from emojax.__main__ import entry

if __name__ == "__main__":
    sys.exit(entry(["vgg16", "port", *sys.argv[1:]]))
