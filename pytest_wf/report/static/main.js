// Event handlers: what to redraw after each action of the reader.

function refresh() {
  list.page = 0;
  drawAll();
  writeView();
}

function drawAll() {
  choose();
  drawCurves();
  drawTable();
  parametersChanged();
}

// Sets the controls from the view, at the start and when the address changes.
function showView() {
  if (!page.metrics.includes(view.metric)) view.metric = page.metrics[0];
  if (!["step", ...page.axes].includes(view.x)) view.x = "step";
  view.states = view.states.filter((state) => page.rows.some((row) => row.state === state));
  if (page.rows.length) {
    byId("filter").value = view.filter;
    drawStates();
    drawGroupings();
    drawColumnChoice();
  }
  if (page.metrics.length) {
    byId("metric").value = view.metric;
    byId("x-axis").value = view.x;
    byId("log-y").checked = view.logy;
    byId("log-x").checked = view.logx;
    byId("smooth").value = view.smooth;
    byId("colour").value = view.colour;
  }
  if (byId("measure")) drawMeasures();
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

// A control for one property of the view.
function controls(id, name, kind, draw, read) {
  byId(id).addEventListener(kind, (event) => { view[name] = read(event.target); draw(); writeView(); });
}
const valueOf = (control) => control.value;
const isChecked = (control) => control.checked;

readView();
if (page.rows.length) {
  byId("filter").addEventListener("input", later(() => { view.filter = byId("filter").value; refresh(); }, 120));
  controls("group", "group", "change", refresh, valueOf);
  byId("csv").addEventListener("click", saveCsv);
}
if (page.metrics.length) {
  const redraw = () => { drawCurves(); drawTable(); };
  byId("metric").replaceChildren(...page.metrics.map((name) => el("option", { value: name }, name)));
  byId("x-axis").replaceChildren(...["step", ...page.axes].map((name) => el("option", { value: name }, name)));
  byId("colour").replaceChildren(
    el("option", { value: "auto" }, "automatic"), el("option", { value: "value" }, "final value"),
    ...columns.filter((c) => c.of === "Parameters").map((c) => el("option", { value: c.key }, c.title)));
  controls("metric", "metric", "change", redraw, valueOf);
  controls("x-axis", "x", "change", drawCurves, valueOf);
  controls("colour", "colour", "change", drawCurves, valueOf);
  controls("log-y", "logy", "change", redraw, isChecked);
  controls("log-x", "logx", "change", drawCurves, isChecked);
  controls("smooth", "smooth", "input", drawCurves, (control) => Number(control.value));
  byId("unzoom").addEventListener("click", unzoom);
  byId("chart").addEventListener("keydown", steer);
}
if (byId("measure")) {
  controls("measure", "measure", "change", parametersChanged, valueOf);
  watchParameters();
}
showView();
drawAll();
keepFresh();
const showAddress = () => { readView(); showView(); drawAll(); };
addEventListener("hashchange", showAddress);
// the table with the means may be out of sight
document.querySelectorAll("a.means").forEach((link) => link.addEventListener("click", (event) => {
  event.preventDefault();
  history.pushState(null, "", link.hash);
  showAddress();
  byId("row_table").scrollIntoView();
}));
toTheirEnd(document);
addEventListener("toggle", (event) => toTheirEnd(event.target), true);

// close the menu as menus do
function closeMenus(outside) {
  document.querySelectorAll("details.menu[open]").forEach((menu) => {
    if (!outside || !menu.contains(outside)) menu.open = false;
  });
}
addEventListener("pointerdown", (event) => closeMenus(event.target));
addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && event.target.closest?.("details.menu[open]");
  if (!menu) return;
  closeMenus();
  menu.querySelector("summary").focus();
});

// the canvas contains colours and widths: redraw it when they change
const again = () => { drawCurves(); drawTable(); parametersChanged(); };
theme.listeners.push(again);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
let width = document.documentElement.clientWidth;
addEventListener("resize", later(() => {
  if (document.documentElement.clientWidth === width) return;
  width = document.documentElement.clientWidth;
  again();
}, 150));

// in print: light colours, the width of paper, more rows than a page of the table, and all parts
function printing(begins) {
  pageRows = begins ? PRINTED_ROWS : PAGE_ROWS;
  theme.print(begins);
  document.documentElement.classList.toggle("on-paper", begins);
  again();
  if (begins && byId("scatters")) drawParameters();
}
addEventListener("beforeprint", () => printing(true));
addEventListener("afterprint", () => printing(false));
