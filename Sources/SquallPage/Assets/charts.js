import { h, say } from "./dom.js";
import { clock, tick } from "./format.js";

// Charts that share one axis, one cursor and one zoom, drawn on canvas: an hour of seconds is 3,600
// points a line, which a canvas draws in a millisecond or two, once a second.

const height = 190;
const left = 58;
const right = 10;
const top = 8;
const bottom = 22;

// What lies along the bottom, from 0. `start` and `end` say where an item of a set lies on it.
export const time = {
  start: column => column.start_ns / 1e9,
  end: column => column.end_ns / 1e9,
  ticks(from, to, room) {
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600];
    const most = Math.max(2, Math.floor(room / 80));
    const step = steps.find(step => (to - from) / step <= most) ?? roundStep((to - from) / most);
    return multiples(step, from, to);
  },
  label: seconds => seconds === 0 ? "0" : clock(seconds),
};

// As far to the right for each nine: how rare a response is, as log10 of 1 / (1 - fraction).
export const nines = {
  start: point => Math.log10(point[0]),
  end: point => Math.log10(point[0]),
  ticks: (from, to) => [0, Math.log10(2), 1, 2, 3, 4, 5, 6, 7, 8].filter(at => at >= from && at <= to),
  label: at => at === 0 ? "0%" : at < 1 ? `${+(100 - 100 / 10 ** at).toFixed(1)}%`
    : at === 1 ? "90%" : at === 2 ? "99%" : `99.${"9".repeat(at - 2)}%`,
};

// specs: [{title, scale: "linear" | "log", format(value), series: [{name, colour, set?, isDashed?,
// value(item)}], isStacked?, rows?(item)}]. With `rows` a chart is a heat map of pairs of row and count.
export class Charts {
  constructor(specs, axis = time) {
    this.axis = axis;
    this.sets = [[]];
    this.zoom = null;
    this.at = null;
    this.hint = h("p", { class: "hidden", role: "status" });
    this.whole = h("button", {
      type: "button", class: "whole", hidden: true, onclick: () => this.zoomTo(null),
    }, "Show all of it");
    this.plots = specs.map(spec => new Plot(this, spec));
    this.root = h("div", {
      class: "charts", tabindex: 0, role: "group", onkeydown: event => this.key(event),
      "aria-label": "Charts. Arrow keys move the cursor, plus and minus zoom, Escape shows all.",
    }, this.whole, this.plots.map(plot => plot.root), this.hint);
    this.observe();
  }

  observe() {
    const again = () => {
      for (const plot of this.plots) plot.colours = null;
      this.draw();
    };
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", again);
    const paper = matchMedia("print");
    const printed = () => {
      for (const plot of this.plots) {
        plot.colours = null;
        plot.draw();
      }
    };
    paper.addEventListener("change", printed);
    const sizes = new ResizeObserver(() => this.draw());
    const views = new IntersectionObserver(entries => {
      for (const entry of entries) {
        const plot = this.plots.find(plot => plot.root === entry.target);
        plot.isSeen = entry.isIntersecting;
      }
      this.draw();
    }, { rootMargin: "200px" });
    for (const plot of this.plots) {
      sizes.observe(plot.stage);
      views.observe(plot.root);
    }
    this.forget = () => {
      dark.removeEventListener("change", again);
      paper.removeEventListener("change", printed);
      sizes.disconnect();
      views.disconnect();
    };
  }

  // sets: the items of each run that is shown, in order along the axis.
  show(sets) {
    this.sets = sets;
    this.draw();
  }

  draw() {
    if (this.isAwaited) return;
    this.isAwaited = true;
    requestAnimationFrame(() => {
      this.isAwaited = false;
      for (const plot of this.plots) if (plot.isSeen) plot.draw();
      this.point(this.at);
    });
  }

  get range() {
    if (this.zoom) return this.zoom;
    let end = 0;
    for (const items of this.sets) {
      if (items.length > 0) end = Math.max(end, this.axis.end(items[items.length - 1]));
    }
    return [0, end > 0 ? end : 1];
  }

  zoomTo(range) {
    this.zoom = range;
    this.whole.hidden = range === null;
    this.draw();
  }

