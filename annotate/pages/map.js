// The map: every photo a point, drawn by WebGL (by a plain canvas where there is none). Wheel or + and - zoom; the tool
// "move" drags, "lasso" and "box" choose; a click chooses one photo. By keyboard: arrows move, Enter chooses what lies in
// the ring in the middle, Escape takes the choice back.
const STEP = 1.4, CLOSEST = 400, NEAR = 10, REST_MS = 120, MOST = 12;
const QUICK_MS = 8, FEWEST = 4000, SETTLED_MS = 150;
const VERTEX = `
attribute vec2 place; attribute float code; attribute float faint;
uniform vec2 scale, shift; uniform float size; uniform vec3 palette[${MOST}]; uniform float shown[${MOST}];
varying vec4 color;
void main() {
  int at = int(code + 0.5);
  gl_Position = shown[at] > 0.5 ? vec4(place * scale + shift, 0.0, 1.0) : vec4(9.0);
  gl_PointSize = faint > 0.5 ? size * 0.75 : size;
  color = vec4(palette[at], faint > 0.5 ? 0.14 : 0.88);
}`;
const FRAGMENT = `
precision mediump float; varying vec4 color;
void main() {
  vec2 off = gl_PointCoord - 0.5;
  if (dot(off, off) > 0.25) discard;
  gl_FragColor = vec4(color.rgb * color.a, color.a);
}`;
const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255);

class GlPainter {
  static make(canvas) {
    const gl = canvas.getContext("webgl", { antialias: false, premultipliedAlpha: true });
    return gl && new GlPainter(gl);
  }

  constructor(gl) {
    this.gl = gl;
    this.program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(this.program, shader);
    }
    gl.linkProgram(this.program);
    if (!gl.getProgramParameter(this.program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(this.program));
    gl.useProgram(this.program);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.buffers = {};
  }

  give(name, values, width) {
    const { gl } = this;
    const kind = values instanceof Float32Array ? gl.FLOAT : gl.UNSIGNED_BYTE;
    gl.bindBuffer(gl.ARRAY_BUFFER, (this.buffers[name] ??= gl.createBuffer()));
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    const at = gl.getAttribLocation(this.program, name);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, width, kind, false, 0, 0);
  }

  draw({ count, palette, hidden, scale, shift, size, width, height, isTimed }) {
    const { gl } = this;
    const where = (name) => gl.getUniformLocation(this.program, name);
    const padded = (values, width_) => new Float32Array(MOST * width_).map((_, at) => values[at] ?? 0);
    gl.viewport(0, 0, width, height);
    gl.clearColor(1, 1, 1, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniform3fv(where("palette"), padded(palette.flatMap(rgb), 3));
    gl.uniform1fv(where("shown"), padded(palette.map((_, at) => (hidden.has(at) ? 0 : 1)), 1));
    gl.uniform2f(where("scale"), ...scale);
    gl.uniform2f(where("shift"), ...shift);
    gl.uniform1f(where("size"), size);
    gl.drawArrays(gl.POINTS, 0, count);
    if (isTimed) gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4)); // waits until all is drawn
  }
}

class PlainPainter {
  static make(canvas) {
    const made = new PlainPainter();
    made.context = canvas.getContext("2d");
    return made;
  }

  give(name, values) {
    this[name] = values;
  }

  draw({ count, palette, hidden, scale, shift, size, width, height }) {
    const { context, place, code, faint } = this;
    context.globalAlpha = 1;
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    for (let at = 0; at < palette.length; at++) {
      if (hidden.has(at)) continue;
      context.fillStyle = palette[at];
      for (let i = 0; i < count; i++) {
        if (code[i] !== at) continue;
        context.globalAlpha = faint[i] ? 0.14 : 0.88;
        const x = ((place[2 * i] * scale[0] + shift[0] + 1) / 2) * width;
        const y = ((1 - place[2 * i + 1] * scale[1] - shift[1]) / 2) * height;
        context.fillRect(x - size / 2, y - size / 2, size, size);
      }
    }
  }
}

// Even-odd rule; corners in the map's own numbers.
function inside(x, y, corners) {
  let is = false;
  for (let i = 0, j = corners.length - 1; i < corners.length; j = i++) {
    const [xi, yi] = corners[i], [xj, yj] = corners[j];
    if (yi > y !== yj > y && x < xi + ((y - yi) / (yj - yi)) * (xj - xi)) is = !is;
  }
  return is;
}

