// The table of rows or groups, one page at a time; each row opens to show all of its data.

const PAGE_ROWS = 50;
const PRINTED_ROWS = 500;
let pageRows = PAGE_ROWS;

function drawTable(focusKey) {
  const place = byId("table");
  if (!place) return;
  const of = shownColumns();
  const ones = list.groups || list.rows;
  const pages = Math.max(1, Math.ceil(ones.length / pageRows));
  list.page = Math.min(list.page, pages - 1);
  const body = el("tbody");
  const drawings = [];
  for (const one of ones.slice(list.page * pageRows, (list.page + 1) * pageRows))
    if (list.groups) appendGroup(body, one, of, drawings); else appendRow(body, one, of, drawings);
  place.replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, of.map(heading))), body));
  drawings.forEach((draw) => draw());
  toTheirEnd(place);
  byId("row-count").textContent = [counted(ones), ...list.incomplete.map((word) => word + " is incomplete")].join("; ");
  byId("filter").setAttribute("aria-invalid", String(list.incomplete.length > 0));
  drawPages(pages);
  if (focusKey) place.querySelector(`th[data-key="${CSS.escape(focusKey)}"] button`)?.focus();
}

function counted(ones) {
  const rows = (n) => number(n) + (n === 1 ? " row" : " rows");
  const some = list.rows.length === page.rows.length ? rows(page.rows.length) : number(list.rows.length) + " of " + rows(page.rows.length);
  return list.groups ? number(ones.length) + (ones.length === 1 ? " group of " : " groups of ") + some + "; mean \u00b1 standard deviation" : some;
}

// A log is shown from its end.
function toTheirEnd(place) {
  place.querySelectorAll("pre.tail").forEach((pre) => { pre.scrollTop = pre.scrollHeight; });
}

// A metric may have the name of a parameter.
const titleOf = (column) => column.title + (column.of === "Metrics" && page.parameters.includes(column.title) ? " (metric)" : "");

function heading(column) {
  const attributes = { scope: "col", class: "is-" + column.kind, "data-key": column.key };
  if (!column.value) return el("th", attributes, titleOf(column));
  const isSorted = view.sort.replace(/^-/, "") === column.key, down = view.sort.startsWith("-");
  if (isSorted) attributes["aria-sort"] = down ? "descending" : "ascending";
  const arrow = isSorted ? (down ? " \u2193" : " \u2191") : "";
  return el("th", attributes, el("button", {
    type: "button",
    onclick: () => {
      view.sort = isSorted ? (down ? "" : "-" + column.key) : column.key;
      list.page = 0;
      choose();
      drawTable(column.key);
      writeView();
    },
  }, titleOf(column) + arrow));
}

function appendRow(body, row, of, drawings) {
  const isOpen = row === list.open;
  const made = el("tr", { class: isOpen ? "chosen" : undefined, "data-run": row.run_id, "data-number": row.number });
  for (const column of of) made.append(cellOf(column, row, isOpen, drawings));
  body.append(made);
  if (isOpen) body.append(detailRow(row, of, drawings));
}

function cellOf(column, row, isOpen, drawings) {
  const cell = el("td", { class: "is-" + column.kind });
  if (column.kind === "run") {
    cell.append(el("button", { type: "button", "aria-expanded": String(isOpen), title: row.run_id, onclick: () => toggle(row) }, row.run_id));
    if (row.rank === 1) cell.append(el("span", { class: "best" }, "best"));
  } else if (column.kind === "state") {
    cell.append(el("span", { class: "state " + row.state.replace(/[^a-z_]/g, "") }, row.state.replaceAll("_", " ")));
  } else if (column.kind === "spark") {
    const curve = curveOf(row);
    if (curve) drawings.push(() => smallPlot(cell, curve, theme.colour("calm"), 110, 26, false));
  } else {
    const text = textOf(column, row);
    cell.append(text);
    if (column.kind !== "num" && text.length > 24) cell.title = text;
  }
  return cell;
}

