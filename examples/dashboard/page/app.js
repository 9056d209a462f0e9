// The device page: signs in, draws what the WebSocket brings, and asks the JSON API for the rest.
"use strict";

const $ = id => document.getElementById(id);
const show = (id, text) => { if ($(id).textContent !== text) $(id).textContent = text; };
const make = (name, attributes) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) element.setAttribute(key, attributes[key]);
  return element;
};

const clock = (ms, seconds) => new Date(ms).toLocaleTimeString("en-GB", seconds ? {} :
  { hour: "2-digit", minute: "2-digit" });
const bytes = n => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  for (; n >= 1024 && i < 4; i++) n /= 1024;
  return (i && n < 100 ? n.toFixed(1) : Math.round(n)) + " " + units[i];
};
const count = n => n.toLocaleString("en-GB");

// Answers { status, data }; status 0: the device was not reached.
async function ask(method, path, body) {
  const options = { method, headers: {} };
  if (body instanceof URLSearchParams) {
    options.body = body;
  } else if (body) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  try {
    const answer = await fetch(path, options);
    const text = await answer.text();
    let data = {};
    try { data = JSON.parse(text); } catch (error) { data.error = text; }
    if (answer.status === 401) signedOut();
    return { status: answer.status, data };
  } catch (error) {
    return { status: 0, data: { error: "The device cannot be reached." } };
  }
}

// --- signing in and out ------------------------------------------------------------------------

function signedOut() {
  live.stop();
  $("app").hidden = true;
  $("login").hidden = false;
  $("password").focus();
}

async function signedIn() {
  $("login").hidden = true;
  $("app").hidden = false;
  await loadSettings();
  live.start();
}

$("login-form").onsubmit = async event => {
  event.preventDefault();
  const error = $("login-error");
  const button = event.submitter || $("login-form").querySelector("button");
  button.disabled = true;
  const answer = await ask("POST", "api/login", new URLSearchParams(new FormData(event.target)));
  error.textContent = answer.status === 200 ? "" : answer.data.error;
  $("password").setAttribute("aria-invalid", answer.status === 403);
  for (let wait = answer.data.wait_s || 0; wait > 0; wait--) {
    button.textContent = "Try again in " + wait + " s";
    await new Promise(done => setTimeout(done, 1000));
  }
  button.textContent = "Sign in";
  button.disabled = false;
  $("password").value = "";
  if (answer.status === 200) signedIn();
  else $("password").focus();
};

$("logout").onclick = async () => {
  await ask("POST", "api/logout");
  signedOut();
};

// --- charts ------------------------------------------------------------------------------------

// A step of 1, 2 or 5 times a power of ten, so that about `lines` of them make `range`.
function step(range, lines) {
  const power = 10 ** Math.floor(Math.log10(range / lines));
  return [1, 2, 5, 10].map(n => n * power).find(n => range / n <= lines);
}

class Chart {
  constructor(id, column, unit, options) {
    Object.assign(this, { column, unit, digits: 1, least: 4, marks: [] }, options);
    this.section = $(id);
    this.svg = this.section.querySelector("svg");
    this.now = this.section.querySelector(".now b");
    this.title = this.section.querySelector("h2").textContent;
    this.at = null;                       // the time a reader points at
    this.shade = make("linearGradient", { id: id + "-shade", x2: 0, y2: 1 });
    this.shade.append(make("stop", {}), make("stop", { offset: 1, "stop-opacity": 0 }));
    new ResizeObserver(() => this.draw()).observe(this.svg);
    this.svg.onpointermove = event => this.point(event.offsetX);
    this.svg.onpointerleave = () => this.point(null);
    this.svg.onblur = () => this.point(null);
    this.svg.onkeydown = event => {
      const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
      if (!move || !this.seen || !this.seen.length) return;
      event.preventDefault();
      const last = this.seen.length - 1;
      const from = this.at === null ? last : this.nearest(this.at);
      this.at = this.seen[Math.max(0, Math.min(last, from + move))].time;
      this.draw();
    };
  }

  point(x) {
    this.at = x === null ? null : this.from + (x - this.left) / this.width * this.span;
    this.draw();
  }

