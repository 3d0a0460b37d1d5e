"""`python -m emojax.export`: the same as `emojax export`."""

import sys

from emojax.__main__ import entry

if __name__ == "__main__":
    sys.exit(entry(["export", *sys.argv[1:]]))
