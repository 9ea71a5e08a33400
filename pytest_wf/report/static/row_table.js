// The rows: filtered, sorted, a page at a time; each opens to all that is known of it.

const PAGE_ROWS = 50;
const list = { words: [], states: new Set(), key: several ? "run" : null, down: false, page: 0, open: null, rows: [] };

const finalNames = (() => {
  const counts = new Map();
  for (const row of page.rows)
    for (const name of Object.keys(row.metrics))
      if (name !== "step") counts.set(name, (counts.get(name) || 0) + 1);
  const isLoss = (name) => name.toLowerCase().includes("loss");
  const isVal = (name) => name.toLowerCase().includes("val");
  return [...counts.keys()].sort((a, b) =>
    isLoss(b) - isLoss(a) || isVal(b) - isVal(a) || counts.get(b) - counts.get(a) || (a < b ? -1 : 1));
})();

const isKnown = (value) => value !== undefined && value !== null && value !== "";
const any = (read) => page.rows.some((row) => isKnown(read(row)));

// key, title, value to sort by, cell; rank: 1 goes first where the page is narrow
const columns = [
  several && { key: "flow", title: "Flow", value: (r) => r.flow, text: (r) => page.flows[r.flow].label },
  { key: "run", title: "Run", value: (r) => r.run_id, kind: "run" },
  { key: "state", title: "State", value: (r) => r.state, kind: "state" },
  page.metrics.length && { key: "spark", title: () => shown.metric, kind: "spark", rank: 1 },
  ...finalNames.slice(0, 3).map((name, i) => ({
    key: "m:" + name, title: name, value: (r) => r.metrics[name], text: (r) => number(r.metrics[name]), kind: "num", rank: i,
  })),
  any((r) => r.metrics.step) && { key: "step", title: "Step", value: (r) => r.metrics.step, text: (r) => number(r.metrics.step), kind: "num", rank: 2 },
  { key: "took", title: "Took", value: (r) => r.duration_s, text: (r) => duration(r.duration_s) || (r.so_far || "").split(",")[0].replace("ran ", ""), kind: "num", rank: 1 },
  { key: "attempts", title: "Tries", value: (r) => r.attempts, text: (r) => (r.attempts ? number(r.attempts) : ""), kind: "num", rank: 2 },
  any((r) => r.failure_class) && { key: "class", title: "Failure", value: (r) => r.failure_class, rank: 1 },
  any((r) => r.noted) && { key: "noted", title: "Notes", value: (r) => r.noted, rank: 1 },
  any((r) => (r.gpu === "none" ? "" : r.gpu)) && { key: "gpu", title: "GPU", value: (r) => r.gpu, text: (r) => (r.gpu || "").replaceAll("NVIDIA ", ""), kind: "gpu", rank: 3 },
  any((r) => r.seed) && { key: "seed", title: "Seed", value: (r) => (r.seed ? Number(r.seed) : undefined), text: (r) => r.seed || "", kind: "num", rank: 3 },
  any((r) => r.config) && { key: "config", title: "Config", value: (r) => [r.config, r.overrides].filter(Boolean).join(" "), kind: "wide", rank: 3 },
].filter(Boolean);

function choose() {
  const column = columns.find((c) => c.key === list.key);
  list.rows = page.rows.filter((row) =>
    (!list.states.size || list.states.has(row.state)) && list.words.every((word) => row.haystack.includes(word)));
  if (!column) return;
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
  const keyed = list.rows.map((row) => [row, column.value(row)]);
  keyed.sort(([ra, a], [rb, b]) => {
    // what is not known comes last, whichever way
    if (!isKnown(a) || !isKnown(b)) return isKnown(b) - isKnown(a) || ra.number - rb.number;
    return (list.down ? -1 : 1) * compare(a, b) || ra.number - rb.number;
  });
  list.rows = keyed.map(([row]) => row);
}

function drawTable(focusKey) {
  const place = byId("table");
  if (!place) return;
  const pages = Math.max(1, Math.ceil(list.rows.length / PAGE_ROWS));
  list.page = Math.min(list.page, pages - 1);
  const visible = list.rows.slice(list.page * PAGE_ROWS, (list.page + 1) * PAGE_ROWS);
  const body = el("tbody");
  const later = [];
  for (const row of visible) {
    body.append(tableRow(row, later));
    if (row === list.open) body.append(detailRow(row, later));
  }
  place.replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, columns.map(heading))), body));
  later.forEach((draw) => draw());
  toTheirEnd(place);
  byId("row-count").textContent = list.rows.length === page.rows.length
    ? number(page.rows.length) + (page.rows.length === 1 ? " row" : " rows")
    : number(list.rows.length) + " of " + number(page.rows.length) + " rows";
  drawPages(pages);
  if (focusKey) place.querySelector(`th[data-key="${CSS.escape(focusKey)}"] button`)?.focus();
}

// A log is read from its end.
function toTheirEnd(place) {
  place.querySelectorAll("pre.tail").forEach((pre) => { pre.scrollTop = pre.scrollHeight; });
}

function classes(column) {
  const ofKind = column.kind === "state" ? "" : column.kind;
  return [ofKind, column.rank && "rank-" + column.rank].filter(Boolean).join(" ");
}

