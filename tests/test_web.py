"""The page: what its handlers return, how it is served, and the page itself in a headless Chromium."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

import numpy as np
import pytest
import tiny
from PIL import ExifTags, Image

from emojax.cli.main import main
from emojax.emotions import EMOTIONS
from emojax.errors import InputError
from emojax.images import encode
from emojax.pipeline import Model
from emojax.weights.style_file import StyleFile, network_fingerprint, write_style_file

gr = pytest.importorskip("gradio", reason="pip install 'emojax[web]'")

from emojax.web import serve  # noqa: E402 (they need Gradio)
from emojax.web.handlers import Controls, Handlers, in_words  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
PHOTO = ROOT / "examples" / "astronaut.jpg"
PATIENCE = 180  # seconds, on a busy machine
CONTROLS = (None, False, 1.0, 1.0, "happy", 0.0, "painting")
pytestmark = pytest.mark.filterwarnings("default")  # Gradio's warnings are not ours


@pytest.fixture(scope="module")
def model():
    params = {"classifier": tiny.classifier_variables(), "stylizer": tiny.stylizer_params(apart=0.3)}
    return Model(tiny.FACES, tiny.STYLES, params)


@pytest.fixture(scope="module")
def do(model):
    return Handlers(model)


@pytest.fixture(scope="module")
def visit(do):
    return do.open(str(PHOTO), (), *CONTROLS)[0]


@pytest.fixture(scope="module")
def joy(model, tmp_path_factory):
    """A style file for the model."""
    rng = np.random.default_rng(1)
    code = {
        name: {part: rng.standard_normal(channels).astype(np.float32) for part in ("scale", "shift")}
        for name, channels in tiny.STYLES.norm_layers()
    }
    preview = encode(Image.new("RGB", (8, 8)), "PNG")
    path = tmp_path_factory.mktemp("styles") / "joy.pack"
    write_style_file(path, StyleFile("joy", network_fingerprint(model.params["stylizer"]["network"]), code, preview))
    return path


# --- settings


def test_settings_become_options():
    plain = {"strength": 1.0, "style_scale": 1.0, "colors": "painting"}
    assert Controls().options() == plain | {"per_face": False}
    assert Controls().options({"sad": 1.0})["emotion"] == {"sad": 1.0, "happy": 0.0}
    assert Controls(choice={"fear": 1.0}).options({"sad": 1.0})["emotion"] == {"fear": 1.0, "happy": 0.0}
    assert Controls(other="sad", share=0.25).options({"sad": 0.5, "fear": 0.5})["emotion"] == {
        "sad": 0.625,
        "fear": 0.375,
    }
    assert Controls(choice={"fear": 1.0}, per_face=True).options({"sad": 1.0}) == plain | {"per_face": True}


# --- handlers


def test_a_photo_is_read_and_painted(do, model):
    visit, (before, after), line, faces = do.open(str(PHOTO), (), *CONTROLS)
    assert np.array_equal(before, np.asarray(Image.open(PHOTO))) and visit.factor == 1
    result = model(PHOTO)
    assert np.array_equal(after, result.image) and f"<strong>{next(iter(result.style))}" in line
    assert faces.count("<rect") == len(result.faces) == 1 and all(f"<span>{name}</span>" in faces for name in EMOTIONS)
    assert f"{result.emotion[result.dominant]:.0%}" in faces


def test_without_a_photo_or_a_face(do, tmp_path):
    assert do.open(None, (), *CONTROLS) == (None, None, "", "")
    assert do.paint(None, (), *CONTROLS) == (gr.skip(), gr.skip())
    Image.new("RGB", (64, 48), "teal").save(tmp_path / "teal.png")
    visit, _, line, faces = do.open(str(tmp_path / "teal.png"), (), *CONTROLS)
    assert visit.style == {"neutral": 1.0} and "no face found" in line and "No face found" in faces


def test_every_control_reaches_the_model(do, model, visit):
    controls = ({"sad": 1.0}, False, 0.5, 2.0, "fear", 0.25, "photo")
    (_, after), line = do.paint(visit, (), *controls)
    options = {"strength": 0.5, "style_scale": 2.0, "colors": "photo"}
    assert np.array_equal(after, model(PHOTO, emotion="sad:3,fear:1", **options).image)
    assert "sad 75%, fear 25%" in line
    (_, after), _ = do.paint(visit, (), None, True, *controls[2:])
    assert np.array_equal(after, model(PHOTO, per_face=True, **options).image)


def test_styles_are_shown_on_the_photo(do, visit):
    assert [name for _, name in do.previews(None, ())] == list(EMOTIONS)
    pictures = do.previews(visit, ())
    assert [name for _, name in pictures] == list(EMOTIONS)
    assert len({picture.tobytes() for picture, _ in pictures}) == 7
    assert do.choose((), gr.SelectData(None, {"index": 4, "value": None})) == ({"sad": 1.0}, False, [0, 0, False])


def test_style_files(do, visit, joy, tmp_path):
    files, _ = do.add_styles([str(joy)])
    assert [name for _, name in do.previews(visit, files)][-1] == "joy"
    choice, *_ = do.choose(files, gr.SelectData(None, {"index": 7, "value": None}))
    (_, after), line = do.paint(visit, files, choice, *CONTROLS[1:])
    assert "joy 100%" in line and not np.array_equal(after, do.paint(visit, (), *CONTROLS)[0][1])
    with pytest.raises(InputError, match="drop at most 8"):
        do.add_styles([str(joy)] * 9)
    (tmp_path / "bad.pack").write_bytes(b"no style")
    with pytest.raises(InputError, match=r"^cannot read the style file bad\.pack"):
        do.add_styles([str(tmp_path / "bad.pack")])
    with pytest.raises(InputError, match="two styles 'joy'"):
        do.add_styles([str(joy), str(joy)])
    assert do.add_styles(None)[0] == ()


def test_the_download_has_the_photos_size_and_says_how_it_was_made(do, model, tmp_path):
    photo = Image.open(PHOTO).resize((1536, 1152))
    photo.putalpha(200)
    photo.save(tmp_path / "big.png")
    visit, (before, _), *_ = do.open(str(tmp_path / "big.png"), (), *CONTROLS)
    assert before.shape == (768, 1024, 3) and visit.factor == 1.5
    path = Path(do.save(visit, (), {"sad": 1.0}, *CONTROLS[1:]))
    saved = Image.open(path)
    assert path.name == "big.sad.png" and saved.size == (1536, 1152) and saved.mode == "RGBA"
    made = json.loads(saved.info["Description"])
    assert made.pop("style") == {"sad": 1.0} and made["style_scale"] == 1.5  # strokes as large as on the page
    assert np.array_equal(saved, model(tmp_path / "big.png", **made).image)
    jpeg = Path(do.save(do.open(str(PHOTO), (), *CONTROLS)[0], (), {"sad": 1.0}, *CONTROLS[1:]))
    assert jpeg.name == "astronaut.sad.jpg"
    assert json.loads(Image.open(jpeg).getexif()[ExifTags.Base.ImageDescription])["strength"] == 1.0
    (tmp_path / "big.png").unlink()
    with pytest.raises(InputError, match="over an hour old"):
        do.save(visit, (), *CONTROLS)
    with pytest.raises(InputError, match="drop a photo first"):
        do.save(None, (), *CONTROLS)


def test_a_frame_is_painted_small(do):
    frame = np.asarray(Image.open(PHOTO).resize((1024, 1024)))
    picture, faces = do.live(frame, (), *CONTROLS)
    assert picture.startswith('<img alt="') and 'viewBox="0 0 640 640"' in faces
    assert do.live(None, (), *CONTROLS) == (gr.skip(), gr.skip())
    assert do.live(frame, (), *CONTROLS[:5], 0.5, "painting")[0] != picture


def test_mistakes_become_words(do, monkeypatch, tmp_path):
    said = []
    monkeypatch.setattr(gr, "Warning", lambda text, title: said.append(text))
    (tmp_path / "<b>.jpg").write_bytes(b"no photo")
    assert in_words(do.open, lambda text: [text])(str(tmp_path / "<b>.jpg"), (), *CONTROLS) == said
    assert said[0].startswith("cannot read &lt;b&gt;.jpg")
    visit = do.open(str(PHOTO), (), *CONTROLS)[0]
    assert in_words(do.paint)(visit, (), None, False, 1.0, 9.0, *CONTROLS[4:]) == gr.skip()
    assert "style scale" in said[1] and "style_scale" not in said[1]


# --- the server


@pytest.fixture(scope="module")
def address(model):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serve, "MAX_UPLOAD", "1mb")
        with serve.serve(model) as address:
            yield address.rstrip("/")


def upload(address, size, **headers):
    """Sends a file as the page does; returns its path on the server."""
    body = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        + bytes(size)
        + b"\r\n--x--\r\n"
    )
    headers |= {"Content-Type": "multipart/form-data; boundary=x"}
    with urlopen(Request(f"{address}/gradio_api/upload", body, headers), timeout=60) as answer:
        return Path(json.load(answer)[0])


def test_the_page_is_for_this_machine_alone(address):
    assert urlparse(address).hostname == "127.0.0.1"
    with urlopen(address, timeout=60) as answer:
        policy, page = answer.headers["Content-Security-Policy"], answer.read().decode()
    assert policy.startswith("default-src 'self'") and "http" not in policy
    assert '"analytics_enabled":false' in page and "fonts.googleapis" not in page
    with pytest.raises(HTTPError, match="400"):  # another site's name that was made to lead here
        urlopen(Request(address, headers={"Host": "example.org"}), timeout=60)


def test_uploads_are_bounded(address):
    assert upload(address, 1000).exists()
    with pytest.raises(HTTPError, match="413"):
        upload(address, 2_000_000)


def test_files_are_deleted_after_a_while_and_at_the_end(model):
    with serve.serve(model, seconds_kept=1) as address:
        path = upload(address.rstrip("/"), 1000)
        folder = next(parent for parent in path.parents if parent.name.startswith("emojax-web-"))
        end = time.monotonic() + PATIENCE
        while path.exists() and time.monotonic() < end:
            time.sleep(0.1)
        assert not path.exists() and folder.exists()
    assert not folder.exists()


@pytest.mark.parametrize("port", ["0", "70000", "-1"])
def test_a_wrong_port(port, capsys):
    assert main(["web", f"--port={port}"]) == 2
    assert f"--port {port}: it is 1 to 65535" in capsys.readouterr().err


def test_a_port_that_is_taken(model, address):
    with pytest.raises(InputError, match="choose another `port`"), serve.serve(model, urlparse(address).port):
        pass


def test_without_gradio_the_command_says_how_to_get_it(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(InputError, match=r"pip install 'emojax\[web\]'"), serve.serve(model):
        pass


def test_ctrl_c_while_photos_are_painted():
    """Python aborts when threads return from compiled code to an interpreter that shuts down: exit code -6."""
    program = """
import sys, threading
import jax, jax.numpy as jnp
from emojax.cli.main import main

work, matrix = jax.jit(lambda x: (x @ x).sum()), jnp.ones((1500, 1500))

def paint():
    while True:
        float(work(matrix))

for _ in range(2):
    threading.Thread(target=paint, daemon=True).start()
sys.exit(main(["web", "--no-browser"]))
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr.readline().startswith("emojax: http://127.0.0.1:")
        server.send_signal(signal.SIGINT)
        assert (server.stderr.read(), server.wait()) == ("", 0)
