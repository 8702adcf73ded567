"use strict";
// The page itself: which kind it is, and whose work is in it.

if (DATA.bench) buildBench(DATA.bench);
else buildRuns();
const licences = JSON.parse(document.getElementById("licences").textContent);
document.querySelector("footer details").append(
  ...licences.map((text) => make("pre", { textContent: text })));
document.documentElement.dataset.built = String((DATA.bench || DATA).runs.length);
