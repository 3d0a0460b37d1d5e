"""The page that paints in a browser, in headless Chromium: what it paints, where from, and that it asks nobody else."""

import base64
import functools
import http.server
import io
import json
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import emojax
from emojax.cli.export import export as main
from emojax.errors import EmojaxError
from emojax.export.site import RUNTIMES, find_runtime

ROOT = Path(__file__).resolve().parent.parent
PHOTO = ROOT / "examples" / "astronaut.jpg"
PATIENCE = 300  # seconds, for a machine that does other things, too

pytest.importorskip("onnx", reason="pip install 'emojax[onnx]'")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    try:
        runtime = find_runtime()
    except EmojaxError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("site")
    assert main(["--format", "web", "--output", str(folder), "--onnxruntime-web", str(runtime)]) == 0
    return folder


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def end_headers(self):  # which allow threads
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()


@pytest.fixture(scope="module")
def host(site):
    """The site's address on a static host."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()


@pytest.fixture
def browser(tmp_path):
    webdriver = pytest.importorskip("selenium.webdriver", reason="pip install selenium")
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not (binary and driver):
        pytest.skip("no Chromium with its driver: on Debian and Ubuntu apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (
        *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"),
        *("disable-component-update", "disable-sync", "use-fake-device-for-media-stream"),
        *("use-fake-ui-for-media-stream", f"user-data-dir={tmp_path / 'profile'}", "window-size=1280,900"),
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        yield found
    finally:
        found.quit()


def wait_for(browser, state):
    end, found = time.monotonic() + PATIENCE, ""
    while time.monotonic() < end:
        found = browser.execute_script("return document.body.dataset.state")
        if found in (state, "failed"):
            break
        time.sleep(0.1)
    assert found == state, browser.execute_script("return document.getElementById('status').textContent")


def open_photo(browser, address, path=PHOTO):
    """Opens the page, and then a photo."""
    browser.get(address)
    wait_for(browser, "done")
    browser.execute_script("document.body.dataset.state = 'given'")
    browser.find_element("id", "file").send_keys(str(path))
    wait_for(browser, "done")


def picture(browser, name):
    url = browser.execute_script("return document.getElementById(arguments[0]).toDataURL()", name)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB"))


def change(browser, script):
    browser.execute_script(f"document.body.dataset.state = 'given'; {script}")
    wait_for(browser, "done")


def requests(browser):
    """The addresses that the page asked for; the browser's own first page is left out."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
    return {params["request"]["url"] for params in sent if not params["documentURL"].startswith("chrome:")}


def most_different(a, b):
    return np.abs(a.astype(int) - b).max()


@pytest.mark.slow
@pytest.mark.parametrize("place", ["disk", "host"])
def test_the_page_paints_what_python_paints(place, site, host, browser, optimized):
    open_photo(browser, {"disk": (site / "index.html").as_uri(), "host": host}[place])
    photo = np.asarray(Image.open(PHOTO))
    assert most_different(picture(browser, "photo"), photo) <= 1
    model = emojax.load()

    def python(emotion, strength=1.0):  # the page does not look for faces
        return np.asarray(model(PHOTO, emotion=emotion, strength=strength, face_strength=1.0).image)

    assert most_different(picture(browser, "painting"), python("happy")) <= 2
    change(browser, "document.querySelector('[data-style=sad] button').click()")
    assert most_different(picture(browser, "painting"), python("sad")) <= 2
    mix = "const s = document.querySelector('[data-style=fear] input'); s.value = 50; s.onchange()"
    change(browser, mix)
    expected = python({"sad": 2, "fear": 1})
    assert most_different(picture(browser, "painting"), expected) <= 2
    change(browser, "const s = document.getElementById('strength'); s.value = 40; s.onchange()")
    fainter = python({"sad": 2, "fear": 1}, 0.4)
    assert most_different(picture(browser, "painting"), fainter) <= 2
    assert most_different(fainter, expected) > 20
    threads = browser.find_element("id", "runtime").text
    assert "one thread" in threads if place == "disk" else "threads" in threads  # as many as the host allows
    start = browser.current_url.removesuffix("index.html")
    urls = requests(browser)
    assert start + "model.js" in urls
    assert not [url for url in urls if not url.startswith((start, "blob:", "data:"))]
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.mark.slow
def test_the_webcam_is_painted_and_a_picture_taken(host, browser):
    browser.get(host)
    wait_for(browser, "done")
    browser.find_element("id", "camera").click()
    wait_for(browser, "live")
    live = picture(browser, "painting")
    assert max(live.shape) == 224 and live.std() > 10
    browser.find_element("id", "snap").click()
    wait_for(browser, "done")
    assert max(picture(browser, "painting").shape) == 512
    assert browser.execute_script("return live === null")


@pytest.mark.slow
def test_what_is_no_picture_is_told(host, browser, tmp_path):
    (tmp_path / "words.txt").write_text("no picture")
    browser.get(host)
    wait_for(browser, "done")
    browser.find_element("id", "file").send_keys(str(tmp_path / "words.txt"))
    wait_for(browser, "failed")
    assert "cannot read words.txt" in browser.find_element("id", "status").text
    browser.find_element("id", "file").send_keys(str(PHOTO))  # and the page goes on
    wait_for(browser, "done")


def test_files_are_replaced_only_by_force(site, capsys):
    argv = ["--format", "web", "--output", str(site), "--onnxruntime-web", str(find_runtime())]
    with pytest.raises(EmojaxError, match="`force`"):
        main(argv)
    (site / "of-mine.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in site.iterdir()}
    assert main([*argv, "--force"]) == 0
    assert {path.name: path.read_bytes() for path in site.iterdir()} == before
    assert "MIT" in before["LICENSES.txt"].decode() and "{version}" not in before["LICENSES.txt"].decode()


def test_the_package_is_found_here_further_up_or_where_it_is_said(tmp_path, monkeypatch):
    package = tmp_path / "node_modules" / "onnxruntime-web"
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    with pytest.raises(EmojaxError, match="npm install onnxruntime-web@"):
        find_runtime(inside)
    (package / "dist").mkdir(parents=True)
    (package / "package.json").write_text('{"version": "1.2.3"}')
    with pytest.raises(EmojaxError, match=r"lacks dist/ort\.wasm"):
        find_runtime()
    for name in (name for names in RUNTIMES.values() for name in names):
        (package / "dist" / name).touch()
    assert find_runtime() == find_runtime(package) == package