  // The item of a set that lies at a place of the axis, or last before it.
  item(set, at) {
    const items = this.sets[set] ?? [];
    const item = items[firstAfter(items, this.axis.start, at) - 1];
    return item && (this.axis === nines || at <= this.axis.end(item)) ? item : null;
  }

  point(at) {
    const [from, to] = this.range;
    this.at = at === null || at < from || at > to ? null : at;
    for (const plot of this.plots) plot.point(this.at);
  }

  key(event) {
    const [from, to] = this.range;
    const items = this.sets[0];
    if (event.target !== this.root || items.length === 0 || event.ctrlKey || event.metaKey) return;
    const middle = item => (this.axis.start(item) + this.axis.end(item)) / 2;
    const seen = items.filter(item => middle(item) >= from && middle(item) <= to);
    const here = this.at === null ? null : seen.findIndex(item => middle(item) >= this.at);
    const place = here === -1 ? seen.length - 1 : here;
    const go = step => {
      const next = place === null ? (step > 0 ? 0 : seen.length - 1)
        : Math.min(seen.length - 1, Math.max(0, place + step));
      if (seen[next] !== undefined) this.point(middle(seen[next]));
      this.tell();
    };
    const centre = this.at ?? (from + to) / 2;
    switch (event.key) {
      case "ArrowRight": go(event.shiftKey ? 10 : 1); break;
      case "ArrowLeft": go(event.shiftKey ? -10 : -1); break;
      case "+": case "=":
        this.zoomTo([centre - (centre - from) / 2, centre + (to - centre) / 2]); break;
      case "-": {
        const half = to - from;
        this.zoom = null;
        const [first, last] = this.range;
        const wide = [Math.max(first, centre - half), Math.min(last, centre + half)];
        this.zoomTo(wide[0] <= first && wide[1] >= last ? null : wide);
        break;
      }
      case "Escape": this.point(null); this.zoomTo(null); break;
      default: return;
    }
    event.preventDefault();
  }

  // For those who do not see the cursor.
  tell() {
    if (this.at === null) return;
    const parts = this.plots.flatMap(plot => plot.values());
    say(this.hint, `${this.axis.label(this.at)}: ${parts.join(", ")}`);
  }
}

class Plot {
  constructor(charts, spec) {
    this.charts = charts;
    this.spec = spec;
    this.isSeen = true;
    this.canvas = h("canvas", { role: "img", "aria-label": spec.title });
    this.cursor = h("div", { class: "cursor", hidden: true });
    this.selection = h("div", { class: "selection", hidden: true });
    this.when = h("span", { class: "when" });
    this.keys = spec.series.map(series => {
      const value = h("b");
      return { series, value, root: h("span", { class: "key" },
        h("i", { class: `${series.colour}${series.isDashed ? " dashed" : ""}` }), series.name, value) };
    });
    this.stage = h("div", {
      class: "stage",
      onpointermove: event => this.move(event),
      onpointerdown: event => this.press(event),
      onpointerup: event => this.release(event),
      onpointerleave: () => { if (this.pressed === undefined) this.charts.point(null); },
      onpointercancel: () => this.cancel(),
      ondblclick: () => this.charts.zoomTo(null),
    }, this.canvas, this.selection, this.cursor);
    this.root = h("figure", null,
      h("figcaption", null, spec.title, this.when),
      h("div", { class: "legend" }, this.keys.map(key => key.root)), this.stage);
  }

  // Measured once a drawing, and not for each of its points.
  measure() {
    const [from, to] = this.charts.range;
    const width = this.stage.clientWidth;
    Object.assign(this, { from, to, width, pitch: (width - left - right) / (to - from) });
  }

  x(at) { return left + (at - this.from) * this.pitch; }

  place(event) {
    this.measure();
    const { from, to } = this;
    const share = (event.clientX - this.stage.getBoundingClientRect().left - left)
      / (this.width - left - right);
    return from + Math.min(1, Math.max(0, share)) * (to - from);
  }

