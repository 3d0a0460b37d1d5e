"""What the packaged weights make of the astronaut, coarsely: `python tests/goldens.py` writes it to tests/goldens.json.

Write it anew when, and only when, packaged weights are replaced on purpose; commit it together with them.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
FILE = Path(__file__).with_name("goldens.json")
CELLS = 4
"""a picture is its mean colours in so many rows and columns"""


def found(network):
    """The astronaut's face in each style of a packaged network: name -> uint8 levels [CELLS, CELLS, 3], as a list."""
    import emojax

    model = emojax.load(styles=network)
    photo = np.asarray(Image.open(ROOT / "examples" / "astronaut.jpg"))[32:160, 160:288]
    pictures = {name: model.stylize(photo, name) for name in model.style_names}
    side = 128 // CELLS
    return {
        name: picture.reshape(CELLS, side, CELLS, side, 3).mean((1, 3)).round().astype(int).tolist()
        for name, picture in pictures.items()
    }


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    rows = {network or "default": found(network) for network in (None, "fast")}
    FILE.write_text(json.dumps(rows, separators=(",", ":")).replace('"', '\n"', 1).replace("]]],", "]]],\n") + "\n")