function appendGroup(body, group, of, drawings) {
  const isOpen = list.openGroup === group.key;
  const made = el("tr", { class: "group" + (isOpen ? " chosen" : "") });
  for (const column of of) {
    const cell = el("td", { class: "is-" + column.kind });
    if (column.kind === "run") {
      cell.append(el("button", { type: "button", "aria-expanded": String(isOpen), onclick: () => toggleGroup(group) },
        (isOpen ? "\u25be " : "\u25b8 ") + groupName(group), el("span", { class: "quiet" }, " \u00d7 " + number(group.rows.length))));
    } else if (column.value && column.key !== "rank") {
      cell.append(ofGroup(column, group.rows).text);
    }
    made.append(cell);
  }
  body.append(made);
  if (isOpen) group.rows.forEach((row) => appendRow(body, row, of, drawings));
}

function toggleGroup(group) {
  list.openGroup = list.openGroup === group.key ? null : group.key;
  drawTable();
  byId("table").querySelector(list.openGroup === null ? "tr.group button" : "tr.group.chosen button")?.focus();
}

function toggle(row) {
  list.open = list.open === row ? null : row;
  pin(list.open);
  drawTable();
  byId("table").querySelector(`tr[data-number="${row.number}"] td.is-run button`)?.focus();
}

// From a plot to the table: shows the row's page, with the row open and in view.
function openRow(row) {
  const group = list.groups && list.groups.find((one) => one.rows.includes(row));
  const at = group ? list.groups.indexOf(group) : list.rows.indexOf(row);
  if (at < 0) return;
  list.page = Math.floor(at / pageRows);
  if (group) list.openGroup = group.key;
  list.open = null;
  toggle(row);
  document.activeElement?.scrollIntoView({ block: "center" });
}

