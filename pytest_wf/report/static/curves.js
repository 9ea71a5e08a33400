// Curves: all rows or groups in one plot, and one small plot per row. Drawn by uPlot.

const MANY = 10; // more lines than these are coloured by their final value
const MAX_LINES = 1000; // of more, the best and an even selection of the others are drawn
const MAX_BEST = 100;
const MAX_MEAN_POINTS = 300;

// A line is a row's curve, or the mean of a group's with its standard deviation (`spread`).
const shown = {
  lines: [], // worst first, so that the best are on top
  visible: [], // lines that are drawn
  hidden: new Set(), // keys of lines switched off in the legend
  hovered: null, // { line, i }
  pinned: null, // key of the line selected by keyboard or table
  at: 0, // index of the point on it
  plot: null,
};

const curveOf = (row) => (row.curves || {})[view.metric];

// The text of a position on the x axis.
const placeOf = (x) => (view.x === "time" ? "after " + duration(x) : "at " + view.x + " " + number(x));

// A row's points as drawn: smoothed, over the chosen x, without those that have no logarithm.
function pointsOf(row) {
  const [steps, values] = curveOf(row);
  const axis = view.x === "step" ? null : (row.axes || {})[view.x] || [[], []];
  const xs = axis ? Array.from(steps, (step) => interpolated(axis, step)) : steps;
  const ys = smoothed(values, view.smooth);
  if (!axis && !view.logx && !view.logy) return [xs, ys];
  const kept = [];
  for (let i = 0; i < xs.length; i++) {
    if (xs[i] !== undefined && (!view.logx || xs[i] > 0) && (!view.logy || ys[i] > 0)) kept.push(i);
  }
  return [kept.map((i) => xs[i]), kept.map((i) => ys[i])];
}

const hasCurve = (row) => curveOf(row) && curveOf(row)[0].length;

function linesOf() {
  const lines = list.groups
    ? list.groups.map((group) => ({ key: group.key, rows: group.rows.filter((row) => hasCurve(row) && !hasFailed(row)), group }))
    : list.rows.filter(hasCurve).map((row) => ({ key: row.number, rows: [row] }));
  const found = lines.filter((line) => line.rows.length);
  for (const line of found) line.final = finalOf(line.rows);
  const sign = page.goals[view.metric] === "maximize" ? 1 : -1;
  found.sort((a, b) => isNumber(a.final) - isNumber(b.final) || sign * (a.final - b.final) || b.rows[0].number - a.rows[0].number);
  return sampled(found);
}

// The mean of the curves' ends; of a row that ended with NaN or infinity that text: its last point
// is not its result.
function finalOf(rows) {
  const ended = measureOf(view.metric).value;
  const ends = rows.map((row) => (isKnown(ended(row)) && !isNumber(ended(row)) ? ended(row) : last(curveOf(row)[1])));
  const numbers = ends.filter(isNumber);
  return numbers.length ? mean(numbers) : ends[0];
}

function sampled(lines) {
  shown.all = lines.length;
  if (lines.length <= MAX_LINES) return lines;
  const others = lines.length - MAX_BEST, wanted = MAX_LINES - MAX_BEST;
  return lines.filter((_, i) => i >= others || Math.floor(((i + 1) * wanted) / others) > Math.floor((i * wanted) / others));
}

function addPoints(line) {
  if (!line.group) {
    line.points = pointsOf(line.rows[0]);
    return;
  }
  Object.assign(line, banded(line.rows.map(pointsOf).filter(([xs]) => xs.length), MAX_MEAN_POINTS));
}

// ---- colours ----------------------------------------------------------------------------------

// Colours of the lines: `of` gives a line's colour, `legend` the legend's elements.
function colouring(lines) {
  const nameIn = (line) => (line.group ? line.key : line.rows[0].run_id);
  const names = [...new Set([...lines].sort((a, b) => a.rows[0].number - b.rows[0].number).map(nameIn))];
  const column = valuesOf(view.colour);
  if (column) return byColumn(lines, column);
  if (view.colour !== "value" && names.length <= MANY) {
    // the same colour in all flows, fainter in the earlier ones
    const strength = (line) => (several && !line.group ? 0.4 + (0.6 * line.rows[0].flow) / (page.flows.length - 1) : 1);
    return { of: (line) => faded(ofPalette(names.indexOf(nameIn(line))), strength(line)), buttons: true };
  }
  if (several && view.colour !== "value" && !list.groups) {
    return {
      of: (line) => ofPalette(line.rows[0].flow),
      legend: () => page.flows.map((flow, i) => el("span", {}, swatch(ofPalette(i)), " " + flow.label + " ", el("span", { class: "quiet" }, flow.id))),
    };
  }
  // a failed row has no colour of its own: its last value would be an end of the ramp
  const ends = (line) => (line.group || !hasFailed(line.rows[0]) ? line.final : undefined);
  const value = lines.some((line) => isNumber(ends(line))) ? ends : (line) => line.final;
  return byRamp(lines, value, "final " + view.metric, page.goals[view.metric]);
}

