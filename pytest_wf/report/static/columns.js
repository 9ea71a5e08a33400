// Possible columns: fields of the row itself, its parameters, its metrics; and which are shown.

const USUAL_PARAMETERS = 8;

// The last, least or greatest value of a metric, named as `val_loss` or `min(val_loss)`.
function measureOf(name) {
  const [, of, base] = /^(min|max)\((.*)\)$/.exec(name) || [null, "", name];
  const at = page.measured.indexOf(base);
  const place = { min: 0, max: 2 }[of];
  const value = of
    ? (row) => row.extremes[at]?.[place]
    : (row) => row.last[at] ?? undefined;
  const rule = page.rank;
  return { name, base, of, value, goal: rule && rule.metric === name ? rule.goal : page.goals[base] };
}

function parameterColumn(name, at) {
  return {
    key: "p:" + name, title: name, of: "Parameters", format: exact,
    value: (row) => row.params[at] ?? undefined,
    kind: page.rows.every((row) => row.params[at] === null || row.params[at] === undefined || isNumber(row.params[at])) ? "num" : "text",
  };
}

function metricColumn(name) {
  const measure = measureOf(name);
  let digits = 0;
  const format = (value) => number(value, (digits ||= digitsOf(page.rows.slice(0, PAGE_ROWS).map(measure.value))));
  return { key: "m:" + name, title: name, of: "Metrics", value: measure.value, kind: "num", measure, format };
}

const columns = (() => {
  const any = (read) => page.rows.some((row) => isKnown(read(row)));
  const ofRow = (key, title, value, more) => ({ key, title, of: "Row", value, kind: "text", ...more });
  const metrics = page.measured.filter((name) => name !== "step").flatMap((name, at) =>
    [name, ...(any((row) => row.extremes[page.measured.indexOf(name)]) ? [`min(${name})`, `max(${name})`] : [])].map(metricColumn));
  const ranked = page.rank && page.rank.ranked;
  const [first, others] = [[], []];
  for (const column of metrics) (ranked && column.title === page.rank.metric ? first : others).push(column);
  return [
    several && ofRow("flow", "Flow", (r) => r.flow, { text: (r) => page.flows[r.flow].label }),
    ranked && ofRow("rank", "Rank", (r) => r.rank, { kind: "num" }),
    ofRow("run", "Run", (r) => r.run_id, { kind: "run" }),
    any((r) => r.state) && ofRow("state", "State", (r) => r.state, { kind: "state" }),
    ...first,
    page.metrics.length && { key: "spark", title: "Curve", of: "Row", kind: "spark" },
    ...page.parameters.map(parameterColumn),
    ...others,
    page.measured.includes("step") && ofRow("step", "Step", measureOf("step").value, { kind: "num" }),
    ofRow("took", "Took", (r) => r.duration_s, { kind: "num", format: duration, text: (r) => duration(r.duration_s) || (r.so_far || "").split(",")[0].replace("ran ", "") }),
    any((r) => r.cost_usd) && ofRow("cost", "Cost", (r) => r.cost_usd, { kind: "num", format: (usd) => "$" + usd.toFixed(2), text: (r) => isKnown(r.cost_usd) ? "$" + r.cost_usd.toFixed(2) : "" }),
    ofRow("tries", "Attempts", (r) => r.attempts || undefined, { kind: "num" }),
    any((r) => r.failure_class) && ofRow("failure", "Failure", (r) => r.failure_class),
    any((r) => r.reason) && ofRow("reason", "Reason", (r) => r.reason, { kind: "wide" }),
    any((r) => r.noted) && ofRow("notes", "Notes", (r) => r.noted),
    any((r) => (r.gpu === "none" ? "" : r.gpu)) && ofRow("gpu", "GPU", (r) => r.gpu, { text: (r) => (r.gpu || "").replaceAll("NVIDIA ", "") }),
    any((r) => r.overrides) && ofRow("overrides", "Overrides", (r) => r.overrides, { kind: "wide" }),
    any((r) => r.remark) && ofRow("remark", "Remark", (r) => r.remark, { kind: "wide" }),
    any((r) => r.started_at) && ofRow("started", "Started", (r) => r.started_at),
    ofRow("row", "Row", (r) => r.index + 1, { kind: "num" }),
  ].filter(Boolean);
})();

const columnOf = (key) => columns.find((column) => column.key === key);
// A column with values; the address may name any.
const valuesOf = (key) => columns.find((column) => column.key === key && column.value);

// The text of a cell: for a metric that is not a number its text, such as 'nan'.
function textOf(column, row) {
  if (column.text) return column.text(row);
  const value = column.value(row);
  return isKnown(value) ? (typeof value === "number" ? (column.format || number)(value) : String(value)) : "";
}

// The parameters that a user tunes: all except seeds.
const tunable = () => columns.filter((c) => c.of === "Parameters" && page.tuned.includes(c.title));

// If there are few parameters, all; otherwise those that best explain the ranked metric.
const usualColumns = (() => {
  let found = null;
  return () => {
    if (found) return found;
    const metrics = columns.filter((c) => c.of === "Metrics");
    const ranked = metrics.find((c) => page.rank && c.title === page.rank.metric);
    let parameters = columns.filter((c) => c.of === "Parameters");
    if (parameters.length > USUAL_PARAMETERS) {
      const every = Math.ceil(page.rows.length / 2000);
      const some = page.rows.filter((_, i) => i % every === 0);
      const weight = new Map(parameters.map((c) => [c, ranked ? effect(some, c, ranked.measure).weight : 0]));
      parameters = [...parameters].sort((a, b) => weight.get(b) - weight.get(a)).slice(0, USUAL_PARAMETERS);
    }
    // of other metrics, those with a known better direction
    const lasts = metrics.filter((c) => !c.measure.of && c !== ranked && (c.measure.goal || !ranked)).slice(0, ranked ? 2 : 3);
    const row = ["flow", "rank", "run", "state", "spark", "step", "took", "failure", "notes"];
    if (page.rows.some((r) => r.attempts > 1)) row.push("tries");
    const chosen = new Set([...parameters, ...lasts, ranked, ...row.map(columnOf)]);
    return (found = columns.filter((column) => chosen.has(column)));
  };
})();

const shownColumns = () => {
  const chosen = columns.filter((column) => view.columns.includes(column.key));
  return chosen.length ? chosen : usualColumns();
};
