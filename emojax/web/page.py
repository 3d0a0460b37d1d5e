"""The page: its parts and their events. A visitor's data is in `gr.State`, one for every open page."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import gradio as gr

from emojax.emotions import EMOTIONS
from emojax.images import STYLE_SCALES
from emojax.pipeline import Model
from emojax.util.files import ASTRONAUT
from emojax.web import drawing
from emojax.web.handlers import LIVE_SIDE, Controls, Handlers, in_words

_HEAD = """<div id="title"><h1>emojax</h1><p>Your photo, repainted in the style of the emotion on its faces.
Everything happens on this computer: nothing leaves it.</p></div>"""
_CLICK = "() => setTimeout(() => document.querySelector('#file a, a#file, #file').click(), 300)"


def build(model: Model, seconds_kept: int) -> gr.Blocks:
    """Builds the page; `model` paints for all visitors, whose files are deleted after `seconds_kept`."""
    keep, do = (min(300, seconds_kept), seconds_kept), Handlers(model)
    with gr.Blocks(title="emojax", analytics_enabled=False, delete_cache=keep) as page:
        _wire(SimpleNamespace(**vars(_pictures(do)), **vars(_controls())), do)
    return page.queue(max_size=64)


def _pictures(do: Handlers) -> SimpleNamespace:
    """Lays out the upper half of the page."""
    bare: dict[str, Any] = {"buttons": [], "height": 420}
    gr.HTML(_HEAD)
    with gr.Tab("A photo"), gr.Row():
        with gr.Column(scale=2):
            photo: Any = gr.Image(label="Your photo", type="filepath", image_mode=None, elem_id="photo", **bare)
            # Keep Gradio from decoding the photo: our reader supports more formats and explains errors.
            photo.preprocess = lambda payload: payload and payload.path
            example = gr.Button("Try it with an astronaut", elem_id="example", visible=ASTRONAUT.exists())
        with gr.Column(scale=3):
            after = gr.ImageSlider(label="Before and after", format="png", elem_id="after", buttons=["fullscreen"])
            with gr.Row():
                said = gr.HTML(elem_id="said")
                save = gr.Button("Download in full size", variant="primary", elem_id="save")
    with gr.Tab("Live"), gr.Row():
        small = gr.WebcamOptions(constraints={"video": {"width": LIVE_SIDE, "height": LIVE_SIDE * 3 // 4}})
        bare |= {"sources": ["webcam"], "streaming": True, "webcam_options": small}
        webcam = gr.Image(label="You", elem_id="webcam", **bare)
        live = gr.HTML("<p>Switch the webcam on, and see yourself painted here.</p>", elem_id="live")
    file = gr.DownloadButton("The picture", elem_id="file")
    gr.HTML("<h3>Click a style</h3>")
    bare = {"buttons": [], "show_label": False, "allow_preview": False, "interactive": False}
    gallery = gr.Gallery(do.previews(None, ()), elem_id="styles", **bare)
    return SimpleNamespace(
        photo=photo,
        example=example,
        after=after,
        said=said,
        save=save,
        webcam=webcam,
        live=live,
        file=file,
        gallery=gallery,
    )


def _controls() -> SimpleNamespace:
    """Lays out the lower half of the page."""
    with gr.Row():
        with gr.Column():
            gr.HTML("<h3>or let the faces choose</h3>")
            seen = gr.HTML(elem_id="seen")
            faces = gr.Button("The faces choose", elem_id="faces")
            per_face = gr.Checkbox(label="Every face in its own style", elem_id="per_face")
        with gr.Column():
            gr.HTML("<h3>or click a mood</h3>")
            shape = {"html_template": drawing.MOOD_SQUARE, "js_on_load": drawing.MOOD_CLICK}
            square = gr.HTML([0, 0, False], elem_id="mood", **shape)
        with gr.Column():
            gr.HTML("<h3>and change how it is painted</h3>")
            strength = gr.Slider(0, 1, 1, label="Strength", elem_id="strength")
            scale = gr.Slider(*STYLE_SCALES, 1, step=0.25, label="Stroke size", elem_id="scale")
            with gr.Row():
                other = gr.Dropdown(list(EMOTIONS), value="happy", label="Mix with", min_width=110, elem_id="other")
                share = gr.Slider(0, 1, 0, label="How much of it", min_width=110, elem_id="share")
            kinds = [("the painting's", "painting"), ("my photo's", "photo")]
            colors = gr.Radio(kinds, value="painting", label="Colours", elem_id="colors")
            packs = gr.File(label="Styles of your own (.pack)", file_count="multiple", height=120, elem_id="packs")
    return SimpleNamespace(
        seen=seen,
        faces=faces,
        per_face=per_face,
        square=square,
        strength=strength,
        scale=scale,
        other=other,
        share=share,
        colors=colors,
        packs=packs,
    )


def _wire(at: SimpleNamespace, do: Handlers) -> None:
    """Connects the events of the page's parts with the handlers."""
    visit, files, choice = gr.State(None), gr.State(()), gr.State(None)
    parts = {"choice": choice, "per_face": at.per_face, "strength": at.strength, "style_scale": at.scale}
    parts |= {"other": at.other, "share": at.share, "colors": at.colors}
    controls = [parts[field.name] for field in fields(Controls)]  # handlers get their values in this order
    heavy: dict[str, Any] = {"concurrency_id": "paint", "api_visibility": "private"}
    light: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    paint = {"fn": in_words(do.paint), "inputs": [visit, files, *controls], "outputs": [at.after, at.said], **heavy}
    preview = {"fn": in_words(do.previews), "inputs": [visit, files], "outputs": at.gallery, **heavy}
    opened, freed = [visit, at.after, at.said, at.seen], [choice, at.square, at.gallery, at.share]
    open_or_say = in_words(do.open, lambda text: (None, None, f"<strong>{text}</strong>", ""))
    at.photo.change(open_or_say, [at.photo, files, *controls], opened, **heavy).then(**preview)
    at.example.click(lambda: str(ASTRONAUT), None, at.photo, **light)
    at.gallery.select(do.choose, files, [choice, at.per_face, at.square], **light).then(**paint)
    at.square.click(do.choose_mood, None, [choice, at.per_face, at.square, at.gallery], **light).then(**paint)
    gr.on([at.faces.click, at.per_face.select], do.choose_faces, None, freed, **light).then(**paint)
    moved = [control.input for control in (at.strength, at.scale, at.other, at.share, at.colors)]
    gr.on(moved, trigger_mode="always_last", **paint)
    at.packs.change(in_words(do.add_styles), at.packs, [files, at.other], **heavy).then(**preview)
    save = in_words(do.save, lambda text: None)
    at.save.click(save, [visit, files, *controls], at.file, **heavy).then(None, js=_CLICK)
    frames: dict[str, Any] = {"stream_every": 0.2, "concurrency_limit": 2, **light, "queue": True}
    at.webcam.stream(in_words(do.live), [at.webcam, files, *controls], [at.live, at.seen], **frames)
