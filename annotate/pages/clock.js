// Counts the active seconds of a form and reports them: annotate/clock.py says by which rule.
const IDLE_MS = 60000;
const REPORT_MS = 10000;
const SIGNS = ["keydown", "pointerdown", "pointermove", "wheel", "touchstart", "input"];

class Clock {
  constructor() {
    this.total = 0;
    this.last = document.hasFocus() ? performance.now() : null; // null: the window has not the focus
    this.reported = performance.now();
    this.stopping = new AbortController();
    const options = { capture: true, passive: true, signal: this.stopping.signal };
    for (const sign of SIGNS) document.addEventListener(sign, () => this.alive(), options);
    window.addEventListener("focus", () => this.come(), options);
    window.addEventListener("blur", () => this.leave(), options);
    window.addEventListener("pagehide", () => this.leave(), options);
    document.addEventListener("visibilitychange", () => (document.hidden ? this.leave() : this.come()), options);
  }

  show({ token, url }) {
    this.url = url;
    if (token === this.token) return;
    this.token = token;
    this.total = 0;
    this.last = document.hasFocus() ? performance.now() : null;
    this.report();
  }

  alive() {
    const now = performance.now();
    if (this.last !== null) this.total += Math.min(now - this.last, IDLE_MS);
    this.last = now;
    if (now - this.reported > REPORT_MS) this.report();
  }

  come() {
    if (this.last !== null) return;
    this.last = performance.now();
    this.report();
  }

  leave() {
    if (this.last === null) return;
    this.alive();
    this.last = null;
    this.report();
  }

  report() {
    if (!this.token) return;
    this.reported = performance.now();
    const body = JSON.stringify({ token: this.token, seconds: this.total / 1000, away: this.last === null });
    // A lost report is made up for by the next one: each carries the whole sum.
    fetch(this.url, { method: "POST", body, keepalive: true }).catch(() => {});
  }

  stop() {
    this.leave();
    this.stopping.abort();
  }
}

export default function ({ data, parentElement }) {
  const clock = (parentElement.genbaClock ??= new Clock());
  clock.show(data);
  return () => {
    clock.stop();
    delete parentElement.genbaClock;
  };
}