  move(event) {
    const at = this.place(event);
    this.charts.point(at);
    if (this.pressed === undefined) return;
    const [a, b] = [this.x(this.pressed), this.x(at)];
    this.selection.hidden = Math.abs(b - a) < 4;
    this.selection.style.left = `${Math.min(a, b)}px`;
    this.selection.style.width = `${Math.abs(b - a)}px`;
  }

  press(event) {
    if (event.button !== 0 || event.pointerType === "touch") return;
    this.pressed = this.place(event);
    this.stage.setPointerCapture(event.pointerId);
  }

  release(event) {
    const from = this.pressed;
    this.cancel();
    if (from === undefined) return;
    const to = this.place(event);
    if (Math.abs(this.x(to) - this.x(from)) >= 8) {
      this.charts.zoomTo([Math.min(from, to), Math.max(from, to)]);
    }
  }

  cancel() {
    this.pressed = undefined;
    this.selection.hidden = true;
  }

  point(at) {
    this.cursor.hidden = at === null;
    if (at !== null && this.pitch === undefined) this.measure();
    if (at !== null) this.cursor.style.transform = `translateX(${this.x(at)}px)`;
    say(this.when, at === null ? "" : this.charts.axis.label(at));
    for (const { series, value } of this.keys) {
      const item = at === null ? this.last(series) : this.charts.item(series.set ?? 0, at);
      const number = item ? series.value(item) : null;
      say(value, number === null || number === undefined ? "" : this.spec.format(number));
    }
  }

  // Without a cursor a legend shows what is newest, if that is of now.
  last(series) {
    const items = this.charts.sets[series.set ?? 0] ?? [];
    return this.charts.isLive ? items[items.length - 1] : null;
  }

  values() {
    return this.keys.filter(key => key.value.textContent !== "")
      .map(key => `${key.series.name} ${key.value.textContent}`);
  }