  nearest(time) {
    let best = 0;
    this.seen.forEach((sample, i) => {
      if (Math.abs(sample.time - time) < Math.abs(this.seen[best].time - time)) best = i;
    });
    return best;
  }

  // The values' range, a little widened, to even steps.
  scale(height) {
    if (this.range) return { low: this.range[0], high: this.range[1], by: this.range[2] };
    const values = this.seen.map(sample => sample.values[this.column]);
    for (const mark of this.marks) if (mark.always && mark.value) values.push(mark.value);
    let low = Math.min(...values);
    let high = Math.max(...values);
    const more = Math.max(this.least - (high - low), (high - low) / 5) / 2;
    low -= more;
    high += more;
    const by = step(high - low, Math.max(2, Math.floor(height / 50)));
    return { low: Math.floor(low / by) * by, high: Math.ceil(high / by) * by, by };
  }

  add(name, attributes, text) {
    const element = make(name, attributes);
    if (text !== undefined) element.textContent = text;
    this.svg.append(element);
    return element;
  }

  draw() {
    const box = this.svg.getBoundingClientRect();
    if (!samples.length || box.width < 80) return;
    const latest = samples[samples.length - 1];
    const bottom = box.height - 22;
    const top = 24;
    this.left = 38;
    this.width = box.width - this.left - 10;
    this.span = minutes * 60000;
    this.from = latest.time - this.span;
    this.seen = samples.filter(sample => sample.time >= this.from);
    const { low, high, by } = this.scale(bottom - top);
    const x = time => this.left + (time - this.from) / this.span * this.width;
    const y = value => bottom - (value - low) / (high - low) * (bottom - top);
    const written = value => value.toFixed(this.digits);

    this.svg.replaceChildren(this.shade);
    this.add("text", { x: this.left - 7, y: 11, "text-anchor": "end" }, this.unit);
    for (let value = low; value <= high + by / 100; value += by) {
      this.add("path", { class: "grid", d: `M${this.left} ${Math.round(y(value))}h${this.width}` });
      this.add("text", { x: this.left - 7, y: y(value) + 4, "text-anchor": "end" },
               by < 1 ? value.toFixed(1) : Math.round(value));
    }
    this.times(x, bottom);
    this.curve(x, y, bottom);
    for (const mark of this.marks) {
      if (!(mark.value > low && mark.value < high)) continue;
      this.add("path", { class: "mark " + mark.name,
                         d: `M${this.left} ${y(mark.value)}h${this.width}` });
      this.add("text", { class: "mark-text " + mark.name, x: this.left + 6,
                         y: y(mark.value) - 5 }, mark.name + " " + mark.value + " " + this.unit);
    }
    let sample = latest;
    if (this.at !== null) {
      sample = this.seen[this.nearest(this.at)];
      this.add("path", { class: "cursor", d: `M${x(sample.time)} ${top}V${bottom}` });
    }
    const value = sample.values[this.column];
    this.add("circle", { cx: x(sample.time), cy: y(value), r: 4.5 });
    this.now.textContent = written(value);
    this.now.nextSibling.textContent = " " + this.unit +
      (this.at === null ? "" : " at " + clock(sample.time, true));
    const values = this.seen.map(one => one.values[this.column]);
    this.svg.setAttribute("aria-label", `${this.title}: ${written(value)} ${this.unit} at ` +
      `${clock(sample.time)}; in ${minutes} minutes from ${written(Math.min(...values))} to ` +
      `${written(Math.max(...values))} ${this.unit}`);
  }

  // Round times under the chart.
  times(x, bottom) {
    const most = Math.floor(this.width / (minutes > 1 ? 62 : 76));
    const by = [10, 15, 20, 30, 60, 120, 180, 300].find(s => this.span / 1000 / s <= most) * 1000;
    const zone = new Date().getTimezoneOffset() * 60000;
    for (let time = Math.ceil((this.from - zone) / by) * by + zone; time <= this.from + this.span;
         time += by) {
      if (x(time) < this.left + 12 || x(time) > this.left + this.width - 18) continue;
      this.add("path", { class: "grid", d: `M${Math.round(x(time))} ${bottom}v5` });
      this.add("text", { x: x(time), y: bottom + 18, "text-anchor": "middle" },
               clock(time, minutes < 5));
    }
  }

