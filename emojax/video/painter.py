"""Paints the frames of a clip in order: the style changes smoothly, and strokes stay where the clip shows the same."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, UInt8

from emojax.emotions import EMOTIONS, NEUTRAL, as_dict
from emojax.faces.find import Face
from emojax.images import rescale, resize_mask, to_uint8
from emojax.images.finish import cross_fade
from emojax.nets.steady import empty_statistics
from emojax.nets.style_code import Statistics
from emojax.options import StylizeOptions
from emojax.pipeline import Model, ReadFace, tiles
from emojax.pipeline.forward import stylize_frame, with_strength
from emojax.pipeline.large import estimate_statistics, stylize_in_tiles
from emojax.pipeline.regions import MAX_REGIONS, Regions, face_strengths, paint_mask, scaled_boxes
from emojax.pipeline.styles import code_and_amount, explicit_style, spares_faces, style_dict
from emojax.video.analysis import Segment
from emojax.video.frames import Frame
from emojax.video.motion import Change, warp
from emojax.video.result import FrameReading
from emojax.video.tracks import (
    HOLD,
    TIME_CONSTANT,
    SmoothedEmotion,
    Track,
    advance_track,
    initial_emotion,
    interpolate,
    move_style,
    target_style,
    update_emotion,
    update_tracks,
)

STATISTICS_TIME, TRANSITION_STATISTICS_TIME = 0.5, 0.1
"""seconds: time constants of the norm statistics, normally and while the style changes"""


@dataclass(frozen=True, eq=False)
class Painted:
    """A painted frame, before it gets the photo's colours or is blended with the photo."""

    frame: Frame
    picture: UInt8[np.ndarray, "h w 3"]
    """at the size at which it was painted"""
    mask: UInt8[np.ndarray, "H W"] | None
    reading: FrameReading


@dataclass(frozen=True, eq=False)
class _Canvas:
    """The results of a frame that the next one uses."""

    picture: UInt8[np.ndarray, "h w 3"]
    statistics: Statistics


