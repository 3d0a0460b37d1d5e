"""Faces and emotions that are said to be in a clip."""

import numpy as np

from emojax.emotions import EMOTIONS
from emojax.faces.find import Face

HAPPY, SAD, NEUTRAL = (np.eye(7, dtype=np.float32)[EMOTIONS.index(name)] for name in ("happy", "sad", "neutral"))
FACE = Face(20.0, 8.0, 20.0, 20.0, 0.9)


class Scene:
    """What is found in the key frames, one after the other; the last one again and again."""

    def __init__(self):
        self.faces, self.readings, self.looks = [[FACE]], [HAPPY], 0

    def find_faces(self, detector, frame, turned=True):
        found = self.faces[min(self.looks, len(self.faces) - 1)]
        self.looks += 1
        return list(found)

    def read_crops(self, model, crops):
        reading = self.readings[min(self.looks - 1, len(self.readings) - 1)]
        return np.stack([reading] * len(crops)) if reading.ndim == 1 else reading[: len(crops)]