function byColumn(lines, column) {
  const value = (line) => column.value(line.rows[0]);
  const distinct = [...new Set(lines.map(value))];
  if (column.kind === "num" && distinct.length > 2) return byRamp(lines, value, column.title, null);
  distinct.sort((a, b) => String(a ?? "").localeCompare(String(b ?? ""), "en", { numeric: true }));
  return {
    of: (line) => ofPalette(distinct.indexOf(value(line))),
    legend: () => [el("span", { class: "quiet" }, column.title), ...distinct.slice(0, 12).map((one, i) =>
      el("span", {}, swatch(ofPalette(i)), " " + (isKnown(one) ? (typeof one === "number" ? number(one) : String(one).slice(0, 40)) : "not given")))],
  };
}

// By rank of the values, so that an outlier does not make the others look alike.
function byRamp(lines, value, title, goal) {
  const ramp = goal ? JUDGED : NEUTRAL;
  const places = [...new Set(lines.map(value).filter(isNumber))].sort((a, b) => (goal === "maximize" ? b - a : a - b));
  const place = new Map(places.map((one, i) => [one, places.length > 1 ? i / (places.length - 1) : 0]));
  const bars = () => Array.from({ length: 24 }, (_, i) => {
    const bar = svg("rect", { x: i * 5, width: 5, height: 10 });
    bar.style.fill = ofRamp(ramp, i / 23);
    return bar;
  });
  return {
    of: (line) => (place.has(value(line)) ? ofRamp(ramp, place.get(value(line))) : theme.colour("quiet")),
    legend: () => [
      el("span", { class: "quiet" }, title),
      number(places[0]) + (goal ? (goal === "maximize" ? " (highest)" : " (lowest)") : ""), svg("svg", { width: 120, height: 10, "aria-hidden": "true" }, ...bars()), number(last(places)),
    ],
  };
}

// ---- the plot ---------------------------------------------------------------------------------

function axis(side, log, format = number) {
  return {
    side,
    stroke: theme.colour("quiet"),
    font: "12px system-ui, sans-serif",
    grid: { stroke: theme.colour("grid"), width: 1 },
    ticks: { stroke: theme.colour("grid"), width: 1, size: 4 },
    space: side === 2 ? 70 : 36,
    size: side === 2 ? 30 : (u, texts) => Math.max(62, ...(texts || []).map((text) => 20 + 6.5 * text.length)),
    values: (u, splits) => {
      const digits = digitsOf(splits);
      return splits.map((v) => (v === null ? "" : format(v, digits)));
    },
    ...(log ? { splits: (u, i, min, max) => logTicks(min, max), filter: (u, splits) => splits } : {}),
  };
}

// Round numbers of a logarithmic scale: the fewer decades, the more of each.
function logTicks(min, max, choice = [[1], [1, 2, 5], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 8]]) {
  const decades = Math.log10(max / min);
  const of = [4, 2, 1.2, 0.4].map((least, i) => (decades > least ? choice[i] : null)).find(Boolean);
  if (!of) {
    const step = 10 ** Math.floor(Math.log10((max - min) / 3));
    const wide = [1, 2, 5, 10].map((n) => n * step).find((s) => (max - min) / s <= 7);
    const first = Math.ceil(min / wide);
    return Array.from({ length: Math.floor(max / wide) - first + 1 }, (_, i) => +((first + i) * wide).toPrecision(12));
  }
  const ticks = [];
  for (let e = Math.floor(Math.log10(min)); e <= Math.log10(max); e++)
    for (const n of of) {
      const tick = +(n * 10 ** e).toPrecision(12);
      if (tick >= min && tick <= max) ticks.push(tick);
    }
  return ticks;
}

function scale(log) {
  if (!log) return { time: false };
  return { time: false, distr: 3, range: (u, min, max) => (min > 0 ? [min / 1.05, max * 1.05] : [0.1, 1]) };
}

