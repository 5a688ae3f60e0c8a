// The page: a source, a worker that paints, a canvas. One frame is on its way at a time, and it is always the newest.

const $ = (name) => document.getElementById(name);
const wanted = new URLSearchParams(location.search).get("provider"); // wasm or webgpu, to try one of them
const SHORT_SIDES = [180, 240, 360, 480, 720]; // pixels, what Detail offers
const SMALLEST_SIDE = 64; // pixels, of the networks
const LONGEST_SIDE = 1920; // pixels, of a still picture
const TRUSTED_WORST = 24, TRUSTED_MEAN = 0.5; // levels of 255 that a provider may be off at the check frame

const view = $("view"), paper = view.getContext("2d");
const grab = document.createElement("canvas"), pen = grab.getContext("2d", { willReadFrequently: true });
const state = {
  site: null, painter: null, provider: "", why: "", threads: 1, style: null, network: null, source: null, mirror: true,
  busy: false, dirty: true, level: 1, loaded_bytes: 0, times_ms: [], judged_ms: 0,
};

class Painter {
  constructor() {
    this.worker = new Worker("painter.js", { type: "module" });
    this.waiting = new Map();
    this.next = 1;
    this.worker.onmessage = ({ data }) => {
      if (data.loaded_bytes) {
        state.loaded_bytes += data.loaded_bytes;
        showLoading();
        return;
      }
      const { resolve, reject } = this.waiting.get(data.id);
      this.waiting.delete(data.id);
      if (data.error) reject(new Error(data.error));
      else resolve(data);
    };
    this.worker.onerror = (event) => {
      event.preventDefault();
      for (const { reject } of this.waiting.values()) reject(new Error(event.message || "the worker could not start"));
      this.waiting.clear();
    };
  }

  ask(what, details, moved = []) {
    return new Promise((resolve, reject) => {
      const id = this.next++;
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, do: what, ...details }, moved);
    });
  }

  close() {
    this.worker.terminate();
  }
}

// ---- which provider ------------------------------------------------------------------------------------------------

async function whyNoWebGpu() {
  if (!state.site.library.webgpu) return "this site was made without WebGPU";
  if (wanted === "wasm") return "asked for by the address";
  if (!navigator.gpu) return isSecureContext ? "this browser has no WebGPU" : "WebGPU needs HTTPS";
  const adapter = await navigator.gpu.requestAdapter().catch(() => null);
  if (!adapter) return "WebGPU finds no graphics card here";
  const told = adapter.info ?? {};
  if ((told.isFallbackAdapter || /swiftshader|llvmpipe/i.test(`${told.description} ${told.architecture}`)) && wanted !== "webgpu")
    return "WebGPU is there in software only";
  return "";
}

async function start(provider, why) {
  state.painter?.close();
  state.painter = new Painter();
  state.provider = provider;
  state.why = why;
  state.threads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
  const { script, binary } = state.site.library[provider];
  const [scriptUrl, binaryUrl] = [script, binary].map((file) => new URL(file, location.href).href);
  await state.painter.ask("library", { provider, script: scriptUrl, binary: binaryUrl, threads: state.threads });
}

function networkOf(style) {
  const quality = $("quality").value;
  return quality === "auto" ? (state.provider === "webgpu" ? style.fine : style.fast) : style[quality];
}

// Open a style. A provider that cannot, or paints the check frame otherwise than Python did, is given up for wasm.
async function take(style) {
  const asked = (state.asked = style); // a second click may come while the first still loads
  const network = networkOf(style);
  showLoading(`Loading ${style.title} ...`);
  const { width, height, frame } = state.site.check;
  try {
    const found = await state.painter.ask("network", { network: network.file, check: network.check, frame, width, height });
    if (found.worst > TRUSTED_WORST || found.mean > TRUSTED_MEAN)
      throw new Error(`its check picture is wrong by up to ${found.worst} of 255`);
    if (state.asked !== asked) return;
    state.style = style;
    state.network = network;
  } catch (error) {
    if (state.asked !== asked) return;
    if (state.provider === "wasm") throw new Error(`${style.title} cannot be painted here: ${error.message}`);
    await start("wasm", `WebGPU is not used: ${error.message}`);
    return take(style);
  }
  forgetTimes();
  state.dirty = true;
  if (state.site) say("");
  for (const tile of $("styles").children) tile.setAttribute("aria-checked", String(tile.dataset.name === style.name));
  showProvider();
}

