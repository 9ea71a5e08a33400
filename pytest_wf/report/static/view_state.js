// The reader's choices, kept in the fragment of the address: a copied address shows the same view.

const DEFAULTS = {
  metric: page.metrics[0] || "", // of the curves
  x: "step",
  smooth: 0,
  logx: false,
  logy: false,
  colour: "auto",
  filter: "",
  states: [],
  sort: "", // a column's key; with '-' in front: descending
  group: "",
  columns: [], // keys; empty: the default columns
  measure: "", // of the scatters
};
const view = { ...DEFAULTS };

const asText = (value) =>
  Array.isArray(value) ? value.map(encodeURIComponent).join(",") : value === true ? "1" : String(value);

function ofText(text, like) {
  if (Array.isArray(like)) {
    try { return text.split(",").filter(Boolean).map(decodeURIComponent); } catch { return []; }
  }
  if (typeof like === "number") return Math.min(0.99, Math.max(0, Number(text) || 0));
  return typeof like === "boolean" ? text === "1" : text;
}

function readView() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const [name, usual] of Object.entries(DEFAULTS))
    view[name] = given.has(name) ? ofText(given.get(name), usual) : usual;
}

function writeView() {
  const changed = new URLSearchParams();
  for (const [name, usual] of Object.entries(DEFAULTS))
    if (asText(view[name]) !== asText(usual)) changed.set(name, asText(view[name]));
  const fragment = "#" + changed;
  if (fragment !== (location.hash || "#")) history.replaceState(null, "", fragment);
}

// Links within the page move the focus and do not change the state in the address.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.('a[href^="#"]');
  const target = link && document.getElementById(link.getAttribute("href").slice(1));
  if (!target) return;
  event.preventDefault();
  for (let outer = target.closest("details"); outer; outer = outer.parentElement.closest("details")) outer.open = true;
  target.setAttribute("tabindex", "-1");
  target.focus({ preventScroll: true });
  target.scrollIntoView();
});
