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

/** The table of runs, sorted by a click on a head. */
function runTable(columns, runs, colours) {
  const kindOf = (key) => runs.some((run) => typeof run.facts[key] === "number") ? "number" : "text";
  const body = make("tbody", {});
  const heads = columns.map((column) => {
    const button = make("button", { type: "button", textContent: column.head });
    const kind = kindOf(column.key);
    const head = make("th", { scope: "col", className: kind }, button);
    button.addEventListener("click", () => sortBy(column.key, head));
    return head;
  });
  const rows = runs.map((run, index) => {
    const cells = columns.map(({ key }) => {
      const value = run.facts[key];
      const cell = make("td", { className: kindOf(key) });
      if (key !== "prompt") cell.textContent = shown(value);
      else {
        const mark = make("span", { className: "mark" });
        mark.style.background = colours[index];
        cell.append(mark, make("a", { href: `#result-${index}`, textContent: value, dir: "auto" }));
      }
      return cell;
    });
    return { run, row: make("tr", {}, ...cells) };
  });

  function sortBy(key, head) {
    const turned = head.getAttribute("aria-sort") === "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", turned ? "descending" : "ascending");
    // Sorting is stable: a second column keeps the first one's order among equals.
    rows.sort((a, b) => compare(a.run.facts[key], b.run.facts[key], turned));
    body.append(...rows.map(({ row }) => row));
  }

  body.append(...rows.map(({ row }) => row));
  return make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body);
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
