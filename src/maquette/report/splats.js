"use strict";
// Gaussians in WebGL 2: sorted here, from far to near, and blended by the graphics card.
//
// The formulas are those of render/splat_torch.py: a projected covariance, 0.3 square pixels added,
// alpha at most 0.99 and at least 1/255. Colours may depend on the direction; they are computed
// with the sorting, once per camera, so that the shader has to know nothing about harmonics.

const LANES = 13; // Numbers of a Gaussian: centre 3, opacity, covariance 6, colour 3.
const BUCKETS = 65536;

const SPLAT_VERTEX = `
precision highp float;
uniform mat4 modelViewMatrix;
uniform vec2 size;     // Of the picture in pixels.
uniform float focal;   // In pixels.
in vec3 position;      // A corner of the square, -1 or 1.
in vec4 centre;        // The opacity in w.
in vec3 covarianceA;   // xx xy xz
in vec3 covarianceB;   // yy yz zz
in vec3 colour;
out vec2 place;        // In standard deviations.
out vec4 paint;

void main() {
  vec3 local = (modelViewMatrix * vec4(centre.xyz, 1.0)).xyz;
  float depth = -local.z;
  gl_Position = vec4(0.0, 0.0, 2.0, 1.0); // Outside.
  if (depth < 0.01 || centre.w < 1.0 / 255.0) return;
  vec2 slope = local.xy / depth;
  vec2 limit = 1.3 * 0.5 * size / focal;
  vec2 held = clamp(slope, -limit, limit);
  mat3 world = mat3(covarianceA.x, covarianceA.y, covarianceA.z,
                    covarianceA.y, covarianceB.x, covarianceB.y,
                    covarianceA.z, covarianceB.y, covarianceB.z);
  mat3 turn = mat3(modelViewMatrix);
  mat3 seen = turn * world * transpose(turn);
  vec3 u = focal / depth * vec3(1.0, 0.0, held.x);
  vec3 v = focal / depth * vec3(0.0, 1.0, held.y);
  float a = dot(u, seen * u) + 0.3, b = dot(u, seen * v), c = dot(v, seen * v) + 0.3;
  float middle = 0.5 * (a + c), half_gap = length(vec2(0.5 * (a - c), b));
  float longer = middle + half_gap, shorter = max(middle - half_gap, 0.3);
  vec2 axis = abs(b) > 1e-6 ? normalize(vec2(b, longer - a)) : (a >= c ? vec2(1.0, 0.0) : vec2(0.0, 1.0));
  float reach = sqrt(2.0 * log(255.0 * centre.w));
  place = position.xy * reach;
  vec2 offset = place.x * sqrt(longer) * axis + place.y * sqrt(shorter) * vec2(-axis.y, axis.x);
  gl_Position = vec4((slope * focal + offset) / (0.5 * size), 0.0, 1.0);
  paint = vec4(colour, centre.w);
}`;

const SPLAT_FRAGMENT = `
precision highp float;
in vec2 place;
in vec4 paint;
out vec4 fragment;

void main() {
  float alpha = min(0.99, paint.a * exp(-0.5 * dot(place, place)));
  if (alpha < 1.0 / 255.0) discard;
  fragment = vec4(paint.rgb * alpha, alpha);
}`;

/** The numbers of a packed column. */
function unpacked({ low, high, data }) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const step = (high - low) / 65535;
  return Float32Array.from(new Uint16Array(bytes.buffer), (whole) => low + step * whole);
}

/** Rows of centre, opacity, covariance and (for the constant harmonic) colour. */
function splatRows({ count, degree, columns }) {
  const { means, log_scales: scales, quats, opacities, sh } = Object.fromEntries(
    Object.entries(columns).map(([name, column]) => [name, unpacked(column)]));
  const rows = new Float32Array(count * LANES);
  const width = 3 * (degree + 1) ** 2;
  for (let n = 0; n < count; n++) {
    rows.set(means.subarray(3 * n, 3 * n + 3), n * LANES);
    rows[n * LANES + 3] = opacities[n];
    rows.set(covariance(quats.subarray(4 * n, 4 * n + 4), scales.subarray(3 * n, 3 * n + 3)), n * LANES + 4);
    for (let k = 0; k < 3; k++) rows[n * LANES + 10 + k] = Math.max(0, 0.5 + 0.28209479177387814 * sh[width * n + k]);
  }
  return { rows, sh, width };
}

