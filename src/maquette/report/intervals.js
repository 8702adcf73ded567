"use strict";
// Tables of means with their intervals: the mean, a bar that shows both ends, and the ends.

const BAR = { width: 74, height: 11 };

/** A number in the unit of its column: scores with one digit, costs whole. */
function inUnit(value, column) {
  const scaled = value * column.factor;
  if (column.cost) return shown(Math.round(scaled));
  const text = scaled.toFixed(1);
  return (text === "-0.0" ? "0.0" : text).replace("-", "\u2212");
}

/** What the bars of a column reach over: shares from nothing to all, others as far as they go. */
function rangeOf(values, column, signed) {
  const known = values.filter((value) => value);
  const low = Math.min(0, ...known.map((value) => value[1]));
  const high = Math.max(0, ...known.map((value) => value[2]));
  if (signed) {
    const far = Math.max(-low, high) || 1;
    return [-far, far];
  }
  return [low, column.factor === 100 && high > 0.2 ? 1 : high || 1];
}

/** The interval on a line, with a stroke at the mean, and one at 0 where there is less than 0. */
function intervalBar([mean, low, high], [least, most]) {
  const at = (value) => 1 + ((value - least) / (most - least)) * (BAR.width - 2);
  const middle = BAR.height / 2;
  const parts = [svg("line", { class: "track", x1: 0, x2: BAR.width, y1: middle, y2: middle })];
  if (least < 0) parts.push(svg("line", { class: "zero", x1: at(0), x2: at(0), y1: 0, y2: BAR.height }));
  parts.push(
    svg("rect", { class: "reach", x: at(low), y: middle - 2.5, width: Math.max(1, at(high) - at(low)), height: 5, rx: 2.5 }),
    svg("line", { class: "mean", x1: at(mean), x2: at(mean), y1: 1, y2: BAR.height - 1 }));
  return svg("svg", { class: "bar", width: BAR.width, height: BAR.height, viewBox: `0 0 ${BAR.width} ${BAR.height}`, "aria-hidden": "true" }, ...parts);
}

function intervalCell(value, column, range, signed) {
  const cell = make("td", { className: "number interval" });
  if (!value) {
    cell.textContent = "–";
    return cell;
  }
  const [mean, low, high] = value.slice(0, 3).map((part) => inUnit(part, column));
  // A single prompt has no interval, only a value.
  const ends = value[3] < 2 ? "1 prompt" : low + (signed ? " to " : "\u2009–\u2009") + high;
  if (column.cost) {
    cell.textContent = mean;
    cell.title = `${low} to ${high}`;
    return cell;
  }
  if (signed) cell.classList.add(...verdict(value, column));
  const plus = signed && value[0] * column.factor >= 0.05 ? "+" : "";
  cell.append(make("div", { className: "mean", textContent: plus + mean }), intervalBar(value, range),
    make("div", { className: "ends", textContent: ends }));
  return cell;
}

/** Whether a lead is surely one: its whole interval on one side of 0, and on which. */
function verdict([, low, high, count], { better }) {
  if (count < 2 || (low <= 0 && high >= 0)) return [];
  return [(low > 0) === (better > 0) ? "ahead" : "behind"];
}

/**
 * A table with a row for each entrant that `rows` knows. `first` makes the first cell's content;
 * `signed` is for differences.
 */
function intervalTable(entrants, rows, columns, { first, head, signed = false }) {
  const named = entrants.filter(({ name }) => rows[name]);
  const used = columns.filter(({ key }) => named.some(({ name }) => rows[name][key]));
  const ranges = used.map((column) => rangeOf(named.map(({ name }) => rows[name][column.key]), column, signed));
  const lines = named.map((entrant) => {
    const values = used.map(({ key }) => rows[entrant.name][key]);
    const cells = used.map((column, i) => intervalCell(values[i], column, ranges[i], signed));
    return {
      values: [entrant.name, ...values.map((value) => value ? value[0] : null)],
      cells: [make("th", { scope: "row", className: "text" }, ...first(entrant)), ...cells],
    };
  });
  const heads = used.map((column) => ({ head: column.head, kind: "number", falling: column.better > 0 }));
  return make("div", { className: "wide" }, sortedTable([{ head, kind: "text" }, ...heads], lines));
}
