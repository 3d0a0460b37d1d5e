"use strict";

const at = (id) => document.getElementById(id);
const PREVIEW = 160; // pixels; the previews are one batch of squares
const LIVE = { webgpu: 480, wasm: 224 }; // longest side of a webcam's pictures
const chosen = Object.fromEntries(SETTINGS.styles.map((style) => [style, style === SETTINGS.first ? 1 : 0]));
let painter;
let source = null; // {image, width, height, name}, as it was opened
let photo = null; // {pixels, width, height}: RGB, at the size that is painted
let wanted = 0; // counts what was asked for: what is late is not shown
let live = null; // the webcam's stream

function say(state, words = "") {
  document.body.dataset.state = state;
  at("status").textContent = words;
}

function fail(error) {
  console.error(error);
  const words = /out of memory|allocat|bad_alloc|RangeError/i.test(`${error.name} ${error.message}`)
    ? "The picture is too large for this browser: choose a smaller longest side."
    : `That did not work: ${error.message ?? error}`;
  say("failed", words);
}

// Pictures

/** RGB of an image, scaled to width x height. What is transparent becomes white. */
function pixelsOf(image, width, height, cut = null, mirrored = false) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  if (mirrored) context.setTransform(-1, 0, 0, 1, width, 0);
  context.drawImage(image, ...(cut ?? []), 0, 0, width, height);
  const rgba = context.getImageData(0, 0, width, height).data;
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    rgb[to++] = rgba[from];
    rgb[to++] = rgba[from + 1];
    rgb[to++] = rgba[from + 2];
  }
  return rgb;
}

function show(canvas, rgb, width, height) {
  const picture = new ImageData(width, height);
  picture.data.fill(255);
  for (let from = 0, to = 0; from < rgb.length; to += 4) {
    picture.data[to] = rgb[from++];
    picture.data[to + 1] = rgb[from++];
    picture.data[to + 2] = rgb[from++];
  }
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  if (canvas.id) at("picture").style.setProperty("--aspect", width / height);
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

/** width and height with this longest side, never larger than they are, and never below the network's least. */
function fit(width, height, longest) {
  const scale = Math.min(1, longest / Math.max(width, height));
  return [width, height].map((side) => Math.max(SETTINGS.minimum, Math.round(side * scale)));
}

// Styles

/** The row of weights: a strength below 1 is a share of the style "photo", where the network has it. */
function weightsOf(shares, strength = 1) {
  const sum = Object.values(shares).reduce((a, b) => a + b, 0) || 1;
  const share = (name) => {
    if (name === "photo" && SETTINGS.photoStyle) return 1 - strength;
    return ((shares[name] ?? 0) / sum) * (SETTINGS.photoStyle ? strength : 1);
  };
  return Float32Array.from(SETTINGS.columns, share);
}

const strengthNow = () => at("strength").valueAsNumber / 100;

/** Below half of the strength the painting fades into the photo, too; as `emojax --strength`. */
function faded(painted, original, strength) {
  const amount = SETTINGS.photoStyle ? Math.min(1, 2 * strength) : strength;
  if (amount >= 1) return painted;
  return painted.map((value, index) => Math.round(amount * value + (1 - amount) * original[index]));
}

function choose(style) {
  for (const name in chosen) chosen[name] = name === style ? 1 : 0;
  update();
}

function update() {
  const mixing = at("mixing").checked;
  at("styles").classList.toggle("mixing", mixing);
  for (const tile of at("styles").children) {
    const share = chosen[tile.dataset.style];
    tile.querySelector("button").setAttribute("aria-pressed", String(share > 0));
    tile.querySelector("input").value = share * 100;
  }
  at("strength-text").textContent = `${at("strength").value} %`;
  if (!live) repaint();
}

function makeTiles() {
  for (const style of SETTINGS.styles) {
    const tile = Object.assign(document.createElement("div"), { className: "style" });
    tile.dataset.style = style;
    const button = Object.assign(document.createElement("button"), { type: "button", title: style });
    button.append(Object.assign(document.createElement("canvas"), { width: PREVIEW, height: PREVIEW }));
    button.onclick = () => choose(style);
    const slider = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 100, ariaLabel: `share of ${style}` });
    slider.onchange = () => {
      chosen[style] = slider.valueAsNumber / 100;
      if (Object.values(chosen).every((share) => share === 0)) chosen[style] = 0.01; // something has to be painted
      update();
    };
    button.setAttribute("aria-label", style);
    tile.append(button, Object.assign(document.createElement("span"), { textContent: style }), slider);
    at("styles").append(tile);
  }
}

