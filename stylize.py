#!/usr/bin/env python3
"""`python stylize.py photo.jpg` is `emojax stylize photo.jpg`."""

import sys

from emojax.__main__ import entry

if __name__ == "__main__":
    sys.exit(entry(["stylize", *sys.argv[1:]]))
