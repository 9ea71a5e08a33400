// Curves: all rows in one plot, and one small plot per row. Drawn by uPlot.

const MANY = 10; // more curves than these are coloured by their final value
const shown = {
  metric: page.metrics[0],
  rows: [], // rows whose curve is drawn, worst first so that the best lie on top
  hidden: new Set(), // numbers of rows switched off in the legend
  pinned: null, // the row that the keyboard or the table chose
  at: 0, // index of the point on it
  logX: false,
  logY: false,
  plot: null,
};

const curveOf = (row) => (row.curves || {})[shown.metric];
const last = (list) => list[list.length - 1];

// The points that the scales can show: a logarithm wants numbers above zero.
function drawable(curve, logX, logY) {
  const [xs, ys] = curve;
  if (!logX && !logY) return [xs, ys];
  const kept = xs.map((_, i) => i).filter((i) => (!logX || xs[i] > 0) && (!logY || ys[i] > 0));
  return [kept.map((i) => xs[i]), kept.map((i) => ys[i])];
}

// Few runs: a colour each, the same in all flows, fainter in the earlier ones. Many: by flow, or
// by final value.
function colours(rows) {
  const runs = [...new Set([...rows].sort((a, b) => a.number - b.number).map((row) => row.run_id))];
  shown.few = runs.length <= MANY;
  if (shown.few) {
    const strength = (row) => (several ? 0.4 + (0.6 * row.flow) / (page.flows.length - 1) : 1);
    return rows.map((row) => faded(ofPalette(runs.indexOf(row.run_id)), strength(row)));
  }
  if (several) return rows.map((row) => ofPalette(row.flow));
  return rows.map((_, i) => ofRamp(1 - i / (rows.length - 1)));
}

function axis(side, log) {
  return {
    side,
    stroke: theme.colour("quiet"),
    font: "12px system-ui, sans-serif",
    grid: { stroke: theme.colour("grid"), width: 1 },
    ticks: { stroke: theme.colour("grid"), width: 1, size: 4 },
    space: side === 2 ? 70 : 36,
    size: side === 2 ? 30 : 62,
    values: (u, splits) => splits.map((v) => (v === null ? "" : number(v))),
    ...(log ? { splits: (u, i, min, max) => logTicks(min, max), filter: (u, splits) => splits } : {}),
  };
}

