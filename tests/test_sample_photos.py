"""What the packaged detector finds in the sample photos of ExpW, once for all tests, and what the classifier reads there."""

import numpy as np
import pytest

from emojax.faces.find import Face, find_faces
from emojax.faces.views import FaceDetector
from emojax.images import read_photo
from emojax.train.faces import evaluate
from emojax.util.files import PACKAGED
from emojax.weights.load import load_classifier

EXPW = "faces/expw_sample"


@pytest.fixture(scope="module")
def detector():
    return FaceDetector()


@pytest.fixture(scope="module")
def find(detector):
    """`find_faces` of that detector, which looks once for the faces of a photo."""
    found = {}

    def faces_of(pixels):
        key = pixels.tobytes()
        if key not in found:
            found[key] = find_faces(detector, pixels)
        return found[key]

    return faces_of


def test_boxes_are_like_those_of_expw(shared_data, find, computes_long):
    root, errors = shared_data / EXPW, []
    labels = (root / "label.lst").read_text()
    photos: dict[str, list[Face]] = {}
    for line in labels.splitlines():
        name, _, *numbers = line.split()
        top, left, right, bottom = map(int, numbers[:4])
        side, x, y = right - left, (left + right) / 2, (top + bottom) / 2
        if name not in photos:
            photos[name] = find(read_photo(root / "origin" / name).pixels)
        for face in photos[name]:
            dx, dy = face.x + face.w / 2 - x, face.y + face.h / 2 - y
            if max(abs(dx), abs(dy)) < 0.35 * side and 0.5 < max(face.w, face.h) / side < 2:
                errors.append((dx / side, dy / side, np.log(max(face.w, face.h) / side)))
                break
    assert len(errors) >= 0.99 * len(labels.splitlines())
    assert np.abs(np.median(errors, axis=0)).max() < 0.03
    assert not any(face.rotation for found in photos.values() for face in found)


def test_the_packaged_classifier_on_the_sample_photos(shared_data, detector, find, computes_long, monkeypatch):
    """All of them are training data: this is about the path from detector to crop, not about the classifier."""
    monkeypatch.setattr(evaluate, "FaceDetector", lambda: detector)
    monkeypatch.setattr(evaluate, "find_faces", lambda _, pixels: find(pixels))
    quality = evaluate.reading_quality(*load_classifier(PACKAGED / "classifier"), shared_data / EXPW)
    assert quality["labelled"] == 55 and quality["found"] >= 54
    # These weights reach 0.818 and 0.122, the target for the first is 0.95: raise this with the weights that get there.
    assert quality["same_top"] >= 0.8 and quality["mean_change"] < 0.14
