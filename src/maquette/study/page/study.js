// The page of a study: shows groups of assets, collects answers, keeps them, hands them out.
// Texts become text nodes and nothing else; nothing is loaded but the study's own files.
"use strict";

const study = JSON.parse(document.getElementById("study").textContent);
const served = location.protocol === "http:" || location.protocol === "https:";
const $ = (id) => document.getElementById(id);

// --- Order: the same hash as in plan.py, so that every order can be told afterwards. ---

function hash(text) {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0;
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b) >>> 0;
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35) >>> 0;
  return (value ^ (value >>> 16)) >>> 0;
}

function ordered(names, ...key) {
  const marked = names.map((name) => [hash([...key, name].join("/")), name]);
  marked.sort((a, b) => a[0] - b[0] || (a[1] < b[1] ? -1 : 1));
  return marked.map((pair) => pair[1]);
}

// --- What is kept: answers in this browser, and what the server has not taken yet. ---

const memory = {};
let lasting = true;

function load(name) {
  try { return localStorage.getItem(name); } catch { return memory[name] ?? null; }
}

function save(name, text) {
  memory[name] = text;
  try { localStorage.setItem(name, text); } catch { lasting = false; }
}

function stored(name) {
  try { return JSON.parse(load(name)); } catch { return null; }
}

function newParticipant() {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const place = "maquette-study-" + study.id;
const named = new URLSearchParams(location.search).get("participant");
let participant = /^[A-Za-z0-9_-]{1,64}$/.test(named ?? "") ? named : load(place) ?? newParticipant();
let answers, screens, at, draft;

function open(who) {
  participant = who;
  if (who !== named) save(place, who);
  const kept = stored(place + "/" + who);
  answers = new Map(Array.isArray(kept) ? kept : []);
  const byId = new Map(study.groups.map((group) => [group.id, group]));
  screens = ordered([...byId.keys()], study.seed, who).slice(0, study.each).flatMap((id) =>
    study.questions.map((question, number) => ({
      group: byId.get(id), question, number, name: id + "/" + number,
      shown: ordered(byId.get(id).assets, study.seed, who, id),
    })));
  const first = screens.findIndex((screen) => !answers.has(screen.name));
  at = first < 0 ? screens.length : first;
}

function keep(screen, chosen) {
  const before = answers.get(screen.name);
  if (before && before.chosen.join() === chosen.join()) return;
  answers.set(screen.name, {
    group: screen.group.id, question: screen.number, shown: screen.shown, chosen,
    time: Math.max(Date.now(), (before?.time ?? -1) + 1), sent: false,
  });
  saveAll();
  send();
}

function saveAll() { save(place + "/" + participant, JSON.stringify([...answers])); }

function bundle(list) {
  const plain = list.map(({ group, question, shown, chosen, time }) => ({ group, question, shown, chosen, time }));
  return JSON.stringify({ schema: 1, study: study.id, participant, answers: plain });
}

const unsent = () => [...answers.values()].filter((answer) => !answer.sent);
let sending = false;

async function send() {
  if (!served || sending) return;
  sending = true;
  const who = participant;
  try {
    while (unsent().length && who === participant) {
      const some = unsent().slice(0, 50);
      const response = await fetch("answers", {
        method: "POST", headers: { "Content-Type": "application/json" }, body: bundle(some),
      });
      if (!response.ok) throw new Error(String(response.status));
      // Somebody else may have begun while the answer was on its way.
      if (who !== participant) break;
      some.forEach((answer) => { answer.sent = true; });
      saveAll();
    }
    tell("");
  } catch {
    tell("The study's computer does not answer. Your answers are kept in this browser and sent later.");
  } finally {
    sending = false;
    if (at >= screens.length) showKept();
    if (who !== participant) send();
  }
}

// --- Turning: all objects together, so that they are compared from the same side. ---

let view = 0;
let spinning = !matchMedia("(prefers-reduced-motion: reduce)").matches && study.views > 1;
const rows = Math.ceil(study.views / study.columns);
const part = (index, count) => (count > 1 ? (100 * index) / (count - 1) : 0) + "%";

function turn(to) {
  view = ((to % study.views) + study.views) % study.views;
  const whole = Math.floor(view);
  const position = part(whole % study.columns, study.columns) + " " + part(Math.floor(whole / study.columns), rows);
  for (const stage of document.querySelectorAll(".stage")) stage.style.backgroundPosition = position;
  $("turn").value = whole;
  $("turn").setAttribute("aria-valuetext", Math.round((360 * whole) / study.views) + " degrees");
}

function spin(on) {
  spinning = on && study.views > 1;
  $("spin").textContent = spinning ? "Stop" : "Spin";
}

let last = 0;
function tick(now) {
  const seconds = Math.min(0.1, (now - last) / 1000);
  last = now;
  if (spinning && !$("task").hidden) turn(view + (seconds * study.views) / 8);
  requestAnimationFrame(tick);
}

function draggable(stage) {
  let from = null;
  stage.addEventListener("pointerdown", (event) => {
    from = { x: event.clientX, view };
    spin(false);
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    // One width of the picture is half a turn; the object follows the finger.
    if (from) turn(from.view - ((event.clientX - from.x) / stage.clientWidth) * (study.views / 2));
  });
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => { from = null; });
}

