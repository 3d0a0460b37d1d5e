"""The user's interface for painting a photo by optimization: photo and painting in, `Result` out.

photo -> faces, or the network's picture -> regions and paintings -> `emojax.paint.painter` -> colours and strength
"""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8

from emojax.emotions import EMOTIONS
from emojax.errors import InputError
from emojax.faces.find import Face, find_faces
from emojax.faces.views import FaceDetector
from emojax.images import IMAGE_SUFFIXES, MaskLike, Photo, PhotoLike, check_style_scale, read_photo, to_picture, to_unit
from emojax.images.finish import Colors, check_finish, finish
from emojax.options import StylizeOptions, check_names
from emojax.paint.config import PaintConfig
from emojax.paint.limits import SEED, SMALLEST, check_limits
from emojax.paint.painter import Painter, Progress, Region
from emojax.pipeline.regions import paint_mask
from emojax.pipeline.result import Result
from emojax.util.files import PACKAGED
from emojax.util.interrupts import InterruptFlag
from emojax.weights.vgg16_file import find_vgg16, load_vgg16

SIZE_ON_CPU, SIZE_ELSEWHERE = 512, 1024
"""default long side to paint at, in pixels; for larger photos, the paint is enlarged"""
PACKAGED_PAINTINGS = PACKAGED / "paintings"


def paint_photo(
    stylize: Callable[..., Result],
    detector: FaceDetector,
    /,
    photo: PhotoLike | Photo,
    painting: PhotoLike | Photo | None = None,
    *,
    mask: MaskLike | None = None,
    faces_only: bool = False,
    background_only: bool = False,
    paintings: str | os.PathLike | None = None,
    size: int | None = None,
    seconds: float | None = None,
    seed: int = SEED,
    style_scale: float = 1.0,
    strength: float = 1.0,
    colors: Colors = "painting",
    config: PaintConfig | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **reading: Any,
) -> Result:
    """Paints a photo by optimizing its pixels (see `emojax.paint.painter`): minutes on two CPU cores.

    Args:
        stylize: reads a photo and repaints it in the emotion's style, as `Model.__call__` does.
        painting: any picture. None: the emotion's painting; the photo is read and styles are mixed as by `stylize`.
        mask, faces_only, background_only: where to paint, as in `StylizeOptions`; the rest stays the photo.
        paintings: a folder that has a painting, or a folder with one, per emotion; None: the packaged paintings.
        size: the long side to paint at; None: 512 on a CPU, 1024 elsewhere. The result always has the photo's size.
        seconds: a time limit that replaces the config's steps.
        seed: seed of the random positions; the same seed and steps give the same picture.
        style_scale: size of the strokes, 0.25 to 4; the config's is multiplied by it. A painting is enlarged at most to the
            picture's size, so larger strokes need a larger painting.
        strength: 0 is the photo, 1 the full style; below 1, content counts more; below a half, pixels are also cross-faded.
        colors: "painting" or "photo", see `finish`.
        on_progress: called after every step.
        reading: further options of `stylize`, if no painting is given: emotion, mix, face, no_face, per_face.

    Returns:
        The picture, with what was read; `painted` has the settings. After Ctrl-C, the picture so far, with `interrupted`.

    Raises:
        InputError: a photo or painting that cannot be read, a wrong option, an emotion without a painting.
    """
    check_finish(strength, colors)
    check_style_scale(style_scale)
    check_limits(size, seconds, seed)
    where = StylizeOptions(mask=mask, faces_only=faces_only, background_only=background_only)
    _check_reading(reading, painting)
    photo = photo if isinstance(photo, Photo) else read_photo(photo)
    if painting is not None:
        plan = _painting_plan(detector, photo, painting)
    else:
        plan = _emotion_plan(stylize, photo, paintings, where, reading)
    if not plan.regions:
        return plan.result
    config = softened(config or PaintConfig(), strength)
    settings: dict[str, Any] = {"size": _size_at(photo, size), "seed": seed, "seconds": seconds}
    settings |= {"steps": list(config.steps), "strength": strength, "style_scale": style_scale, "colors": colors}
    return _paint(photo, plan, where, config, settings, on_progress)