function drawCurves() {
  const chart = byId("chart");
  if (!chart) return;
  shown.lines = linesOf();
  shown.colouring = colouring(shown.lines);
  for (const line of shown.lines) {
    line.name = line.group ? groupName(line.group) : nameOf(line.rows[0]);
    line.colour = shown.colouring.of(line);
    addPoints(line);
  }
  shown.visible = shown.lines.filter((line) => line.points[0].length && !shown.hidden.has(line.key));
  if (shown.plot) shown.plot.destroy();
  Object.assign(shown, { plot: null, full: null, hovered: null });
  chart.replaceChildren();
  showCount();
  drawLegend();
  byId("readout").textContent = "";
  byId("unzoom").disabled = true;
  if (!shown.visible.length) {
    chart.append(el("p", { class: "quiet" }, "No curve to draw: change the filter, the scale or the metric."));
    return;
  }
  const width = list.groups ? 2 : shown.visible.length > 200 ? 0.8 : shown.colouring.buttons ? 1.5 : 1;
  const options = {
    mode: 2,
    ...chartSize(),
    legend: { show: false },
    cursor: { points: { show: false }, drag: { x: true, y: true, uni: 24 }, dataIdx: () => null, y: false },
    scales: { x: scale(view.logx), y: scale(view.logy) },
    axes: [axis(2, view.logx, view.x === "time" ? duration : number), axis(3, view.logy)],
    series: [
      {},
      ...shown.visible.map((line) => ({
        facets: [{ scale: "x", auto: true, sorted: 1 }, { scale: "y", auto: true }],
        stroke: line.colour,
        width,
        dash: !line.group && FAILED.has(line.rows[0].state) ? [5, 3] : undefined,
        paths: uPlot.paths.linear(),
        points: { show: line.points[0].length === 1, size: 5, fill: line.colour, paths: dots },
        pxAlign: 0,
      })),
    ],
    hooks: {
      setCursor: [(u) => follow(u)],
      // uPlot draws asynchronously: the plot may have been replaced by then
      ready: [(u) => {
        if (u === shown.plot) shown.full = ["x", "y"].map((key) => [u.scales[key].min, u.scales[key].max]);
      }],
      setScale: [(u) => { if (u === shown.plot) byId("unzoom").disabled = !isZoomed(u); }],
      drawAxes: [drawBands],
      draw: [() => highlight()],
    },
  };
  shown.plot = new uPlot(options, [null, ...shown.visible.map((line) => line.points)], chart);
  shown.over = shown.plot.over.appendChild(el("canvas", { class: "over", "aria-hidden": "true" }));
  shown.tip = shown.plot.over.appendChild(el("div", { class: "tip", "aria-hidden": "true" }));
  shown.tip.hidden = true;
  shown.plot.over.addEventListener("mouseleave", () => { shown.hovered = null; highlight(); });
  shown.plot.over.addEventListener("click", () => {
    if (shown.hovered && !wasDrag(shown.plot)) openLine(shown.hovered.line);
  });
  highlight();
}

// The standard deviation of each group's curve, as an area around its mean.
function drawBands(u) {
  const canvas = u.ctx;
  canvas.save();
  canvas.beginPath();
  canvas.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  canvas.clip();
  for (const line of shown.visible.filter((one) => one.spread)) {
    const [xs, ys] = line.points;
    // a logarithm ends where the band goes below zero
    const floor = view.logy ? u.scales.y.min : -Infinity;
    const at = (i, sign) => [u.valToPos(xs[i], "x", true), u.valToPos(Math.max(floor, ys[i] + sign * line.spread[i]), "y", true)];
    canvas.beginPath();
    xs.forEach((_, i) => canvas.lineTo(...at(i, 1)));
    for (let i = xs.length - 1; i >= 0; i--) canvas.lineTo(...at(i, -1));
    canvas.globalAlpha = 0.16;
    canvas.fillStyle = line.colour;
    canvas.fill();
  }
  canvas.restore();
}

function openLine(line) {
  if (line.group) {
    list.page = Math.floor(list.groups.indexOf(line.group) / pageRows);
    if (list.openGroup !== line.key) toggleGroup(line.group);
  } else openRow(line.rows[0]);
}

// The line of the row that is open in the table.
function pin(row) {
  const line = row && shown.lines.find((one) => one.rows.includes(row));
  shown.pinned = line ? line.key : null;
  if (line && line.points) shown.at = line.points[0].length - 1;
  if (byId("chart")) highlight();
}

// A curve of one point is a dot: uPlot has no points of its own in this mode.
function dots(u, i) {
  const path = new Path2D();
  const [xs, ys] = u.data[i];
  xs.forEach((x, k) => path.arc(u.valToPos(x, "x", true), u.valToPos(ys[k], "y", true), 3, 0, 7));
  return { fill: path, stroke: path, clip: null, flags: 3 };
}

