// The effect of parameters on a metric: a scatter plot for each, then all in parallel coordinates.

const MIN_ROWS = 8; // a correlation of fewer rows is meaningless
const PARTS = 8; // bins of a range whose values do not repeat
const MAX_SCATTERS = 12;
const MAX_AXES = 8;
const MAX_PARALLEL = 1000; // of more rows, the best and an even selection of the others are drawn

// The effect of a parameter on a measure, over the rows that succeeded. `weight` is a
// share of the variance: of the rank correlation, or explained by its values.
function effect(rows, column, measure) {
  const points = rows.filter(isTrained)
    .map((row) => ({ row, x: column.value(row), y: measure.value(row) }))
    .filter(({ x, y }) => isKnown(x) && isNumber(y));
  const [xs, ys] = [points.map(({ x }) => x), points.map(({ y }) => y)];
  const ordered = xs.every((x) => isNumber(x) || typeof x === "boolean");
  const enough = points.length >= MIN_ROWS;
  const rho = enough && ordered ? rankCorrelation(xs.map(Number), ys) : undefined;
  const keys = ordered ? parted(xs.map(Number), PARTS) : xs;
  const share = enough ? explained(keys, ys) : undefined;
  return { column, points, rho, share, weight: Math.max((rho || 0) ** 2, share || 0), varies: new Set(xs).size > 1 };
}

function effectInWords({ column, points, rho, share }, measure) {
  const parts = [number(points.length) + (points.length === 1 ? " row" : " rows")];
  if (points.length < MIN_ROWS) return parts + ": too few for a correlation";
  if (rho !== undefined) {
    const runs = Math.abs(rho) < 0.5 ? "" : `: ${measure.name} ${rho > 0 ? "rises" : "falls"} as ${column.title} rises`;
    parts.push("rank correlation " + rho.toFixed(2).replace("-", "\u2212") + runs);
  }
  const percent = Math.round(share * 100);
  if (percent) parts.push("its values explain " + percent + " % of the variance");
  else if (percent === 0) parts.push("its values explain no more of the variance than chance would");
  return parts.join("; ");
}

const formatOf = (measure) => columnOf("m:" + measure.name)?.format || number;
const chosenMeasure = () => measureOf(view.measure || (page.rank ? page.rank.metric : page.measured.find((name) => name !== "step") || ""));

function drawMeasures() {
  const names = columns.filter((column) => column.measure).map((column) => column.title);
  byId("measure").replaceChildren(...names.map((name) => el("option", { value: name }, name)));
  if (!names.includes(view.measure)) view.measure = "";
  byId("measure").value = chosenMeasure().name;
}

// Drawn when the section becomes visible: a large sweep opens faster.
const parametersView = { inSight: false, isOld: true };

function watchParameters() {
  const section = byId("scatters");
  if (!section) return;
  new IntersectionObserver((entries) => {
    parametersView.inSight = last(entries).isIntersecting;
    if (parametersView.inSight && parametersView.isOld) drawParameters();
  }, { rootMargin: "300px" }).observe(section.parentElement);
}

function parametersChanged() {
  parametersView.isOld = true;
  if (byId("scatters") && parametersView.inSight) drawParameters();
}

function drawParameters() {
  parametersView.isOld = false;
  const measure = chosenMeasure();
  const effects = tunable().map((column) => effect(list.rows, column, measure)).filter((one) => one.varies)
    .sort((a, b) => b.weight - a.weight);
  const drawn = effects.slice(0, MAX_SCATTERS);
  const place = byId("scatters");
  parametersView.plots?.forEach((plot) => plot.destroy());
  place.replaceChildren();
  parametersView.plots = drawn.map((one) => drawScatter(place, one, measure));
  const left = effects.length - drawn.length;
  byId("parameter-note").textContent = !list.rows.some(isTrained)
    ? "None of the rows shown has succeeded."
    : !effects.length
    ? `No parameter has two known values in rows that succeeded and have ${measure.name || "a metric"}. ` +
      "A row without an override uses a default of the trainer, which is not known here."
    : left ? `${drawn.length} of ${effects.length} parameters: those with the greatest effect.` : "";
  drawParallel(drawn.slice(0, MAX_AXES), measure);
}