def _check_reading(reading: Mapping[str, Any], painting: object) -> None:
    """Raises InputError for options that do not exist, or that a painting makes senseless."""
    parameters = inspect.signature(paint_photo).parameters.values()
    check_names(reading, (parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY))
    if painting is not None and reading:
        raise InputError(f"{min(reading)} chooses among the emotions' styles: leave it out beside a painting")


@dataclass(frozen=True)
class _Plan:
    """What is painted where."""

    result: Result
    """what was read, without the painted picture"""
    regions: Sequence[Region]
    """the regions and their paintings; none: nothing is painted"""
    faces: Sequence[Face] = ()
    notes: tuple[str, ...] = ()
    start: UInt8[np.ndarray, "H W 3"] | None = None
    """the picture to begin with"""


def _painting_plan(detector: FaceDetector, photo: Photo, painting: PhotoLike | Photo) -> _Plan:
    """The whole photo, in the style of a painting."""
    picture = read_painting(painting)
    notes = ((photo.note,) if photo.note else ()) + tuple(note_on(picture))
    result = Result(None, [], None, {_name(painting): 1.0})
    return _Plan(result, [Region((picture,))], find_faces(detector, photo.pixels), notes)


def _emotion_plan(
    stylize: Callable[..., Result],
    photo: Photo,
    paintings: str | os.PathLike | None,
    where: StylizeOptions,
    reading: Mapping[str, Any],
) -> _Plan:
    """The regions of the photo, in the styles that its faces choose, or that `reading` names."""
    limits = {name: getattr(where, name) for name in ("mask", "faces_only", "background_only")}
    result = stylize(photo, **limits, **reading)
    if result.image is None or result.style is None:
        return _Plan(result, [])
    regions = emotion_regions(result, photo.pixels.shape[:2], paintings)
    notes = (result.note,) if result.note else ()
    return _Plan(result, regions, [read.face for read in result.faces], notes, np.asarray(result.image.convert("RGB")))


def _size_at(photo: Photo, size: int | None) -> int:
    """The long side to paint at, which is the photo's at most."""
    size = size or (SIZE_ON_CPU if jax.default_backend() == "cpu" else SIZE_ELSEWHERE)
    return max(SMALLEST, min(size, max(photo.pixels.shape[:2])))


def _paint(
    photo: Photo,
    plan: _Plan,
    where: StylizeOptions,
    config: PaintConfig,
    settings: Mapping[str, Any],
    on_progress: Callable[[Progress], None] | None,
) -> Result:
    """Carries out a plan, with the `settings` that the result tells: `size`, `seed`, `seconds`, `style_scale` and others."""
    config = dataclasses.replace(config, style_scale=settings["style_scale"] * config.style_scale)
    result, regions, notes, strength = plan.result, plan.regions, list(plan.notes), settings["strength"]
    painted = paint_mask(where, plan.faces, photo.pixels.shape[:2])
    if where.faces_only and not plan.faces and "nothing is painted" not in "; ".join(notes):
        notes.append("no face found, nothing is painted")
    if strength == 0 or (painted is not None and not painted.any()):
        return _result(result, photo, photo.pixels, notes, {})
    if painted is not None:
        result = dataclasses.replace(result, painted_share=float(painted.mean()) / 255)
        regions = [_within(region, to_unit(painted)) for region in regions]
    how = {name: settings[name] for name in ("size", "seconds", "seed")}
    work = Painter(load_vgg16(find_vgg16()), config).paint(
        photo.pixels, regions, faces=plan.faces, start=plan.start, **how
    )
    last, interrupted = _last_step(work, on_progress)
    if interrupted:
        notes.append(f"stopped by Ctrl-C when {last.fraction:.0%} was done")
    picture = finish(photo.pixels, last.picture(), min(1.0, 2 * strength), settings["colors"], painted)
    told = {**settings, "paintings": sorted(result.style or {}), "done": round(last.fraction, 3)}
    return _result(result, photo, picture, notes, told, interrupted)


def _last_step(work: Iterable[Progress], on_progress: Callable[[Progress], None] | None) -> tuple[Progress, bool]:
    """Paints to the end, or until Ctrl-C; returns the last step, and whether it was Ctrl-C."""
    with InterruptFlag() as flag:
        for step in work:
            if on_progress is not None:
                on_progress(step)
            if flag.raised:
                return step, step.fraction < 1
    return step, False