/** Every style's preview of the photo: its middle square, one batch. */
async function preview(image, width, height) {
  const [of, side] = [source, Math.min(width, height)];
  const square = pixelsOf(image, PREVIEW, PREVIEW, [(width - side) / 2, (height - side) / 2, side, side]);
  const count = SETTINGS.styles.length;
  const photos = new Uint8Array(count * square.length);
  const weights = new Float32Array(count * SETTINGS.columns.length);
  SETTINGS.styles.forEach((style, index) => {
    photos.set(square, index * square.length);
    weights.set(weightsOf({ [style]: 1 }), index * SETTINGS.columns.length);
  });
  const painted = await painter.call("paint", { photos, weights, count, height: PREVIEW, width: PREVIEW });
  if (of !== source) return;
  [...at("styles").querySelectorAll("canvas")].forEach((canvas, index) => {
    show(canvas, painted.subarray(index * square.length, (index + 1) * square.length), PREVIEW, PREVIEW);
  });
}

// Painting

/** Paints the photo as it is wished now. Of several wishes that come while one is painted, the last is painted next. */
async function repaint() {
  if (!source || !painter) return;
  const mine = ++wanted;
  say("painting", "Painting …");
  try {
    await painter.last.catch(() => {});
    if (mine !== wanted) return;
    const [width, height] = fit(source.width, source.height, Number(at("size").value));
    if (photo?.of !== source || photo.width !== width || photo.height !== height) {
      photo = { pixels: pixelsOf(source.image, width, height), width, height, of: source };
    }
    const { pixels } = photo;
    const [began, strength] = [performance.now(), strengthNow()];
    const values = { photos: pixels, weights: weightsOf(chosen, strength), count: 1, height, width };
    const painted = faded(await painter.call("paint", values), pixels, strength);
    if (mine !== wanted) return;
    show(at("photo"), pixels, width, height);
    show(at("painting"), painted, width, height);
    at("download").disabled = false;
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    say("done", `${width} × ${height} in ${seconds} s. Drag over the picture to see the photo.`);
  } catch (error) {
    if (mine === wanted) fail(error);
  }
}

async function open(image, width, height, name) {
  stopCamera();
  source?.image.close?.();
  source = { image, width, height, name };
  wanted++;
  split(0);
  await repaintAll();
}

/** The painting, and then every style's preview. */
async function repaintAll() {
  await repaint();
  if (document.body.dataset.state === "done") await preview(source.image, source.width, source.height).catch(fail);
}

async function openFile(file) {
  if (!file) return;
  if (!painter) return fail(new Error("the network is still loading: try again in a moment"));
  try {
    const image = await createImageBitmap(file, { imageOrientation: "from-image" });
    if (Math.min(image.width, image.height) < SETTINGS.minimum) {
      throw new Error(`a picture of ${image.width} × ${image.height} pixels is too small: ${SETTINGS.minimum} are needed`);
    }
    await open(image, image.width, image.height, file.name.replace(/\.[^.]*$/, "") || "photo");
  } catch (error) {
    const unreadable = error.name === "InvalidStateError" || error.name === "EncodingError";
    fail(unreadable ? new Error(`this browser cannot read ${file.name}; JPEG, PNG and WebP always work`) : error);
  }
}

function split(percent) {
  at("split").value = percent;
  at("picture").style.setProperty("--split", percent);
  at("before").hidden = percent < 8;
  at("after").hidden = percent > 92;
}

// Webcam

