"""Faces are painted with less strength than what is around them."""

import dataclasses

import jax
import pytest
import tiny
from photos import apart, photo
from tiny import FACES, STYLES, random_styles

from emojax import pipeline
from emojax.emotions import EMOTIONS, PHOTO
from emojax.errors import EmojaxError
from emojax.faces.find import Face
from emojax.options import StylizeOptions
from emojax.pipeline import Model, tiles

WITH_PHOTO = dataclasses.replace(STYLES, blocks=1, style_names=(*EMOTIONS, PHOTO))


@pytest.fixture(scope="module")
def sparing():
    """A model that has the style "photo"."""
    params = {"classifier": tiny.classifier_variables(), "stylizer": random_styles(WITH_PHOTO)}
    return Model(FACES, WITH_PHOTO, jax.device_put(params))


def test_faces_are_painted_with_less_strength(sparing, monkeypatch):
    """Faces change, the more the less strength they have, whether they are read or named; what is far from them hardly does."""
    monkeypatch.setattr(pipeline.model, "find_faces", lambda detector, photo: [Face(84, 32, 32, 32, 0.9)])
    pixels = photo(96, 128)
    middle, far = (slice(40, 56), slice(92, 108)), (slice(None), slice(0, 32))
    read = sparing(pixels, face_strength=0.0)
    (style,) = read.style
    none, some, full = (sparing(pixels, emotion=style, face_strength=share).image for share in (0.0, 0.5, 1.0))
    assert apart(read.image, none).max() <= 1
    changes = [apart(full, picture) for picture in (some, none)]
    assert changes[1][middle].mean() > 1.2 * changes[0][middle].mean() > 1
    assert all(change[middle].mean() > 3 * change[far].mean() for change in changes)
    own = sparing(pixels, face_strength=1.0, per_face=True).image
    assert apart(sparing(pixels, face_strength=0.0, per_face=True).image, own)[middle].mean() > 1


def test_a_photo_without_faces_has_the_whole_strength(sparing, no_faces):
    pictures = [sparing(photo(), emotion="sad", face_strength=share).image for share in (0.2, 1.0)]
    assert apart(*pictures).max() <= 1


@pytest.mark.parametrize("emotion", [None, "sad"])
def test_faces_in_tiles_have_less_strength_too(sparing, faces, monkeypatch, emotion):
    whole = sparing(photo(), emotion=emotion, face_strength=0.3).image
    full = sparing(photo(), emotion=emotion, face_strength=1.0).image
    monkeypatch.setattr(tiles, "max_pixels", lambda config: 40 * 49)
    found = sparing(photo(), emotion=emotion, face_strength=0.3).image
    assert apart(found, whole).mean() < 0.5 * apart(found, full).mean()


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_what_is_no_strength_in_faces(share):
    with pytest.raises(EmojaxError, match="face_strength"):
        StylizeOptions(face_strength=share)
