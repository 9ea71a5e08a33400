// Wiring: what the reader does, and what is drawn again for it.

function refresh() {
  list.page = 0;
  choose();
  if (!list.rows.includes(list.open)) list.open = null;
  drawCurves(list.rows.slice());
  drawTable();
}

function later(act, ms) {
  let timer = 0;
  return () => { clearTimeout(timer); timer = setTimeout(act, ms); };
}

const keep = {
  // a page from a file may have no storage
  get() { try { return localStorage.getItem("wf-theme") || "auto"; } catch { return "auto"; } },
  set(choice) { try { localStorage.setItem("wf-theme", choice); } catch { /* for this time only */ } },
};

byId("theme").addEventListener("click", () => {
  const order = ["auto", "light", "dark"];
  const next = order[(order.indexOf(byId("theme").dataset.choice) + 1) % order.length];
  keep.set(next);
  theme.set(next);
});
theme.set(keep.get());

if (page.rows.length) {
  byId("filter").addEventListener("input", later(() => {
    list.words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    refresh();
  }, 120));
  drawStates();
}
if (page.metrics.length) {
  byId("metric").addEventListener("change", (event) => { shown.metric = page.metrics[event.target.value]; refresh(); });
  byId("log-y").addEventListener("change", (event) => { shown.logY = event.target.checked; refresh(); });
  byId("log-x").addEventListener("change", (event) => { shown.logX = event.target.checked; refresh(); });
  byId("unzoom").addEventListener("click", unzoom);
  byId("chart").addEventListener("keydown", steer);
}
refresh();
toTheirEnd(document);
addEventListener("toggle", (event) => toTheirEnd(event.target), true);

// colours and widths are drawn into the canvas: draw again where they change
const again = () => { drawCurves(list.rows.slice()); drawTable(); };
theme.listeners.push(again);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
let width = document.documentElement.clientWidth;
addEventListener("resize", later(() => {
  if (document.documentElement.clientWidth === width) return;
  width = document.documentElement.clientWidth;
  again();
}, 150));