/** xx xy xz yy yz zz of the matrix R S S R', from w x y z and logarithms. */
function covariance(quat, logScales) {
  const length = Math.hypot(...quat);
  const [w, x, y, z] = Array.from(quat, (part) => part / length);
  const turn = [
    [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
    [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
    [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
  ];
  const squares = Array.from(logScales, (s) => Math.exp(2 * s));
  const entry = (i, j) => squares.reduce((sum, square, k) => sum + turn[i][k] * square * turn[j][k], 0);
  return [entry(0, 0), entry(0, 1), entry(0, 2), entry(1, 1), entry(1, 2), entry(2, 2)];
}

/** The basis functions of render/spherical_harmonics.py above degree 0, at a unit direction. */
function harmonics(x, y, z, degree) {
  const basis = [];
  if (degree >= 1) basis.push(-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x);
  if (degree >= 2) {
    basis.push(1.0925484305920792 * x * y, -1.0925484305920792 * y * z, 0.31539156525252005 * (3 * z * z - 1),
      -1.0925484305920792 * x * z, 0.5462742152960396 * (x * x - y * y));
  }
  if (degree >= 3) {
    basis.push(-0.5900435899266435 * y * (3 * x * x - y * y), 2.890611442640554 * x * y * z,
      -0.4570457994644658 * y * (5 * z * z - 1), 0.3731763325901154 * z * (5 * z * z - 3),
      -0.4570457994644658 * x * (5 * z * z - 1), 1.445305721320277 * z * (x * x - y * y),
      -0.5900435899266435 * x * (x * x - 3 * y * y));
  }
  return basis;
}

/** Indices from far to near, by a counting sort over the range of depths. */
function farToNear(depths) {
  let low = Infinity, high = -Infinity;
  for (const depth of depths) { low = Math.min(low, depth); high = Math.max(high, depth); }
  const scale = (BUCKETS - 1) / (high - low || 1);
  const bucket = Uint16Array.from(depths, (depth) => (high - depth) * scale);
  const starts = new Uint32Array(BUCKETS + 1);
  for (const place of bucket) starts[place + 1]++;
  for (let place = 0; place < BUCKETS; place++) starts[place + 1] += starts[place];
  const order = new Uint32Array(depths.length);
  bucket.forEach((place, n) => { order[starts[place]++] = n; });
  return order;
}

/** A mesh of three.js that draws Gaussians, with `prepare(camera, width, height)` before each picture. */
function splatMesh(model) {
  const { rows, sh, width } = splatRows(model);
  const table = new Three.InstancedInterleavedBuffer(new Float32Array(rows.length), LANES);
  table.setUsage(Three.DynamicDrawUsage);
  const geometry = new Three.InstancedBufferGeometry();
  const corners = new Float32Array([-1, -1, 0, 1, -1, 0, 1, 1, 0, -1, 1, 0]);
  geometry.setAttribute("position", new Three.BufferAttribute(corners, 3));
  geometry.setIndex([0, 1, 2, 0, 2, 3]);
  const lanes = { centre: [4, 0], covarianceA: [3, 4], covarianceB: [3, 7], colour: [3, 10] };
  for (const [name, [size, start]] of Object.entries(lanes)) {
    geometry.setAttribute(name, new Three.InterleavedBufferAttribute(table, size, start));
  }
  geometry.instanceCount = model.count;
  const material = new Three.RawShaderMaterial({
    glslVersion: Three.GLSL3, vertexShader: SPLAT_VERTEX, fragmentShader: SPLAT_FRAGMENT,
    uniforms: { size: { value: new Three.Vector2() }, focal: { value: 1 } },
    blending: Three.CustomBlending, blendSrc: Three.OneFactor, blendDst: Three.OneMinusSrcAlphaFactor,
    transparent: true, depthTest: false, depthWrite: false,
  });
  const mesh = new Three.Mesh(geometry, material);
  mesh.frustumCulled = false;
  const depths = new Float32Array(model.count);

  mesh.prepare = (camera, wide, high) => {
    const [x, y, z] = [8, 9, 10].map((place) => -camera.matrixWorld.elements[place]); // Forward.
    for (let n = 0; n < model.count; n++) {
      depths[n] = x * rows[n * LANES] + y * rows[n * LANES + 1] + z * rows[n * LANES + 2];
    }
    if (model.degree) paintFrom(camera.position);
    farToNear(depths).forEach((n, place) => {
      for (let lane = 0; lane < LANES; lane++) table.array[place * LANES + lane] = rows[n * LANES + lane];
    });
    table.needsUpdate = true;
    material.uniforms.size.value.set(wide, high);
    material.uniforms.focal.value = high / (2 * Math.tan((camera.fov * Math.PI) / 360));
  };

  function paintFrom(eye) {
    for (let n = 0; n < model.count; n++) {
      const way = [rows[n * LANES] - eye.x, rows[n * LANES + 1] - eye.y, rows[n * LANES + 2] - eye.z];
      const length = Math.hypot(...way) || 1;
      const basis = harmonics(...way.map((part) => part / length), model.degree);
      for (let k = 0; k < 3; k++) {
        let value = 0.5 + 0.28209479177387814 * sh[width * n + k];
        for (let m = 0; m < basis.length; m++) value += basis[m] * sh[width * n + 3 * (m + 1) + k];
        rows[n * LANES + 10 + k] = Math.max(0, value);
      }
    }
  }
  return mesh;
}
