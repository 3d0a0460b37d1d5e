"""`emojax web` in a headless Chromium, as a visitor uses it: nothing of it asks another host."""

import base64
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pytest
from PIL import Image

import emojax
from emojax.images import is_ours

pytest.importorskip("gradio", reason="pip install 'emojax[web]'")
webdriver = pytest.importorskip("selenium.webdriver", reason="pip install selenium")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if not (CHROMIUM and DRIVER):
    pytest.skip("no Chromium: apt-get install chromium chromium-driver", allow_module_level=True)
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
PHOTO = ROOT / "examples" / "astronaut.jpg"
PATIENCE = 300  # seconds, on a busy machine
# The command, with a record of every address that the process asks for.
SERVER = """
import sys
log = open(sys.argv[1], "a", buffering=1)
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        log.write(f"{event} {arguments[1 if event == 'socket.connect' else 0]!r}\\n")
sys.addaudithook(hook)
from emojax.cli.main import main
sys.exit(main(["web", "--no-browser"]))
"""


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """The record of what the server asks for."""
    return tmp_path_factory.mktemp("server") / "asked.txt"


@pytest.fixture(scope="module")
def address(asked):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_NUMPY_RANK_PROMOTION": "allow"}
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(asked)], env=environment, stderr=subprocess.PIPE, text=True
    )
    line = server.stderr.readline()
    assert line.startswith("emojax: http://127.0.0.1:"), line + server.stderr.read()
    yield line.split()[1]
    server.send_signal(signal.SIGINT)
    assert server.wait(60) == 0


@pytest.fixture
def browser(tmp_path):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"),
        *("disable-component-update", "disable-sync", "use-fake-device-for-media-stream"),
        *("use-fake-ui-for-media-stream", f"user-data-dir={tmp_path / 'profile'}", "window-size=1280,1250"),
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    found = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        downloads = {"behavior": "allow", "downloadPath": str(tmp_path / "downloads")}
        found.execute_cdp_cmd("Browser.setDownloadBehavior", downloads)
        yield found
        assert hosts(found) == {"127.0.0.1"}  # fonts and scripts included
    finally:
        found.quit()


def hosts(browser):
    """The hosts that the pages asked for; the browser's own pages and what stands in an address itself are none."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]
    return {urlparse(url).hostname for url in urls if urlparse(url).scheme not in ("chrome", "data", "blob")}


def until(found, what):
    """Waits until a function returns something true, and returns it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if result := found():
            return result
        time.sleep(0.1)
    raise AssertionError(f"waited {PATIENCE} s for {what}")


def all_of(browser, selector):
    return browser.find_elements("css selector", selector)


def said(browser):
    return browser.execute_script("return document.querySelector('#said')?.innerText ?? ''")


def drop(browser, selector, path):
    until(lambda: all_of(browser, f"{selector} input[type=file]"), selector)[0].send_keys(str(path))


def before_and_after(browser):
    """The two pictures of the slider, as [H, W, 3]."""
    script = """const done = arguments[0];
    Promise.all([...document.querySelectorAll('#after img')].map(async image => {
      const blob = await (await fetch(image.src)).blob();
      return new Promise(ready => {
        const reader = new FileReader(); reader.onload = () => ready(reader.result); reader.readAsDataURL(blob) })
    })).then(done)"""
    data = browser.execute_async_script(script)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")) for url in data]


def close(a, b):
    """Whether two pictures are the same, but for what two machines' programs and a JPEG make of them."""
    return a.shape == b.shape and np.abs(a.astype(int) - b).mean() < 4


def test_a_visit(address, asked, browser, tmp_path):
    model, photo = emojax.load(), np.asarray(Image.open(PHOTO))
    browser.get(address)
    drop(browser, "#photo", PHOTO)
    until(lambda: all_of(browser, "#seen .card"), "the faces")
    assert "happy" in said(browser)
    # a style
    until(
        lambda: ".webp" in all_of(browser, "#styles img")[0].get_attribute("src"),
        "styles",
    )
    browser.execute_script("document.querySelectorAll('#styles .thumbnail-item')[4].click()")
    until(lambda: "sad 100%" in said(browser), "sad")
    before, after = before_and_after(browser)
    assert close(before, photo) and close(after, np.asarray(model(PHOTO, emotion="sad").image))
    # a mood
    browser.execute_script(
        """const box = document.querySelector('#mood svg').getBoundingClientRect();
        const at = {bubbles: true, clientX: box.left + box.width * 0.852, clientY: box.top + box.height * 0.278};
        document.querySelector('#mood svg').dispatchEvent(new MouseEvent('click', at))"""
    )
    until(lambda: "happy 100%" in said(browser), "a mood")  # the click is at its point
    # a download
    browser.execute_script("document.querySelector('#save').click()")
    folder = tmp_path / "downloads"
    done = until(lambda: folder.exists() and [x for x in folder.iterdir() if x.suffix == ".jpg"], "a download")[0]
    assert done.name.startswith("astronaut.happy") and Image.open(done).size == (512, 512) and is_ours(done)
    # what the server itself asked for
    targets = [line.split(" ", 1) for line in asked.read_text().splitlines()]
    assert targets, "the hook has recorded that Gradio asks itself"
    assert all(any(host in target for host in ("127.0.0.1", "localhost", "'::1'")) for _, target in targets), targets


def test_two_visitors_do_not_mix_up(address, browser, tmp_path):
    Image.open(PHOTO).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "other.jpg", quality=95)
    photos = [PHOTO, tmp_path / "other.jpg"]
    browser.get(address)
    browser.switch_to.new_window("tab")
    browser.get(address)
    windows = browser.window_handles
    for window, photo in zip(windows, photos, strict=True):
        browser.switch_to.window(window)
        drop(browser, "#photo", photo)
    for index, window in enumerate(windows):
        browser.switch_to.window(window)
        until(lambda: all_of(browser, "#seen .card"), "the faces")
        script = "document.querySelectorAll('#styles .thumbnail-item')[arguments[0]].click()"
        until(lambda: len(all_of(browser, "#styles .thumbnail-item")) == 7, "the styles")
        browser.execute_script(script, 4 + index)
    for window, photo, style in zip(windows, photos, ("sad", "surprise"), strict=True):
        browser.switch_to.window(window)
        until(lambda style=style: f"{style} 100%" in said(browser), style)
        assert close(before_and_after(browser)[0], np.asarray(Image.open(photo)))


def test_mistakes_are_told_in_words(address, browser, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photo")
    (tmp_path / "bad.pack").write_bytes(b"no style")
    browser.get(address)
    drop(browser, "#photo", tmp_path / "bad.jpg")
    until(lambda: "cannot read bad.jpg" in said(browser), "words")
    drop(browser, "#packs", tmp_path / "bad.pack")
    until(lambda: "the style file bad.pack" in "".join(x.text for x in all_of(browser, ".toast-body")), "words")


def test_the_webcam_is_painted(address, browser):
    browser.get(address)
    until(lambda: all_of(browser, "#photo input[type=file]"), "the page")
    browser.execute_script("[...document.querySelectorAll('[role=tab]')].find(x => x.innerText == 'Live').click()")
    for _ in ("allow", "start"):
        buttons = until(lambda: [x for x in all_of(browser, "#webcam button") if x.is_displayed()], "the webcam")
        buttons[0].click()
        time.sleep(2)
    frames = set()

    def another_frame():
        images = all_of(browser, "#live img")
        frames.update(image.get_attribute("src") for image in images)
        return len(frames) > 1

    until(another_frame, "two frames")
