"use strict";
// What pages of every kind are made of: the data, read once, sections, pictures and names.

const DATA = JSON.parse(document.getElementById("data").textContent);
const SORTING = "A click on a head sorts, a second one turns the order.";

/** The section of that name, put at the end of the page when it is first asked for. */
function section(name, title, hint = null) {
  const there = document.getElementById(name);
  if (there) return there;
  const element = make("section", { id: name }, make("h2", { textContent: title }),
    hint && make("p", { className: "hint", textContent: hint }));
  document.querySelector("main").append(element);
  return element;
}

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

/** A small square in the colour that something has in all tables and charts. */
function mark(colour) {
  const element = make("span", { className: "mark" });
  element.style.background = colour;
  return element;
}

function plainName(quantity) {
  const known = { t: "timestep", count: "Gaussians" };
  return known[quantity] || quantity.replaceAll("_", " ").replace(/^losses: /, "regulariser: ");
}

function counted(count, name) {
  return `${shown(count)} ${name}${count === 1 ? "" : "s"}`;
}