function chartSize() {
  const width = byId("chart").clientWidth;
  return { width, height: Math.max(260, Math.min(460, Math.round(width * 0.42))) };
}

const wasDrag = (u) => u.select.width > 4 || u.select.height > 4;
const isZoomed = (u) =>
  Boolean(shown.full) && ["x", "y"].some((key, i) => {
    const [min, max] = shown.full[i];
    const near = (a, b) => Math.abs(a - b) <= Math.abs(max - min) * 1e-6;
    return !near(u.scales[key].min, min) || !near(u.scales[key].max, max);
  });

function unzoom() {
  if (!shown.plot) return;
  ["x", "y"].forEach((key, i) => {
    shown.plot.setScale(key, { min: shown.full[i][0], max: shown.full[i][1] });
  });
}

// ---- hover and keyboard ---------------------------------------------------------------------

function follow(u) {
  const { left, top } = u.cursor;
  if (left === undefined || left < 0) return;
  const x = u.posToVal(left, "x");
  let best = null;
  for (const line of shown.visible) {
    const [xs, ys] = line.points;
    const i = indexNear(xs, x);
    const dx = u.valToPos(xs[i], "x") - left, dy = u.valToPos(ys[i], "y") - top;
    const away = dx * dx + dy * dy;
    if (!best || away < best.away) best = { line, i, away };
  }
  shown.hovered = best;
  highlight();
}

function pinnedPoint() {
  const line = shown.visible.find((one) => one.key === shown.pinned);
  return line && { line, i: Math.min(shown.at, line.points[0].length - 1) };
}

function highlight() {
  const u = shown.plot;
  if (!u || !shown.over) return;
  const ratio = devicePixelRatio || 1;
  const { width, height } = u.over.getBoundingClientRect();
  shown.over.width = Math.round(width * ratio);
  shown.over.height = Math.round(height * ratio);
  shown.over.style.width = width + "px";
  shown.over.style.height = height + "px";
  const chosen = shown.hovered || pinnedPoint();
  shown.tip.hidden = !chosen;
  if (!chosen) return;
  const canvas = shown.over.getContext("2d");
  canvas.scale(ratio, ratio);
  const [xs] = chosen.line.points, ys = chosen.line.points[1];
  const place = (i) => [u.valToPos(xs[i], "x"), u.valToPos(ys[i], "y")];
  canvas.beginPath();
  xs.forEach((_, i) => canvas.lineTo(...place(i)));
  canvas.lineJoin = "round";
  canvas.strokeStyle = theme.colour("panel");
  canvas.lineWidth = 5;
  canvas.stroke();
  canvas.strokeStyle = shown.colouring.buttons ? chosen.line.colour : theme.colour("warn");
  canvas.lineWidth = 2.2;
  canvas.stroke();
  const [left, top] = place(chosen.i);
  canvas.beginPath();
  canvas.arc(left, top, 4, 0, 7);
  canvas.fillStyle = canvas.strokeStyle;
  canvas.fill();
  shown.tip.replaceChildren(el("b", {}, chosen.line.name), said(chosen),
    chosen.line.group ? "" : el("span", { class: "quiet" }, describe(chosen.line.rows[0], columns.filter((c) => c.of === "Parameters"))));
  setTip(shown.tip, left, top, width, height);
}

// Puts a tooltip beside a point, on the side with room.
function setTip(tip, left, top, width, height) {
  const right = left > width / 2;
  tip.style.left = right ? "" : left + 14 + "px";
  tip.style.right = right ? width - left + 14 + "px" : "";
  tip.style.top = Math.max(0, Math.min(height - 64, top - 22)) + "px";
}

// A point of a line in words.
function said({ line, i }) {
  const [xs, ys] = line.points;
  const spread = line.spread ? " \u00b1 " + number(+line.spread[i].toPrecision(3)) : "";
  const rows = line.group ? ", mean of " + line.counts[i] + (line.counts[i] === 1 ? " row" : " rows") : "";
  return view.metric + " " + number(ys[i]) + spread + " " + placeOf(xs[i]) + rows;
}

