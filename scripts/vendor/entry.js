// What the report's page needs of three.js; esbuild leaves the rest away.
export {
  CustomBlending,
  BufferAttribute,
  DynamicDrawUsage,
  InstancedBufferGeometry,
  InstancedInterleavedBuffer,
  InterleavedBufferAttribute,
  Mesh,
  OneFactor,
  OneMinusSrcAlphaFactor,
  PerspectiveCamera,
  RawShaderMaterial,
  Scene,
  Vector2,
  WebGLRenderer,
  GLSL3,
} from "three";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";
