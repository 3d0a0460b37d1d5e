"""`python -m emojax.train.expw expw_crops112.csv`: prints the splits of that archive's photos, `expw_packed_splits.txt`."""

import sys
from pathlib import Path

from emojax.train.faces.expw.splits import archive_splits_text

if __name__ == "__main__":
    sys.stdout.write(archive_splits_text(Path(sys.argv[1])))