  // A line over a shade; where measurements are missing it is broken.
  curve(x, y, bottom) {
    let line = "";
    let area = "";
    let last = null;
    for (const sample of this.seen) {
      const at = x(sample.time).toFixed(1);
      const broken = last !== null && sample.time - last > sample.gap;
      if (last === null || broken) {
        if (broken) area += `V${bottom}Z`;
        line += "M";
        area += `M${at} ${bottom}L`;
      } else {
        line += "L";
        area += "L";
      }
      line += at + " " + y(sample.values[this.column]).toFixed(1);
      area += at + " " + y(sample.values[this.column]).toFixed(1);
      last = sample.time;
    }
    this.add("path", { fill: `url(#${this.shade.id})`, d: area + `V${bottom}Z` });
    this.add("path", { class: "line", d: line });
  }
}

let samples = [];                         // { time, values, gap }, oldest first
let minutes = 10;
const target = { name: "target", value: NaN, always: true };
const alarm = { name: "alarm", value: NaN };
const charts = [
  new Chart("temperature", 0, "°C", { marks: [target, alarm] }),
  new Chart("humidity", 1, "%", { least: 8 }),
  new Chart("fan", 2, "%", { digits: 0, range: [0, 100, 50] }),
];
const draw = () => charts.forEach(chart => chart.draw());
document.querySelectorAll("[name=span]").forEach(input => {
  input.onchange = () => { minutes = Number(input.value); draw(); };
});

// --- live values -------------------------------------------------------------------------------

const live = {
  socket: null, timer: 0, silence: 0, tries: 0, on: false,

  start() {
    this.on = true;
    this.tries = 0;
    this.connect();
  },

  stop() {
    this.on = false;
    this.drop();
    logView.stop();
  },

  drop() {
    clearTimeout(this.timer);
    clearTimeout(this.silence);
    const socket = this.socket;
    this.socket = null;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
  },

  state(word, text) {
    $("state").dataset.state = word;
    show("state", text);
    $("app").classList.toggle("stale", word !== "live");
  },

  connect() {
    this.drop();
    const url = new URL("api/live", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    this.socket = new WebSocket(url);
    this.listen(10);
    this.socket.onopen = () => {
      this.tries = 0;
      samples = [];
      logView.start();
    };
    this.socket.onmessage = event => this.take(JSON.parse(event.data));
    this.socket.onclose = () => this.lost();
  },

  // A connection that says nothing for so long is dead, whatever the network thinks.
  listen(seconds) {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.lost(), seconds * 1000);
  },

  async lost() {
    this.drop();
    logView.stop();
    this.state("lost", "Reconnecting");
    const answer = await ask("GET", "api/session");
    if (!this.on) return;
    if (answer.status === 200 && !answer.data.signed_in) return signedOut();
    if (answer.data.busy) this.state("lost", "Too many viewers");
    this.timer = setTimeout(() => this.connect(), Math.min(500 * 2 ** this.tries++, 8000));
  },

  take(message) {
    if (message.samples) {
      const now = Date.now();
      for (const [age, ...values] of message.samples)
        samples.push({ time: now - age, values, gap: 3000 + 2500 * saved.interval });
      while (samples[0].time < now - 700000) samples.shift();
    }
    if (message.status) {
      showStatus(message.status);
      this.state("live", "Live");
    }
    this.listen(8);
    draw();
  },
};

const counters = { process: ["Process memory", bytes], bytes_out: ["Sent", bytes],
  bytes_in: ["Received", bytes], accepted: ["Connections accepted", count],
  evicted: ["Gave way to a newcomer", count], accept_failures: ["Accept failures", count],
  websockets: ["WebSockets", count], held: ["Open requests", count], forgotten: ["Not cleaned up", count] };
for (const key in counters) {
  const term = document.createElement("dt");
  const value = document.createElement("dd");
  term.textContent = counters[key][0];
  value.id = "stat-" + key;
  $("stats").append(term, value);
}

let uptime = 0;

