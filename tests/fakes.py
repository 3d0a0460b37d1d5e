"""A stand-in for the model, so that tests of what surrounds it need no network; its photos, and what is told of them."""

from types import SimpleNamespace

from PIL import Image

from emojax.cli.plan import plan
from emojax.emotions import as_dict, style_weights
from emojax.images import to_picture


def result(photo, style="happy", faces=1, note=None, image=True):
    """A `pipeline.Result` that inverts the photo; each face is one tenth larger than the next."""
    emotion = as_dict([0.1, 0, 0, 0.6, 0, 0.3, 0])
    weights = {name: weight for name, weight in as_dict(style_weights(style).tolist()).items() if weight > 0}
    found = [
        SimpleNamespace(x=1.0, y=2.0, w=10.0 - i, h=10.0 - i, confidence=0.9, landmarks=((3.0, 4.0),), rotation=0)
        for i in range(faces)
    ]
    notes = [text for text in (photo.note, note) if text]
    return SimpleNamespace(
        image=to_picture(255 - photo.pixels, photo.alpha) if image else None,
        faces=[SimpleNamespace(face=face, emotion=emotion, style=None) for face in found],
        emotion=emotion if faces else None,
        style=weights if image else None,
        note="; ".join(notes) or None,
        painted=None,
        painted_share=None,
        interrupted=False,
    )


def write_photo(path, colour=(200, 30, 30), size=(8, 6), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)
    return path


def several(here, names="abcde"):
    """Photos of different heights."""
    for index, name in enumerate(names):
        write_photo(here / f"{name}.png", size=(8, 10 + index))
    return plan([f"{name}.png" for name in names])


def names(folder):
    """All files below a folder, hidden ones included."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def told(capsys):
    """The only line on stderr."""
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("emojax: error: ") and "Traceback" not in line
    return line