  draw() {
    this.measure();
    const { width, from, to } = this;
    if (width < left + right + 20) return;
    const scale = window.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * scale)) {
      this.canvas.width = Math.round(width * scale);
      this.canvas.height = Math.round(height * scale);
    }
    const pen = this.canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    this.colours ??= colours(this.root);
    const seen = (this.spec.series.map(series => series.set ?? 0).concat(0))
      .filter((set, place, all) => all.indexOf(set) === place)
      .map(set => [set, visible(this.charts.sets[set] ?? [], this.charts.axis, from, to)]);
    const items = new Map(seen);
    const axis = this.axis(items);
    this.shade(pen, items.get(0));
    this.grid(pen, axis, width, from, to);
    if (this.spec.rows) this.heat(pen, items.get(0), axis, width);
    if (this.spec.isStacked) this.stack(pen, items.get(0), axis);
    if (!this.spec.rows && !this.spec.isStacked) {
      pen.save();
      pen.beginPath();
      pen.rect(left, 0, width - left - right, height - bottom + 1);
      pen.clip();
      for (const series of this.spec.series) this.line(pen, items.get(series.set ?? 0), series, axis);
      pen.restore();
    }
  }

  // The values that are seen, and a little more.
  axis(items) {
    let low = Infinity;
    let high = -Infinity;
    const take = value => {
      if (value === null || value === undefined) return;
      low = Math.min(low, value);
      high = Math.max(high, value);
    };
    if (this.spec.rows) {
      for (const item of items.get(0)) {
        const rows = this.spec.rows(item);
        if (rows.length > 0) {
          take(edge(rows[0]));
          take(edge(rows[rows.length - 2] + 1));
        }
      }
    } else if (this.spec.isStacked) {
      for (const item of items.get(0)) {
        take(this.spec.series.reduce((sum, series) => sum + (series.value(item) ?? 0), 0));
      }
    } else {
      for (const series of this.spec.series) {
        for (const item of items.get(series.set ?? 0)) take(series.value(item));
      }
    }
    const isLog = this.spec.scale === "log";
    if (!Number.isFinite(low)) [low, high] = isLog ? [1e6, 1e7] : [0, 1];
    if (isLog) {
      low = Math.max(100, low) * 0.9;
      high = Math.max(low * 2, high * 1.1);
      const [a, b] = [Math.log(low), Math.log(high)];
      return { low, high, ticks: decades(low, high),
        y: value => height - bottom - (Math.log(Math.max(value, low)) - a) / (b - a) * (height - top - bottom) };
    }
    high = Math.max(this.spec.least ?? 0, high * 1.08) || 1;
    return { low: 0, high, ticks: multiples(roundStep(high / 5), 0, high),
      y: value => height - bottom - value / high * (height - top - bottom) };
  }

  grid(pen, axis, width, from, to) {
    const colour = this.colours;
    pen.font = "12px system-ui, sans-serif";
    pen.lineWidth = 1;
    pen.strokeStyle = colour.grid;
    pen.fillStyle = colour.muted;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const value of axis.ticks) {
      const y = Math.round(axis.y(value)) + 0.5;
      pen.beginPath();
      pen.moveTo(left, y);
      pen.lineTo(width - right, y);
      pen.stroke();
      pen.fillText(tick(this.spec.format(value)), left - 6, y);
    }
    pen.strokeStyle = colour.muted;
    pen.beginPath();
    pen.moveTo(left, height - bottom + 0.5);
    pen.lineTo(width - right, height - bottom + 0.5);
    pen.stroke();
    pen.textBaseline = "top";
    const { axis: along } = this.charts;
    for (const at of along.ticks(from, to, width - left - right)) {
      const x = this.x(at);
      pen.beginPath();
      pen.moveTo(x, height - bottom);
      pen.lineTo(x, height - bottom + 4);
      pen.stroke();
      pen.textAlign = x > width - 30 ? "right" : x < left + 12 ? "left" : "center";
      pen.fillText(along.label(at), Math.min(x, width - 2), height - bottom + 7);
    }
  }

  // What is not measured.
  shade(pen, items) {
    pen.fillStyle = this.colours.shade;
    for (const item of items) {
      if (item.phase === undefined || item.phase === "measured") continue;
      const x = Math.max(left, this.x(item.start_ns / 1e9));
      const end = Math.min(this.width - right, this.x(item.end_ns / 1e9));
      pen.fillRect(x, top, end - x, height - top - bottom);
    }
  }

  // Items that share a pixel become its lowest and highest value. Nothing joins over a gap.
  line(pen, items, series, axis) {
    const along = this.charts.axis;
    pen.strokeStyle = this.colours[series.colour];
    pen.lineWidth = series.isThin ? 1 : 1.6;
    pen.lineJoin = "round";
    pen.setLineDash(series.isDashed ? [5, 4] : []);
    pen.beginPath();
    let isDown = false;
    let pixel = null;
    let low = 0;
    let high = 0;
    let last = 0;
    const flush = () => {
      if (pixel === null) return;
      const ends = high - low < 1 ? [last] : [low, high, last];
      for (const y of ends) {
        if (isDown) pen.lineTo(pixel, y); else pen.moveTo(pixel, y);
        isDown = true;
      }
    };
    let lone = true;
    for (const item of items) {
      const value = series.value(item);
      if (value === null || value === undefined) {
        flush();
        if (isDown && lone) pen.lineTo(pixel + 1, last);
        pixel = null;
        isDown = false;
        lone = true;
        continue;
      }
      const x = Math.round(this.x((along.start(item) + along.end(item)) / 2) * 2) / 2;
      const y = axis.y(value);
      if (x === pixel) {
        low = Math.min(low, y);
        high = Math.max(high, y);
      } else {
        flush();
        if (pixel !== null) lone = false;
        [pixel, low, high] = [x, y, y];
      }
      last = y;
    }
    flush();
    if (isDown && lone) pen.lineTo(pixel + 1, last);
    pen.stroke();
    pen.setLineDash([]);
  }

  stack(pen, items, axis) {
    for (const item of items) {
      const x = Math.max(left, this.x(item.start_ns / 1e9));
      const width = Math.max(1, Math.min(this.width - right, this.x(item.end_ns / 1e9)) - x - 0.5);
      let base = 0;
      for (const series of this.spec.series) {
        const value = series.value(item) ?? 0;
        if (value <= 0) continue;
        pen.fillStyle = this.colours[series.colour];
        const y = axis.y(base + value);
        pen.fillRect(x, y, width, Math.max(1, axis.y(base) - y));
        base += value;
      }
    }
  }

  // Logarithmic in the count, or the slow few would not show beside the fast many.
  heat(pen, items, axis, width) {
    const columns = Math.max(1, Math.floor(width - left - right));
    const rows = height - top - bottom;
    const sums = new Float64Array(heatRowCount * columns);
    for (const item of items) {
      const pairs = this.spec.rows(item);
      const [start, end] = [item.start_ns / 1e9, item.end_ns / 1e9];
      if (end <= start) continue;
      const from = Math.max(0, Math.floor(this.x(start) - left));
      const to = Math.min(columns, Math.max(from + 1, Math.ceil(this.x(end) - left)));
      for (let index = 0; index < pairs.length; index += 2) {
        const perSecond = pairs[index + 1] / (end - start);
        for (let column = from; column < to; column += 1) {
          sums[pairs[index] * columns + column] += perSecond;
        }
      }
    }
    let least = Infinity;
    let most = 0;
    for (const value of sums) {
      if (value === 0) continue;
      least = Math.min(least, value);
      most = Math.max(most, value);
    }
    if (most === 0) return;
    const span = Math.log(Math.max(most / least, 2));
    const image = new ImageData(columns, rows);
    const [red, green, blue] = this.colours.heat;
    for (let row = 0; row < heatRowCount; row += 1) {
      const y1 = Math.max(0, Math.floor(axis.y(edge(row + 1)) - top));
      const y2 = Math.min(rows, Math.max(y1 + 1, Math.floor(axis.y(edge(row)) - top)));
      for (let column = 0; column < columns; column += 1) {
        const value = sums[row * columns + column];
        if (value === 0) continue;
        const alpha = 255 * (0.12 + 0.88 * Math.log(value / least) / span);
        for (let y = y1; y < y2; y += 1) {
          const place = 4 * (y * columns + column);
          image.data[place] = red;
          image.data[place + 1] = green;
          image.data[place + 2] = blue;
          image.data[place + 3] = alpha;
        }
      }
    }
    this.sheet ??= document.createElement("canvas");
    this.sheet.width = columns;
    this.sheet.height = rows;
    this.sheet.getContext("2d").putImageData(image, 0, 0);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(this.sheet, left, top);
  }
}