function showStatus(s) {
  const two = n => String(Math.floor(n)).padStart(2, "0");
  const days = Math.floor(s.uptime_s / 86400);
  show("uptime", (days ? days + " d " : "") + two(s.uptime_s / 3600 % 24) + ":" +
       two(s.uptime_s / 60 % 60) + ":" + two(s.uptime_s % 60));
  show("since", "since " + new Date(Date.now() - s.uptime_s * 1000).toLocaleString("en-GB",
       { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }));
  show("connections", count(s.connections));
  show("slots", count(s.slots));
  $("connections-bar").style.width = 100 * s.connections / s.slots + "%";
  show("requests", count(s.requests));
  show("refused", count(s.refused));
  show("memory", bytes(s.memory));
  for (const key in counters) show("stat-" + key, counters[key][1](s[key]));
  if (s.uptime_s < uptime) {              // it has been restarted
    if ($("firmware-result").dataset.waits) result("firmware-result", "good", "Running again.");
    delete $("firmware-result").dataset.waits;
    revision = -1;
  }
  uptime = s.uptime_s;
  if (s.revision !== revision && !changed()) loadSettings();
}

// Back from sleep or a dead network: try at once.
addEventListener("online", () => { if (live.on && !live.socket) live.connect(); });
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && live.on && !live.socket) live.connect();
});

// --- the log, by Server-Sent Events ------------------------------------------------------------

const logView = {
  source: null, last: "",

  start() {
    this.stop();
    this.source = new EventSource("api/log?last=" + this.last);
    this.source.onmessage = event => this.add(event.lastEventId, JSON.parse(event.data));
  },

  stop() {
    if (this.source) this.source.close();
    this.source = null;
  },

  add(id, entry) {
    const list = $("log");
    const atEnd = list.scrollTop + list.clientHeight > list.scrollHeight - 30;
    const item = document.createElement("li");
    const part = (name, text) => {
      const element = document.createElement(name);
      element.textContent = text;
      item.append(element);
    };
    this.last = id;
    item.className = entry.level;
    part("time", clock(Date.now() - entry.age_ms, true));
    part("b", entry.level);
    part("span", entry.text);
    list.append(item);
    if (list.children.length > 300) list.firstChild.remove();
    if (atEnd) list.scrollTop = list.scrollHeight;
  },
};

$("warnings").onchange = event => $("log").classList.toggle("warnings", event.target.checked);

// --- settings ----------------------------------------------------------------------------------

const form = $("settings");
const fields = ["name", "target", "alarm", "fan", "interval", "log_requests"];
let saved = {};
let answered = null;                      // all of the last answer
let revision = -1;

function readForm() {
  const values = {};
  for (const name of fields) {
    const input = form.elements[name];
    values[name] = input.type === "checkbox" ? input.checked :
      input.type === "number" ? (input.value === "" ? null : Number(input.value)) : input.value;
  }
  return values;
}

const changed = () => fields.some(name => saved[name] !== readForm()[name]);

function result(id, word, text) {
  $(id).className = word;
  $(id).textContent = text;
}

function takeSettings(data) {
  saved = data.settings;
  answered = data;
  revision = data.revision;
  for (const name of fields) {
    const input = form.elements[name];
    if (input.type === "checkbox") input.checked = saved[name];
    else input.value = saved[name];
  }
  fieldErrors({});
  show("name", saved.name);
  document.title = saved.name;
  target.value = saved.target;
  alarm.value = saved.alarm;
  show("version", "Firmware " + data.firmware + " · uHTTP " + data.server);
  show("installed", data.firmware);
  imageMax = data.image_max;
  draw();
}

async function loadSettings() {
  const answer = await ask("GET", "api/settings");
  if (answer.status === 200) takeSettings(answer.data);
}

// Says at each field what is wrong with it, and goes to the first.
function fieldErrors(errors) {
  let first = null;
  for (const name of fields) {
    const input = form.elements[name];
    const text = $("error-" + name);
    if (!text) continue;
    input.setAttribute("aria-invalid", name in errors);
    text.textContent = errors[name] || "";
    if (name in errors) first = first || input;
  }
  if (first) first.focus();
}

form.onsubmit = async event => {
  event.preventDefault();
  const answer = await ask("PUT", "api/settings", readForm());
  if (answer.status === 200) {
    takeSettings(answer.data);
    result("settings-result", "good", "Saved");
  } else {
    result("settings-result", "bad", answer.data.error);
    fieldErrors(answer.data.fields || {});
  }
};

