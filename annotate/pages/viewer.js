// The photo: wheel or + and - zoom, a drag moves it, two fingers do both, a double click goes close or back. F: full size.
const CLOSEST = 12; // times the whole photo
const STEP = 1.5;

const SIGNS = {
  in: "M12 5v14M5 12h14", out: "M5 12h14", close: "M6 6l12 12M18 6L6 18",
  whole: "M4.5 12a7.5 7.5 0 1 0 2.4-5.5M4.5 4v4.2h4.2", full: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
};

function icon(path) {
  const [svg, line] = ["svg", "path"].map((name) => document.createElementNS("http://www.w3.org/2000/svg", name));
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

class Stage {
  constructor(element) {
    this.element = element;
    this.image = element.querySelector("img");
    this.fingers = new Map();
    this.whole();
    element.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    element.addEventListener("pointerdown", (event) => this.down(event));
    element.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, (event) => this.up(event));
    element.addEventListener("dblclick", (event) => this.twice(event));
  }

  whole() {
    [this.scale, this.x, this.y] = [1, 0, 0];
    this.draw();
  }

  // Zoom by a factor; the point (x, y) of the stage stays where it is.
  zoom(factor, x = this.element.clientWidth / 2, y = this.element.clientHeight / 2) {
    const scale = Math.min(Math.max(this.scale * factor, 1), CLOSEST);
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.draw();
  }

  pan(x, y) {
    [this.x, this.y] = [this.x + x, this.y + y];
    this.draw();
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.element;
    this.x = Math.min(0, Math.max(this.x, width * (1 - this.scale)));
    this.y = Math.min(0, Math.max(this.y, height * (1 - this.scale)));
    this.image.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.element.dataset.scale = this.scale.toFixed(2);
  }

  place(event) {
    const box = this.element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  wheel(event) {
    event.preventDefault();
    this.zoom(Math.exp(-Math.max(-200, Math.min(200, event.deltaY)) / 300), ...this.place(event));
  }

  down(event) {
    this.element.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, this.place(event));
    this.element.classList.add("held");
  }

  move(event) {
    const before = this.fingers.get(event.pointerId);
    if (!before) return;
    const now = this.place(event);
    const other = [...this.fingers].find(([id]) => id !== event.pointerId)?.[1];
    this.fingers.set(event.pointerId, now);
    if (!other) return this.pan(now[0] - before[0], now[1] - before[1]);
    const apart = (one) => Math.hypot(one[0] - other[0], one[1] - other[1]) || 1;
    this.zoom(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    this.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
  }

  up(event) {
    this.fingers.delete(event.pointerId);
    if (!this.fingers.size) this.element.classList.remove("held");
  }

  twice(event) {
    if (this.scale > 1) this.whole();
    else this.zoom(3, ...this.place(event));
  }
}

class Viewer {
  constructor(root) {
    [this.small, this.large] = [...root.querySelectorAll(".stage")].map((element) => new Stage(element));
    this.dialog = root.querySelector("dialog");
    this.broken = root.querySelector(".broken");
    for (const name of ["load", "error"]) {
      this.small.image.addEventListener(name, () => (this.broken.hidden = name === "load"));
    }
    this.bars = [...root.querySelectorAll(".tools")];
    this.stopping = new AbortController();
    const { signal } = this.stopping;
    document.addEventListener("genba-photo", (event) => this.act(event.detail), { signal });
    this.dialog.addEventListener("keydown", (event) => this.key(event), { signal });
  }

  // url: the photo, or the photo with a heat map over it; then it is seen as close as before.
  show({ photo, url, alt, width, height, words }) {
    if (photo !== this.photo) for (const stage of [this.small, this.large]) stage.whole();
    this.photo = photo;
    this.small.element.style.aspectRatio = `${width} / ${height}`;
    for (const { image } of [this.small, this.large]) Object.assign(image, { src: url, alt });
    this.broken.textContent = words.broken;
    this.dialog.ariaLabel = words.full;
    for (const bar of this.bars) this.tools(bar, words, bar.closest("dialog") !== null);
  }

  tools(bar, words, isLarge) {
    const names = ["in", "out", "whole", isLarge ? "close" : "full"];
    bar.ariaLabel = words.tools;
    bar.replaceChildren(
      ...names.map((name) => {
        const button = Object.assign(document.createElement("button"), { type: "button" });
        button.append(icon(SIGNS[name]));
        button.ariaLabel = button.title = words[name];
        button.dataset.act = name;
        button.addEventListener("click", () => this.act(name));
        return button;
      }),
    );
  }

  act(name) {
    const stage = this.dialog.open ? this.large : this.small;
    if (name === "in") stage.zoom(STEP);
    if (name === "out") stage.zoom(1 / STEP);
    if (name === "whole") stage.whole();
    if (name === "full") this.dialog.showModal();
    if (name === "close") this.dialog.close();
  }

  key(event) {
    const name = { "+": "in", "-": "out", z: "whole", f: "close" }[event.key.toLowerCase()];
    if (name) this.act(name);
    event.stopPropagation(); // Escape closes a dialog by itself
  }

  stop() {
    this.stopping.abort();
  }
}

export default function ({ data, parentElement }) {
  const viewer = (parentElement.genbaViewer ??= new Viewer(parentElement));
  viewer.show(data);
  return () => {
    viewer.stop();
    delete parentElement.genbaViewer;
  };
}