async function startCamera() {
  if (!painter) return;
  at("camera").disabled = true;
  try {
    if (!navigator.mediaDevices) throw new Error("the browser gives the webcam to pages from https, localhost or disk only");
    live = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, facingMode: "user" } });
  } catch (error) {
    const denied = error.name === "NotAllowedError" || error.name === "NotFoundError";
    return fail(denied ? new Error("no webcam, or the browser may not use it") : error);
  } finally {
    at("camera").disabled = false;
  }
  const video = Object.assign(document.createElement("video"), { srcObject: live, muted: true, playsInline: true });
  await video.play();
  wanted++;
  at("snap").hidden = false;
  at("camera").textContent = "Stop";
  at("picture").classList.add("live");
  at("download").disabled = true;
  at("snap").onclick = async () => {
    const still = new OffscreenCanvas(video.videoWidth, video.videoHeight);
    const context = still.getContext("2d");
    context.setTransform(-1, 0, 0, 1, still.width, 0);
    context.drawImage(video, 0, 0);
    await open(await createImageBitmap(still), still.width, still.height, "webcam");
  };
  const stream = live;
  try {
    for (let frames = 0; live === stream; frames++) await paintFrame(video, stream, frames);
  } catch (error) {
    stopCamera();
    fail(error);
  }
}

/** Paints what the webcam sees, mirrored, as people know themselves. */
async function paintFrame(video, stream, frames) {
  const [width, height] = fit(video.videoWidth, video.videoHeight, LIVE[painter.runtime]);
  const [began, strength] = [performance.now(), strengthNow()];
  const pixels = pixelsOf(video, width, height, null, true);
  const values = { photos: pixels, weights: weightsOf(chosen, strength), count: 1, height, width };
  const painted = faded(await painter.call("paint", values), pixels, strength);
  if (live !== stream) return;
  show(at("painting"), painted, width, height);
  say("live", `Live, ${(1000 / (performance.now() - began)).toFixed(1)} pictures a second at ${width} × ${height}`);
  if (frames % 40 === 1) await preview(video, video.videoWidth, video.videoHeight);
  await new Promise(requestAnimationFrame);
}

function stopCamera() {
  live?.getTracks().forEach((track) => track.stop());
  live = null;
  at("snap").hidden = true;
  at("camera").textContent = "Webcam";
  at("picture").classList.remove("live");
}

function toggleCamera() {
  if (!live) return startCamera();
  stopCamera();
  return repaintAll();
}

// What the visitor does

async function openExample() {
  const image = new Image();
  image.src = SETTINGS.example;
  await image.decode();
  await open(image, image.naturalWidth, image.naturalHeight, "astronaut");
}

function listen() {
  at("file").onchange = () => openFile(at("file").files[0]);
  at("camera").onclick = toggleCamera;
  at("size").onchange = at("mixing").onchange = update;
  at("strength").oninput = () => (at("strength-text").textContent = `${at("strength").value} %`);
  at("strength").onchange = update;
  at("split").oninput = () => split(at("split").valueAsNumber);
  at("download").onclick = () => {
    const styles = SETTINGS.styles.filter((style) => chosen[style] > 0).join("-");
    at("painting").toBlob((blob) => {
      const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: `${source.name}.${styles}.png` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    });
  };
  addEventListener("dragover", (event) => (event.preventDefault(), document.body.classList.add("dropping")));
  addEventListener("dragleave", (event) => event.relatedTarget ?? document.body.classList.remove("dropping"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    openFile(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => openFile(event.clipboardData.files[0]));
}

async function start() {
  say("starting", "Loading the network …");
  makeTiles();
  at("strength-line").hidden = !SETTINGS.photoStyle;
  listen();
  update();
  try {
    painter = await openPainter();
  } catch (error) {
    return fail(error);
  }
  at("size").value = painter.runtime === "webgpu" ? "1024" : "512";
  const threads = painter.threads > 1 ? `${painter.threads} threads` : "one thread";
  at("runtime").textContent = `emojax ${SETTINGS.version}, painting ${painter.runtime === "webgpu" ? "on the graphics card (WebGPU)" : `on the processor (WebAssembly, ${threads})`}`;
  await openExample();
}

start();
