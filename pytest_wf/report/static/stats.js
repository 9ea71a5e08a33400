// Statistics of lists of numbers, independent of rows and the page.

const sum = (values) => values.reduce((total, value) => total + value, 0);
const mean = (values) => sum(values) / values.length;
const last = (list) => list[list.length - 1];


// The sum of the squared distances from the mean.
function squares(values) {
  const middle = mean(values);
  return values.reduce((total, value) => total + (value - middle) ** 2, 0);
}

// The standard deviation of a sample; undefined for one value.
const deviation = (values) => (values.length < 2 ? undefined : Math.sqrt(squares(values) / (values.length - 1)));

// Ranks from 1; equal values share the mean of their ranks.
function ranks(values) {
  const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]);
  const found = new Array(values.length);
  for (let start = 0; start < order.length;) {
    let end = start;
    while (end + 1 < order.length && values[order[end + 1]] === values[order[start]]) end++;
    for (let i = start; i <= end; i++) found[order[i]] = (start + end) / 2 + 1;
    start = end + 1;
  }
  return found;
}

// Pearson's correlation; undefined if one side does not vary.
function correlation(xs, ys) {
  const mx = mean(xs), my = mean(ys);
  const products = xs.reduce((total, x, i) => total + (x - mx) * (ys[i] - my), 0);
  const size = Math.sqrt(squares(xs) * squares(ys));
  return size > 0 ? products / size : undefined;
}

// Spearman's correlation.
const rankCorrelation = (xs, ys) => correlation(ranks(xs), ranks(ys));

// The share of the variance of `ys` that the values of `keys` explain, as epsilon squared, which
// subtracts the share explained by chance. Undefined if too few keys repeat.
function explained(keys, ys) {
  const groups = groupedBy(ys, (_, i) => keys[i]);
  const between = groups.size - 1, within = ys.length - groups.size;
  if (between < 1 || within < Math.max(4, between)) return undefined;
  const total = squares(ys);
  const left = sum([...groups.values()].map(squares));
  return total > 0 ? Math.max(0, (total - left - (between * left) / within) / total) : undefined;
}

// Numbers as the quantile that they are in, if too few of them repeat to be
// compared directly.
function parted(values, parts) {
  if (new Set(values).size <= Math.max(parts, values.length / 4)) return values;
  return ranks(values).map((place) => Math.min(parts - 1, Math.floor(((place - 1) * parts) / values.length)));
}

// A Map of lists, with keys in order of first occurrence.
function groupedBy(list, keyOf) {
  const groups = new Map();
  list.forEach((one, i) => {
    const key = keyOf(one, i);
    if (groups.has(key)) groups.get(key).push(one); else groups.set(key, [one]);
  });
  return groups;
}

// An exponential moving average, as in TensorBoard: `weight` from 0 (none) to below 1.
function smoothed(ys, weight) {
  if (!weight) return ys;
  let average = 0, share = 0;
  return ys.map((y) => {
    average = weight * average + (1 - weight) * y;
    share = weight * share + (1 - weight);
    return average / share;
  });
}

// Index of the element of the ascending list `xs` that is nearest to `x`.
function indexNear(xs, x) {
  let low = 0, high = xs.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle; else high = middle;
  }
  return Math.abs(xs[low] - x) <= Math.abs(xs[high] - x) ? low : high;
}

// The value at `x` of the line through the points; undefined outside them.
function interpolated([xs, ys], x) {
  if (!xs.length || x < xs[0] || x > last(xs)) return undefined;
  const near = indexNear(xs, x);
  if (xs[near] === x) return ys[near];
  const from = xs[near] < x ? near : near - 1;
  return ys[from] + ((ys[from + 1] - ys[from]) * (x - xs[from])) / (xs[from + 1] - xs[from]);
}

// Mean and standard deviation of several curves at the steps of any of them, at most `most`, and
// how many curves have a value there.
function banded(curves, most) {
  let xs = [...new Set(curves.flatMap(([x]) => Array.from(x)))].sort((a, b) => a - b);
  if (xs.length > most) xs = Array.from({ length: most }, (_, i) => xs[Math.round((i * (xs.length - 1)) / (most - 1))]);
  const at = xs.map((x) => curves.map((curve) => interpolated(curve, x)).filter((y) => y !== undefined));
  return { points: [xs, at.map(mean)], spread: at.map((ys) => deviation(ys) || 0), counts: at.map((ys) => ys.length) };
}