// --- Screens. ---

const letter = (index) => String.fromCharCode(65 + index);
const picture = (asset) => asset + ".jpg";
const complete = (chosen, screen) => chosen.length === (study.kind === "pick" ? 1 : screen.shown.length);
function tell(text) { $("status").textContent = text; }

function show(id) {
  for (const name of ["intro", "task", "end"]) $(name).hidden = name !== id;
  $("bar").style.width = (100 * Math.min(at, screens.length)) / screens.length + "%";
  scrollTo(0, 0);
  $(id).querySelector("h1").focus({ preventScroll: true });
}

function showIntro() {
  const count = Math.min(study.each, study.groups.length);
  $("length").textContent = `${count} ${count === 1 ? "text" : "texts"}, ${screens.length} ${screens.length === 1 ? "question" : "questions"} in all.`;
  $("where").textContent = served
    ? "Your answers are kept in this browser and on the computer that shows this page, and nowhere else."
    : "Your answers stay in this browser until you download them at the end and hand them over.";
  $("begin").textContent = answers.size ? "Go on" : "Begin";
  show("intro");
}

function element(kind, classes, parent) {
  const made = document.createElement(kind);
  made.className = classes;
  parent.append(made);
  return made;
}

function showTask() {
  const screen = screens[at];
  draft = [...(answers.get(screen.name)?.chosen ?? [])];
  $("count").textContent = `Question ${at + 1} of ${screens.length}`;
  $("prompt").textContent = screen.group.prompt;
  $("question").textContent = screen.question;
  $("assets").replaceChildren();
  screen.shown.forEach((asset, index) => {
    const card = element("div", "asset", $("assets"));
    const stage = element("div", "stage", card);
    stage.setAttribute("role", "img");
    stage.setAttribute("aria-label", "Object " + letter(index));
    stage.style.backgroundImage = `url("${picture(asset)}")`;
    stage.style.backgroundSize = `${100 * study.columns}% ${100 * rows}%`;
    draggable(stage);
    const button = element("button", "", card);
    button.addEventListener("click", () => choose(asset));
  });
  $("back").disabled = at === 0;
  showChoice();
  turn(view);
  show("task");
  // The next pictures are fetched while these are looked at.
  const following = screens.slice(at).find((other) => other.group !== screen.group);
  for (const asset of following?.shown ?? []) new Image().src = picture(asset);
}