// The position of a parameter or measure on an axis: a number, its logarithm, or a text's index.
function axisOf(values) {
  const ordered = values.every((x) => isNumber(x) || typeof x === "boolean");
  if (!ordered || values.every((x) => typeof x === "boolean")) {
    const names = [...new Set(values.map(String))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    return { of: (x) => names.indexOf(String(x)), names, log: false, min: -0.5, max: names.length - 0.5 };
  }
  const [min, max] = values.reduce(([low, high], x) => [Math.min(low, x), Math.max(high, x)], [Infinity, -Infinity]);
  const log = min > 0 && max / min >= 10;
  return { of: Number, names: null, log, min, max };
}

function drawScatter(place, one, measure) {
  const name = one.column.title, format = formatOf(measure);
  const readout = el("p", { class: "readout", "aria-live": "polite" });
  const chart = el("div", { class: "scatter", tabindex: "0", role: "group",
    "aria-label": `${measure.name} over ${name}. Left and right go from row to row, Enter opens one.` });
  const figure = place.appendChild(el("figure", { "data-parameter": name },
    el("figcaption", {}, el("b", {}, name), " " + effectInWords(one, measure)), chart, readout));
  const across = axisOf(one.points.map(({ x }) => x));
  const points = one.points.map((p) => ({ ...p, x: across.of(p.x) })).sort((a, b) => a.x - b.x || a.y - b.y);
  const radius = points.length > 1000 ? 1.5 : points.length > 200 ? 2.2 : 3.2;
  const best = points.filter(({ row }) => row.rank === 1);
  const facets = [{ scale: "x", auto: true, sorted: 1 }, { scale: "y", auto: true }];
  const series = (colour, size) => ({ facets, stroke: colour, fill: colour, points: { show: false }, paths: disks(size) });
  let chosen = null;
  const choose = (i) => { chosen = i; mark(); };
  const horizontal = { ...axis(2, across.log), space: 50 };
  if (across.log) horizontal.splits = (u, i, min, max) => logTicks(min, max, [[1], [1, 3], [1, 2, 5], [1, 2, 5]]);
  if (across.names) Object.assign(horizontal, namesOn(across.names));
  const plot = new uPlot({
    mode: 2,
    width: Math.max(200, figure.clientWidth), height: 220,
    legend: { show: false },
    cursor: { points: { show: false }, drag: { x: false, y: false }, dataIdx: () => null, y: false, x: false },
    scales: {
      x: across.names ? { time: false, range: () => [across.min, across.max] }
        : across.log ? scale(true) : { time: false, range: (u, min, max) => roomAround(min, max) },
      y: { ...scale(false), range: (u, min, max) => roomAround(min, max) },
    },
    axes: [horizontal, axis(3, false)],
    series: [{}, series(faded(theme.isDark() ? "#86a3c2" : "#54708f", points.length > 200 ? 0.55 : 0.85), radius), series(theme.colour("good"), radius + 2)],
    hooks: { setCursor: [(u) => { const found = nearest(u); if (found !== null) choose(found); }] },
  }, [null, [points.map(({ x }) => x), points.map(({ y }) => y)], [best.map(({ x }) => x), best.map(({ y }) => y)]], chart);
  const tip = plot.over.appendChild(el("div", { class: "tip", "aria-hidden": "true" }));
  tip.hidden = true;
  function nearest(u) {
    const { left, top } = u.cursor;
    if (left === undefined || left < 0) return null;
    let [found, least] = [null, Infinity];
    points.forEach(({ x, y }, i) => {
      const away = (u.valToPos(x, "x") - left) ** 2 + (u.valToPos(y, "y") - top) ** 2;
      if (away < least) [found, least] = [i, away];
    });
    return found;
  }
  const words = ({ row, y }) => `${nameOf(row)}: ${measure.name} ${format(y)}, ${name} ${textOf(one.column, row)}`;
  function mark() {
    tip.hidden = chosen === null;
    if (chosen === null) return;
    const point = points[chosen];
    tip.replaceChildren(el("b", {}, nameOf(point.row)), `${measure.name} ${format(point.y)}`, el("span", { class: "quiet" }, `${name} ${textOf(one.column, point.row)}`));
    setTip(tip, plot.valToPos(point.x, "x"), plot.valToPos(point.y, "y"), plot.over.clientWidth, plot.over.clientHeight);
  }
  plot.over.addEventListener("mouseleave", () => choose(null));
  plot.over.addEventListener("click", () => { if (chosen !== null) openRow(points[chosen].row); });
  chart.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Enter" && chosen !== null) { event.preventDefault(); return openRow(points[chosen].row); }
    if (event.key === "Escape") { readout.textContent = ""; return choose(null); }
    if (!move) return;
    event.preventDefault();
    choose(chosen === null ? 0 : Math.max(0, Math.min(points.length - 1, chosen + move)));
    readout.textContent = words(points[chosen]);
  });
  return plot;
}

// Names on a horizontal axis: as many as have room, each cut to its room.
function namesOn(names) {
  const room = (u) => u.bbox.width / (devicePixelRatio || 1) / names.length;
  return {
    space: 0,
    splits: () => names.map((_, i) => i),
    filter: (u, splits) => splits.map((v) => (v % Math.ceil(30 / room(u)) ? null : v)),
    values: (u, splits) => splits.map((v) => (v === null ? "" : ending(names[v], Math.max(4, Math.floor(room(u) / 7.5))))),
  };
}

// At most `most` characters of a text: its end, which differs more often.
const ending = (text, most) => (text.length > most ? "\u2026" + text.slice(1 - most) : text);

const roomAround = (min, max) => {
  const room = (max - min) * 0.06 || Math.abs(max) * 0.1 || 1;
  return [min - room, max + room];
};

