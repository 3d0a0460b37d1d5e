"use strict";

const packed = {}; // files, gzipped and in base64; model.js and runtime-*.js put them here

/** Unpacks a file, and forgets the packed one. */
async function unpack(name) {
  const bytes = Uint8Array.from(atob(packed[name]), (character) => character.charCodeAt(0));
  delete packed[name];
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function loadScript(name) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = name;
    script.onload = resolve;
    script.onerror = () => reject(new Error(`${name} is missing beside this page`));
    document.head.append(script);
  });
}

/** What runs in a worker, so that the page never waits. Its text becomes a blob: from disk, no file can be a worker. */
function work() {
  let ort, session;

  async function open({ library, program, model, provider, threads }) {
    ort = await import(URL.createObjectURL(new Blob([library], { type: "text/javascript" })));
    ort.env.wasm.wasmBinary = program;
    ort.env.wasm.numThreads = threads;
    session = await ort.InferenceSession.create(model, { executionProviders: [provider], logSeverityLevel: 3 });
  }

  /** photos: RGB of all photos, one after the other; weights: a row of the network's styles for each. */
  async function paint({ photos, weights, count, height, width }) {
    const feeds = {
      photos: new ort.Tensor("uint8", photos, [count, height, width, 3]),
      weights: new ort.Tensor("float32", weights, [count, weights.length / count]),
    };
    const { stylized } = await session.run(feeds);
    const pixels = new Uint8Array(stylized.data);
    stylized.dispose();
    return pixels;
  }

  onmessage = async ({ data }) => {
    try {
      const result = await { open, paint }[data.task](data);
      postMessage({ result }, result ? [result.buffer] : []);
    } catch (error) {
      postMessage({ error: String(error?.message ?? error) });
    }
  };
}

/** The network in a worker: `call` tasks one after the other, and wait for each. */
class Painter {
  constructor() {
    const url = URL.createObjectURL(new Blob([`(${work})()`], { type: "text/javascript" }));
    this.worker = new Worker(url);
    this.last = Promise.resolve();
  }

  call(task, values, transfer = []) {
    const run = () =>
      new Promise((resolve, reject) => {
        this.worker.onmessage = ({ data }) => ("error" in data ? reject(new Error(data.error)) : resolve(data.result));
        this.worker.onerror = (event) => reject(new Error(event.message || "the worker did not start"));
        this.worker.postMessage({ task, ...values }, transfer);
      });
    return (this.last = this.last.then(run, run));
  }

  close() {
    this.worker.terminate();
  }
}

/** Whether the machine has a graphics card that WebGPU can use. */
async function hasGpu() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return Boolean(adapter) && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
}

/** Opens the network on "webgpu" or "wasm", and paints a small picture, as a trial. */
async function openOn(runtime, model) {
  await loadScript(`runtime-${runtime}.js`);
  const [library, program] = [await unpack("ort.mjs"), await unpack("ort.wasm")];
  const threads = self.crossOriginIsolated ? Math.min(8, navigator.hardwareConcurrency || 1) : 1; // as many as hosts allow
  const painter = new Painter();
  try {
    await painter.call("open", { library, program, model, provider: runtime, threads }, [program.buffer]);
    const [side, weights] = [32, new Float32Array(SETTINGS.columns.length).fill(1)];
    await painter.call("paint", { photos: new Uint8Array(side * side * 3), weights, count: 1, height: side, width: side });
  } catch (error) {
    painter.close();
    throw error;
  }
  return Object.assign(painter, { runtime, threads });
}

/** Opens the network on WebGPU where there is one, else, or where that fails, in WebAssembly. `?runtime=wasm` chooses. */
async function openPainter() {
  await loadScript("model.js");
  const model = await unpack("model.onnx");
  const asked = new URLSearchParams(location.search).get("runtime");
  if (asked === "webgpu" || (asked !== "wasm" && (await hasGpu()))) {
    try {
      return await openOn("webgpu", model);
    } catch (error) {
      console.warn("WebGPU:", error);
      if (asked) throw error;
    }
  }
  return openOn("wasm", model);
}