// Eight to the octave from 512 ns to 68.7 s.
const heatRowCount = 27 * 8;

// The lower edge of a row of the heat map, in ns.
export function edge(row) {
  return 512 * 2 ** Math.floor(row / 8) * (1 + row % 8 / 8);
}

// With one item more on each side, so that lines go on to the edge.
function visible(items, axis, from, to) {
  return items.slice(Math.max(0, firstAfter(items, axis.end, from) - 2), firstAfter(items, axis.start, to) + 1);
}

// The place of the first item whose value is above, by bisection.
function firstAfter(items, value, above) {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (value(items[middle]) <= above) low = middle + 1; else high = middle;
  }
  return low;
}

function colours(element) {
  const style = getComputedStyle(element);
  const found = {};
  for (const name of ["grid", "muted", "shade", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"]) {
    found[name] = style.getPropertyValue(`--${name}`).trim();
  }
  const heat = style.getPropertyValue("--heat").trim();
  found.heat = [1, 3, 5].map(place => parseInt(heat.slice(place, place + 2), 16));
  return found;
}

function multiples(step, from, to) {
  const found = [];
  for (let number = Math.ceil(from / step - 1e-9); number * step <= to * (1 + 1e-9); number += 1) {
    found.push(number * step);
  }
  return found;
}

// The smallest of 1, 2, 5 times a power of ten that is not below.
function roundStep(least) {
  const decade = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map(factor => factor * decade).find(step => step >= least * (1 - 1e-9));
}

function decades(low, high) {
  const factors = high / low > 300 ? [1] : high / low > 8 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 7];
  const found = [];
  for (let decade = 10 ** Math.floor(Math.log10(low)); decade <= high; decade *= 10) {
    for (const factor of factors) {
      if (decade * factor >= low && decade * factor <= high) found.push(decade * factor);
    }
  }
  return found;
}