class ClipPainter:
    """The state of a clip that is being painted: the faces, the emotion, the last picture."""

    def __init__(self, model: Model, options: StylizeOptions, steady: float, grid: tuple[int, int]) -> None:
        """Takes the model, the options of the pictures, `VideoOptions.steady`, and the shape of `Change.same`."""
        self.model, self.options, self.steady, self._grid = model, options, steady, grid
        self.names = model.style_names
        self.face_count = 0
        self._given = None if options.style_given is None else explicit_style(model.stylizer, options.style_given)
        self._tracks: list[Track] = []
        self._emotion: SmoothedEmotion | None = None
        self._seconds_without_face = math.inf
        self._canvas: _Canvas | None = None
        self._index = 0
        self._time: Fraction | None = None
        self._masks: dict[tuple[int, int], Any] = {}

    def paint(self, segment: Segment) -> Iterator[Painted]:
        """Paints the frames of a segment."""
        if segment.begins:
            tracks = self._update_tracks([], segment.start, 0.0)
            self._tracks = [replace(track, presence=1.0) for track in tracks]
        places = {track.number: track.face for track in self._tracks}
        span = segment.end.time - segment.start.time
        if span > 0:
            self._tracks = self._update_tracks(self._tracks, segment.end, float(span))
        self._update_emotion(float(span))
        for frame, change in segment.frames:
            step = 0.0 if self._time is None else float(frame.time - self._time)
            self._time = frame.time
            share = float((frame.time - segment.start.time) / span) if span > 0 else 0.0
            self._advance_styles(step)
            found = [
                (track, interpolate(places.get(track.number, track.face), track.face, share))
                for track in self._tracks
                if track.presence > 0
            ]
            yield self._paint(frame, change, found, step)

    def _update_tracks(self, tracks: list[Track], key: Any, seconds: float) -> list[Track]:
        mix, first = self.options.mix, self.face_count
        found = update_tracks(tracks, key.faces, key.probabilities, seconds, self.names, mix, first)
        self.face_count = max([first, *(track.number + 1 for track in found)])
        return found

    def _update_emotion(self, seconds: float) -> None:
        """Updates the clip's emotion after a key frame."""
        reading = self._mean_probabilities()
        if reading is not None:
            self._seconds_without_face = 0.0
        else:
            self._seconds_without_face += seconds
            if self._seconds_without_face < HOLD:
                return
            reading = np.eye(len(EMOTIONS), dtype=np.float32)[NEUTRAL]
        if self._emotion is None:
            self._emotion = initial_emotion(self.names, reading, self.options.mix)
        self._emotion = update_emotion(self._emotion, reading, seconds, TIME_CONSTANT / 2)

    def _mean_probabilities(self) -> Float[np.ndarray, " 7"] | None:
        """The mean probabilities of the selected faces, weighted by their areas; None if there are none."""
        seen = [track for track in self._tracks if track.detected]
        if self.options.face == "largest":
            seen = sorted(seen, key=lambda track: -track.face.w * track.face.h)[:1]
        elif self.options.face != "all":
            seen = [track for track in seen if track.number == int(self.options.face)]
        if not seen:
            return None
        areas = np.array([track.face.w * track.face.h for track in seen], np.float32)
        return (areas / areas.sum()) @ np.stack([track.emotion.probabilities for track in seen])

    def _advance_styles(self, seconds: float) -> None:
        """Moves the styles towards their goals."""
        mix = self.options.mix
        self._tracks = [advance_track(track, seconds, self.names, mix) for track in self._tracks]
        if self._emotion is not None:
            goal = target_style(self.names, self._emotion.probabilities, self._emotion.strongest, mix)
            self._emotion = replace(self._emotion, style=move_style(self._emotion.style, goal, seconds))

    def _paint(self, frame: Frame, change: Change | None, found: list[tuple[Track, Face]], step: float) -> Painted:
        options = self.options
        assert self._emotion is not None
        style = self._emotion.style if self._given is None else self._given
        moving = self._given is None and not np.array_equal(
            style, target_style(self.names, self._emotion.probabilities, self._emotion.strongest, options.mix)
        )
        small = rescale(frame.pixels, 1 / options.style_scale)
        mask = self._mask(found, frame.pixels.shape[:2])
        regions = self._regions(found, frame.pixels, small, style, mask)
        rate = (
            1.0
            if self.steady == 0
            else 1 - math.exp(-step / (TRANSITION_STATISTICS_TIME if moving else STATISTICS_TIME))
        )
        fresh = self._canvas is None or change is None or change.cut
        small_mask = None if mask is None else resize_mask(mask, small.shape[:2])
        picture = self._repaint(small, self._with_strength(style), regions, small_mask, change, 1.0 if fresh else rate)
        reading = self._report(frame, found, style)
        self._index += 1
        return Painted(frame, picture, mask, reading)

    def _mask(self, found: list[tuple[Track, Face]], size: tuple[int, int]) -> np.ndarray | None:
        """The mask of a frame; one that is the same for all frames is read once."""
        options = self.options
        if options.faces_only or options.background_only:
            return paint_mask(options, [face for _, face in found], size, [track.presence for track, _ in found])
        if size not in self._masks:
            self._masks[size] = paint_mask(options, [], size)
        return self._masks[size]

    def _regions(
        self,
        found: list[tuple[Track, Face]],
        pixels: np.ndarray,
        small: np.ndarray,
        style: np.ndarray,
        mask: np.ndarray | None,
    ) -> Regions | None:
        """The regions of the faces with another style or strength; None if there are none and no mask."""
        options = self.options
        found = sorted(found, key=lambda one: -one[1].w * one[1].h)[:MAX_REGIONS]
        presence = np.zeros(MAX_REGIONS, np.float32)
        presence[: len(found)] = [track.presence for track, _ in found]
        boxes = scaled_boxes([face for _, face in found], pixels, small)
        strengths = weights = None
        if spares_faces(self.model.stylizer, options):
            own = face_strengths(boxes, np.float32(options.face_strength))
            strengths = (1 - presence * (1 - own) * (boxes[:, 2] > 0)).astype(np.float32)
            strengths = strengths if strengths.min() < 1 else None
        if options.per_face and found:
            weights = np.zeros((MAX_REGIONS, len(self.names)), np.float32) + self._with_strength(style)[None]
            for index, (track, _) in enumerate(found):
                weights[index] = self._with_strength(style + presence[index] * (track.emotion.style - style))
        if strengths is None and weights is None and mask is None:
            return None
        return Regions(boxes, weights, strengths)

    def _with_strength(self, style: np.ndarray) -> np.ndarray:
        """The weights of a style mixed with the photo, at the strength of the options."""
        share, _ = code_and_amount(self.model.stylizer, self.options.strength)
        return with_strength(self.names, style, share)

    def _repaint(
        self,
        small: UInt8[np.ndarray, "h w 3"],
        weights: Float[np.ndarray, " S"],
        regions: Regions | None,
        mask: UInt8[np.ndarray, "h w"] | None,
        change: Change | None,
        rate: float,
    ) -> UInt8[np.ndarray, "h w 3"]:
        """Paints a frame at the size that the style scale gives, and keeps the results for the next one."""
        model, config, params = self.model, self.model.stylizer, self.model.params["stylizer"]
        height, width = small.shape[:2]
        before, trust = small, np.zeros(self._grid, np.float32)
        if change is not None and self._canvas is not None and rate < 1:
            before, trust = warp(self._canvas.picture, change.motion), np.float32(self.steady) * change.same
        statistics = empty_statistics(config) if self._canvas is None else self._canvas.statistics
        if not tiles.fits(small, tiles.max_pixels(config)):
            return self._repaint_large(small, weights, regions, mask, before, trust, statistics, rate)
        sides = tiles.network_side(height), tiles.network_side(width)
        if regions is not None and mask is not None:
            regions = regions._replace(mask=tiles.pad(mask[..., None], *sides)[0][None])
        kind = None if regions is None else tuple(part is not None for part in regions)
        program = model.programs.get(
            ("frame", kind), (*sides, trust.shape), lambda: functools.partial(stylize_frame, config)
        )
        padded, moved = tiles.pad(small, *sides)[0], tiles.pad(before, *sides)[0]
        picture, statistics = program(params, padded, weights, regions, statistics, np.float32(rate), moved, trust)
        picture = np.asarray(picture)[:height, :width]
        self._canvas = _Canvas(picture, statistics)
        return picture

    def _repaint_large(
        self,
        small: np.ndarray,
        weights: np.ndarray,
        regions: Regions | None,
        mask: np.ndarray | None,
        before: np.ndarray,
        trust: np.ndarray,
        statistics: Statistics,
        rate: float,
    ) -> np.ndarray:
        """`_repaint` for a frame that is too large for one pass of the network."""
        model, config, params = self.model, self.model.stylizer, self.model.params["stylizer"]
        own = estimate_statistics(model.programs, config, params, small, weights, regions, mask=mask)
        used = jax.tree.map(lambda old, new: old + np.float32(rate) * (new - old), statistics, own)
        painted = stylize_in_tiles(model.programs, config, params, small, weights, regions, mask=mask, statistics=used)
        painted = cross_fade(painted, before, mask=resize_mask(to_uint8(trust), small.shape[:2]))
        self._canvas = _Canvas(painted, used)
        return painted

    def _report(self, frame: Frame, found: list[tuple[Track, Face]], style: np.ndarray) -> FrameReading:
        """The reading of a frame for users."""
        assert self._emotion is not None
        own, read = self.options.per_face, self._given is None
        faces = {
            track.number: ReadFace(
                face,
                as_dict(track.emotion.probabilities),
                style_dict(self.model.stylizer, track.emotion.style) if own else None,
            )
            for track, face in found
        }
        emotion = as_dict(self._emotion.probabilities) if read and self._seconds_without_face < HOLD else None
        faces = faces if read else {}
        return FrameReading(self._index, float(frame.time), faces, emotion, style_dict(self.model.stylizer, style))