form.onreset = event => {
  event.preventDefault();
  if (answered) takeSettings(answered);
  result("settings-result", "", "");
};

form.oninput = () => result("settings-result", "", changed() ? "Not saved yet" : "");

// --- firmware ----------------------------------------------------------------------------------

let imageMax = 0;
let upload = null;

function choose() {
  const file = $("image").files[0];
  show("chosen", file ? file.name + ", " + bytes(file.size) : "up to " + bytes(imageMax));
  $("progress").hidden = true;
  $("digest").hidden = true;
  result("firmware-result", "", "");
}

$("image").onchange = choose;
$("drop").ondragover = event => { event.preventDefault(); $("drop").classList.add("over"); };
$("drop").ondragleave = () => $("drop").classList.remove("over");
$("drop").ondrop = event => {
  event.preventDefault();
  $("drop").classList.remove("over");
  if (upload) return;
  $("image").files = event.dataTransfer.files;
  choose();
};

// The digest the device must find; browsers compute one only over HTTPS, or on localhost.
async function digestOf(file) {
  if (!crypto.subtle) return "";
  const sum = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return Array.from(new Uint8Array(sum), byte => byte.toString(16).padStart(2, "0")).join("");
}

function uploading(on) {
  $("install").disabled = $("image").disabled = $("restart").disabled = on;
  $("cancel").hidden = !on;
  if (on) $("cancel").focus();
}

function uploadEnds(word, text, digest) {
  const focused = document.activeElement === $("cancel");
  uploading(false);
  upload = null;
  result("firmware-result", word, text);
  $("digest").hidden = !digest;
  $("digest").textContent = digest ? "SHA-256 " + digest : "";
  if (focused) $("install").focus();
}

$("firmware").onsubmit = async event => {
  event.preventDefault();
  const file = $("image").files[0];
  if (!file) return result("firmware-result", "bad", "Choose an image first.");
  if (file.size > imageMax)
    return result("firmware-result", "bad", "The image is larger than " + bytes(imageMax) + ".");
  result("firmware-result", "", "");
  const request = upload = new XMLHttpRequest();
  uploading(true);
  const digest = await digestOf(file);
  if (upload !== request) return;
  const begun = performance.now();
  $("bar").value = 0;
  $("progress").hidden = false;
  request.upload.onprogress = e => {
    const rate = e.loaded / Math.max(1, performance.now() - begun) * 1000;
    const left = Math.ceil((e.total - e.loaded) / rate);
    $("bar").value = e.loaded / e.total;
    show("done", Math.floor(100 * e.loaded / e.total) + " % of " + bytes(e.total));
    show("speed", bytes(rate) + "/s" + (left > 0 ? ", " + left + " s left" : ""));
  };
  request.onload = () => {
    let data = {};
    try { data = JSON.parse(request.responseText); } catch (error) { data.error = ""; }
    if (request.status === 200)
      uploadEnds("good", `Installed, ${count(data.bytes)} bytes` +
                 (digest ? ", digest verified" : "") + ". Restart the device to run it.", data.sha256);
    else
      uploadEnds("bad", data.error || "The device refused the image (" + request.status + ").");
    if (request.status === 401) signedOut();
  };
  request.onerror = () => uploadEnds("bad", "The connection broke. The old firmware stays.");
  request.onabort = () => uploadEnds("", "Cancelled. The old firmware stays.");
  request.open("PUT", "api/firmware" + (digest && "?sha256=" + digest));
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.send(file);
};

$("cancel").onclick = () => {
  const request = upload;
  if (request.readyState > 0) request.abort();
  else uploadEnds("", "Cancelled. The old firmware stays.");
};

$("restart").onclick = async () => {
  const answer = await ask("POST", "api/restart");
  if (answer.status !== 200) return result("firmware-result", "bad", answer.data.error);
  $("firmware-result").dataset.waits = 1;
  result("firmware-result", "", "Restarting. This page reconnects by itself.");
};

// --- begin -------------------------------------------------------------------------------------

(async () => {
  show("login-host", location.host);
  const answer = await ask("GET", "api/session");
  if (answer.status === 200 && answer.data.signed_in) signedIn();
  else signedOut();
})();
