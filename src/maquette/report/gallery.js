"use strict";
// The assets of a benchmark: those of one prompt, or those of one recipe, to turn and to compare.

const TILE_SIDE = 204;

/** One asset: whose it is, its scores, a view to turn if there is one, and eight sides of it. */
function tile(run, entrant, group) {
  const { prompt_right: right, clip_score: clip } = run.scores;
  const facts = [right === null ? null : `prompt ${(100 * right).toFixed(0)} %`,
    clip === null ? null : `CLIP ${clip.toFixed(1)}`,
    run.gaussians === null ? null : `${shown(run.gaussians)} Gaussians`].filter(Boolean).join(" · ");
  const element = make("article", { className: "tile" },
    make("h3", { dir: "auto" }, mark(entrant.colour), entrant.name),
    make("p", { className: "facts", dir: "auto", textContent: `${run.prompt}, seed ${run.seed}` }));
  const row = make("div", { className: "row" });
  if (run.model) row.append(assetView(run.model, DATA.camera, TILE_SIDE, group));
  const side = make("div", { className: "side" });
  if (run.sides) side.append(media(run.sides, `Eight sides of ${run.prompt} by ${entrant.name}`));
  side.append(make("p", { className: "facts", textContent: facts }));
  row.append(side);
  element.append(row);
  return element;
}

/** A choice between buttons that go to the one before and the next, round and round. */
function withArrows(select, show) {
  const [back, on] = [["‹", "The one before", -1], ["›", "The next one", 1]].map(([text, title, by]) => {
    const button = make("button", { type: "button", textContent: text, title });
    button.addEventListener("click", () => {
      const count = select.options.length;
      select.selectedIndex = (select.selectedIndex + by + count) % count;
      show();
    });
    return button;
  });
  return [back, select, on];
}

/** Elements of the gallery, and a function that shows the assets of a recipe. */
function makeGallery(bench, entrants) {
  const group = viewGroup();
  const byName = new Map(entrants.map((entrant) => [entrant.name, entrant]));
  const tiles = bench.runs.map(() => null); // Made when first shown, and kept: a view stays as it was turned.
  const ways = {
    prompt: bench.prompts.map(({ text, unseen }) => ({ value: text, text: unseen ? `${text} (unseen)` : text })),
    entrant: entrants.map(({ name }) => ({ value: name, text: name })),
  };
  let way = "prompt";
  const select = make("select", {});
  const place = make("div", { className: "tiles" });
  const buttons = { prompt: pressable("One prompt", () => choose("prompt")), entrant: pressable("One recipe", () => choose("entrant")) };
  const together = make("input", { type: "checkbox", checked: true });
  together.addEventListener("change", () => { group.joined = together.checked; group.follow(); });

  function choose(chosen, value = null) {
    way = chosen;
    for (const [name, button] of Object.entries(buttons)) button.setAttribute("aria-pressed", String(name === way));
    select.setAttribute("aria-label", way === "prompt" ? "Prompt" : "Recipe");
    select.replaceChildren(...ways[way].map((option) => make("option", option)));
    if (value !== null) select.value = value;
    show();
  }
  function show() {
    const picked = bench.runs.map((run, index) => ({ run, index })).filter(({ run }) => run[way] === select.value);
    // Seed by seed: what stands side by side shall be comparable.
    if (way === "prompt") picked.sort((a, b) => a.run.seed - b.run.seed);
    place.replaceChildren(...picked.map(({ run, index }) => tiles[index] ??= tile(run, byName.get(run.entrant), group)));
    group.follow();
  }
  select.addEventListener("change", show);
  choose("prompt");
  const notes = ["Drag a view to turn it, or use the arrow keys; after a click the wheel zooms.", ...bench.notes];
  const bar = make("div", { className: "choice" }, buttons.prompt, buttons.entrant, ...withArrows(select, show),
    make("label", {}, together, " turn together"));
  return { elements: [make("p", { className: "hint", textContent: notes.join(" ") }), bar, place], showRecipe: (name) => choose("entrant", name) };
}
