"use strict";
// Views of assets that turn with the mouse.
//
// Browsers allow few WebGL contexts, so all views share one: it draws a picture on a canvas of its
// own, which is copied to the canvas that is seen. A view draws when its camera has moved, and is
// built when it first comes into sight.

/** How each kind of asset becomes an object of three.js; meshes have their place here. */
const KINDS_OF_MODELS = { gaussians: splatMesh };

const SHARED = { renderer: undefined };

/** The one renderer; null where there is no WebGL 2. */
function sharedRenderer() {
  if (SHARED.renderer === undefined) {
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("webgl2", { alpha: false, antialias: false });
    SHARED.renderer = context ? new Three.WebGLRenderer({ canvas, context }) : null;
    if (SHARED.renderer) SHARED.renderer.setPixelRatio(1);
  }
  return SHARED.renderer;
}

/**
 * A canvas of `side` points with a view of `model`, to be put anywhere in the page. Views of one
 * `group`, which `viewGroup` makes, turn together.
 */
function assetView(model, begin, side, group = null) {
  const sharpness = Math.min(2, window.devicePixelRatio || 1);
  const pixels = Math.round(side * sharpness);
  const canvas = make("canvas", { className: "view", width: pixels, height: pixels, tabIndex: 0 });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "The asset in 3D: drag to turn it, arrow keys turn it too");
  canvas.style.width = canvas.style.height = `${side}px`;
  const back = model.behind.reduce((number, part) => number * 256 + Math.round(part * 255), 0);
  const state = { back, due: false };
  const frame = make("div", { className: "viewframe" }, canvas, viewButtons(state, () => state.reset?.(), () => state.draw?.()));
  new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    begun(canvas, model, begin, pixels, state, group);
  }, { rootMargin: "200px" }).observe(canvas);
  return frame;
}

/** Build the scene behind a canvas and draw it from its front. */
function begun(canvas, model, begin, pixels, state, group) {
  const renderer = sharedRenderer();
  if (!renderer) {
    canvas.replaceWith(make("p", { className: "note", textContent: "This browser shows no WebGL 2, so there is no view to turn." }));
    return;
  }
  const paper = canvas.getContext("2d", { alpha: false });
  const mesh = KINDS_OF_MODELS[model.kind](model);
  const scene = new Three.Scene();
  scene.add(mesh);
  const camera = new Three.PerspectiveCamera(begin.fov_y_deg, 1, 0.01, 100);
  camera.up.set(0, 0, 1); // The world's z is up, and its front is x.
  const tilt = (begin.elevation_deg * Math.PI) / 180;
  camera.position.set(begin.distance * Math.cos(tilt), 0, begin.distance * Math.sin(tilt));
  const controls = new Three.OrbitControls(camera, canvas);
  controls.enablePan = false;
  controls.minDistance = 0.5;
  controls.maxDistance = 12;
  // The wheel scrolls the page until the view has been taken hold of.
  controls.enableZoom = false;
  canvas.addEventListener("pointerdown", () => { controls.enableZoom = true; });
  canvas.addEventListener("pointerleave", () => { controls.enableZoom = false; });
  canvas.addEventListener("keydown", (event) => turnByKey(event, camera, controls));

  state.draw = () => {
    if (state.due) return;
    state.due = true;
    requestAnimationFrame(() => {
      state.due = false;
      renderer.setSize(pixels, pixels, false);
      renderer.setClearColor(state.back, 1);
      camera.updateMatrixWorld();
      mesh.prepare(camera, pixels, pixels);
      renderer.render(scene, camera);
      paper.drawImage(renderer.domElement, 0, 0);
      canvas.dataset.pictures = Number(canvas.dataset.pictures || 0) + 1;
    });
  };
  state.reset = () => controls.reset();
  controls.addEventListener("change", state.draw);
  controls.update();
  controls.saveState();
  state.draw();
  group?.join(canvas, camera, controls);
}

/** Views that turn together while `joined`: what one does, all do that are in the page. */
function viewGroup() {
  const members = [];
  let last = null, busy = false;
  const group = { joined: true };
  // Views that were out of the page, and new ones, come to where the others are.
  group.follow = () => {
    if (!group.joined || !last || busy) return;
    busy = true;
    for (const { canvas, camera, controls } of members) {
      if (!canvas.isConnected || camera.position.equals(last)) continue;
      camera.position.copy(last);
      controls.update();
    }
    busy = false;
  };
  group.join = (canvas, camera, controls) => {
    members.push({ canvas, camera, controls });
    group.follow();
    controls.addEventListener("change", () => {
      if (busy || !group.joined) return;
      last = camera.position.clone();
      group.follow();
    });
  };
  return group;
}

const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/** Five degrees round the object for each key. */
function turnByKey(event, camera, controls) {
  if (!(event.key in KEYS)) return;
  event.preventDefault();
  const [round, up] = KEYS[event.key].map((way) => (way * 5 * Math.PI) / 180);
  const { x, y, z } = camera.position;
  const distance = Math.hypot(x, y, z);
  const azimuth = Math.atan2(y, x) + round;
  const elevation = Math.min(1.5, Math.max(-1.5, Math.asin(z / distance) + up));
  const flat = distance * Math.cos(elevation);
  camera.position.set(flat * Math.cos(azimuth), flat * Math.sin(azimuth), distance * Math.sin(elevation));
  controls.update();
}

/** Back to the front, and what is behind the object. */
function viewButtons(state, reset, draw) {
  const front = make("button", { type: "button", textContent: "front", title: "Back to the beginning" });
  front.addEventListener("click", reset);
  const papers = [["white", 0xffffff], ["grey", 0x808080], ["black", 0x000000]].map(([name, colour]) => {
    const button = make("button", { type: "button", className: "paper", title: `On ${name}` });
    button.setAttribute("aria-label", `On ${name}`);
    button.style.background = name;
    button.addEventListener("click", () => { state.back = colour; draw(); });
    return button;
  });
  return make("div", { className: "buttons" }, front, ...papers);
}
