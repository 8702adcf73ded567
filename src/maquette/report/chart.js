"use strict";
// Curves as SVG: one quantity, any number of runs, each faint as it is and bold as its mean.

const SVG = "http://www.w3.org/2000/svg"; // A name, not an address: nothing is fetched from it.
const EDGE = { left: 58, right: 12, top: 12, bottom: 36 };
const SMOOTHED = 0.06; // Share of a curve over which its bold form takes the mean.
const PALETTE = ["#1f6feb", "#d1570a", "#1a7f37", "#8250df", "#b8247d", "#8a6d00", "#0f7b86",
  "#a40e26", "#57606a", "#4d3b9e"];

function svg(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Round numbers between two bounds, about `count` of them. */
function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** The mean over a window around each value; gaps stay gaps. */
function smoothed(values) {
  const reach = Math.round((values.length * SMOOTHED) / 2);
  return values.map((value, place) => {
    if (value === null) return null;
    const near = values.slice(Math.max(0, place - reach), place + reach + 1).filter((v) => v !== null);
    return near.reduce((sum, v) => sum + v, 0) / near.length;
  });
}

/** Least and greatest of the numbers there, apart even where all are equal. */
function bounds(values) {
  const known = values.filter((value) => value !== null);
  const low = known.reduce((a, b) => Math.min(a, b), Infinity);
  const high = known.reduce((a, b) => Math.max(a, b), -Infinity);
  const room = low === high ? Math.abs(low) * 0.1 || 1 : 0;
  return [low - room, high + room];
}

/** SVG path through the points that are there. */
function path(xs, ys) {
  let pen = "M";
  return xs.map((x, i) => {
    if (ys[i] === null) { pen = "M"; return ""; }
    const point = `${pen}${x.toFixed(1)} ${ys[i].toFixed(1)}`;
    pen = "L";
    return point;
  }).join("");
}

/**
 * A chart of curves `{ name, colour, x, y }` with a caption for its x axis.
 * The y axis holds all values of the bold curves; with `powers` it is logarithmic, and values that
 * are not above 0 have no place on it.
 */
function chart(given, { width, height, along, label, powers = false }) {
  const scaled = (y) => y === null || y <= 0 ? null : Math.log10(y);
  const curves = powers ? given.map((curve) => ({ ...curve, y: curve.y.map(scaled) })) : given;
  if (!curves.some((curve) => curve.y.some((y) => y !== null))) return make("p", { textContent: "Nothing is above 0." });
  const bold = curves.map((curve) => smoothed(curve.y));
  const [left, right] = bounds(curves.flatMap((curve) => curve.x));
  const [least, most] = bounds([...bold.flat(), ...curves.flatMap((c) => quantiles(c.y))]);
  const inner = { w: width - EDGE.left - EDGE.right, h: height - EDGE.top - EDGE.bottom };
  const toX = (x) => EDGE.left + ((x - left) / (right - left)) * inner.w;
  const toY = (y) => y === null ? null
    : EDGE.top + (1 - (Math.min(most, Math.max(least, y)) - least) / (most - least)) * inner.h;

  const parts = [];
  for (const y of ticks(least, most, 4)) {
    parts.push(svg("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: toY(y), y2: toY(y) }),
      svg("text", { x: EDGE.left - 7, y: toY(y) + 4, "text-anchor": "end" }, shown(powers ? Number((10 ** y).toPrecision(2)) : y)));
  }
  for (const x of ticks(left, right, width / 90)) {
    parts.push(svg("text", { x: toX(x), y: height - EDGE.bottom + 16, "text-anchor": "middle" }, shown(x)));
  }
  parts.push(svg("text", { class: "axis", x: EDGE.left + inner.w / 2, y: height - 3, "text-anchor": "middle" }, along));
  const lines = (values, kind) => curves.map((curve, i) => svg("path", {
    class: kind, stroke: curve.colour, d: path(curve.x.map(toX), values(curve, i).map(toY)),
  }, svg("title", {}, curve.name)));
  parts.push(...lines((curve) => curve.y, "faint"), ...lines((_, i) => bold[i], "bold"));
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, ...parts);
}

/** The 1st and the 99th hundredth: single spikes may leave the picture. */
function quantiles(values) {
  const sorted = values.filter((value) => value !== null).sort((a, b) => a - b);
  return sorted.length ? [0.01, 0.99].map((share) => sorted[Math.round(share * (sorted.length - 1))]) : [];
}
