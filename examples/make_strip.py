#!/usr/bin/env python3
"""Makes docs/astronaut_strip.jpg, the picture at the top of the README: `python examples/make_strip.py`."""

from pathlib import Path

from PIL import Image

import emojax

ROOT = Path(__file__).resolve().parent.parent
SIDE, GAP = 256, 4


def main() -> None:
    photo = Image.open(ROOT / "examples" / "astronaut.jpg")
    model = emojax.load()
    pictures = [photo, *(model(photo, emotion=emotion).image for emotion in emojax.EMOTIONS)]
    columns = len(pictures) // 2
    strip = Image.new("RGB", (columns * (SIDE + GAP) - GAP, 2 * SIDE + GAP), "white")
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        strip.paste(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (column * (SIDE + GAP), row * (SIDE + GAP)))
    (ROOT / "docs").mkdir(exist_ok=True)
    strip.save(ROOT / "docs" / "astronaut_strip.jpg", quality=88)


if __name__ == "__main__":
    main()