def _result(
    result: Result,
    photo: Photo,
    picture: UInt8[np.ndarray, "H W 3"],
    notes: Sequence[str],
    settings: Mapping[str, Any],
    interrupted: bool = False,
) -> Result:
    return dataclasses.replace(
        result,
        image=to_picture(picture, photo.alpha),
        note="; ".join(notes) or None,
        painted=dict(settings),
        interrupted=interrupted,
    )


def _within(region: Region, mask: np.ndarray) -> Region:
    """A region, limited to a mask."""
    return dataclasses.replace(region, mask=mask if region.mask is None else region.mask * mask)


def softened(config: PaintConfig, strength: float) -> PaintConfig:
    """The config with content weights divided by the strength, which is taken to be at least 0.1."""
    more = 1 / max(strength, 0.1)
    fields = ("content", "similarity", "face_similarity")
    return (
        config
        if strength == 1
        else dataclasses.replace(config, **{name: more * getattr(config, name) for name in fields})
    )


def read_painting(painting: PhotoLike | Photo) -> UInt8[np.ndarray, "H W 3"]:
    """A painting's pixels.

    Raises:
        InputError: it cannot be read.
    """
    if isinstance(painting, Photo):
        return painting.pixels
    name = f"the painting {painting}" if isinstance(painting, str | os.PathLike) else "the painting"
    return read_photo(painting, name=name).pixels


def note_on(painting: UInt8[np.ndarray, "H W 3"]) -> list[str]:
    """Notes for the user on a painting that is small, or has a single colour."""
    height, width = painting.shape[:2]
    if not painting.std((0, 1)).any():
        return ["the painting has a single colour: there are no strokes to learn"]
    if min(height, width) < SMALLEST:
        return [f"the painting has only {width} x {height} pixels: there will be few strokes"]
    return []


def _name(painting: Any) -> str:
    return Path(painting).stem if isinstance(painting, str | os.PathLike) else "painting"


def emotion_regions(result: Result, size: tuple[int, int], folder: str | os.PathLike | None) -> list[Region]:
    """The regions and their emotions' paintings: the photo, and every face that has a style of its own."""
    assert result.style is not None
    styles = [result.style, *(read.style for read in result.faces if read.style)]
    names = list(dict.fromkeys(name for style in styles for name in style))
    pictures = {name: read_painting(find_painting(name, folder)) for name in names}

    def region(style: Mapping[str, float], mask: np.ndarray | None) -> Region:
        return Region(tuple(pictures[name] for name in style), tuple(style.values()), mask)

    own = [(read.style, ellipse(read.face, size)) for read in result.faces if read.style]
    if not own:
        return [region(result.style, None)]
    rest = 1 - np.max([mask for _, mask in own], axis=0)
    return [region(result.style, rest), *(region(style, mask) for style, mask in own)]


def ellipse(face: Face, size: tuple[int, int]) -> np.ndarray:
    """A mask float32 [H, W] of the ellipse in a face's box, enlarged by a fifth."""
    rows, columns = np.ogrid[: size[0], : size[1]]
    x, y = face.x + face.w / 2, face.y + face.h / 2
    distance = ((columns - x) / (0.6 * face.w)) ** 2 + ((rows - y) / (0.6 * face.h)) ** 2
    return (distance <= 1).astype(np.float32)


def find_painting(emotion: str, folder: str | os.PathLike | None = None) -> Path:
    """The painting of an emotion: the only picture in FOLDER/EMOTION/, else FOLDER/EMOTION with a picture's suffix.

    Raises:
        InputError: there is none, or there are several.
    """
    root = Path(folder) if folder is not None else PACKAGED_PAINTINGS
    places = [root / emotion, root]
    for place in places:
        files = sorted(place.glob("*" if place == root / emotion else f"{emotion}.*"))
        found = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            raise InputError(
                f"several paintings for {emotion!r} in {place} ({names}): leave one there, or give `painting`"
            )
        if found:
            return found[0]
    known = "" if emotion in EMOTIONS else ", which is no emotion"
    raise InputError(f"no painting for {emotion!r}{known} in {root}: name one, or a folder that has it")
