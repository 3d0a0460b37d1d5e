"""`python -m emojax.export`: the same as `emojax export`."""

import sys

from emojax.cli.export import export
from emojax.cli.parser import run

if __name__ == "__main__":
    sys.exit(run(lambda: export(sys.argv[1:])))