// ---- sources -------------------------------------------------------------------------------------------------------

function use(source) {
  state.source?.close();
  state.source = source;
  state.dirty = true;
  state.mirror = source.kind === "camera" && $("mirror").dataset.off !== "1";
  for (const kind of ["camera", "sample"]) $(kind).setAttribute("aria-pressed", String(kind === source.kind));
  $("mirror").setAttribute("aria-pressed", String(state.mirror));
  forgetTimes();
}

const CAMERA_WORDS = {
  NotAllowedError: "The camera was not allowed. Allow it for this page (the sign beside the address), then press Camera again.",
  NotFoundError: "No camera was found. Plug one in and press Camera again, or take a file or the sample.",
  NotReadableError: "The camera is there, but another program uses it. Close that program and press Camera again.",
  OverconstrainedError: "The camera cannot give a picture of a usual size. Take another camera.",
};

async function useCamera() {
  if (!navigator.mediaDevices?.getUserMedia) {
    say(isSecureContext
      ? "This browser gives pages no camera. Take another browser, a file, or the sample."
      : "Browsers give a camera only to pages that come by HTTPS (or from localhost). Open this page by https://, or take a file or the sample.");
    return;
  }
  say("Waiting for the camera: the browser asks whether this page may use it.");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: false, video: { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 720 } },
    });
  } catch (error) {
    say(CAMERA_WORDS[error.name] ?? `The camera cannot be opened: ${error.message || error.name}.`);
    return;
  }
  const video = playing();
  video.srcObject = stream;
  const lost = () => state.source?.stream === stream && say("The camera was lost. Plug it in and press Camera again.");
  for (const track of stream.getTracks()) track.addEventListener("ended", lost);
  await video.play();
  use({
    kind: "camera", picture: video, stream, still: false, size: () => [video.videoWidth, video.videoHeight],
    close: () => stream.getTracks().forEach((track) => track.stop()),
  });
  say("");
}

async function useFile(file) {
  const address = URL.createObjectURL(file);
  const close = () => URL.revokeObjectURL(address);
  try {
    if (file.type.startsWith("video/")) {
      const video = playing();
      video.loop = true;
      video.src = address;
      await video.play();
      use({ kind: "file", picture: video, still: false, size: () => [video.videoWidth, video.videoHeight],
        close: () => { video.pause(); close(); } });
    } else {
      const picture = new Image();
      picture.src = address;
      await picture.decode();
      use({ kind: "file", picture, still: true, size: () => [picture.naturalWidth, picture.naturalHeight], close });
    }
    say("");
  } catch {
    close();
    say(`${file.name} cannot be shown by this browser. Take a JPEG, PNG or WebP picture, or an MP4 or WebM video.`);
  }
}

// The sample is a photo that the eye wanders over.
async function useSample() {
  const picture = new Image();
  picture.src = state.site.sample;
  await picture.decode();
  const began = performance.now();
  use({
    kind: "sample", picture, still: false, size: () => [1280, 720], close: () => {},
    window: () => {
      const turn = (performance.now() - began) / 9000;
      const width = picture.naturalWidth * (0.8 + 0.18 * Math.cos(turn * 2.1));
      const height = (width * 9) / 16;
      const left = (picture.naturalWidth - width) * (0.5 + 0.4 * Math.sin(turn * 1.3));
      const top = (picture.naturalHeight - height) * (0.12 + 0.12 * Math.sin(turn));
      return [left, top, width, height];
    },
  });
}

