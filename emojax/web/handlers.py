"""The event handlers of the page. Every picture is painted by a call of the public `Model`."""

from __future__ import annotations

import functools
import html
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import gradio as gr
import numpy as np
from gradio.utils import get_upload_folder
from PIL import Image

from emojax.emotions import EMOTIONS, mood_weights
from emojax.errors import EmojaxError, InputError, with_flags
from emojax.images import STYLE_SCALES, read_photo, rescale, write_image
from emojax.pipeline import Model, Result
from emojax.util.files import PACKAGED
from emojax.web import drawing
from emojax.weights.style_file import StyleFile, read_style_file

SIDE, LIVE_SIDE, PREVIEW_SIDE = 1024, 640, 256
"""long sides in pixels: of pictures on the page (a download has the photo's size), of webcam frames, and of style previews"""
MAX_PAGE_MEGAPIXELS, MAX_STYLE_FILES = 50, 8
Files: TypeAlias = tuple[StyleFile, ...]


@dataclass(frozen=True)
class Controls:
    """The controls of the page; see `StylizeOptions`. The handlers get their values in the order of the fields."""

    choice: Mapping[str, float] | None = None
    """weights of the styles; None: the faces choose them"""
    per_face: bool = False
    strength: float = 1.0
    style_scale: float = 1.0
    other: str = "happy"
    """a style that is mixed in"""
    share: float = 0.0
    """weight of `other`, 0 to 1"""
    colors: str = "painting"

    def options(self, read: Mapping[str, float] | None = None) -> dict[str, Any]:
        """Fields of `StylizeOptions`. Without a choice, the styles are `read`, which the faces chose, if they are known."""
        options = {"strength": self.strength, "style_scale": self.style_scale, "colors": self.colors}
        base = self.choice or read
        if self.per_face or base is None:
            return options | {"per_face": self.per_face}
        mixed = {name: (1 - self.share) * weight for name, weight in base.items()}
        return options | {"emotion": mixed | {self.other: mixed.get(self.other, 0) + self.share}}


@dataclass(frozen=True, eq=False)
class Visit:
    """A visitor's photo."""

    path: str
    small: np.ndarray
    """uint8 [h, w, 3], long side at most `SIDE`"""
    factor: float
    """side of the photo divided by that of `small`"""
    style: dict[str, float] | None
    """weights of the styles that its faces chose"""
    note: str


def in_words(
    function: Callable[..., Any], instead: Callable[[str], Any] = lambda text: gr.skip()
) -> Callable[..., Any]:
    """A handler whose errors are shown to the visitor; after an error it returns `instead` of the message."""

    @functools.wraps(function)
    def handle(*args: Any) -> Any:
        try:
            return function(*args)
        except EmojaxError as error:
            text = html.escape(with_flags(str(error), lambda field: field.replace("_", " ")))
        except MemoryError:
            text = "not enough memory: take a smaller photo"
        gr.Warning(text, title="That did not work")
        return instead(text)

    return handle