class SiteMap {
  constructor(root) {
    const find = (name) => root.querySelector(name);
    [this.box, this.canvas, this.tip, this.said] = [".map", "canvas", ".tip", ".said"].map(find);
    [this.drag, this.kept, this.marks, this.ring] = [".drag", ".kept", ".marks", ".ring"].map(find);
    [this.toolbar, this.legend] = [".tools", ".legend"].map(find);
    this.painter = GlPainter.make(this.canvas) ?? PlainPainter.make(this.canvas);
    this.box.dataset.painter = this.painter.constructor === GlPainter ? "webgl" : "plain";
    [this.count, this.frames, this.quick, this.hidden, this.tool] = [0, 0, FEWEST, new Set(), "lasso"];
    this.whole();
    const on = (name, does, options) => this.canvas.addEventListener(name, does, options);
    on("wheel", (event) => { event.preventDefault(); this.zoom(Math.exp(-Math.max(-200, Math.min(200, event.deltaY)) / 300), ...this.at(event)); }, { passive: false });
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.up(event));
    on("pointercancel", () => this.let());
    on("pointerleave", () => this.rest(null));
    on("keydown", (event) => this.key(event));
    this.watcher = new ResizeObserver(() => this.ask());
    this.watcher.observe(this.canvas);
  }

  async show(data, tell) {
    const before = this.data;
    [this.data, this.tell] = [data, tell];
    this.hidden = new Set(data.hidden);
    this.say();
    try {
      if (before?.points !== data.points) await this.load("place", data.points, 2);
      if (before?.colours !== data.colours) await this.load("code", data.colours, 1);
    } catch (error) {
      this.data = undefined; // the next drawing tries again
      this.tellPerson(data.words.failed);
      return;
    }
    this.tellPerson("");
    this.mark();
    this.ask();
  }

  async load(name, url, width) {
    this.tellPerson(this.data.words.loading);
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(`${answer.status}`);
    const bytes = await answer.arrayBuffer();
    this[name] = width === 2 ? new Float32Array(bytes) : new Uint8Array(bytes);
    this.count = Math.min((this.place?.length ?? 0) / 2, this.code?.length ?? 0);
    this.painter.give(name, this[name], width);
  }

  tellPerson(words) {
    [this.said.textContent, this.said.hidden] = [words, !words];
  }

  // Faint what is not chosen.
  mark() {
    const { polygon, marks } = this.data;
    const faint = new Uint8Array(this.count);
    if (polygon) for (let i = 0; i < this.count; i++) faint[i] = inside(this.place[2 * i], this.place[2 * i + 1], polygon) ? 0 : 1;
    else if (marks.length) faint.fill(1);
    this.painter.give("faint", faint, 1);
    this.box.dataset.chosen = polygon ? faint.reduce((sum, one) => sum + 1 - one, 0) : marks.length;
  }

  say() {
    const { words, labels, palette, counts } = this.data;
    const button = (parent, key, text, isPressed, act) => {
      const made = parent.querySelector(`[data-key="${key}"]`) ?? parent.appendChild(document.createElement("button"));
      made.type = "button";
      made.dataset.key = key;
      made.onclick = act;
      if (isPressed !== null) made.ariaPressed = String(isPressed);
      if (made.dataset.text !== text) {
        made.textContent = made.dataset.text = text;
        if (parent === this.legend) made.prepend(Object.assign(document.createElement("span"), { className: "swatch" }));
      }
      if (parent === this.legend) made.firstChild.style.background = palette[key];
      return made;
    };
    this.canvas.ariaLabel = words.label;
    [this.toolbar.ariaLabel, this.legend.ariaLabel] = [words.tools, words.legend];
    for (const tool of ["lasso", "box", "move"]) button(this.toolbar, tool, words[tool], this.tool === tool, () => { this.tool = tool; this.say(); });
    button(this.toolbar, "in", "+", null, () => this.zoom(STEP)).ariaLabel = words.in;
    button(this.toolbar, "out", "−", null, () => this.zoom(1 / STEP)).ariaLabel = words.out;
    button(this.toolbar, "whole", words.whole, null, () => this.whole());
    this.box.dataset.tool = this.tool;
    for (const old of [...this.legend.children].slice(labels.length)) old.remove();
    labels.forEach((label, at) => {
      button(this.legend, at, `${label} ${counts[at]}`, !this.hidden.has(at), () => this.toggle(at)).hidden = counts[at] === "0";
    });
  }

  toggle(at) {
    if (!this.hidden.delete(at)) this.hidden.add(at);
    this.say();
    this.ask();
    this.tell({ kind: "hide", hidden: [...this.hidden] });
  }

  whole() {
    [this.scale, this.x, this.y] = [1, 0, 0];
    this.ask();
  }

  // Zoom by a factor; the place (x, y) of the canvas, in pixels, stays where it is.
  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const scale = Math.min(Math.max(this.scale * factor, 0.8), CLOSEST);
    const [cx, cy] = [(2 * x) / this.canvas.clientWidth - 1, 1 - (2 * y) / this.canvas.clientHeight];
    this.x = cx - ((cx - this.x) * scale) / this.scale;
    this.y = cy - ((cy - this.y) * scale) / this.scale;
    this.scale = scale;
    this.stir();
  }

  pan(x, y) {
    this.x += (2 * x) / this.canvas.clientWidth;
    this.y -= (2 * y) / this.canvas.clientHeight;
    this.stir();
  }

  // Pixels -> the map's own numbers, and back. The map fills 95 % of the canvas.
  toMap([px, py]) {
    const zoom = this.scale * 0.95;
    return [((2 * px) / this.canvas.clientWidth - 1 - this.x) / zoom, (1 - (2 * py) / this.canvas.clientHeight - this.y) / zoom];
  }

  toPixels([x, y]) {
    const zoom = this.scale * 0.95;
    return [((x * zoom + this.x + 1) / 2) * this.canvas.clientWidth, ((1 - y * zoom - this.y) / 2) * this.canvas.clientHeight];
  }

  // While the map moves, where all points take longer than a frame only the first are drawn: they stand in random order.
  stir() {
    this.isMoving = true;
    clearTimeout(this.settling);
    this.settling = setTimeout(() => { this.isMoving = false; this.ask(); }, SETTLED_MS);
    this.ask();
  }

  ask() {
    this.asked ??= requestAnimationFrame(() => { this.asked = undefined; this.draw(); });
  }

  draw() {
    if (!this.data || !this.count) return;
    const { clientWidth, clientHeight } = this.canvas;
    const [width, height] = [clientWidth, clientHeight].map((one) => Math.round(one * devicePixelRatio));
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const zoom = this.scale * 0.95;
    const size = devicePixelRatio * Math.min(10, (this.count > 20000 ? 2.5 : this.count > 3000 ? 4 : 6) * Math.sqrt(Math.max(1, this.scale)) ** 0.7);
    const count = this.isMoving ? Math.min(this.count, this.quick) : this.count;
    const began = performance.now();
    this.painter.draw({ count, palette: this.data.palette, hidden: this.hidden, scale: [zoom, zoom], shift: [this.x, this.y], size, width, height, isTimed: !this.isMoving });
    if (!this.isMoving) this.quick = Math.max(FEWEST, Math.round((this.count * QUICK_MS) / (performance.now() - began)));
    const line = (corners) => corners.map((one) => this.toPixels(one).map((n) => n.toFixed(1)).join(",")).join(" ");
    this.kept.setAttribute("points", line(this.data.polygon ?? []));
    for (const [name, value] of [["cx", clientWidth / 2], ["cy", clientHeight / 2]]) this.ring.setAttribute(name, value);
    this.marks.replaceChildren(...this.data.marks.map((one, rank) => {
      const circle = document.createElementNS("http://www.w3.org/2000/svg", "circle");
      const [cx, cy] = this.toPixels(one);
      for (const [name, value] of Object.entries({ cx, cy, r: 5, class: rank ? "" : "first" })) circle.setAttribute(name, value);
      return circle;
    }));
    Object.assign(this.box.dataset, { frames: ++this.frames, points: this.count, drawn: count });
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  down(event) {
    if (event.button) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.held = [this.at(event)];
    this.rest(null);
  }

  move(event) {
    const now = this.at(event);
    if (!this.held) return this.rest(now);
    const last = this.held.at(-1);
    if (Math.hypot(now[0] - last[0], now[1] - last[1]) < 3) return;
    this.held.push(now);
    if (this.tool === "move") return this.pan(now[0] - last[0], now[1] - last[1]);
    this.drag.setAttribute("points", this.corners().map((one) => one.join(",")).join(" "));
  }

  corners() {
    if (this.tool === "lasso") return this.held;
    const [[x0, y0], [x1, y1]] = [this.held[0], this.held.at(-1)];
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
  }

  let() {
    this.held = undefined;
    this.drag.setAttribute("points", "");
  }

  up(event) {
    if (!this.held) return;
    const [moved, corners] = [this.held.length > 1, this.corners()];
    this.let();
    const at = moved ? -1 : this.nearest(this.at(event));
    if (at >= 0) this.tell({ kind: "one", at });
    if (moved && this.tool !== "move" && (this.tool === "box" || corners.length > 2)) this.area(corners);
  }

  area(corners) {
    const thin = Math.ceil(corners.length / 100); // the server compares each photo with each corner
    const polygon = corners.filter((_, at) => at % thin === 0).map((one) => this.toMap(one));
    this.tell({ kind: "area", polygon });
  }

  nearest([px, py]) {
    const { clientWidth, clientHeight } = this.canvas;
    const [x, y] = this.toMap([px, py]);
    const [wide, high] = [(clientWidth / 2) * this.scale * 0.95, (clientHeight / 2) * this.scale * 0.95];
    let [best, found] = [NEAR ** 2, -1];
    for (let i = 0; i < this.count; i++) {
      if (this.hidden.has(this.code[i])) continue;
      const far = ((this.place[2 * i] - x) * wide) ** 2 + ((this.place[2 * i + 1] - y) * high) ** 2;
      if (far < best) [best, found] = [far, i];
    }
    return found;
  }

  // The pointer rests: what is under it?
  rest(pixels) {
    clearTimeout(this.waiting);
    this.tip.hidden = true;
    this.resting = pixels;
    if (pixels && this.data) this.waiting = setTimeout(() => this.about(pixels), REST_MS);
  }

  async about(pixels) {
    const at = this.nearest(pixels);
    if (at < 0) return;
    const answer = await fetch(`${this.data.about}&at=${at}`).catch(() => null);
    if (!answer?.ok || this.resting !== pixels) return;
    const { caption, photo, words } = await answer.json();
    const [image, text, small] = this.tip.children;
    if (photo) image.src = photo;
    [image.hidden, text.textContent, small.textContent] = [!photo, caption, words];
    const left = pixels[0] > this.canvas.clientWidth / 2;
    const above = pixels[1] > this.canvas.clientHeight / 2;
    Object.assign(this.tip.style, {
      left: left ? "auto" : `${pixels[0] + 14}px`, right: left ? `${this.canvas.clientWidth - pixels[0] + 14}px` : "auto",
      top: above ? "auto" : `${pixels[1] + 10}px`, bottom: above ? `${this.canvas.clientHeight - pixels[1] + 10}px` : "auto",
    });
    this.tip.hidden = false;
  }

  key(event) {
    const acts = {
      ArrowLeft: () => this.pan(60, 0), ArrowRight: () => this.pan(-60, 0), ArrowUp: () => this.pan(0, 60),
      ArrowDown: () => this.pan(0, -60), "+": () => this.zoom(STEP), "-": () => this.zoom(1 / STEP), 0: () => this.whole(),
      Enter: () => this.around(), Escape: () => this.tell({ kind: "clear" }),
    };
    if (!acts[event.key] || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    acts[event.key]();
  }

  // What lies in the ring.
  around() {
    const [x, y] = [this.canvas.clientWidth / 2, this.canvas.clientHeight / 2];
    this.area(Array.from({ length: 24 }, (_, at) => [x + 60 * Math.cos((at * Math.PI) / 12), y + 60 * Math.sin((at * Math.PI) / 12)]));
  }

  stop() {
    this.watcher.disconnect();
    for (const timer of [this.waiting, this.settling]) clearTimeout(timer);
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const map = (parentElement.genbaMap ??= new SiteMap(parentElement));
  map.show(data, (what) => setTriggerValue("act", what));
  return () => {
    map.stop();
    delete parentElement.genbaMap;
  };
}
