// Elements are made here and nowhere else. Words become text nodes, so what a target or a scenario
// names is never read as markup.

// Control characters and those that turn the direction of text could rewrite what stands around them.
const unruly = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

export function words(value) {
  return String(value).replace(unruly, "\ufffd");
}

export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) {
      element.addEventListener(name.slice(2), value);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, words(value));
    }
  }
  put(element, ...children);
  return element;
}

// Replaces what is in an element.
export function put(element, ...children) {
  element.replaceChildren(...children.flat(2).filter(child => child !== null && child !== undefined)
    .map(child => child instanceof Node ? child : words(child)));
}

// Changes the text of an element only where it is another one, and then the text node that it has: a table of
// figures changes most of its cells each second.
export function say(element, text) {
  const wanted = words(text);
  const { firstChild } = element;
  if (firstChild?.nodeType === Node.TEXT_NODE && firstChild === element.lastChild) {
    if (firstChild.data !== wanted) firstChild.data = wanted;
  } else if (firstChild !== null || wanted !== "") {
    element.textContent = wanted;
  }
}

// A button that opens a list of what else there is, and closes it when the focus goes elsewhere.
export function menu(name, ...content) {
  const list = h("div", { class: "list" }, content);
  const root = h("details", { class: "menu",
    onkeydown: event => {
      if (event.key !== "Escape" || !root.open) return;
      root.open = false;
      root.firstChild.focus();
    },
    onfocusout: event => {
      if (event.relatedTarget !== null && !root.contains(event.relatedTarget)) root.open = false;
    } }, h("summary", { class: "button" }, name), list);
  return root;
}

// A table whose rows keep their elements while their numbers change.
// columns: [{name, isText?, isLong?, isMark?, show(row), sort?(row)}]
export class Table {
  constructor(caption, columns, key) {
    this.columns = columns;
    this.key = key;
    this.rows = new Map();
    this.order = null;
    this.heads = columns.map((column, place) => {
      const kind = column.isText ? "text" : null;
      if (!column.sort) return h("th", { scope: "col", class: kind }, column.name);
      const button = h("button", { type: "button", onclick: () => this.sort(place) },
        column.name);
      return h("th", { scope: "col", class: kind, "aria-sort": "none" }, button);
    });
    this.body = h("tbody");
    this.foot = h("tfoot");
    this.note = h("p", { class: "muted" });
    this.root = h("section", { class: "table" }, h("h2", null, caption),
      h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
        h("table", null, h("thead", null, h("tr", null, this.heads)), this.body, this.foot)),
      this.note);
  }

  sort(place) {
    const isSame = this.order?.place === place;
    this.order = { place, isDown: isSame ? !this.order.isDown : true };
    this.heads.forEach((head, index) => {
      if (!head.hasAttribute("aria-sort")) return;
      head.setAttribute("aria-sort",
        index !== place ? "none" : this.order.isDown ? "descending" : "ascending");
    });
    this.show(this.shown, this.totals);
  }

  show(rows, totals = null, note = "") {
    this.shown = rows;
    this.totals = totals;
    this.root.hidden = rows.length === 0;
    say(this.note, note);
    let sorted = rows;
    if (this.order) {
      const { sort } = this.columns[this.order.place];
      const sign = this.order.isDown ? -1 : 1;
      sorted = [...rows].sort((a, b) => sign * compare(sort(a), sort(b)));
    }
    const kept = new Map();
    sorted.forEach((row, place) => {
      const name = this.key(row);
      const line = this.rows.get(name) ?? this.line();
      kept.set(name, line);
      this.fill(line, row);
      if (this.body.children[place] !== line) {
        this.body.insertBefore(line, this.body.children[place] ?? null);
      }
    });
    for (const [name, line] of this.rows) if (kept.get(name) !== line) line.remove();
    this.rows = kept;
    if (!totals) return put(this.foot);
    if (!this.foot.firstChild) put(this.foot, this.line());
    this.fill(this.foot.firstChild, totals);
  }

  line() {
    return h("tr", null, this.columns.map((column, place) =>
      h(place === 0 ? "th" : "td", {
        scope: place === 0 ? "row" : null,
        class: column.isMark ? "text mark" : column.isLong ? "text long" : column.isText ? "text" : null,
      })));
  }

  fill(line, row) {
    this.columns.forEach((column, place) => {
      const cell = line.children[place];
      const shown = column.show(row);
      if (shown instanceof Node) {
        if (cell.firstChild !== shown) put(cell, shown);
      } else {
        say(cell, shown);
      }
    });
  }
}

function compare(a, b) {
  if (typeof a === "string" || typeof b === "string") return String(a).localeCompare(String(b));
  return (a ?? -1) - (b ?? -1);
}
