// The data, and helpers for all parts of the page.
// All text reaches the page through textContent: the data is never interpreted as markup.

document.documentElement.classList.add("scripted");
const page = JSON.parse(document.getElementById("page-data").textContent);
const several = page.flows.length > 1;
page.rows.forEach((row, i) => {
  row.number = i;
  row.state = row.state || "unknown";
  row.params = row.params || [];
  row.last = row.last || [];
  row.extremes = row.extremes || [];
  row.haystack = [
    row.run_id, row.state, row.failure_class, row.config, row.overrides, row.remark, row.reason,
    row.noted, row.seed && "seed=" + row.seed, several && page.flows[row.flow].id,
  ].filter(Boolean).join(" ").toLowerCase();
});

const nameOf = (row) => (several ? page.flows[row.flow].label + " " + row.run_id : row.run_id);
const isKnown = (value) => value !== undefined && value !== null && value !== "";
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

// A function that runs once it has not been called for `ms`.
function later(act, ms) {
  let timer = 0;
  return () => { clearTimeout(timer); timer = setTimeout(act, ms); };
}

const FAILED = new Set(["failed", "timed_out", "stopped"]);
// Whether a row succeeded, whatever was expected of its metrics.
const isTrained = (row) => row.ok === true || row.failure_class === "expect";
const hasFailed = (row) => FAILED.has(row.state) && !isTrained(row);

function byId(id) {
  return document.getElementById(id);
}

// An element with attributes, listeners (on…) and children; texts become text.
function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.flat(Infinity).filter((c) => c !== undefined && c !== null && c !== ""));
  return made;
}

function svg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const GROUPED = Array.from({ length: 9 }, (_, n) => new Intl.NumberFormat("en", { maximumFractionDigits: n }));
const DIGITS = 5, MOST_DIGITS = 12;

function number(value, digits = DIGITS) {
  if (typeof value !== "number") return value === undefined ? "" : String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return Math.abs(value) < 1000 ? String(value) : GROUPED[0].format(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return exponential(value, digits - 2);
  return size >= 1000 ? GROUPED[digits > DIGITS ? digits - 4 : 0].format(value) : String(+value.toPrecision(digits));
}

const exponential = (value, digits) => value.toExponential(digits).replace(/\.?0+e/, "e").replace("e+", "e");

// The least digits with which different numbers have different texts.
function digitsOf(values) {
  const distinct = new Set(values.filter(isNumber));
  let digits = DIGITS;
  while (digits < MOST_DIGITS && new Set([...distinct].map((value) => number(value, digits))).size < distinct.size) digits++;
  return digits;
}

// A number that a user wrote: all of its digits.
function exact(value) {
  const size = Math.abs(value);
  if (Number.isInteger(value) || (size >= 1e-3 && size < 1e7)) return String(+value.toPrecision(15));
  return exponential(+value.toPrecision(15)).replace("e+", "e");
}

function duration(seconds) {
  if (seconds === undefined) return "";
  if (seconds < 1) return Math.round(seconds * 1000) + " ms";
  if (seconds < 60) return seconds.toFixed(1) + " s";
  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  if (seconds < 3600) return Math.floor(seconds / 60) + " min " + two(seconds % 60) + " s";
  return Math.floor(seconds / 3600) + " h " + two((seconds % 3600) / 60) + " min";
}

// ---- colours and theme: auto, light, dark ---------------------------------------------------

const theme = {
  listeners: [],
  isDark: () =>
    (document.documentElement.dataset.theme ||
      (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark",
  set(choice) {
    if (choice === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
    const button = byId("theme");
    button.textContent = "Theme: " + choice;
    button.setAttribute("aria-label", "Theme: " + (choice === "auto" ? "as the system" : choice));
    button.dataset.choice = choice;
    this.listeners.forEach((listener) => listener());
  },
  // paper is light
  print(isPrinting) {
    const root = document.documentElement.dataset;
    if (isPrinting) {
      this.before = root.theme;
      root.theme = "light";
    } else if (this.before) root.theme = this.before;
    else delete root.theme;
  },
  // a variable's colour as the canvas needs it: light-dark() resolved
  colour(name) {
    const probe = document.body.appendChild(el("span", {}));
    probe.style.color = "var(--" + name + ")";
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  },
};

const PALETTE = {
  light: ["#2b62ad", "#c2541b", "#22804f", "#8347b8", "#9a6f06", "#b32d66", "#2f7f96", "#5f6468", "#7a4f2e", "#4b7415"],
  dark: ["#7db0f7", "#f4996a", "#66c894", "#bf9af2", "#e2bd5c", "#f087af", "#73c8df", "#b4bac0", "#cba27c", "#a3d070"],
};
// from best to worst: the best has the strongest colour
const JUDGED = {
  light: ["#0a4da0", "#4a7fbd", "#8fb0d3", "#c5d3e2"],
  dark: ["#9fd0ff", "#5f98d0", "#3f6690", "#2e4257"],
};
// from low to high, if neither end is better
const NEUTRAL = {
  light: ["#5b2a86", "#b5367a", "#e8743b", "#e0a100"],
  dark: ["#b08ae0", "#e27bb0", "#f4a071", "#f3d673"],
};

// The colour at `share`, from 0 to 1, of a ramp.
function ofRamp(ramp, share) {
  const stops = ramp[theme.isDark() ? "dark" : "light"];
  const place = Math.min(0.9999, Math.max(0, share)) * (stops.length - 1);
  const i = Math.floor(place);
  const parts = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const [a, b] = [parts(stops[i]), parts(stops[i + 1])];
  return "rgb(" + a.map((v, k) => Math.round(v + (b[k] - v) * (place - i))).join(",") + ")";
}

function faded(hex, strength) {
  return hex + Math.round(strength * 255).toString(16).padStart(2, "0");
}

function ofPalette(index) {
  const colours = PALETTE[theme.isDark() ? "dark" : "light"];
  return colours[index % colours.length];
}