function playing() {
  const video = document.createElement("video");
  video.muted = video.playsInline = true;
  return video;
}

// ---- frame after frame ---------------------------------------------------------------------------------------------

function sizeOf(source) {
  const [width, height] = source.size();
  const shortest = Math.min(width, height), longest = Math.max(width, height);
  const side = Number($("detail").value) || (source.still ? shortest : SHORT_SIDES[state.level]);
  const scale = Math.max(Math.min(side / shortest, 1, source.still ? LONGEST_SIDE / longest : 1), 0);
  return [width, height].map((length) => Math.max(SMALLEST_SIDE, Math.round(length * scale)));
}

async function step() {
  requestAnimationFrame(step);
  const { source, network, style, provider } = state;
  if (state.busy || !source || !network || !source.size()[0] || (source.still && !state.dirty)) return;
  state.busy = true;
  state.dirty = false;
  const began = performance.now();
  const [width, height] = sizeOf(source);
  if (grab.width !== width || grab.height !== height) [grab.width, grab.height] = [width, height];
  pen.setTransform(state.mirror ? -1 : 1, 0, 0, 1, state.mirror ? width : 0, 0);
  if (source.still) { pen.fillStyle = "#fff"; pen.fillRect(0, 0, width, height); } // what is transparent is shown over white
  pen.drawImage(source.picture, ...(source.window?.() ?? []), 0, 0, width, height);
  const { buffer } = pen.getImageData(0, 0, width, height).data;
  try {
    const details = { network: network.file, rgba: buffer, width, height, strength: $("strength").value / 100 };
    const painted = await state.painter.ask("paint", details, [buffer]);
    if (view.width !== width || view.height !== height) [view.width, view.height] = [width, height];
    paper.putImageData(new ImageData(new Uint8ClampedArray(painted.rgba), width, height), 0, 0);
    view.dataset.frames = Number(view.dataset.frames ?? 0) + 1;
    view.dataset.painted = `${style.name} ${network.quality} ${provider} ${details.strength}`;
    count(began, painted.took_ms, source);
  } catch (error) {
    if (state.network === network) await failed(error);
  }
  state.busy = false;
}

// A provider that fails in the middle, as where a graphics card is taken away, is given up too.
async function failed(error) {
  const style = state.style;
  state.network = null;
  if (state.provider === "wasm") {
    const small = Math.max(0, state.level - 1);
    say(`Painting failed: ${error.message}. Choose a smaller Detail, and the painting again.`);
    state.level = small;
    return;
  }
  await guarded(async () => {
    await start("wasm", `WebGPU failed: ${error.message}`);
    await take(style);
  });
}

function forgetTimes() {
  state.times_ms = [];
  state.judged_ms = performance.now();
}

function count(began_ms, took_ms, source) {
  const now = performance.now();
  state.times_ms.push(now);
  while (now - state.times_ms[0] > 3000) state.times_ms.shift();
  const spans = state.times_ms.length - 1;
  const fps = spans > 0 ? (1000 * spans) / (now - state.times_ms[0]) : 0;
  const rate = source.still ? `${Math.round(took_ms)} ms` : `${fps.toFixed(1)} FPS, ${Math.round(now - began_ms)} ms`;
  $("figures").textContent = `${view.width}x${view.height}, ${rate}`;
  $("figures").dataset.fps = fps.toFixed(2);
  $("figures").dataset.took = took_ms.toFixed(2);
  if (source.still || Number($("detail").value) || now - state.judged_ms < 2500 || spans < 4) return;
  const before = state.level;
  if (fps < 12 && state.level > 0) state.level--;
  else if (fps > 27 && took_ms < 16 && state.level < SHORT_SIDES.length - 1) state.level++;
  if (state.level !== before) forgetTimes();
  else state.judged_ms = now;
}

// ---- what is said --------------------------------------------------------------------------------------------------

function say(text) {
  $("message").textContent = text;
  $("message").className = view.dataset.frames ? "note" : "";
}

