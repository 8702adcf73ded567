"use strict";
// The page about a benchmark: tables with intervals, leads, curves, and the assets side by side.

const FEW = 6; // So many curves can be told apart with their bands; of more, the best are shown.

/** Everybody's place in the order of entrants, colour and stroke. */
function marked(entrants) {
  return entrants.map((entrant, place) => ({
    ...entrant, place, colour: PALETTE[place % PALETTE.length],
    dash: ["none", "7 4", "2 3"][Math.floor(place / PALETTE.length) % 3],
  }));
}

/** An entrant's name, which leads to its assets, and what was changed in its recipe. */
function entrantName({ name, recipe, how, colour }, open) {
  const link = make("a", { href: "#assets", textContent: name, dir: "auto" });
  link.addEventListener("click", () => open(name));
  const changes = [...(recipe === name ? [] : [recipe]), ...how].join(", ");
  return [mark(colour), link, changes ? make("div", { className: "ends", textContent: changes }) : null];
}

function tables(bench, entrants, open) {
  const first = (entrant) => entrantName(entrant, open).filter(Boolean);
  const scores = bench.columns.filter(({ cost }) => !cost);
  section("rows", "All prompts", `Means over prompts with their 95 % intervals. Janus and halo: less is better. ${SORTING}`)
    .append(intervalTable(entrants, bench.rows, bench.columns, { first, head: "recipe" }));
  if (Object.values(bench.unseen).some((row) => Object.keys(row).length)) {
    const count = bench.prompts.filter(({ unseen }) => unseen).length;
    section("unseen", "Unseen combinations", `The same on ${counted(count, "prompt")} that no training saw.`)
      .append(intervalTable(entrants, bench.unseen, scores, { first, head: "recipe" }));
  }
  if (!Object.keys(bench.leads).length) return;
  const { name } = entrants[0];
  section("leads", `How far ${name} is ahead`,
    `The means of ${name} less those of the others, compared prompt by prompt. Green: ${name} is better, and the whole interval says so; red: it is worse.`)
    .append(intervalTable(entrants, bench.leads, scores, { first, head: "ahead of", signed: true }));
}

/** Whose curves are bold to begin with: all of few; of many the first and the best. */
function chosenAtFirst(bench, entrants) {
  const names = entrants.map(({ name }) => name);
  if (names.length <= FEW) return new Set(names);
  const score = (name) => bench.rows[name].prompt_right?.[0] ?? null;
  const best = names.slice(1).sort((a, b) => compare(score(a), score(b), false)).reverse();
  return new Set([names[0], ...best.slice(0, FEW - 2)]);
}

/** The judge's scores over evaluations, with a choice of the score and of the entrants. */
function benchCurves(bench, entrants) {
  const drawn = entrants.filter(({ name }) => bench.curves[name].evaluations.length);
  const columns = bench.columns.filter(({ key }) => drawn.some(({ name }) => bench.curves[name].series[key]));
  if (!columns.length) return;
  const place = make("div", { className: "chart" });
  const on = chosenAtFirst(bench, drawn);
  let current = columns[0];
  const choice = columns.map((column) => pressable(column.head, () => { current = column; show(); }));
  const legend = drawn.map((entrant) => pressable(entrant.name, () => {
    if (!on.delete(entrant.name)) on.add(entrant.name);
    show();
  }, mark(entrant.colour)));
  const every = [["all", drawn.map(({ name }) => name)], ["none", []]].map(([text, names]) => {
    const button = make("button", { type: "button", className: "plain", textContent: text });
    button.addEventListener("click", () => { on.clear(); names.forEach((name) => on.add(name)); show(); });
    return button;
  });
  function show() {
    columns.forEach((column, i) => choice[i].setAttribute("aria-pressed", String(column === current)));
    drawn.forEach(({ name }, i) => legend[i].setAttribute("aria-pressed", String(on.has(name))));
    place.replaceChildren(bandChart(drawn.filter(({ name }) => bench.curves[name].series[current.key]).map((entrant) => ({
      ...entrant, on: on.has(entrant.name), x: bench.curves[entrant.name].evaluations,
      y: bench.curves[entrant.name].series[current.key].map((value) => value && value.slice(0, 3).map((part) => part * current.factor)),
    })), { width: 1120, height: 330, along: "U-Net evaluations", label: `${current.head} over U-Net evaluations` }));
  }
  section("curves", "Curves", "What the judge said on the way: means over prompts, with 95 % intervals as bands. A click on a name shows or hides its band.")
    .append(make("div", { className: "choice" }, ...choice), place,
      make("div", { className: "choice names" }, ...legend, ...every));
  show();
}

/** A button that says whether it is pressed. */
function pressable(text, action, ...before) {
  const button = make("button", { type: "button" }, ...before, make("span", { textContent: text, dir: "auto" }));
  button.addEventListener("click", action);
  return button;
}

function buildBench(bench) {
  const entrants = marked(bench.entrants);
  const unseen = bench.prompts.filter((prompt) => prompt.unseen).length;
  document.body.classList.add("bench");
  document.title = document.querySelector("h1").textContent = "Maquette benchmark";
  document.getElementById("summary").textContent = [
    counted(entrants.length, "recipe"),
    counted(bench.prompts.length, "prompt") + (unseen ? `, ${unseen} of them unseen` : ""),
    counted(bench.seeds, "seed"),
    bench.budget ? `${shown(bench.budget)} U-Net evaluations a run` : "each recipe's own number of steps",
    bench.machine,
  ].join(" · ");
  const gallery = makeGallery(bench, entrants);
  tables(bench, entrants, gallery.showRecipe);
  benchCurves(bench, entrants);
  section("assets", "Assets").append(...gallery.elements);
}