function steer(event) {
  if (!shown.plot || event.target !== byId("chart")) return;
  const order = [...shown.visible].reverse();
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  const pinned = pinnedPoint();
  if (event.key === "Enter" && pinned) {
    event.preventDefault(); // the focus moves to the row's button, which must not get this key
    return openLine(pinned.line);
  }
  if (event.key === "Escape") { shown.pinned = null; byId("readout").textContent = ""; return highlight(); }
  if (!moves[event.key]) return;
  event.preventDefault();
  const [down, along] = moves[event.key];
  const line = pinned ? order[Math.max(0, Math.min(order.length - 1, order.indexOf(pinned.line) + down))] : order[0];
  const xs = line.points[0];
  const near = pinned ? indexNear(xs, pinned.line.points[0][pinned.i]) + along : xs.length - 1;
  shown.pinned = line.key;
  shown.at = Math.max(0, Math.min(xs.length - 1, near));
  shown.hovered = null;
  highlight();
  byId("readout").textContent = line.name + ": " + said({ line, i: shown.at });
}

// ---- what the plot holds ----------------------------------------------------------------------

function showCount() {
  const rows = shown.visible.flatMap((line) => line.rows);
  const total = (count) => rows.reduce((all, row) => all + count(row), 0);
  const kept = total((row) => curveOf(row)[0].length), all = total((row) => curveOf(row)[2]);
  const drawn = shown.visible.reduce((points, line) => points + line.points[0].length, 0);
  Object.assign(byId("chart").dataset, { curves: shown.visible.length, points: drawn, all });
  const parts = [];
  if (shown.lines.length < shown.all) {
    parts.push(number(shown.lines.length) + " of " + number(shown.all) + (list.groups ? " groups" : " curves") +
      ": the " + MAX_BEST + " best and an even share of the others");
  } else {
    const one = shown.visible.length === 1;
    parts.push(number(shown.visible.length) + (list.groups ? (one ? " group" : " groups") : one ? " curve" : " curves"));
  }
  parts.push(kept === all ? number(all) + " points, none left out" :
    number(kept) + " of " + number(all) + " points: of each stretch the lowest and the highest, so that no spike is lost");
  const failed = list.groups ? list.groups.flatMap((group) => group.rows).filter((row) => hasCurve(row) && hasFailed(row)).length : 0;
  if (failed) parts.push("without the curve" + (failed === 1 ? " of 1 failed row" : "s of " + number(failed) + " failed rows"));
  if (list.groups) parts.push("the mean of each group with its standard deviation");
  else if (drawn < kept) parts.push(number(kept - drawn) + (view.x === "step" ? " are at or below zero and have no logarithm" : " have no place on this axis"));
  byId("curve-count").textContent = parts.join("; ") + ".";
}

function swatch(colour, dashed) {
  const line = svg("line", { x1: 0, y1: 5, x2: 18, y2: 5, stroke: colour, "stroke-width": 2.5 });
  if (dashed) line.setAttribute("stroke-dasharray", "5 3");
  return svg("svg", { width: 18, height: 10, "aria-hidden": "true" }, line);
}

function drawLegend() {
  const legend = byId("legend");
  const isFailed = (line) => !line.group && FAILED.has(line.rows[0].state);
  if (shown.colouring.buttons) {
    const inOrder = [...shown.lines].reverse();
    legend.replaceChildren(...inOrder.map((line) =>
      el("button", {
        type: "button",
        "aria-pressed": String(!shown.hidden.has(line.key)),
        onclick: () => {
          if (!shown.hidden.delete(line.key)) shown.hidden.add(line.key);
          drawCurves();
          legend.querySelectorAll("button")[inOrder.indexOf(line)].focus();
        },
      }, swatch(line.colour, isFailed(line)), line.name, el("span", { class: "quiet" }, number(line.final)))));
    if (several && !list.groups) legend.append(el("span", { class: "quiet" }, "fainter: the earlier flow"));
  } else legend.replaceChildren(...(shown.lines.length ? shown.colouring.legend() : []));
  if (shown.lines.some(isFailed)) legend.append(el("span", { class: "quiet" }, "dashed: failed"));
}

// ---- small ones ---------------------------------------------------------------------------------

function smallPlot(place, curve, colour, width, height, axes) {
  const log = view.logy && curve[1].some((y) => y > 0);
  const data = log ? [curve[0], curve[1].map((y) => (y > 0 ? y : null))] : [curve[0], curve[1]];
  if (!data[0].length) return;
  new uPlot({
    width, height,
    legend: { show: false },
    cursor: { show: false },
    padding: axes ? [6, 18, 0, 0] : [3, 2, 3, 2],
    scales: { x: { time: false }, y: scale(log) },
    axes: [{ ...axis(2), show: axes, space: 50, size: 22 }, { ...axis(3, log), show: axes, space: 26, size: 58 }],
    series: [{}, { stroke: colour, width: 1.2, points: { show: data[0].length === 1 } }],
  }, data, place);
}
