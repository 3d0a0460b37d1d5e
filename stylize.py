#!/usr/bin/env python3
"""Repaints photos in the style of the emotion on their faces: `python stylize.py --input photo.jpg`, see --help."""

import sys

from emojax.__main__ import entry

if __name__ == "__main__":
    sys.exit(entry())
