// The rows that are shown, their order and their groups.

const list = { rows: [], groups: null, incomplete: [], page: 0, open: null, openGroup: null };

const CONDITION = /^(.+?)(<=|>=|!=|=|<|>)(.+)$/;
// A condition that its reader is still typing: without its value, or with the beginning of a number.
const WITHOUT_VALUE = /^(.+?)(?:<=|>=|[=!<>])$/;
const PART_OF_NUMBER = /^[+-]?\d*\.?\d*(?:e[+-]?)?$/i;
const COMPARES = {
  "=": (a, b) => a === b, "!=": (a, b) => a !== b,
  "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b,
};

const columnNamed = (name) => columns.find((c) => c.value && c.title.toLowerCase() === name.toLowerCase());

function isIncomplete(word) {
  const [, bare] = WITHOUT_VALUE.exec(word) || [];
  if (bare) return columnNamed(bare.replace(/!$/, "")) !== undefined;
  const [, name, , text] = CONDITION.exec(word) || [];
  return Boolean(name) && columnNamed(name)?.kind === "num" && PART_OF_NUMBER.test(text) && !isNumber(Number(text));
}

// A word of the filter as a test of a row: a condition on a column, or text anywhere in the row.
function testOf(word) {
  const [, name, sign, text] = CONDITION.exec(word) || [];
  const column = name && columnNamed(name);
  if (!column) return (row) => row.haystack.includes(word.toLowerCase());
  const asked = Number(text);
  return (row) => {
    const value = column.value(row);
    if (!isKnown(value)) return sign === "!=";
    if (isNumber(value) && text.trim() !== "" && isNumber(asked)) return COMPARES[sign](value, asked);
    // such as nan: neither above nor below a number
    if (isNumber(asked) && column.kind === "num" && /^[<>]/.test(sign)) return false;
    return COMPARES[sign](String(value).toLowerCase(), text.toLowerCase());
  };
}

function choose() {
  const words = view.filter.split(/\s+/).filter(Boolean);
  list.incomplete = words.filter(isIncomplete);
  const tests = words.filter((word) => !list.incomplete.includes(word)).map(testOf);
  const states = new Set(view.states);
  list.rows = page.rows.filter((row) =>
    (!states.size || states.has(row.state)) && tests.every((test) => test(row)));
  const keyOf = groupKey();
  list.groups = keyOf && [...groupedBy(list.rows, keyOf)].map(([key, rows]) => ({ key, rows }));
  sort();
  if (!list.rows.includes(list.open)) list.open = null;
}

// The function that returns the group of a row; null if rows are not grouped.
function groupKey() {
  if (view.group === "params") {
    const of = tunable();
    return (row) => JSON.stringify(of.map((column) => column.value(row) ?? null));
  }
  const column = valuesOf(view.group);
  return column ? (row) => String(column.value(row) ?? "") : null;
}

function groupName(group) {
  if (view.group !== "params") {
    const column = valuesOf(view.group);
    return column.title + " " + (textOf(column, group.rows[0]) || "not given");
  }
  return describe(group.rows[0], tunable());
}

// A row's parameters in words: the first four.
function describe(row, of) {
  const known = of.filter((column) => isKnown(column.value(row)));
  const pairs = known.slice(0, 4).map((column) => column.title + "=" + textOf(column, row).slice(0, 24));
  return pairs.join(" ") + (known.length > 4 ? " \u2026" : "");
}

function sort() {
  const down = view.sort.startsWith("-");
  const column = valuesOf(view.sort.replace(/^-/, ""));
  if (!list.groups) {
    if (column) list.rows = sorted(list.rows, column.value, down);
    return;
  }
  const ranked = page.rank && columnOf("m:" + page.rank.metric);
  const by = column || ranked;
  if (!by) return;
  const descends = column ? down : page.rank.goal === "maximize";
  list.groups = sorted(list.groups, (group) => ofGroup(by, group.rows).value, descends);
  if (column) list.groups.forEach((group) => { group.rows = sorted(group.rows, column.value, down); });
}

// Unknown values come last in either direction; equal ones keep their order.
function sorted(ones, value, down) {
  const keyed = ones.map((one, i) => ({ one, i, key: value(one) }));
  const numeric = keyed.some(({ key }) => isNumber(key));
  const usable = numeric ? isNumber : isKnown;
  const text = new Intl.Collator("en", { numeric: true });
  return keyed
    .sort((a, b) => {
      if (!usable(a.key) || !usable(b.key)) return usable(b.key) - usable(a.key) || a.i - b.i;
      const order = numeric ? a.key - b.key : text.compare(String(a.key), String(b.key));
      return (down ? -order : order) || a.i - b.i;
    })
    .map(({ one }) => one);
}

// A column of several rows: the value that all have; otherwise mean and standard deviation, but for
// a parameter or a text its values. Metrics are those of rows that succeeded.
function ofGroup(column, rows) {
  const counted = column.measure ? rows.filter(isTrained) : rows;
  const values = counted.map(column.value);
  const numbers = values.filter(isNumber);
  const distinct = new Set(values);
  const few = counted.length < rows.length || numbers.length < values.length;
  const note = column.kind === "num" && few ? ` (${numbers.length} of ${rows.length})` : "";
  if (!counted.length) return { value: undefined, text: column.measure ? withoutResult(rows) : "", n: 0 };
  if (!values.some(isKnown)) return { value: undefined, text: "", n: 0 };
  if (distinct.size === 1) return { value: values[0], text: textOf(column, counted[0]) + note, n: numbers.length };
  if (column.kind !== "num" || !numbers.length) return { value: distinct.size, text: valuesIn(column, counted), n: 0 };
  const format = column.format || number;
  const value = mean(numbers), spread = deviation(numbers);
  if (column.of === "Parameters") return { value, spread, text: valuesIn(column, counted), n: numbers.length };
  const around = spread === undefined ? "" : " \u00b1 " + format(+spread.toPrecision(3));
  return { value, spread, text: format(value) + around + note, n: numbers.length };
}

function withoutResult(rows) {
  const failed = rows.filter((row) => FAILED.has(row.state)).length;
  return failed === rows.length ? "all failed" : failed ? "none succeeded" : "no result";
}

// Up to three values, those of a text with the number of their rows; otherwise how many they are.
// Failures come last: where the table is scrolled, the column of names may cover what comes first.
function valuesIn(column, rows) {
  const having = groupedBy(rows.filter((row) => textOf(column, row)), column.value);
  if (having.size > 3) return number(having.size) + " values";
  return sorted([...having], ([value]) => value, column.key === "state")
    .map(([, same]) => (column.of === "Parameters" ? "" : number(same.length) + " ") + textOf(column, same[0]))
    .join(", ");
}