function showLoading(text) {
  if (text) state.loading = text;
  if (state.asked && state.asked !== state.style || !state.network)
    say(`${state.loading ?? "Loading"} ${(state.loaded_bytes / 1e6).toFixed(1)} MB`);
}

function showProvider() {
  const threads = state.threads === 1 ? "one thread" : `${state.threads} threads`;
  const name = state.provider === "webgpu" ? "WebGPU" : `WebAssembly, ${threads}`;
  const sizes = `${(state.loaded_bytes / 1e6).toFixed(1)} MB loaded so far, at most ${(state.site.most_bytes / 1e6).toFixed(1)} MB`;
  $("provider").textContent = `${name}${state.why ? ` (${state.why})` : ""}; network: ${state.network.preset}; ${sizes}.`;
  $("provider").dataset.provider = state.provider;
}

// ---- buttons -------------------------------------------------------------------------------------------------------

function toggleFull() {
  const stage = $("stage");
  if (document.fullscreenElement) document.exitFullscreen();
  else if (stage.classList.contains("filled")) stage.classList.remove("filled");
  else if (stage.requestFullscreen) stage.requestFullscreen().catch(() => stage.classList.add("filled"));
  else stage.classList.add("filled"); // an iPhone
}

function save() {
  if (!view.dataset.frames) return;
  view.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${state.style.name}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }, "image/png");
}

function tile(style) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.name = style.name;
  button.setAttribute("role", "radio");
  button.setAttribute("aria-checked", "false");
  const picture = new Image();
  picture.src = style.picture;
  picture.alt = "";
  const words = document.createElement("span"), small = document.createElement("small");
  small.textContent = [style.artist, style.year].filter(Boolean).join(", ");
  words.append(style.title, small);
  button.append(picture, words);
  button.onclick = () => guarded(() => take(style));
  return button;
}

async function guarded(doing) {
  try {
    await doing();
  } catch (error) {
    say(error.message);
  }
}

function listen() {
  $("camera").onclick = () => guarded(useCamera);
  $("sample").onclick = () => guarded(useSample);
  $("open").onclick = () => $("file").click();
  $("file").onchange = () => {
    const [file] = $("file").files;
    if (file) guarded(() => useFile(file));
    $("file").value = "";
  };
  $("mirror").onclick = () => {
    state.mirror = !state.mirror;
    state.dirty = true;
    $("mirror").dataset.off = state.mirror ? "" : "1";
    $("mirror").setAttribute("aria-pressed", String(state.mirror));
  };
  $("full").onclick = toggleFull;
  $("save").onclick = save;
  $("strength").oninput = () => {
    $("percent").textContent = `${$("strength").value} %`;
    state.dirty = true;
  };
  $("detail").onchange = () => {
    state.dirty = true;
    forgetTimes();
  };
  $("quality").onchange = () => state.style && guarded(() => take(state.style));
  $("stage").ondblclick = toggleFull;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
    if (event.key === "f") toggleFull();
    if (event.key === "s") save();
    if (event.key === "Escape") $("stage").classList.remove("filled");
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) guarded(() => useFile(file));
  });
}

async function main() {
  if (typeof WebAssembly !== "object" || typeof DecompressionStream !== "function")
    throw new Error("This browser is too old to paint: Chrome or Edge 89, Firefox 114, Safari 16.4 or later is wanted.");
  say("Loading ...");
  const answer = await fetch("site.json");
  if (!answer.ok) throw new Error(`This page is not whole: site.json is missing (${answer.status}).`);
  state.site = await answer.json();
  $("styles").replaceChildren(...state.site.styles.map(tile));
  listen();
  const why = await whyNoWebGpu();
  state.level = why ? 1 : 2;
  try {
    await start(why ? "wasm" : "webgpu", why);
  } catch (error) {
    if (why) throw new Error(`The library cannot be loaded: ${error.message}`);
    await start("wasm", `WebGPU is not used: ${error.message}`);
  }
  await useSample();
  step();
  await take(state.site.styles[0]);
}

guarded(main);