function heading(column) {
  const title = typeof column.title === "function" ? column.title() : column.title;
  const attributes = { scope: "col", class: classes(column), "data-key": column.key };
  if (!column.value) return el("th", attributes, title);
  const sorted = list.key === column.key;
  if (sorted) attributes["aria-sort"] = list.down ? "descending" : "ascending";
  const arrow = sorted ? (list.down ? " \u2193" : " \u2191") : "";
  return el("th", attributes, el("button", {
    type: "button",
    onclick: () => {
      if (sorted && list.down) Object.assign(list, { key: null, down: false });
      else Object.assign(list, { key: column.key, down: sorted });
      list.page = 0;
      choose();
      drawTable(column.key);
    },
  }, title + arrow));
}

function tableRow(row, later) {
  const chosen = row === list.open;
  const made = el("tr", { class: chosen ? "chosen" : undefined, "data-run": row.run_id });
  for (const column of columns) {
    const cell = el("td", { class: classes(column) });
    if (column.kind === "run") {
      cell.append(el("button", { type: "button", "aria-expanded": String(chosen), onclick: () => toggle(row) }, row.run_id));
    } else if (column.kind === "state") {
      cell.append(el("span", { class: "state " + row.state.replace(/[^a-z_]/g, "") }, row.state.replace("_", " ")));
    } else if (column.kind === "spark") {
      const curve = curveOf(row);
      if (curve) later.push(() => { if (cell.clientWidth) smallPlot(cell, curve, theme.colour("calm"), 110, 26, false); });
    } else {
      const text = column.text ? column.text(row) : column.value(row) || "";
      cell.append(text);
      if (column.kind === "wide" || column.kind === "gpu") cell.title = text;
    }
    made.append(cell);
  }
  return made;
}

function toggle(row) {
  list.open = list.open === row ? null : row;
  shown.pinned = list.open;
  if (row.points) shown.at = row.points[0].length - 1;
  drawTable();
  if (byId("chart")) highlight();
  [...byId("table").querySelectorAll("td.run button")].find((b) => b.textContent === row.run_id)?.focus();
}

// From the plot to the table: the row's page, opened, in sight.
function openRow(row) {
  const at = list.rows.indexOf(row);
  if (at < 0) return;
  list.page = Math.floor(at / PAGE_ROWS);
  list.open = null;
  toggle(row);
  document.activeElement?.scrollIntoView({ block: "center" });
}

function detailRow(row, later) {
  const facts = [
    ["Flow", several && page.flows[row.flow].id], ["State", row.state], ["Failure", row.failure_class],
    ["Reason", row.reason], ["Exit status", row.exit_code], ["Attempts", row.attempts],
    ["Took", row.duration_s !== undefined && duration(row.duration_s)],
    ["When last seen", row.so_far],
    ["Started", row.started_at], ["Finished", row.finished_at], ["GPU", row.gpu], ["Config", row.config],
    ["Seed", row.seed], ["Overrides", row.overrides], ["Remark", row.remark], ["Adopted from", row.adopted_from],
    ["Went on from", row.resumed_from],
  ];
  const pairs = (entries) => el("dl", {}, entries.filter(([, v]) => isKnown(v) && v !== false)
    .map(([name, value]) => [el("dt", {}, name), el("dd", {}, typeof value === "number" ? number(value) : String(value))]));
  const small = el("div", { class: "small" });
  for (const [name, curve] of Object.entries(row.curves || {})) {
    const figure = small.appendChild(el("figure", {}, el("figcaption", {},
      name + (curve[0].length < curve[2] ? ` (${number(curve[0].length)} of ${number(curve[2])} points)` : ""))));
    later.push(() => smallPlot(figure, curve, theme.colour("calm"), Math.min(260, byId("table").clientWidth - 20), 110, true));
  }
  const detail = el("div", { class: "detail" },
    el("div", { class: "pair" }, pairs(facts), pairs(Object.entries(row.metrics))),
    (row.notes || []).map((note) => el("p", { class: "note" }, note)),
    small.childNodes.length ? small : null,
    row.log_tail ? el("pre", { class: "tail", tabindex: "0", role: "region", "aria-label": "End of the log of " + row.run_id }, row.log_tail) : null,
    el("p", { class: "links" }, (row.links || []).map((link) => el("a", { href: link.href }, link.label))));
  return el("tr", { class: "chosen" }, el("td", { colspan: columns.length }, detail));
}

function drawPages(pages) {
  const place = byId("pages");
  const turn = (to) => () => { list.page = to; drawTable(); byId("row_table").scrollIntoView(); };
  place.replaceChildren();
  if (pages < 2) return;
  place.append(
    el("button", { type: "button", onclick: turn(list.page - 1), disabled: list.page === 0 ? "" : undefined }, "Previous"),
    el("span", { class: "quiet" }, `Page ${list.page + 1} of ${pages}`),
    el("button", { type: "button", onclick: turn(list.page + 1), disabled: list.page === pages - 1 ? "" : undefined }, "Next"));
}

function drawStates() {
  const counts = new Map();
  page.rows.forEach((row) => counts.set(row.state, (counts.get(row.state) || 0) + 1));
  const states = [...counts.keys()].sort();
  if (states.length < 2) return;
  byId("states").replaceChildren(...states.map((state) => el("button", {
    type: "button",
    "aria-pressed": "false",
    onclick: (event) => {
      if (!list.states.delete(state)) list.states.add(state);
      event.currentTarget.setAttribute("aria-pressed", String(list.states.has(state)));
      refresh();
    },
  }, state.replace("_", " ") + " " + number(counts.get(state)))));
}