class Handlers:
    """The event handlers. The only data of visitors that is kept is the last few models with style files."""

    def __init__(self, model: Model) -> None:
        self.model = functools.lru_cache(maxsize=4)(lambda files: model.with_style_files(files) if files else model)

    def open(self, path: str | None, files: Files, *controls: Any) -> tuple[Any, ...]:
        """Reads a photo and paints it: visit, before and after, line, faces."""
        if path is None:
            return None, None, "", ""
        photo, settings = read_photo(path, MAX_PAGE_MEGAPIXELS, name=Path(path).name), Controls(*controls)
        factor = max(1.0, max(photo.pixels.shape) / SIDE)
        small, plain = rescale(photo.pixels, 1 / factor), replace(settings, choice=None, per_face=False, share=0.0)
        read = self.model(files)(small, **plain.options())
        visit = Visit(path, small, factor, read.style, "; ".join(filter(None, (photo.note, read.note))))
        shown = read if settings == plain else self._repaint(visit, files, settings)
        return visit, (small, shown.image), _line(shown, visit), drawing.faces(small, read.faces)

    def paint(self, visit: Visit | None, files: Files, *controls: Any) -> tuple[Any, ...]:
        """Paints the photo again: before and after, line."""
        if visit is None:
            return gr.skip(), gr.skip()
        result = self._repaint(visit, files, Controls(*controls))
        return (visit.small, result.image), _line(result, visit)

    def _repaint(self, visit: Visit, files: Files, settings: Controls) -> Result:
        return self.model(files)(visit.small, **settings.options(visit.style))

    def previews(self, visit: Visit | None, files: Files) -> list[tuple[Any, str]]:
        """The previews of the styles: the middle of the photo painted in each style, or swatches if there is no photo."""
        if visit is None:
            return [(PACKAGED / "paintings" / f"{name}.jpg", name) for name in EMOTIONS]
        height, width = visit.small.shape[:2]
        side = min(height, width)
        left, top = (width - side) // 2, (height - side) // 3  # faces are usually above the middle
        middle = Image.fromarray(visit.small[top : top + side, left : left + side])
        square, model = middle.resize((PREVIEW_SIDE, PREVIEW_SIDE)), self.model(files)
        return [(model.stylize(square, name), name) for name in style_names(files)]

    def choose(self, files: Files, event: gr.SelectData) -> tuple[Any, ...]:
        """A style's picture was clicked: choice, per face, point of the square."""
        return {style_names(files)[event.index]: 1.0}, False, [0, 0, False]

    def choose_mood(self, event: gr.EventData) -> tuple[Any, ...]:
        """The square was clicked: choice, per face, point of the square, marked style."""
        return mood_weights((event.x, event.y)), False, [event.x, event.y, True], gr.Gallery(selected_index=None)

    def choose_faces(self) -> tuple[Any, ...]:
        """Lets the faces choose the style: choice, point of the square, marked style, share of the other style."""
        return None, [0, 0, False], gr.Gallery(selected_index=None), 0.0

    def add_styles(self, paths: Sequence[str] | None) -> tuple[Any, ...]:
        """Style files were added: the files, and the styles that can be mixed."""
        paths = paths or []
        if len(paths) > MAX_STYLE_FILES:
            raise InputError(f"{len(paths)} style files: drop at most {MAX_STYLE_FILES}")
        try:
            files = tuple(map(read_style_file, paths))
            self.model(files)
        except EmojaxError as error:  # its message contains the path of the upload
            text = functools.reduce(lambda text, path: text.replace(path, Path(path).name), paths, str(error))
            raise InputError(text) from None
        return files, gr.Dropdown(choices=style_names(files), value="happy")

    def save(self, visit: Visit | None, files: Files, *controls: Any) -> str:
        """Paints the photo at its own size, with strokes as large as on the page, into a file with the options as metadata."""
        if visit is None:
            raise InputError("there is no picture yet: drop a photo first")
        if not Path(visit.path).exists():
            raise InputError("the page has deleted this photo, which is over an hour old: drop it again")
        photo, settings = read_photo(visit.path, MAX_PAGE_MEGAPIXELS, name=Path(visit.path).name), Controls(*controls)
        scale = min(settings.style_scale * visit.factor, STYLE_SCALES[1])
        options = replace(settings, style_scale=scale).options(visit.style)
        result = self.model(files)(photo, **options)
        assert result.image is not None and result.style is not None
        strongest = sorted(result.style, key=result.style.__getitem__, reverse=True)[:2]
        name = f"{Path(visit.path).stem}.{'+'.join(strongest)}{'.jpg' if photo.alpha is None else '.png'}"
        path = Path(tempfile.mkdtemp(dir=get_upload_folder()), name)
        write_image(result.image, path, description=json.dumps(options | {"style": result.style}))
        return str(path)

    def live(self, frame: np.ndarray | None, files: Files, *controls: Any) -> tuple[Any, ...]:
        """Paints a frame of the webcam: the picture, the faces."""
        if frame is None:
            return gr.skip(), gr.skip()
        settings, model = Controls(*controls), self.model(files)
        frame = rescale(frame, min(1.0, LIVE_SIDE / max(frame.shape)))
        style = model(frame).style if settings.share and settings.choice is None else None
        result = model(frame, **settings.options(style))
        assert result.image is not None
        return drawing.picture(result.image), drawing.faces(frame, result.faces) if result.faces else gr.skip()


def style_names(files: Files) -> list[str]:
    """The styles, in the order of their pictures."""
    return [*EMOTIONS, *(file.name for file in files)]


def _line(result: Result, visit: Visit) -> str:
    """The line of text about a picture."""
    shares = sorted((result.style or {}).items(), key=lambda pair: -pair[1])
    style = ", ".join(f"{name} {share:.0%}" for name, share in shares if share >= 0.05)
    return f"painted: <strong>{style}</strong><br>{html.escape(visit.note)}"