function detailRow(row, of, drawings) {
  const facts = [
    ["Run", row.run_id], ["Flow", several && page.flows[row.flow].id], ["State", row.state], ["Rank", row.rank], ["Failure", row.failure_class],
    ["Reason", row.reason], ["Exit status", row.exit_code], ["Attempts", row.attempts],
    ["Took", row.duration_s !== undefined && duration(row.duration_s)],
    ["When last seen", row.so_far],
    ["Started", row.started_at], ["Finished", row.finished_at], ["GPU", row.gpu], ["Config", row.config],
    ["Seed", row.seed], ["Overrides", row.overrides], ["Remark", row.remark], ["Adopted from", row.adopted_from],
    ["Resumed from", row.resumed_from],
  ];
  const pairs = (entries) => el("dl", {}, entries.filter(([, v]) => isKnown(v) && v !== false)
    .map(([name, value]) => [el("dt", {}, name), el("dd", {}, typeof value === "number" ? number(value) : String(value))]));
  const extremes = (name, at) => {
    const found = row.extremes[at];
    const step = (n) => (isKnown(n) ? " at step " + number(n) : "");
    const value = found ? `${number(row.last[at])} (least ${number(found[0])}${step(found[1])}, greatest ${number(found[2])}${step(found[3])})` : row.last[at];
    const source = page.sources[(row.sources || [])[at]];
    return source ? `${typeof value === "number" ? number(value) : value}, from ${source}` : value;
  };
  const small = el("div", { class: "small" });
  for (const [name, curve] of Object.entries(row.curves || {})) {
    const figure = small.appendChild(el("figure", {}, el("figcaption", {},
      name + (curve[0].length < curve[2] ? ` (${number(curve[0].length)} of ${number(curve[2])} points)` : ""))));
    drawings.push(() => smallPlot(figure, curve, theme.colour("calm"), Math.min(260, byId("table").clientWidth - 20), 110, true));
  }
  const detail = el("div", { class: "detail" },
    el("div", { class: "pair" }, pairs(facts), pairs(page.measured.map((name, at) => [name, extremes(name, at)]))),
    (row.notes || []).map((note) => el("p", { class: "note" }, note)),
    small.childNodes.length ? small : null,
    row.log_tail ? el("pre", { class: "tail", tabindex: "0", role: "region", "aria-label": "End of the log of " + row.run_id }, row.log_tail) : null,
    el("p", { class: "links" }, (row.links || []).map((link) => el("a", { href: link.href }, link.label))));
  return el("tr", { class: "chosen" }, el("td", { colspan: of.length }, detail));
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

// ---- choices of the reader ------------------------------------------------------------------

function drawStates() {
  const counts = new Map();
  page.rows.forEach((row) => counts.set(row.state, (counts.get(row.state) || 0) + 1));
  const states = [...counts.keys()].sort();
  if (states.length < 2) return;
  byId("states").replaceChildren(...states.map((state) => el("button", {
    type: "button",
    "aria-pressed": String(view.states.includes(state)),
    onclick: (event) => {
      const isChosen = view.states.includes(state);
      view.states = isChosen ? view.states.filter((one) => one !== state) : [...view.states, state];
      event.currentTarget.setAttribute("aria-pressed", String(!isChosen));
      refresh();
    },
  }, state.replaceAll("_", " ") + " " + number(counts.get(state)))));
}

function drawGroupings() {
  const groupings = columns.filter((c) => c.of === "Parameters" || ["flow", "run", "state", "failure", "gpu"].includes(c.key));
  const options = [["", "no groups"]];
  if (tunable().length) options.push(["params", page.tuned.length < page.parameters.length ? "all parameters but seed" : "all parameters"]);
  options.push(...groupings.map((column) => [column.key, column.title]));
  byId("group").replaceChildren(...options.map(([value, text]) => el("option", { value }, text)));
  byId("group").value = options.some(([value]) => value === view.group) ? view.group : "";
}

function drawColumnChoice() {
  const shown = new Set(shownColumns());
  const boxes = [];
  const choice = (column, text) => {
    const box = el("input", { type: "checkbox" });
    box.checked = shown.has(column);
    box.addEventListener("change", () => {
      const chosen = columns.filter((one) => (one === column ? box.checked : shownColumns().includes(one)));
      view.columns = chosen.map((one) => one.key);
      drawTable();
      writeView();
    });
    boxes.push([column.title.toLowerCase(), el("label", {}, box, text)]);
    return last(boxes)[1];
  };
  const find = el("input", { type: "search", placeholder: "find a column", "aria-label": "Find a column", autocomplete: "off" });
  find.addEventListener("input", () => boxes.forEach(([title, label]) => { label.hidden = !title.includes(find.value.toLowerCase()); }));
  const usual = el("button", { type: "button", onclick: () => { view.columns = []; drawColumnChoice(); drawTable(); writeView(); } }, "Reset");
  byId("column-choice").replaceChildren(
    el("p", {}, columns.length > 24 ? find : null, usual),
    ...["Row", "Parameters", "Metrics"].map((of) => [of, columns.filter((c) => c.of === of)]).filter(([, found]) => found.length)
      .map(([of, found]) => el("fieldset", {}, el("legend", {}, of), found.map((column) => choice(column, column.title)))));
}

// ---- the table as CSV ---------------------------------------------------------------------------

// Text that a spreadsheet would read as a formula gets an apostrophe in front.
function csvCell(value) {
  if (!isKnown(value)) return "";
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) && value !== "-inf" && !isNumber(Number(value)) ? "'" + value : String(value);
  return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
}

function tableAsCsv() {
  // a group has no rank, and no mean of the values that a parameter was set to
  const of = shownColumns().filter((column) => column.value && !(list.groups && column.key === "rank"));
  const isAveraged = (column) => column.kind === "num" && column.of !== "Parameters";
  const value = (column, row) => (column.key === "flow" ? page.flows[row.flow].id : column.value(row));
  let rows;
  if (list.groups) {
    rows = [["rows", ...of.flatMap((c) => (isAveraged(c) ? [c.title, c.title + " deviation", c.title + " n"] : [c.title]))]];
    for (const group of list.groups) {
      rows.push([group.rows.length, ...of.flatMap((column) => {
        const found = ofGroup(column, group.rows);
        return isAveraged(column) ? [found.value, found.spread, found.n] : [found.text];
      })]);
    }
  } else rows = [of.map((column) => column.title), ...list.rows.map((row) => of.map((column) => value(column, row)))];
  return rows.map((cells) => cells.map(csvCell).join(",") + "\r\n").join("");
}

function saveCsv() {
  const address = URL.createObjectURL(new Blob([tableAsCsv()], { type: "text/csv" }));
  const link = el("a", { href: address, download: (several ? "flows" : page.flows[0].id) + ".csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
