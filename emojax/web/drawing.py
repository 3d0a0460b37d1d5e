"""The HTML of the page: the faces with their readings, and the square of moods."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from emojax.emotions import CIRCUMPLEX, EMOTIONS
from emojax.images import to_picture
from emojax.pipeline import ReadFace

COLOURS = dict(
    zip(EMOTIONS, ("#e5383b", "#6a994e", "#7b5ea7", "#f4a300", "#3a86c8", "#ef5da8", "#8d99ae"), strict=True)
)
SHOWN_FACES = 6


def _name(name: str, x: float, y: float) -> str:
    """The point of an emotion, with its name above, or on the left side to its left, since those points are close together."""
    place = f'x="{x - 0.06}" y="{-y + 0.03}" style="text-anchor:end"' if x < -0.55 else f'x="{x}" y="{-y - 0.06}"'
    return f'<circle cx="{x}" cy="{-y}" r=".03" fill="#fff"/><text {place}>{name}</text>'


MOOD_SQUARE = f"""<svg viewBox="-1.15 -1.15 2.3 2.3" role="img" aria-label="valence and arousal">
<linearGradient id="good"><stop stop-color="#2f5fa8"/><stop offset="1" stop-color="#ffc53d"/></linearGradient>
<linearGradient id="calm" x2="0" y2="1"><stop stop-color="#ff4d86" stop-opacity=".9"/><stop offset=".75" stop-opacity="0"/>
</linearGradient><rect class="sky" fill="url(#good)"/><rect class="sky" fill="url(#calm)"/>
<path d="M-1.1 0H1.1M0-1.1V1.1" stroke="#fff8" stroke-width=".01"/>
<text class="axis" y="-1.05">excited</text><text class="axis" y="1.1">calm</text>
<text class="axis" x="-1" y="-.03">bad</text><text class="axis" x="1" y="-.03">good</text>
{"".join(_name(name, *point) for name, point in CIRCUMPLEX.items())}
<circle id="here" cx="${{value[0]}}" cy="${{-value[1]}}" r="${{value[2] ? 0.07 : 0}}"/></svg>"""
"""a template of `gr.HTML`, whose value is [valence, arousal, whether to mark the point]"""
MOOD_CLICK = """element.addEventListener('click', event => {
  const box = element.querySelector('svg').getBoundingClientRect();
  const at = (here, from, size) => Math.max(-1, Math.min(1, 2.3 * (here - from) / size - 1.15));
  trigger('click', {x: at(event.clientX, box.left, box.width), y: -at(event.clientY, box.top, box.height)});
})"""


def faces(photo: np.ndarray, found: Sequence[ReadFace]) -> str:
    """A photo uint8 [H, W, 3] with its faces, and the probabilities of each face as bars."""
    if not found:
        return "<p>No face found: the picture is neutral, until you choose a style.</p>"
    height, width = photo.shape[:2]
    data = _address(to_picture(photo), 480)
    boxes = "".join(_box(index, read, max(height, width) / 150) for index, read in enumerate(found))
    cards = "".join(_card(index, read) for index, read in enumerate(found[:SHOWN_FACES]))
    more = f"<p>and {len(found) - SHOWN_FACES} more</p>" if len(found) > SHOWN_FACES else ""
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="the faces that were found">'
        f'<image width="{width}" height="{height}" href="{data}"/>{boxes}</svg>{cards}{more}'
    )


def picture(image: Image.Image) -> str:
    """A picture embedded in the page, without a file, because frames come several times a second."""
    return f'<img alt="the painted picture" src="{_address(image, 1024)}">'


def _address(image: Image.Image, side: int) -> str:
    """A picture, shrunk to at most `side`, as a data URL."""
    image, stream = image.convert("RGB"), io.BytesIO()
    image.thumbnail((side, side), Image.Resampling.BILINEAR)
    image.save(stream, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _box(index: int, read: ReadFace, line: float) -> str:
    return (
        f'<rect x="{read.x:.1f}" y="{read.y:.1f}" width="{read.w:.1f}" height="{read.h:.1f}" rx="{2 * line:.1f}" '
        f'fill="none" stroke="{COLOURS[read.dominant]}" stroke-width="{line:.1f}"/>'
        f'<text x="{read.x + 2 * line:.1f}" y="{read.y + 8 * line:.1f}" font-size="{7 * line:.1f}">{index + 1}</text>'
    )


def _card(index: int, read: ReadFace) -> str:
    bars = "".join(
        f'<span>{name}</span><i><b style="width:{share:.1%};background:{COLOURS[name]}"></b></i><em>{share:.0%}</em>'
        for name, share in read.emotion.items()
    )
    return f'<div class="card"><strong>{index + 1}: {read.dominant}</strong>{bars}</div>'