function choose(asset) {
  if (study.kind === "pick") draft = [asset];
  else if (draft.includes(asset)) draft = draft.filter((other) => other !== asset);
  else draft.push(asset);
  const left = screens[at].shown.filter((other) => !draft.includes(other));
  // Where only one is left its rank is clear.
  if (study.kind === "rank" && left.length === 1 && draft.at(-1) === asset) draft.push(left[0]);
  showChoice();
}

function showChoice() {
  const screen = screens[at];
  [...$("assets").children].forEach((card, index) => {
    const rank = draft.indexOf(screen.shown[index]);
    const button = card.querySelector("button");
    card.classList.toggle("chosen", rank >= 0);
    button.setAttribute("aria-pressed", String(rank >= 0));
    const text = study.kind === "pick" ? (rank < 0 ? "" : " \u2013 chosen") : (rank < 0 ? "" : ` \u2013 number ${rank + 1}`);
    button.textContent = letter(index) + text;
  });
  $("next").disabled = !complete(draft, screen);
}

function go(step) {
  at = Math.max(0, Math.min(screens.length, at + step));
  if (at < screens.length) showTask(); else showEnd();
}

function showKept() {
  const waiting = unsent().length;
  let text = "Please download your answers and hand them over to whoever runs the study.";
  if (served) text = waiting ? `${waiting} of them are not on the study's computer yet. Download them to be safe.` : "They have been kept. You can close this page.";
  $("kept").textContent = text;
}

function showEnd() {
  const done = screens.filter((screen) => complete(answers.get(screen.name)?.chosen ?? [], screen)).length;
  $("summary").textContent = `You have answered ${done} of ${screens.length} questions.`;
  showKept();
  show("end");
  send();
}

function download() {
  const link = document.createElement("a");
  const url = URL.createObjectURL(new Blob([bundle([...answers.values()])], { type: "application/json" }));
  link.href = url;
  link.download = `answers-${study.id}-${participant}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

function nextScreen() {
  if ($("next").disabled) return;
  keep(screens[at], draft);
  go(1);
}

// A button does what it says; but choosing what is chosen already means to go on.
function hasOwnEnter(target) {
  const done = target.getAttribute("aria-pressed") === "true" && !$("next").disabled;
  return target.tagName === "BUTTON" && !(done && $("assets").contains(target));
}

function key(event) {
  if ($("task").hidden || event.ctrlKey || event.altKey || event.metaKey) return;
  const index = event.key.length === 1 ? event.key.toUpperCase().charCodeAt(0) - 65 : -1;
  const asset = screens[at].shown[index];
  if (asset) choose(asset);
  else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
    spin(false);
    turn(Math.floor(view) + (event.key === "ArrowLeft" ? -1 : 1));
  } else if (event.key === "Enter" && !hasOwnEnter(event.target)) nextScreen();
  else return;
  event.preventDefault();
}

document.body.classList.add(study.kind);
$("turn").max = study.views - 1;
$("turn").addEventListener("input", (event) => { spin(false); turn(Number(event.target.value)); });
$("spin").addEventListener("click", () => spin(!spinning));
$("size").addEventListener("click", () => {
  const large = $("assets").classList.toggle("large");
  $("size").textContent = large ? "Smaller" : "Larger";
  $("size").setAttribute("aria-pressed", String(large));
});
$("begin").addEventListener("click", () => go(0));
$("back").addEventListener("click", () => go(-1));
$("skip").addEventListener("click", () => { keep(screens[at], []); go(1); });
$("next").addEventListener("click", nextScreen);
$("download").addEventListener("click", download);
$("review").addEventListener("click", () => go(-screens.length));
$("another").addEventListener("click", () => {
  const safe = served && !unsent().length;
  if (!safe && !confirm("Have your answers been downloaded? Nobody else can send them for you.")) return;
  open(newParticipant());
  showIntro();
});
document.addEventListener("keydown", key);
addEventListener("online", send);

open(participant);
spin(spinning);
requestAnimationFrame(tick);
if (!lasting) tell("This browser keeps nothing: please finish in one go and download your answers at the end.");
showIntro();
if (served) send();
