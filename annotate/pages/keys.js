// The correction page by keyboard alone. What each key does stands in annotate/pages/keys.py and in the page's "?".
//
// The page's own buttons and fields are used as a person uses them: a digit clicks an answer, Enter clicks "Save".
// While somebody types into a field, and while an input method composes (Japanese), no key of ours fires.
const FIELD = "input, textarea, select, [contenteditable=true]";
const TABLET = "(max-width: 1100px)";
const NUMBER = "[data-testid=stNumberInputField]";
const PAUSE_MS = 1000; // in typing, after which what was typed is handed over
const WAIT_MS = 8000; // for the server; then the keys that were typed meanwhile are let go

class Keys {
  constructor() {
    this.data = { rows: [], open: [], deciding: [] };
    this.waiting = []; // keys typed while the form is being renewed
    this.isBusy = false;
    this.isAwaited = null; // data -> whether what was waited for is there
    this.composedAt = -Infinity;
    this.stopping = new AbortController();
    const options = { capture: true, signal: this.stopping.signal };
    document.addEventListener("keydown", (event) => this.onKey(event), options);
    this.typing = null; // the slot into whose field somebody types
    document.addEventListener("focusin", (event) => this.onFocus(event.composedPath()[0]), options);
    document.addEventListener("pointerdown", () => this.onPointer(), options);
    document.addEventListener("compositionstart", () => (this.isComposing = true), options);
    document.addEventListener("compositionend", () => this.onComposed(), options);
    this.unsent = null; // the field whose text the server does not know yet
    this.sentAt = -Infinity;
    document.addEventListener("input", (event) => this.onInput(event), options);
    document.addEventListener("focusout", (event) => this.onLeave(event), options);
    document.addEventListener("click", (event) => this.onClick(event), options);
    this.watching = setInterval(() => this.watch(), 1000);
    // On a tablet the list of pages makes way for the form, each time that the form is opened.
    if (matchMedia(TABLET).matches) document.querySelector("[data-testid=stSidebarCollapseButton] button")?.click();
  }

  show(data) {
    const isNew = data.token !== this.data.token;
    this.data = data;
    this.label();
    if (this.isAwaited && !this.isAwaited(data)) return; // of a click before the one that is waited for
    this.isAwaited = null;
    this.isBusy = true;
    this.whenDrawn(() => {
      this.isBusy = false;
      if (isNew) this.begin();
      else this.then?.();
      this.then = null;
      while (this.waiting.length && !this.isBusy) this.act(this.waiting.shift());
      if (isNew) this.stay(performance.now() + 1500);
    });
  }

  // What stood there before is taken away last, and what stays may move: then a focus would be lost.
  isDrawn() {
    const there = [...document.querySelectorAll('.st-key-form [class*="st-key-row-"]')];
    const rows = this.data.rows.map((slot) => this.row(slot)?.closest('[class*="st-key-row-"]'));
    const isWhole = there.length === rows.length && there.every((row, place) => row === rows[place]);
    return isWhole && this.data.rows.every((slot) => this.answers(slot).length || this.field(slot));
  }

  // The answers of the pair before may stand there for a moment: those of this one carry its token.
  whenDrawn(act, until = performance.now() + WAIT_MS) {
    clearTimeout(this.drawing);
    if (this.isDrawn() || performance.now() > until) act();
    else this.drawing = setTimeout(() => this.whenDrawn(act, until), 16);
  }

  // Until the page has come to rest the focus may be lost again. Ends with the first thing that a person does.
  stay(until) {
    clearTimeout(this.staying);
    if (document.activeElement === document.body) this.begin();
    if (performance.now() < until) this.staying = setTimeout(() => this.stay(until), 50);
  }

  stop() {
    clearInterval(this.watching);
    document.querySelector(".genba-lost")?.remove();
    this.stopping.abort();
  }

  // --- rows and answers ---------------------------------------------------------------------------------------------

  row(slot) {
    return document.querySelector(`.st-key-form .st-key-slot-${CSS.escape(`${this.data.token}-${slot}`)}`);
  }

  current() {
    return this.data.rows.find((slot) => this.row(slot)?.contains(document.activeElement)) ?? null;
  }

  answers(slot) {
    return [...(this.row(slot)?.querySelectorAll("[data-testid=stButtonGroup] button") ?? [])];
  }

  field(slot) {
    return this.row(slot)?.querySelector("input, textarea") ?? null;
  }

  after(slot) {
    const place = this.data.rows.indexOf(slot);
    return this.data.rows[Math.min(place + 1, this.data.rows.length - 1)];
  }

  before(slot) {
    return this.data.rows[Math.max(this.data.rows.indexOf(slot) - 1, 0)];
  }

  begin() {
    if (this.isFocusFree()) this.enter(this.data.open[0] ?? this.data.rows[0]);
  }

  enter(slot) {
    if (!slot) return;
    const answers = this.answers(slot);
    const chosen = answers.find((one) => one.ariaChecked === "true" || one.ariaPressed === "true");
    const target = chosen ?? answers[0] ?? this.field(slot);
    target?.focus({ preventScroll: false });
    if (target?.matches("input")) target.select();
  }