// Round numbers of a logarithmic scale: the fewer decades, the more of each.
function logTicks(min, max) {
  const decades = Math.log10(max / min);
  const of = decades > 4 ? [1] : decades > 1.2 ? [1, 2, 5] : decades > 0.4 ? [1, 1.5, 2, 3, 4, 5, 6, 8] : null;
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

function drawCurves(rows) {
  const chart = byId("chart");
  if (!chart) return;
  const withCurve = rows.filter((row) => curveOf(row) && curveOf(row)[0].length);
  const final = (row) => last(curveOf(row)[1]);
  shown.rows = withCurve.sort((a, b) => final(b) - final(a) || b.number - a.number);
  const of = colours(shown.rows);
  shown.rows.forEach((row, i) => { row.colour = of[i]; });
  const visible = shown.rows.filter((row) => !shown.hidden.has(row.number));
  shown.visible = visible.filter((row) => {
    row.points = drawable(curveOf(row), shown.logX, shown.logY);
    return row.points[0].length;
  });
  if (shown.plot) shown.plot.destroy();
  Object.assign(shown, { plot: null, full: null, hovered: null });
  chart.replaceChildren();
  tellCount();
  drawLegend();
  byId("readout").textContent = "";
  byId("unzoom").disabled = true;
  if (!shown.visible.length) {
    chart.append(el("p", { class: "quiet" }, "No curve to draw: change the filter, the scale or the metric."));
    return;
  }
  const width = shown.visible.length > 200 ? 0.8 : shown.few ? 1.5 : 1;
  const options = {
    mode: 2,
    ...chartSize(),
    legend: { show: false },
    cursor: { points: { show: false }, drag: { x: true, y: true, uni: 24 }, dataIdx: () => null, y: false },
    scales: { x: scale(shown.logX), y: scale(shown.logY) },
    axes: [axis(2, shown.logX), axis(3, shown.logY)],
    series: [
      {},
      ...shown.visible.map((row) => ({
        facets: [{ scale: "x", auto: true, sorted: 1 }, { scale: "y", auto: true }],
        stroke: row.colour,
        width,
        dash: FAILED.has(row.state) ? [5, 3] : undefined,
        paths: uPlot.paths.linear(),
        points: { show: row.points[0].length === 1, size: 5, fill: row.colour, paths: dots },
        pxAlign: 0,
      })),
    ],
    hooks: {
      setCursor: [(u) => follow(u)],
      // uPlot draws a moment later: a plot may have been replaced by then
      ready: [(u) => {
        if (u === shown.plot) shown.full = ["x", "y"].map((key) => [u.scales[key].min, u.scales[key].max]);
      }],
      setScale: [(u) => { if (u === shown.plot) byId("unzoom").disabled = !isZoomed(u); }],
      draw: [() => highlight()],
    },
  };
  shown.plot = new uPlot(options, [null, ...shown.visible.map((row) => row.points)], chart);
  shown.over = shown.plot.over.appendChild(el("canvas", { class: "over", "aria-hidden": "true" }));
  shown.tip = shown.plot.over.appendChild(el("div", { class: "tip", "aria-hidden": "true" }));
  shown.tip.hidden = true;
  shown.plot.over.addEventListener("mouseleave", () => { shown.hovered = null; highlight(); });
  shown.plot.over.addEventListener("click", () => {
    if (shown.hovered && !wasDrag(shown.plot)) openRow(shown.hovered.row);
  });
  highlight();
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

function indexNear(xs, x) {
  let low = 0, high = xs.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle; else high = middle;
  }
  return Math.abs(xs[low] - x) <= Math.abs(xs[high] - x) ? low : high;
}

function follow(u) {
  const { left, top } = u.cursor;
  if (left === undefined || left < 0) return;
  const x = u.posToVal(left, "x");
  let best = null;
  for (const row of shown.visible) {
    const [xs, ys] = row.points;
    const i = indexNear(xs, x);
    const dx = u.valToPos(xs[i], "x") - left, dy = u.valToPos(ys[i], "y") - top;
    const away = dx * dx + dy * dy;
    if (!best || away < best.away) best = { row, i, away };
  }
  shown.hovered = best;
  highlight();
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
  const pinned = shown.pinned && shown.visible.includes(shown.pinned) ? shown.pinned : null;
  const chosen = shown.hovered || (pinned && { row: pinned, i: Math.min(shown.at, pinned.points[0].length - 1) });
  shown.tip.hidden = !chosen;
  if (!chosen) return;
  const canvas = shown.over.getContext("2d");
  canvas.scale(ratio, ratio);
  const [xs, ys] = chosen.row.points;
  const place = (i) => [u.valToPos(xs[i], "x"), u.valToPos(ys[i], "y")];
  canvas.beginPath();
  xs.forEach((_, i) => canvas.lineTo(...place(i)));
  canvas.lineJoin = "round";
  canvas.strokeStyle = theme.colour("panel");
  canvas.lineWidth = 5;
  canvas.stroke();
  canvas.strokeStyle = shown.few ? chosen.row.colour : theme.colour("warn");
  canvas.lineWidth = 2.2;
  canvas.stroke();
  const [left, top] = place(chosen.i);
  canvas.beginPath();
  canvas.arc(left, top, 4, 0, 7);
  canvas.fillStyle = canvas.strokeStyle;
  canvas.fill();
  const text = shown.metric + " " + number(ys[chosen.i]) + " at step " + number(xs[chosen.i]);
  shown.tip.replaceChildren(el("b", {}, nameOf(chosen.row)), text);
  const right = left > width / 2;
  shown.tip.style.left = right ? "" : left + 14 + "px";
  shown.tip.style.right = right ? width - left + 14 + "px" : "";
  shown.tip.style.top = Math.max(0, Math.min(height - 48, top - 22)) + "px";
}

function nameOf(row) {
  return several ? page.flows[row.flow].label + " " + row.run_id : row.run_id;
}

function steer(event) {
  if (!shown.plot || event.target !== byId("chart")) return;
  const order = [...shown.visible].reverse();
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  if (event.key === "Enter" && shown.pinned) {
    event.preventDefault(); // the focus moves to the row's button, which must not be pressed by it
    return openRow(shown.pinned);
  }
  if (event.key === "Escape") { shown.pinned = null; byId("readout").textContent = ""; return highlight(); }
  if (!moves[event.key]) return;
  event.preventDefault();
  const [down, along] = moves[event.key];
  const now = order.indexOf(shown.pinned);
  const step = now < 0 ? 0 : shown.pinned.points[0][Math.min(shown.at, shown.pinned.points[0].length - 1)];
  shown.pinned = order[now < 0 ? 0 : Math.max(0, Math.min(order.length - 1, now + down))];
  const xs = shown.pinned.points[0];
  shown.at = now < 0 ? xs.length - 1 : Math.max(0, Math.min(xs.length - 1, indexNear(xs, step) + along));
  shown.hovered = null;
  highlight();
  byId("readout").textContent = nameOf(shown.pinned) + ": " + shown.metric + " " +
    number(shown.pinned.points[1][shown.at]) + " at step " + number(xs[shown.at]);
}

// ---- what the plot holds ----------------------------------------------------------------------

function tellCount() {
  const drawn = shown.visible.reduce((sum, row) => sum + row.points[0].length, 0);
  const all = shown.visible.reduce((sum, row) => sum + curveOf(row)[2], 0);
  const kept = shown.visible.reduce((sum, row) => sum + curveOf(row)[0].length, 0);
  const chart = byId("chart");
  Object.assign(chart.dataset, { curves: shown.visible.length, points: drawn, all });
  let text = number(shown.visible.length) + (shown.visible.length === 1 ? " curve, " : " curves, ");
  text += kept === all ? number(all) + " points, all of them" :
    number(kept) + " of " + number(all) + " points: of each stretch the lowest and the highest, so that no spike is lost";
  if (drawn < kept) text += "; " + number(kept - drawn) + " are at or below zero and have no logarithm";
  byId("curve-count").textContent = text + ".";
}

function swatch(colour, dashed) {
  const line = svg("line", { x1: 0, y1: 5, x2: 18, y2: 5, stroke: colour, "stroke-width": 2.5 });
  if (dashed) line.setAttribute("stroke-dasharray", "5 3");
  return svg("svg", { width: 18, height: 10, "aria-hidden": "true" }, line);
}

function drawLegend() {
  const legend = byId("legend");
  const anyFailed = shown.rows.some((row) => FAILED.has(row.state));
  if (shown.few) {
    const inOrder = [...shown.rows].sort((a, b) => a.number - b.number);
    legend.replaceChildren(...inOrder.map((row) =>
      el("button", {
        type: "button",
        "aria-pressed": String(!shown.hidden.has(row.number)),
        onclick: () => {
          if (!shown.hidden.delete(row.number)) shown.hidden.add(row.number);
          drawCurves(shown.rows.slice());
          const again = [...legend.querySelectorAll("button")];
          again[inOrder.indexOf(row)].focus();
        },
      }, swatch(row.colour, FAILED.has(row.state)), nameOf(row), el("span", { class: "quiet" }, number(last(curveOf(row)[1]))))));
  } else if (several) {
    legend.replaceChildren(...page.flows.map((flow, i) =>
      el("span", {}, swatch(ofPalette(i)), " " + flow.label + " ", el("span", { class: "quiet" }, flow.id))));
  } else {
    const finals = shown.rows.map((row) => last(curveOf(row)[1]));
    const bars = Array.from({ length: 24 }, (_, i) =>
      svg("rect", { x: i * 5, width: 5, height: 10 }));
    bars.forEach((bar, i) => { bar.style.fill = ofRamp(i / 23); });
    legend.replaceChildren(
      el("span", { class: "quiet" }, "final " + shown.metric),
      number(last(finals)), svg("svg", { width: 120, height: 10, "aria-hidden": "true" }, ...bars), number(finals[0]));
  }
  if (shown.few && several) legend.append(el("span", { class: "quiet" }, "fainter: the earlier flow"));
  if (anyFailed) legend.append(el("span", { class: "quiet" }, "dashed: failed"));
}

// ---- small ones ---------------------------------------------------------------------------------

function smallPlot(place, curve, colour, width, height, axes) {
  const log = shown.logY && curve[1].some((y) => y > 0);
  const data = drawable(curve, false, log);
  if (!data[0].length) return;
  new uPlot({
    width, height,
    legend: { show: false },
    cursor: { show: false },
    padding: axes ? [6, 8, 0, 0] : [3, 2, 3, 2],
    scales: { x: { time: false }, y: scale(log) },
    axes: [{ ...axis(2), show: axes, space: 50, size: 22 }, { ...axis(3, log), show: axes, space: 26, size: 58 }],
    series: [{}, { stroke: colour, width: 1.2, points: { show: data[0].length === 1 } }],
  }, data, place);
}