// Draws each point of a series as a disk.
function disks(radius) {
  return (u, i) => {
    const path = new Path2D();
    const size = radius * (devicePixelRatio || 1);
    const [xs, ys] = u.data[i];
    xs.forEach((x, k) => {
      const [left, top] = [u.valToPos(x, "x", true), u.valToPos(ys[k], "y", true)];
      path.moveTo(left + size, top);
      path.arc(left, top, size, 0, 7);
    });
    return { fill: path, stroke: null, clip: null, flags: 3 };
  };
}

// ---- parallel coordinates -----------------------------------------------------------------------

function drawParallel(effects, measure) {
  const place = byId("parallel");
  place.replaceChildren();
  byId("parallel-note").textContent = "";
  const used = [...effects.map((one) => ({ name: one.column.title, value: one.column.value, format: one.column.format, text: (row) => textOf(one.column, row) })),
    { name: measure.name, value: measure.value, text: (row) => formatOf(measure)(measure.value(row)), format: formatOf(measure) }];
  const trained = list.rows.filter((row) => isTrained(row) && isNumber(measure.value(row)));
  const whole = trained.filter((row) => used.every(({ value }) => isKnown(value(row))));
  if (effects.length < 2 || whole.length < MIN_ROWS) return;
  const sign = measure.goal === "maximize" ? 1 : -1;
  const ordered = [...whole].sort((a, b) => sign * (measure.value(a) - measure.value(b))); // the best on top
  const every = Math.ceil(ordered.length / MAX_PARALLEL);
  const rows = ordered.filter((_, i) => (ordered.length - 1 - i) % every === 0);
  const notes = [];
  if (rows.length < whole.length) notes.push(`${number(rows.length)} of ${number(whole.length)} rows are drawn: the best, and each ${every}th after it.`);
  if (whole.length < trained.length) notes.push(`${number(trained.length - whole.length)} rows without a value for each axis are left out.`);
  byId("parallel-note").textContent = notes.join(" ");

  const height = 260, top = 34, bottom = 24, side = 46;
  const width = Math.max(place.clientWidth, used.length * 92);
  const along = (i) => side + (i * (width - 2 * side)) / (used.length - 1);
  const axes = used.map((one) => ({ ...one, ...axisOf(whole.map(one.value)) }));
  const down = ({ of, value, log, min, max }, row) => {
    const [low, high, at] = log ? [Math.log(min), Math.log(max), Math.log(value(row))] : [min, max, of(value(row))];
    return top + (height - top - bottom) * (high > low ? (high - at) / (high - low) : 0.5);
  };
  const lines = rows.map((row, i) => ({ row, ys: axes.map((one) => down(one, row)), share: rows.length > 1 ? 1 - i / (rows.length - 1) : 0 }));
  const picture = svg("svg", { width, height, role: "img", class: "parallel",
    "aria-label": `Parallel coordinates of ${rows.length} rows over ${used.map(({ name }) => name).join(", ")}. The table has the same numbers.` });
  const ramp = measure.goal ? JUDGED : NEUTRAL;
  for (const line of lines) {
    line.path = picture.appendChild(svg("path", { d: "M" + line.ys.map((y, i) => along(i).toFixed(1) + " " + y.toFixed(1)).join("L"), stroke: ofRamp(ramp, line.share) }));
  }
  axes.forEach((one, i) => {
    const text = (y, what, more) => picture.append(svg("text", { x: along(i), y, "text-anchor": "middle", ...more }, what));
    picture.append(svg("line", { x1: along(i), x2: along(i), y1: top, y2: height - bottom }));
    text(13, ending(one.name, 15), { class: "name" });
    if (one.names && one.names.length <= 8) one.names.forEach((name, k) => text(top + (height - top - bottom) * ((one.max - k) / (one.max - one.min)) + 4, name.slice(0, 14)));
    else if (!one.names) { text(top - 6, one.format(one.max)); text(height - bottom + 14, one.format(one.min)); }
  });
  const tip = el("div", { class: "tip", "aria-hidden": "true" });
  tip.hidden = true;
  place.append(picture, tip);
  let chosen = null;
  picture.addEventListener("mousemove", (event) => {
    const box = picture.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const share = Math.max(0, Math.min(used.length - 1.001, ((x - side) / (width - 2 * side)) * (used.length - 1)));
    const i = Math.floor(share);
    const away = (line) => Math.abs(line.ys[i] + (line.ys[i + 1] - line.ys[i]) * (share - i) - y);
    const found = lines.reduce((a, b) => (away(b) <= away(a) ? b : a));
    chosen?.path.classList.remove("chosen");
    chosen = away(found) < 16 ? found : null;
    tip.hidden = !chosen;
    if (!chosen) return;
    chosen.path.classList.add("chosen");
    tip.replaceChildren(el("b", {}, nameOf(chosen.row)), ...axes.map((one) => el("span", { class: "quiet" }, `${one.name} ${one.text(chosen.row)}`)));
    setTip(tip, x, y, width, height);
  });
  picture.addEventListener("mouseleave", () => { chosen?.path.classList.remove("chosen"); chosen = null; tip.hidden = true; });
  picture.addEventListener("click", () => { if (chosen) openRow(chosen.row); });
}
