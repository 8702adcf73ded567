"use strict";
// The page about runs: a table, curves, the sheets of comparisons, and all there is of each run.

const VIEW_SIDE = 360;
const CARD_CHARTS = ["loss", "pixel_gradient_norm"];

/** Few runs have a colour each; of many, those of one recipe share it. */
function coloursOf(runs) {
  const recipes = [...new Set(runs.map((run) => run.facts.recipe))];
  return runs.map((run, index) => PALETTE[(manyOf(runs) ? recipes.indexOf(run.facts.recipe) : index) % PALETTE.length]);
}

const manyOf = (runs) => runs.length > PALETTE.length;

/** One picture of a quantity for all runs that have it, and a choice of the quantity. */
function curvesSection(colours) {
  const runs = DATA.runs.map((run, index) => ({ ...run, colour: colours[index] })).filter((run) => run.curves.step.length > 1);
  const there = new Set(runs.flatMap((run) => Object.keys(run.curves.series)));
  const quantities = [...there].filter((name) => runs.some((run) => varies(run.curves.series[name])));
  if (!quantities.length) return;
  const place = make("div", { className: "chart" });
  const buttons = quantities.map((name) => {
    const button = make("button", { type: "button", textContent: plainName(name) });
    button.addEventListener("click", () => show(name));
    return button;
  });
  const steep = make("input", { type: "checkbox" });
  let current = quantities.includes("loss") ? "loss" : quantities[0];
  steep.addEventListener("change", () => show(current));
  function show(name) {
    current = name;
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(quantities[i] === name)));
    const curves = runs.filter((run) => run.curves.series[name]).map((run) => curve(run, name, "evaluations"));
    place.replaceChildren(chart(curves, {
      width: 1120, height: 320, powers: steep.checked, along: "U-Net evaluations", label: `${plainName(name)} over U-Net evaluations`,
    }));
  }
  const named = new Map(runs.map((run) => [manyOf(DATA.runs) ? run.facts.recipe : title(run), run.colour]));
  const legend = [...named].map(([name, colour]) =>
    make("li", {}, mark(colour), make("span", { textContent: name, dir: "auto" })));
  section("curves", "Curves").append(make("div", { className: "choice" }, ...buttons,
    make("label", {}, steep, " logarithmic")), place,
    make("ul", { className: "legend" }, ...legend));
  show(current);
}

function varies(values) {
  const known = (values || []).filter((value) => value !== null);
  return known.length > 1 && known.some((value) => value !== known[0]);
}

function curve(run, name, along) {
  return { name: title(run), colour: run.colour, x: run.curves[along], y: run.curves.series[name] };
}

function title(run) {
  const kind = run.kind === "drawing" ? ", one picture" : "";
  return `${run.facts.prompt} · ${run.facts.recipe}, seed ${run.facts.seed}${kind}`;
}

/** All there is about one run. */
function card(run, index, colour) {
  const head = make("h3", { dir: "auto" }, run.facts.prompt);
  const facts = ["recipe", "seed", "seconds", "evaluations", "gaussians"]
    .filter((key) => run.facts[key] !== undefined && run.facts[key] !== null)
    .map((key) => `${DATA.columns.find((column) => column.key === key).head} ${shown(run.facts[key])}`);
  const element = make("article", { id: `result-${index}`, className: run.kind }, head,
    make("p", { className: "facts", textContent: [...facts, run.name].join(" · ") }));
  const row = make("div", { className: "row" });
  if (run.model) row.append(figure(assetView(run.model, DATA.camera, VIEW_SIDE), "Drag to turn; after a click the wheel zooms"));
  if (run.film) row.append(figure(media(run.film, "A full turn"), "A full turn"));
  if (run.picture) row.append(figure(media(run.picture, "The picture"), "The picture"));
  const charts = CARD_CHARTS.filter((name) => varies(run.curves.series[name])).map((name) => make("figure", {},
    make("figcaption", { textContent: plainName(name) }),
    chart([curve({ ...run, colour }, name, "step")], {
      width: 350, height: 165, along: "step", label: `${plainName(name)} over steps`,
    })));
  if (charts.length) row.append(make("div", { className: "charts" }, ...charts));
  element.append(row);
  if (run.sheet) element.append(figure(media(run.sheet, "Eight sides"), "Eight sides, 45 degrees apart, the front first"));
  if (run.gradients) {
    element.append(figure(media(run.gradients, "Pixel gradients"),
      "The picture over the run, the gradient on its pixels, and the same after the recipe's regulators"));
  }
  if (run.sides && Object.keys(run.sides).length) {
    element.append(make("details", {}, make("summary", { textContent: "Scores of each side" }), sideTable(run.sides)));
  }
  element.append(...run.notes.map((note) => make("p", { className: "note", textContent: note })));
  return element;
}

function buildRuns() {
  const colours = coloursOf(DATA.runs);
  const drawings = DATA.runs.filter((run) => run.kind === "drawing").length;
  const counts = [[DATA.runs.length - drawings, "run"], [drawings, "drawing"]]
    .filter(([count]) => count).map(([count, name]) => counted(count, name));
  document.getElementById("summary").textContent = counts.join(" and ");
  section("runs", "Runs", SORTING).append(make("div", { className: "wide" }, runTable(DATA.columns, DATA.runs, colours)));
  curvesSection(colours);
  for (const sheet of DATA.sheets) {
    section("sheets", "Side by side").append(figure(media(sheet.picture, "All runs of a comparison"), sheet.prompt));
  }
  section("assets", "Results").append(...DATA.runs.map((run, index) => card(run, index, colours[index])));
}
