"use strict";
// Small helpers for elements, numbers and tables. Text from data is always set as text.

/** An element with properties and children; strings become text, never markup. */
function make(name, properties, ...children) {
  const element = document.createElement(name);
  Object.assign(element, properties);
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A number for people: whole ones with thin gaps, others with three digits that count. */
function shown(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) || Math.abs(value) >= 1000) {
    return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  }
  const digits = Math.abs(value) >= 100 ? 1 : Math.abs(value) >= 0.001 ? 3 : -1;
  return digits < 0 ? value.toExponential(1) : String(Number(value.toFixed(digits)));
}

/** Less than 0 where a comes first; what is not known comes last in either order. */
function compare(a, b, turned) {
  const unknown = [a, b].map((value) => value === null || value === undefined);
  if (unknown[0] || unknown[1]) return Number(unknown[0]) - Number(unknown[1]);
  const numbers = typeof a === "number" && typeof b === "number";
  const order = numbers ? a - b : String(a).localeCompare(String(b), "en");
  return turned ? -order : order;
}

/**
 * A table sorted by a click on a head. Columns are `{ head, kind }`, with `falling` where the
 * greatest comes first, and rows `{ values, cells }`: what is sorted by, and what is seen.
 */
function sortedTable(columns, rows) {
  const body = make("tbody", {});
  const heads = columns.map(({ head, kind, falling }, place) => {
    const button = make("button", { type: "button", textContent: head });
    const element = make("th", { scope: "col", className: kind }, button);
    button.addEventListener("click", () => sortBy(place, element, Boolean(falling)));
    return element;
  });
  const lines = rows.map(({ values, cells }) => ({ values, row: make("tr", {}, ...cells) }));

  function sortBy(place, head, falling) {
    const first = falling ? "descending" : "ascending";
    const turned = (head.getAttribute("aria-sort") === first) !== falling;
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", turned ? "descending" : "ascending");
    // Sorting is stable: a second column keeps the first one's order among equals.
    lines.sort((a, b) => compare(a.values[place], b.values[place], turned));
    body.append(...lines.map(({ row }) => row));
  }

  body.append(...lines.map(({ row }) => row));
  return make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body);
}

/** The table of runs. */
function runTable(columns, runs, colours) {
  const kinds = columns.map(({ key }) => runs.some((run) => typeof run.facts[key] === "number") ? "number" : "text");
  const rows = runs.map((run, index) => {
    const cells = columns.map(({ key }, place) => {
      const value = run.facts[key];
      const cell = make("td", { className: kinds[place] });
      if (key !== "prompt") cell.textContent = shown(value);
      else cell.append(mark(colours[index]), make("a", { href: `#result-${index}`, textContent: value, dir: "auto" }));
      return cell;
    });
    return { values: columns.map(({ key }) => run.facts[key]), cells };
  });
  return sortedTable(columns.map(({ head }, place) => ({ head, kind: kinds[place] })), rows);
}

/** What the judge said of each side: a row for each measure. */
function sideTable(sides) {
  const names = Object.keys(sides);
  const count = Math.max(...names.map((name) => sides[name].length));
  const heads = ["side", ...Array.from({ length: count }, (_, side) => String(side + 1))];
  const line = (name) => [
    make("th", { scope: "row", textContent: name }),
    ...sides[name].map((value) => make("td", { className: "number", textContent: shown(value) })),
  ];
  return make("table", { className: "sides" },
    make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { textContent: text })))),
    make("tbody", {}, ...names.map((name) => make("tr", {}, ...line(name)))));
}
