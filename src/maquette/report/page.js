"use strict";
// The page itself: its data, read once, and a section for each thing there is.

const DATA = JSON.parse(document.getElementById("data").textContent);
const VIEW_SIDE = 360;
const CARD_CHARTS = ["loss", "pixel_gradient_norm"];

// Few runs have a colour each; of many, those of one recipe share it.
const shared = DATA.runs.length > PALETTE.length;
const recipes = [...new Set(DATA.runs.map((run) => run.facts.recipe))];
const colours = DATA.runs.map((run, index) =>
  PALETTE[(shared ? recipes.indexOf(run.facts.recipe) : index) % PALETTE.length]);

/** A picture or a film of the data; as a blob, because some browsers play no film from a text. */
function media({ type, data }, description) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const src = URL.createObjectURL(new Blob([bytes], { type }));
  if (!type.startsWith("video/")) return make("img", { src, alt: description });
  const video = make("video", { src, loop: true, muted: true, controls: true, playsInline: true, preload: "metadata" });
  video.setAttribute("aria-label", description);
  // Only films in sight play. A film that is stopped before it began says so, and nobody minds.
  new IntersectionObserver(([entry]) => {
    if (entry.isIntersecting) video.play().catch(() => {});
    else video.pause();
  }).observe(video);
  return video;
}

function figure(element, caption) {
  return make("figure", {}, element, make("figcaption", { textContent: caption }));
}

/** The section of that name, seen from now on. */
function section(name) {
  const element = document.getElementById(name);
  element.hidden = false;
  return element;
}

function plainName(quantity) {
  const known = { t: "timestep", count: "Gaussians" };
  return known[quantity] || quantity.replaceAll("_", " ").replace(/^losses: /, "regulariser: ");
}

/** One picture of a quantity for all runs that have it, and a choice of the quantity. */
function curvesSection() {
  const runs = DATA.runs.map((run, index) => ({ ...run, index })).filter((run) => run.curves.step.length > 1);
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
  const named = new Map(runs.map((run) => [shared ? run.facts.recipe : title(run), run.index]));
  const legend = [...named].map(([name, index]) => {
    const mark = make("span", { className: "mark" });
    mark.style.background = colours[index];
    return make("li", {}, mark, make("span", { textContent: name, dir: "auto" }));
  });
  section("curves").append(make("div", { className: "choice" }, ...buttons,
    make("label", {}, steep, " logarithmic")), place,
    make("ul", { className: "legend" }, ...legend));
  show(current);
}

function varies(values) {
  const known = (values || []).filter((value) => value !== null);
  return known.length > 1 && known.some((value) => value !== known[0]);
}

function curve(run, name, along) {
  return { name: title(run), colour: colours[run.index], x: run.curves[along], y: run.curves.series[name] };
}

function title(run) {
  const kind = run.kind === "drawing" ? ", one picture" : "";
  return `${run.facts.prompt} · ${run.facts.recipe}, seed ${run.facts.seed}${kind}`;
}

/** All there is about one run. */
function card(run, index) {
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
    chart([curve({ ...run, index }, name, "step")], {
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

function build() {
  const drawings = DATA.runs.filter((run) => run.kind === "drawing").length;
  const counts = [[DATA.runs.length - drawings, "run"], [drawings, "drawing"]]
    .filter(([count]) => count).map(([count, name]) => `${count} ${name}${count === 1 ? "" : "s"}`);
  document.getElementById("summary").textContent = counts.join(" and ");
  section("runs").querySelector(".wide").append(runTable(DATA.columns, DATA.runs, colours));
  curvesSection();
  for (const sheet of DATA.sheets) {
    section("sheets").append(figure(media(sheet.picture, "All runs of a comparison"), sheet.prompt));
  }
  section("assets").append(...DATA.runs.map(card));
  const licences = JSON.parse(document.getElementById("licences").textContent);
  document.querySelector("footer details").append(
    ...licences.map((text) => make("pre", { textContent: text })));
  document.documentElement.dataset.built = String(DATA.runs.length);
}

build();