  // A tablet has no keys: there the focus stays where the finger was, and no keyboard slides in.
  isFocusFree() {
    const at = document.activeElement;
    const isElsewhere = at && at.matches(FIELD) && !at.closest(".st-key-form, .st-key-who-name");
    return matchMedia("(hover: hover)").matches && !isElsewhere && !this.panel();
  }

  panel() {
    return document.querySelector("[data-testid=stPopoverBody], [data-testid=stDialog], [role=dialog]");
  }

  button(name) {
    return document.querySelector(`.st-key-${name} button`);
  }

  label() {
    for (const [name, key] of Object.entries(this.data.keys)) this.button(name)?.setAttribute("aria-keyshortcuts", key);
    const rubric = document.querySelector(".st-key-rubric-points"); // it scrolls: arrows must reach it
    if (rubric) Object.assign(rubric, { tabIndex: 0, role: "group", ariaLabel: this.data.rubric });
  }

  // --- keys ---------------------------------------------------------------------------------------------------------

  onKey(event) {
    // Safari tells of the Enter that ends a composition only after its end.
    if (event.isComposing || event.keyCode === 229 || performance.now() - this.composedAt < 50) return;
    if (event.ctrlKey || event.metaKey || event.altKey || this.catchUp(event) || !this.isOurs(event)) return;
    clearTimeout(this.staying);
    event.preventDefault();
    event.stopPropagation();
    if (event.repeat && !event.key.startsWith("Arrow")) return;
    const typed = { key: event.key, digit: this.digit(event) };
    if (this.isBusy) this.waiting.push(typed);
    else this.act(typed);
  }

  // What stands in a field goes to the server at a pause, not only when it is left: it survives a reload then.
  onInput(event) {
    if (!event.target.closest?.(".st-key-form")) return;
    this.unsent = event.target;
    clearTimeout(this.pausing);
    this.pausing = setTimeout(() => this.handOver(), PAUSE_MS);
  }

  handOver() {
    const field = this.unsent;
    if (!field?.isConnected || this.isComposing) return;
    field.dispatchEvent(new FocusEvent("focusout", { bubbles: true })); // as if it were left
  }

  onLeave(event) {
    if (event.target !== this.unsent) return;
    clearTimeout(this.pausing);
    this.unsent = null;
    this.sentAt = performance.now();
  }

  // A click that leads to another page while the form takes over what was typed: Streamlit then draws the form into a page
  // that is no more, and both are lost. So the click waits until the form is done.
  onClick(event) {
    const link = event.target.closest?.("a[href], [data-testid=stSidebar] button, [data-testid=stSidebar] label");
    if (!link || !event.isTrusted || (!this.unsent && performance.now() - this.sentAt > PAUSE_MS)) return;
    event.preventDefault();
    event.stopPropagation();
    this.handOver();
    this.later(() => link.click(), performance.now() + 150, performance.now() + WAIT_MS);
  }

  later(act, from, until) {
    const isRunning = document.querySelector("[data-testid=stApp]")?.dataset.testScriptState === "running";
    if (performance.now() > until || (performance.now() > from && !isRunning)) act();
    else setTimeout(() => this.later(act, from, until), 30);
  }

  // Without a connection nothing that is done here arrives: say so, once that has lasted for two looks.
  watch() {
    const state = document.querySelector("[data-testid=stApp]")?.dataset.testConnectionState;
    const isLost = !navigator.onLine || (state !== undefined && state !== "CONNECTED");
    this.lost = isLost ? (this.lost ?? 0) + 1 : 0;
    const shown = document.querySelector(".genba-lost");
    if (this.lost < 2) return shown?.remove();
    if (shown) return;
    const note = Object.assign(document.createElement("div"), { className: "genba-lost", role: "alert" });
    note.textContent = this.data.lost;
    document.body.append(note);
  }

  onFocus(target) {
    this.typing = target.matches?.(FIELD) && target.closest(".st-key-form") ? this.current() : null;
  }

  onComposed() {
    this.isComposing = false;
    this.composedAt = performance.now();
    if (this.unsent) this.pausing = setTimeout(() => this.handOver(), PAUSE_MS);
  }

  onPointer() {
    clearTimeout(this.staying);
    this.typing = null;
  }

  // A field that is drawn anew while somebody types loses the focus: what they type must not be taken for commands.
  catchUp(event) {
    if (!this.typing || document.activeElement !== document.body) return false;
    const field = this.field(this.typing);
    field?.focus();
    if (field && event.key.length === 1) document.execCommand("insertText", false, event.key);
    event.preventDefault();
    event.stopPropagation();
    return true;
  }

  // "1" -> 0, the first answer; "0" -> the tenth; with Shift the eleventh and so on. Null for other keys.
  digit(event) {
    const isPlain = /^\d$/.test(event.key);
    const place = isPlain ? event.key : /^(?:Digit|Numpad)(\d)$/.exec(event.code)?.[1];
    if (place === undefined) return null;
    return ((Number(place) + 9) % 10) + (event.shiftKey && !isPlain ? 10 : 0);
  }

