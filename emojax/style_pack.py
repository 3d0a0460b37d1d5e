"""`python -m emojax.style_pack`, the name of `emojax style show` in version 0.1."""

import sys

from emojax.__main__ import entry

if __name__ == "__main__":
    sys.exit(entry(["style", "show", *sys.argv[1:]]))
