// The remote's page: shows what the server tells, asks for what hands want. Nothing is kept here.
"use strict";

const $ = (id) => document.getElementById(id);
const HOLD_MS = 1500;
const RETRY_MS = [500, 1000, 2000, 4000];
const SILENT_MS = 8000; // the server tells its state every three seconds

let socket = null;
let tries = 0;
let heardAt = 0;
let playlist = null;
let sliding = false;
let slideTimer = null;
let closedByPage = false;

function say(words) { $("said").textContent = words; }

async function ask(path, body = {}) {
  try {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!answer.ok) { say(`That did not work (${answer.status}).`); return null; }
    const done = await answer.json();
    if (done.why) say(done.why);
    return done;
  } catch {
    say("That did not work: there is no connection.");
    return null;
  }
}

function connect() {
  if (document.hidden) return;
  closedByPage = false;
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const mine = new WebSocket(`${scheme}://${location.host}/api/live`);
  socket = mine;
  mine.binaryType = "blob";
  mine.onopen = () => { heardAt = Date.now(); mine.send("picture"); };
  mine.onmessage = async (event) => {
    heardAt = Date.now();
    tries = 0;
    lost(false);
    if (typeof event.data === "string") { tell(JSON.parse(event.data)); return; }
    await draw(event.data);
    if (mine.readyState === WebSocket.OPEN) mine.send("picture"); // the next one, now that this one is there
  };
  mine.onclose = () => {
    if (mine !== socket || closedByPage) return;
    lost(true);
    setTimeout(connect, RETRY_MS[Math.min(tries++, RETRY_MS.length - 1)]);
  };
}

function lost(is) {
  $("lost").hidden = !is;
  if (is) { $("state").dataset.well = "false"; $("headline").textContent = "No connection"; }
}

setInterval(() => {
  if (socket && socket.readyState === WebSocket.OPEN && Date.now() - heardAt > SILENT_MS) socket.close();
}, 2000);

document.addEventListener("visibilitychange", () => {
  if (document.hidden) { // nobody looks: no pictures are sent
    closedByPage = true;
    if (socket) socket.close();
  } else if (closedByPage) { connect(); }
});

async function draw(blob) {
  const picture = await createImageBitmap(blob).catch(() => null);
  if (!picture) return;
  const canvas = $("preview");
  if (canvas.width !== picture.width || canvas.height !== picture.height) {
    canvas.width = picture.width;
    canvas.height = picture.height;
  }
  canvas.getContext("2d").drawImage(picture, 0, 0);
  picture.close();
}

function set(id, text) { if ($(id).textContent !== text) $(id).textContent = text; }