  isOurs(event) {
    const target = event.composedPath()[0];
    if (target.closest?.("dialog")) return false; // the photo in full size
    const panel = this.panel();
    if (panel?.contains(target) && (target.matches(FIELD) || event.key === "Escape")) return false;
    if (panel) return event.key === "Escape" || (this.digit(event) !== null && this.reasons(panel).length > 0);
    const isInForm = target.closest?.(".st-key-form") != null;
    if (target.matches?.(FIELD)) {
      if (!isInForm) return false;
      if (this.isCommand(target, event.key)) return true;
      const isLong = target.matches("textarea, select");
      if (isLong) return false;
      return ["ArrowUp", "ArrowDown", "Enter"].includes(event.key);
    }
    if (this.digit(event) !== null || (this.isBusy && event.key.length === 1)) return true;
    if (["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"].includes(event.key)) return isInForm || this.isNowhere(target);
    if (event.key === "Enter") return isInForm || this.isNowhere(target); // elsewhere Enter presses what has the focus
    return this.named(event.key) !== undefined;
  }

  // Nobody types letters into a field for a number: there they are commands too.
  isCommand(field, key) {
    return field.matches(NUMBER) && /^[a-z?]$/i.test(key) && this.named(key) !== undefined;
  }

  isNowhere(target) {
    return !target.closest?.("button, a, summary, [role=tab], [tabindex='0']:not(main)");
  }

  named(key) {
    const wanted = key.toLowerCase();
    return Object.keys(this.data.keys).find((name) => this.data.keys[name].toLowerCase() === wanted);
  }

  act({ key, digit }) {
    const slot = this.current();
    const at = document.activeElement;
    const isText = slot && at.matches(FIELD) && key.length === 1 && !this.isCommand(at, key);
    if (isText) return document.execCommand("insertText", false, key); // typed ahead
    const panel = this.panel();
    if (panel) return key === "Escape" ? this.close() : this.skip(this.reasons(panel)[digit]);
    if (key === "ArrowDown") return this.enter(slot ? this.after(slot) : this.data.open[0] ?? this.data.rows[0]);
    if (key === "ArrowUp") return this.enter(slot ? this.before(slot) : this.data.rows[0]);
    if (key === "ArrowLeft" || key === "ArrowRight") return this.look(slot, key === "ArrowLeft" ? -1 : 1);
    if (key === "Enter") return this.submit();
    if (key === " ") return document.activeElement.click?.();
    if (digit !== null) return this.choose(slot ?? this.data.open[0] ?? this.data.rows[0], digit);
    this.press(this.named(key));
  }

  // What opened the panel closes it.
  close() {
    document.querySelector(".st-key-correct button[aria-expanded=true]")?.click();
  }

  reasons(panel) {
    return [...panel.querySelectorAll("[class*=st-key-skip-] button")];
  }

  skip(reason) {
    if (!reason) return;
    reason.click();
    this.wait(() => false);
  }

  look(slot, step) {
    const answers = slot ? this.answers(slot) : [];
    if (!answers.length) return slot ?? this.begin();
    const place = answers.indexOf(document.activeElement);
    answers[(place + step + answers.length) % answers.length].focus();
  }

  choose(slot, place) {
    const answers = this.answers(slot);
    const answer = answers[place];
    if (!answer) return;
    const wasChosen = answer.ariaChecked === "true";
    answer.focus();
    if (!(wasChosen && this.data.required.includes(slot))) answer.click();
    if (this.data.many.includes(slot) || (slot === this.data.rows.at(-1) && !this.data.deciding.includes(slot))) return;
    if (wasChosen || !this.data.deciding.includes(slot)) return this.enter(this.after(slot));
    // The answer may show or hide what comes next.
    this.wait((data) => data.chosen[slot] === place, () => this.enter(this.after(slot)));
  }

  submit() {
    if (document.activeElement?.matches?.(FIELD)) document.activeElement.blur(); // hands its text over
    this.typing = null;
    this.press("fix");
  }

  press(name) {
    if (name?.startsWith("photo-")) return document.dispatchEvent(new CustomEvent("genba-photo", { detail: name.slice(6) }));
    const button = name && this.button(name);
    if (!button || button.disabled) return;
    button.click();
    const { refused } = this.data;
    if (this.data.submitting.includes(name)) this.wait((data) => data.refused > refused, () => this.begin());
  }

  giveUp() {
    if (!this.isAwaited) return;
    this.isAwaited = null;
    this.isBusy = false;
    this.waiting = [];
  }

  // Until the server has drawn the form with what was done, or the next pair. then: what to do on the same pair.
  wait(isDone, then = null) {
    const { token } = this.data;
    this.isBusy = true;
    this.isAwaited = (data) => data.token !== token || isDone(data);
    this.then = then;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.giveUp(), WAIT_MS);
  }
}

export default function ({ data, parentElement }) {
  const keys = (parentElement.genbaKeys ??= new Keys());
  keys.show(data);
  return () => {
    keys.stop();
    delete parentElement.genbaKeys;
  };
}
