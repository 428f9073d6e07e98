// Draws the pictures and hands of a page that twohand_jax.viz.hand_page writes.
//
// Everything is in the picture's camera frame: x right, y down, z forward, metres. A view
// is the picture's own camera, turned about the hands' middle (yaw, pitch), and then the
// drawn picture scaled and moved (scale, x, y; in units of half a canvas). All zero with
// scale 1 is the camera itself: the hands lie on the picture as they were reconstructed.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("hands").textContent);
  const $ = (name) => document.getElementById(name);
  const canvas = $("canvas"), stage = $("stage");
  const gl = canvas.getContext("webgl", {
    alpha: true, antialias: true, premultipliedAlpha: true, preserveDrawingBuffer: true,
  });
  document.body.classList.add(gl ? "drawn" : "plain");

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const COLORS = data.colors.map((color) => color.map((c) => Math.pow(c, 2.2)));
  const SIDE = { yaw: 1.36, pitch: 0.24 }, BACK = { yaw: Math.PI, pitch: 0.1 };

  // ---- geometry -------------------------------------------------------------------

  // The surface with a normal a vertex, and the wrist's cap with vertices of its own, so
  // that its edge is drawn sharp.
  function surface(vertices, faces, open) {
    const points = Array.from(vertices), index = Array.from(faces.subarray(0, open));
    const copies = new Map();
    for (const vertex of faces.subarray(open)) {
      if (!copies.has(vertex)) {
        copies.set(vertex, points.length / 3);
        points.push(...vertices.subarray(3 * vertex, 3 * vertex + 3));
      }
      index.push(copies.get(vertex));
    }
    const normals = new Float32Array(points.length);
    for (let f = 0; f < index.length; f += 3) {
      const [a, b, c] = [0, 1, 2].map((k) => 3 * index[f + k]);
      const u = [0, 1, 2].map((k) => points[b + k] - points[a + k]);
      const v = [0, 1, 2].map((k) => points[c + k] - points[a + k]);
      const n = [
        u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0],
      ];
      for (const at of [a, b, c]) for (let k = 0; k < 3; k++) normals[at + k] += n[k];
    }
    return { points: new Float32Array(points), normals, index: new Uint16Array(index) };
  }

  // Rows of the rotation from the camera frame to that of a view.
  function turn({ yaw, pitch }) {
    const cy = Math.cos(yaw), sy = Math.sin(yaw), cp = Math.cos(pitch), sp = Math.sin(pitch);
    return [[cy, 0, -sy], [-sp * sy, cp, -sp * cy], [cp * sy, sp, cp * cy]];
  }

  // Where a point is drawn, -1 to 1 right and up, before scale and move.
  function drawnAt(scene, rows, [x, y, z]) {
    const m = scene.middle, d = [x - m[0], y - m[1], z - m[2]];
    const p = rows.map((r, k) => r[0] * d[0] + r[1] * d[1] + r[2] * d[2] + m[k]);
    const depth = Math.max(p[2], 1e-3), { focal, center, width, height } = scene;
    return [
      (2 * (focal[0] * p[0] / depth + center[0] + 0.5)) / width - 1,
      1 - (2 * (focal[1] * p[1] / depth + center[1] + 0.5)) / height,
    ];
  }

  // A view in which the hands fill the canvas.
  function filled(scene, angles) {
    const rows = turn(angles);
    const low = [Infinity, Infinity], high = [-Infinity, -Infinity];
    for (const { points } of scene.hands) {
      for (let at = 0; at < points.length; at += 3) {
        const place = drawnAt(scene, rows, points.subarray(at, at + 3));
        for (let k = 0; k < 2; k++) {
          low[k] = Math.min(low[k], place[k]);
          high[k] = Math.max(high[k], place[k]);
        }
      }
    }
    if (!scene.hands.length) return { ...angles, scale: 1, x: 0, y: 0 };
    const scale = 1.6 / Math.max(high[0] - low[0], high[1] - low[1], 1e-3);
    const [x, y] = [0, 1].map((k) => -scale * (low[k] + high[k]) / 2);
    return { ...angles, scale, x, y };
  }

  const CAMERA = { yaw: 0, pitch: 0, scale: 1, x: 0, y: 0 };
  const preset = {
    camera: () => CAMERA,
    side: () => filled(scene, SIDE),
    back: () => filled(scene, BACK),
  };

  // ---- WebGL ----------------------------------------------------------------------

  const VERTEX = `
    attribute vec3 point, normal; attribute vec2 place;
    uniform mat3 rows; uniform vec3 middle, view; uniform vec2 focal, center, size, range;
    varying vec3 facing, seen; varying vec2 spot;
    void main() {
      vec3 p = rows * (point - middle) + middle;
      vec2 at = (focal * p.xy + (center + 0.5) * p.z) * 2.0 / size - p.z;
      at = vec2(at.x, -at.y) * view.x + view.yz * p.z;
      float n = range.x, f = range.y;
      gl_Position = vec4(at, (p.z * (f + n) - 2.0 * f * n) / (f - n), p.z);
      facing = rows * normal; seen = p; spot = place;
    }`;
  const HAND = `
    precision highp float;
    varying vec3 facing, seen; uniform vec3 color; uniform float opacity;
    void main() {
      vec3 n = normalize(facing), eye = normalize(-seen);
      if (dot(n, eye) < 0.0 && !gl_FrontFacing) n = -n;
      float sky = 0.5 - 0.5 * n.y;
      float key = max(dot(n, normalize(vec3(-0.45, -0.75, -0.6))), 0.0);
      float rim = pow(1.0 - max(dot(n, eye), 0.0), 3.0);
      vec3 light = color * (0.16 + 0.34 * sky + 0.62 * key) + 0.10 * rim;
      gl_FragColor = vec4(pow(min(light, 1.0), vec3(1.0 / 2.2)) * opacity, opacity);
    }`;
  const PICTURE = `
    precision mediump float;
    varying vec2 spot; uniform sampler2D picture; uniform float opacity;
    void main() { gl_FragColor = vec4(texture2D(picture, spot).rgb * opacity, opacity); }`;

  function program(fragment) {
    const made = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(made, shader);
    }
    ["point", "normal", "place"].forEach((name, at) => gl.bindAttribLocation(made, at, name));
    gl.linkProgram(made);
    const places = {};
    const count = gl.getProgramParameter(made, gl.ACTIVE_UNIFORMS);
    for (let k = 0; k < count; k++) {
      const { name } = gl.getActiveUniform(made, k);
      places[name] = gl.getUniformLocation(made, name);
    }
    return { made, places };
  }

  function buffer(content, kind = gl.ARRAY_BUFFER) {
    const made = gl.createBuffer();
    gl.bindBuffer(kind, made);
    gl.bufferData(kind, content, gl.STATIC_DRAW);
    return made;
  }

  function attribute(at, from, length) {
    if (!from) return gl.disableVertexAttribArray(at);
    gl.bindBuffer(gl.ARRAY_BUFFER, from);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, length, gl.FLOAT, false, 0, 0);
  }

  // ---- a picture's scene ----------------------------------------------------------

  const faces = data.faces.map((text) => new Uint16Array(bytes(text)));
  const programs = gl && { hand: program(HAND), picture: program(PICTURE) };
  let scene = null, view = { ...CAMERA }, opacity = 1, moving = 0;
  let isCompared = false;
  const compare = $("compare");

  function open(number) {
    const one = data.pictures[number];
    const built = (hand, text) => {
      const vertices = new Float32Array(bytes(text));
      const made = surface(vertices, faces[hand.side], 3 * data.open_faces);
      return { ...made, side: hand.side };
    };
    const hands = one.hands.map((hand) => built(hand, hand.vertices));
    // Those that the refinement did not move are the same before and after.
    const before = one.hands.map((hand, k) => (hand.before ? built(hand, hand.before) : hands[k]));
    const isMoved = before.some((hand, k) => hand !== hands[k]);
    const low = [Infinity, Infinity, Infinity], high = low.map((v) => -v);
    for (const { points } of new Set([...hands, ...before])) {
      points.forEach((value, at) => {
        low[at % 3] = Math.min(low[at % 3], value);
        high[at % 3] = Math.max(high[at % 3], value);
      });
    }
    const middle = hands.length ? low.map((v, k) => (v + high[k]) / 2) : [0, 0, 1];
    const behind = hands.length ? high[2] + 0.02 : 1;
    scene = { ...one, hands, before, isMoved, middle, behind, image: $(`picture-${number}`) };
    arrange();
    if (!gl) return;
    for (const hand of new Set([...hands, ...before])) {
      hand.buffers = [buffer(hand.points), buffer(hand.normals)];
      hand.faces = buffer(hand.index, gl.ELEMENT_ARRAY_BUFFER);
    }
    const { focal, center, width, height } = one;
    const corners = [], places = [0, 0, 1, 0, 0, 1, 1, 1];
    for (let k = 0; k < 8; k += 2) {
      corners.push(((places[k] * width - 0.5 - center[0]) / focal[0]) * behind);
      corners.push(((places[k + 1] * height - 0.5 - center[1]) / focal[1]) * behind, behind);
    }
    scene.quad = [buffer(new Float32Array(corners)), buffer(new Float32Array(places))];
    scene.texture = null;
    const { image } = scene;
    if (image) image.decode().then(() => { load(image); draw(); }).catch(() => {});
  }

  // How many times the picture stands beside itself: before and after, or once.
  const panes = () => (gl && isCompared && scene.isMoved ? 2 : 1);

  function arrange() {
    stage.style.setProperty("--shape", (panes() * scene.width) / scene.height);
    document.querySelectorAll(".caption").forEach((one) => { one.hidden = panes() === 1; });
    if (compare) compare.hidden = !scene.isMoved;
  }

  function load(image) {
    if (scene.image !== image) return;
    scene.texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, scene.texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB, gl.RGB, gl.UNSIGNED_BYTE, image);
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) {
      gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
    }
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
  }

  function close() {
    if (!gl || !scene) return;
    for (const hand of new Set([...scene.hands, ...scene.before])) [...hand.buffers, hand.faces].forEach((b) => gl.deleteBuffer(b));
    scene.quad.forEach((b) => gl.deleteBuffer(b));
    gl.deleteTexture(scene.texture);
  }

  function use({ made, places }) {
    const rows = turn(view), { middle, focal, center, width, height } = scene;
    const reach = Math.hypot(...middle);
    gl.useProgram(made);
    gl.uniformMatrix3fv(places.rows, false, [0, 1, 2].flatMap((k) => rows.map((r) => r[k])));
    gl.uniform3fv(places.middle, middle);
    gl.uniform3f(places.view, view.scale, view.x, view.y);
    gl.uniform2fv(places.focal, focal);
    gl.uniform2fv(places.center, center);
    gl.uniform2f(places.size, width, height);
    gl.uniform2f(places.range, 0.03 * reach, 20 * reach);
    return places;
  }

  function draw() {
    if (!gl) return;
    const dense = Math.min(window.devicePixelRatio || 1, 2);
    const [w, h] = [canvas.clientWidth, canvas.clientHeight].map((s) => Math.round(s * dense));
    if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    if (panes() === 1) return drawPane(scene.hands, 0, w, h);
    const half = Math.floor(w / 2);
    drawPane(scene.before, 0, half, h);
    drawPane(scene.hands, w - half, half, h);
  }

  function drawPane(hands, x, w, h) {
    gl.viewport(x, 0, w, h);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    // The picture fades while the view turns away from its camera.
    const shown = Math.min(Math.max((Math.cos(view.yaw) * Math.cos(view.pitch) - 0.3) / 0.6, 0), 1);
    if (scene.texture && shown > 0) {
      gl.disable(gl.DEPTH_TEST);
      const places = use(programs.picture);
      gl.uniform1f(places.opacity, shown);
      gl.bindTexture(gl.TEXTURE_2D, scene.texture);
      attribute(0, scene.quad[0], 3);
      attribute(1, null);
      attribute(2, scene.quad[1], 2);
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    }
    if (opacity === 0) return;
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LEQUAL);
    const places = use(programs.hand);
    attribute(2, null);
    // Depth first, so that of see-through hands too only the nearest surface shows.
    for (const isColor of [false, true]) {
      gl.colorMask(isColor, isColor, isColor, isColor);
      for (const hand of hands) {
        attribute(0, hand.buffers[0], 3);
        attribute(1, hand.buffers[1], 3);
        gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, hand.faces);
        gl.uniform3fv(places.color, COLORS[hand.side]);
        gl.uniform1f(places.opacity, opacity);
        gl.drawElements(gl.TRIANGLES, hand.index.length, gl.UNSIGNED_SHORT, 0);
      }
    }
  }

  // ---- what the reader does -------------------------------------------------------

  function mark(name) {
    for (const button of document.querySelectorAll("[data-view]")) {
      button.setAttribute("aria-pressed", String(button.dataset.view === name));
    }
  }

  function go(name) {
    mark(name);
    const from = { ...view }, to = preset[name](), start = performance.now();
    const turns = 2 * Math.PI * Math.round((from.yaw - to.yaw) / (2 * Math.PI));
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    cancelAnimationFrame(moving);
    const step = (now) => {
      const t = calm ? 1 : Math.min(Math.max((now - start) / 450, 0), 1);
      const s = t * t * (3 - 2 * t);
      for (const key of Object.keys(to)) {
        const end = to[key] + (key === "yaw" ? turns : 0);
        view[key] = from[key] + s * (end - from[key]);
      }
      draw();
      if (t < 1) moving = requestAnimationFrame(step);
      else view.yaw = to.yaw;
    };
    step(calm ? start + 450 : start);
  }

  // Turn about the hands' middle, which stays where it is drawn.
  function rotate(yaw, pitch) {
    view.yaw += yaw;
    view.pitch = Math.min(Math.max(view.pitch + pitch, -1.5), 1.5);
    moved();
  }

  function zoom(factor, x, y) {
    const scale = Math.min(Math.max(view.scale * factor, 0.2), 200);
    if (x > 1) x -= 2; // in the second pane
    view.x = x + ((view.x - x) * scale) / view.scale;
    view.y = y + ((view.y - y) * scale) / view.scale;
    view.scale = scale;
    moved();
  }

  function moved() {
    cancelAnimationFrame(moving);
    mark(null);
    moving = requestAnimationFrame(draw);
  }

  const pointers = new Map();
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const x = (2 * panes() * (event.clientX - box.left)) / box.width - 1;
    return [x, 1 - (2 * (event.clientY - box.top)) / box.height];
  };
  const pinch = () => {
    const [[ax, ay], [bx, by]] = [...pointers.values()];
    const aspect = canvas.clientHeight / canvas.clientWidth;
    return { x: (ax + bx) / 2, y: (ay + by) / 2, apart: Math.hypot(ax - bx, (ay - by) * aspect) };
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const two = pointers.size === 2 && pinch(), now = at(event);
    pointers.set(event.pointerId, now);
    const dx = now[0] - before[0], dy = now[1] - before[1];
    if (two) {
      const after = pinch();
      view.x += after.x - two.x;
      view.y += after.y - two.y;
      zoom(after.apart / Math.max(two.apart, 1e-3), after.x, after.y);
    } else if (event.shiftKey || event.buttons & 2) {
      view.x += dx;
      view.y += dy;
      moved();
    } else {
      rotate(2.2 * dx, -2.2 * dy);
    }
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, (event) => pointers.delete(event.pointerId));
  }
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("dblclick", () => go("camera"));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const pixels = event.deltaMode === 1 ? 16 * event.deltaY : event.deltaY;
    zoom(Math.exp(-0.0015 * pixels), ...at(event));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const keys = {
      ArrowLeft: () => rotate(-0.1, 0), ArrowRight: () => rotate(0.1, 0),
      ArrowUp: () => rotate(0, -0.1), ArrowDown: () => rotate(0, 0.1),
      "+": () => zoom(1.2, 0, 0), "-": () => zoom(1 / 1.2, 0, 0),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  for (const button of document.querySelectorAll("[data-view]")) {
    button.addEventListener("click", () => go(button.dataset.view));
  }
  if (compare) compare.addEventListener("click", () => {
    isCompared = !isCompared;
    compare.setAttribute("aria-pressed", String(isCompared));
    arrange();
    draw();
  });
  $("opacity").addEventListener("input", (event) => {
    opacity = Number(event.target.value) / 100;
    draw();
  });

  // ---- several pictures -----------------------------------------------------------

  const pager = $("number");
  function page(number) {
    cancelAnimationFrame(moving);
    close();
    document.querySelectorAll("[data-picture]").forEach((part) => {
      part.hidden = part.dataset.picture !== String(number);
    });
    open(number);
    view = { ...CAMERA };
    mark("camera");
    draw();
    if (pager) {
      pager.value = String(number);
      $("counted").textContent = `${number + 1} of ${data.pictures.length}`;
    }
  }
  if (pager) {
    pager.addEventListener("input", () => page(Number(pager.value)));
    const step = (by) => {
      const last = data.pictures.length - 1;
      page(Math.min(Math.max(Number(pager.value) + by, 0), last));
    };
    $("previous").addEventListener("click", () => step(-1));
    $("next").addEventListener("click", () => step(1));
  }
  new ResizeObserver(draw).observe(canvas);
  page(0);
})();
