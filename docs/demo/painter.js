// What computes: a worker with ONNX Runtime Web. Messages in and out are plain objects with an `id`.

let ort = null;
let provider = "wasm";
const sessions = new Map(); // address of a network -> its session
let bgr = new Uint8Array(0);

onmessage = async ({ data }) => {
  try {
    const [answer, moved] = await work[data.do](data);
    postMessage({ id: data.id, ...answer }, moved ?? []);
  } catch (error) {
    postMessage({ id: data.id, error: String(error?.message ?? error) });
  }
};

const work = {
  // Load the library: {provider, script, binary, threads}.
  async library(asked) {
    provider = asked.provider;
    ort = await import(asked.script);
    ort.env.logLevel = "error";
    ort.env.wasm.numThreads = asked.threads;
    ort.env.wasm.wasmBinary = await inflated(await fetched(asked.binary));
    return [{}];
  },

  // Make a network ready and paint the check frame with it: {network, check, frame, width, height}. The answer tells
  // how far the picture is from the one that was stored: a provider may be wrong and not know it.
  async network(asked) {
    if (!sessions.has(asked.network)) {
      const model = new Uint8Array(await inflated(await fetched(asked.network)));
      const options = { executionProviders: [provider], graphOptimizationLevel: "all" };
      sessions.set(asked.network, await ort.InferenceSession.create(model, options));
    }
    const frame = new Uint8Array(await inflated(await fetched(asked.frame)));
    const right = new Uint8Array(await inflated(await fetched(asked.check)));
    const painted = await run(asked.network, frame, asked.width, asked.height, 1);
    let worst = painted.length === right.length ? 0 : 255;
    let sum = 0;
    for (let i = 0; i < right.length; i++) {
      const off = Math.abs(right[i] - painted[i]);
      sum += off;
      if (off > worst) worst = off;
    }
    return [{ worst, mean: sum / right.length }];
  },

  // Paint one picture: {network, rgba, width, height, strength}; `rgba` is painted over and given back.
  async paint({ network, rgba, width, height, strength }) {
    const pixels = new Uint8Array(rgba);
    if (bgr.length !== width * height * 3) bgr = new Uint8Array(width * height * 3);
    for (let from = 0, to = 0; to < bgr.length; from += 4, to += 3) {
      bgr[to] = pixels[from + 2];
      bgr[to + 1] = pixels[from + 1];
      bgr[to + 2] = pixels[from];
    }
    const began = performance.now();
    const painted = await run(network, bgr, width, height, strength);
    const took_ms = performance.now() - began;
    for (let from = 0, to = 0; from < painted.length; from += 3, to += 4) {
      pixels[to] = painted[from + 2];
      pixels[to + 1] = painted[from + 1];
      pixels[to + 2] = painted[from];
      pixels[to + 3] = 255;
    }
    return [{ rgba, width, height, took_ms }, [rgba]];
  },
};

async function run(network, frame, width, height, strength) {
  const outputs = await sessions.get(network).run({
    frame: new ort.Tensor("uint8", frame, [1, height, width, 3]),
    strength: new ort.Tensor("float32", Float32Array.of(strength), [1]),
  });
  return await outputs.stylized.getData();
}

async function fetched(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address}: ${answer.status} ${answer.statusText}`);
  const parts = [];
  let length = 0;
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    length += value.length;
    postMessage({ loaded_bytes: value.length });
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole.buffer;
}

// Some servers unpack .gz on the way: its first two bytes tell.
async function inflated(buffer) {
  const [first, second] = new Uint8Array(buffer, 0, 2);
  if (first !== 0x1f || second !== 0x8b) return buffer;
  const unpacked = new Blob([buffer]).stream().pipeThrough(new DecompressionStream("gzip"));
  return await new Response(unpacked).arrayBuffer();
}
