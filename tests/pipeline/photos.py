"""Photos of random pixels, the faces that are said to be in them, and how far pictures are apart."""

import numpy as np

from emojax.faces.find import Face

TWO_FACES = [Face(4, 4, 30, 30, 0.9), Face(36, 20, 10, 10, 0.8)]


def photo(h=40, w=50, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3)).astype(np.uint8)


def apart(a, b):
    return np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int))
