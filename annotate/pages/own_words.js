// Streamlit's own words in the person's language: annotate/pages/own_words.py has the list and says why.
const ATTRIBUTES = ["aria-label", "placeholder", "title"];
const WITH_ATTRIBUTES = ATTRIBUTES.map((name) => `[${name}]:not(svg *)`).join(",");
// Where Streamlit writes words of its own as text; elsewhere text is the page's or a person's.
const OWN_TEXTS = [
  "[data-testid=stTooltipContent]", "[data-testid=InputInstructions]", "[data-testid=stFileUploaderDropzone]",
  "[data-testid=stDataFrameColumnMenu]", "[data-testid=stDataFrameColumnVisibilityMenu]", "[role=listbox]",
  "[data-testid=stSelectboxVirtualDropdown]", "[data-testid=stSkipToContent]", "[role=log]", "[role=status]",
].join(",");

class OwnWords {
  constructor() {
    this.observer = new MutationObserver((changes) => changes.forEach((change) => this.changed(change)));
  }

  show({ exact, patterns }) {
    this.exact = new Map(exact);
    this.patterns = patterns.map(([from, to]) => [new RegExp(`^${from}$`), to]);
    this.visit(document.body);
    this.observer.observe(document.body, {
      subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ATTRIBUTES,
    });
  }

  changed({ type, target, addedNodes }) {
    if (target.ownerSVGElement) return; // a chart draws thousands of marks
    if (type === "attributes") this.attributes(target);
    else if (type === "characterData") this.text(target);
    else
      for (const node of addedNodes) {
        if (node.nodeType === Node.ELEMENT_NODE) this.visit(node);
        else if (node.nodeType === Node.TEXT_NODE) this.text(node);
      }
  }

  visit(root) {
    this.attributes(root);
    root.querySelectorAll(WITH_ATTRIBUTES).forEach((node) => this.attributes(node));
    const inside = root.closest(OWN_TEXTS) ? [root] : root.querySelectorAll(OWN_TEXTS);
    for (const place of inside) {
      const texts = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
      while (texts.nextNode()) this.text(texts.currentNode);
    }
  }

  attributes(node) {
    for (const name of ATTRIBUTES) {
      const own = node.getAttribute(name);
      const said = this.said(own);
      if (said === null) continue;
      node.setAttribute(`data-own-${name}`, own); // to go back to when the person changes to English
      node.setAttribute(name, said);
    }
  }

  text(node) {
    if (!node.parentElement?.closest(OWN_TEXTS)) return;
    const said = this.said(node.nodeValue);
    if (said !== null) node.nodeValue = said;
  }

  // Null for what is not Streamlit's.
  said(text) {
    if (!text) return null;
    if (this.exact.has(text)) return this.exact.get(text);
    for (const [from, to] of this.patterns) {
      const found = text.match(from);
      if (found) return to.replace("{}", () => found[1]);
    }
    return null;
  }

  stop() {
    this.observer.disconnect();
    for (const name of ATTRIBUTES)
      for (const node of document.querySelectorAll(`[data-own-${name}]`)) {
        node.setAttribute(name, node.getAttribute(`data-own-${name}`));
        node.removeAttribute(`data-own-${name}`);
      }
  }
}

export default function ({ data, parentElement }) {
  const words = (parentElement.genbaOwnWords ??= new OwnWords());
  words.show(data);
  return () => {
    words.stop();
    delete parentElement.genbaOwnWords;
  };
}