function tell(state) {
  if (state.starting) {
    set("headline", "The show is about to begin ...");
    $("state").dataset.well = "unknown";
    playlist = null;
    return;
  }
  set("title", state.title);
  document.title = `${state.title}: remote`;
  set("headline", state.headline);
  $("state").dataset.well = String(state.is_well);
  const problem = state.settings_problem || (state.outputs.find((output) => output.problem) || {}).problem || "";
  $("problem").hidden = !problem;
  set("problem", problem);
  set("now", state.scene_title);
  $("preview").setAttribute("aria-label", `Live picture of the mirror: ${state.scene_title}`);
  if (!sliding) {
    $("strength").value = Math.round(state.strength * 100);
    set("strength-value", `${Math.round(state.strength * 100)} %`);
  }
  press("hold", state.held);
  press("black", state.black);
  press("colours", state.keep_colours);
  const busy = state.photo === "countdown" || state.photo === "painting";
  $("photo").disabled = !state.photo_allowed || busy;
  set("photo", state.photo === "countdown" ? "Smile ..." : state.photo === "painting" ? "Painting ..." : "Photo");
  $("send").hidden = !state.paintings_allowed;
  cameras(state);
  figures(state);
  if (playlist !== state.playlist) { playlist = state.playlist; tiles(state.scene); }
  for (const button of document.querySelectorAll("#tiles button")) {
    if (button.dataset.key === state.scene) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
}

function press(id, on) { $(id).setAttribute("aria-pressed", String(on)); }

function cameras(state) {
  $("cameras").hidden = state.cameras.length < 2;
  const select = $("camera");
  const known = JSON.stringify(state.cameras);
  if (select.dataset.known !== known) {
    select.dataset.known = known;
    select.replaceChildren(...state.cameras.map((name, index) => new Option(name, index)));
  }
  if (document.activeElement !== select) select.value = state.camera_index;
}

function figures(state) {
  const rows = [
    ["Frames a second", state.fps.toFixed(1)],
    ["Latency", `${state.latency_ms.toFixed(0)} ms`],
    ["Quality", state.quality],
    ["Painted frames", state.frames.toLocaleString()],
    ["Changes", state.switches.toLocaleString()],
    ["Photos", state.photos.toLocaleString()],
    ["Camera lost", `${state.camera_losses} times`],
    ["Engine failed", `${state.engine_failures} times`],
    ["Memory", `${state.memory_mb.toFixed(0)} MB`],
  ];
  if (state.temperature_c !== null) rows.push(["Temperature", `${state.temperature_c.toFixed(0)} °C`]);
  for (const output of state.outputs) {
    rows.push([output.name, `${output.written} written, ${output.dropped} left out`]);
  }
  const list = $("figures");
  if (!list.closest("details").open) return;
  list.replaceChildren(...rows.flatMap(([name, value]) => {
    const dt = document.createElement("dt");
    const dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = value;
    return [dt, dd];
  }));
}

async function tiles(current) {
  let scenes;
  try {
    const answer = await fetch("/api/scenes");
    if (!answer.ok) throw new Error(String(answer.status));
    scenes = await answer.json();
  } catch { playlist = null; return; }
  $("tiles").replaceChildren(...scenes.map((scene) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.key = scene.key;
    if (scene.key === current) button.setAttribute("aria-current", "true");
    const thumb = document.createElement(scene.has_picture ? "img" : "span");
    thumb.className = "thumb";
    if (scene.has_picture) {
      thumb.alt = "";
      thumb.loading = "lazy";
      thumb.src = `/api/scenes/${encodeURIComponent(scene.key)}/picture`;
    }
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = scene.artist ? `${scene.title}, ${scene.artist}` : scene.title;
    button.append(thumb, name);
    button.addEventListener("click", () => ask("/api/show", { key: scene.key }));
    item.append(button);
    return item;
  }));
}

for (const name of ["next", "previous", "photo"]) $(name).addEventListener("click", () => ask(`/api/${name}`));
for (const name of ["hold", "black"]) {
  $(name).addEventListener("click", () => ask(`/api/${name}`, { on: $(name).getAttribute("aria-pressed") !== "true" }));
}
$("colours").addEventListener("click", () =>
  ask("/api/look", { keep_colours: $("colours").getAttribute("aria-pressed") !== "true" }));
$("camera").addEventListener("change", () => ask("/api/camera", { index: Number($("camera").value) }));
$("strength").addEventListener("input", () => {
  sliding = true;
  set("strength-value", `${$("strength").value} %`);
  clearTimeout(slideTimer);
  slideTimer = setTimeout(async () => {
    await ask("/api/look", { strength: Number($("strength").value) / 100 });
    setTimeout(() => { sliding = false; }, 700);
  }, 80);
});
$("file").addEventListener("change", async () => {
  const file = $("file").files[0];
  if (!file) return;
  say("The painting is being sent.");
  try {
    const answer = await fetch("/api/paintings", { method: "POST", headers: { "content-type": file.type }, body: file });
    say(answer.ok ? "The painting hangs." : (await answer.json()).detail || "That did not work.");
  } catch { say("That did not work: there is no connection."); }
  $("file").value = "";
});

{ // the restart behind a hold, with a finger or a key
  const button = $("restart");
  let timer = null;
  const begin = () => {
    if (timer !== null) return;
    button.classList.add("held");
    timer = setTimeout(() => { end(); ask("/api/restart"); say("The show restarts."); }, HOLD_MS);
  };
  const end = () => { clearTimeout(timer); timer = null; button.classList.remove("held"); };
  button.addEventListener("pointerdown", begin);
  for (const name of ["pointerup", "pointerleave", "pointercancel", "keyup", "blur"]) button.addEventListener(name, end);
  button.addEventListener("keydown", (event) => {
    if ((event.key === "Enter" || event.key === " ") && !event.repeat) begin();
    if (event.key === "Enter" || event.key === " ") event.preventDefault();
  });
  button.addEventListener("contextmenu", (event) => event.preventDefault());
}

document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, button, summary, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "ArrowRight") ask("/api/next");
  if (event.key === "ArrowLeft") ask("/api/previous");
});

connect();
