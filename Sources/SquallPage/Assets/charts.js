import { h, say } from "./dom.js";
import { clock, tick } from "./format.js";

// Charts that share one axis, one cursor and one zoom, drawn on canvas: an hour of seconds is 3,600
// points a line, which a canvas draws in a millisecond or two, once a second.

const usualHeight = 190;
// Of a run that goes on, the newest items may be told again with more in them.
const toldAgainCount = 8;
const left = 58;
const right = 10;
const top = 8;
const bottom = 22;

const timeSteps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600];

// What lies along the bottom, from 0. `start` and `end` say where an item of a set lies on it.
export const time = {
  start: column => column.start_ns / 1e9,
  end: column => column.end_ns / 1e9,
  ticks(from, to, room) {
    const most = Math.max(2, Math.floor(room / 80));
    const step = timeSteps.find(step => (to - from) / step <= most) ?? roundStep((to - from) / most);
    return multiples(step, from, to);
  },
  label: seconds => seconds === 0 ? "0" : clock(seconds),
  room(end) {
    const step = timeSteps.find(step => step >= Math.max(5, end / 20)) ?? 21600;
    return step * Math.ceil(end / step);
  },
};

// As far to the right for each nine: how rare a response is, as log10 of 1 / (1 - fraction).
export const nines = {
  start: point => Math.log10(point[0]),
  end: point => Math.log10(point[0]),
  ticks: (from, to) => [0, Math.log10(2), 1, 2, 3, 4, 5, 6, 7, 8].filter(at => at >= from && at <= to),
  label: at => at === 0 ? "0%" : at < 1 ? `${+(100 - 100 / 10 ** at).toFixed(1)}%`
    : at === 1 ? "90%" : at === 2 ? "99%" : `99.${"9".repeat(at - 2)}%`,
};

// specs: [{title, scale: "linear" | "log", format(value), series: [{name, colour, set?, isDashed?, isThin?,
// value(item), isStep?, ends?(item), at?(item, at), hasDots?, isDots?}], isStacked?, rows?(item), pick?(item), height?}].
// A step goes over all of its item, from `value` to `ends`. With `rows` a chart is a heat map of pairs of row and
// count. `pick` is told what was clicked, or chosen with Enter.
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
    // What grows has room to grow into: an axis that moves with each second could not be read.
    if (this.isLive && this.axis.room) end = this.axis.room(end);
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
      case "Enter": {
        const item = this.at === null ? null : this.item(0, this.at);
        for (const { spec } of this.plots) if (item && spec.pick) spec.pick(item);
        break;
      }
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
    this.height = spec.height ?? usualHeight;
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
      class: this.height === usualHeight ? "stage" : "stage low",
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
    } else if (this.spec.pick) {
      const item = this.charts.item(0, to);
      if (item) this.spec.pick(item);
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
      const number = item ? series.at && at !== null ? series.at(item, at) : series.value(item) : null;
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
      this.canvas.height = Math.round(this.height * scale);
      this.drawn = null;
    }
    const pen = this.canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    this.colours ??= colours(this.root);
    const seen = (this.spec.series.map(series => series.set ?? 0).concat(0))
      .filter((set, place, all) => all.indexOf(set) === place)
      .map(set => [set, visible(this.charts.sets[set] ?? [], this.charts.axis, from, to)]);
    const items = new Map(seen);
    if (this.grow(pen, items.get(0), seen.length)) return;
    const lines = this.lines(items);
    const extremes = this.extremes(items, lines);
    const axis = this.scale(extremes);
    pen.clearRect(0, 0, width, this.height);
    this.paint(pen, items, lines, axis, 0);
    this.drawn = { from, to, width, scale, axis, extremes, colours: this.colours, first: items.get(0)[0],
      count: items.get(0).length };
  }

  // What came to a chart that is drawn already: where its axes stay, only the end of it is drawn anew, from what
  // may have been told again on.
  grow(pen, items, setCount) {
    const { drawn, width, from, to } = this;
    if (!this.charts.isLive || !drawn || setCount > 1 || drawn.colours !== this.colours || drawn.from !== from
      || drawn.to !== to || drawn.width !== width || drawn.scale !== (window.devicePixelRatio || 1)
      || drawn.first !== items[0] || items.length < drawn.count || drawn.count < toldAgainCount) return false;
    const { axis: along } = this.charts;
    const edge = Math.floor(this.x(along.start(items[drawn.count - toldAgainCount])));
    const place = Math.max(0, firstAfter(items, item => this.x(along.end(item)), edge - 2) - 1);
    const news = new Map([[0, items.slice(place)]]);
    const lines = this.lines(news);
    const now = this.extremes(news, lines);
    const extremes = [Math.min(drawn.extremes[0], now[0]), Math.max(drawn.extremes[1], now[1])];
    const axis = this.scale(extremes);
    if (axis.low !== drawn.axis.low || axis.high !== drawn.axis.high) return false;
    pen.save();
    pen.beginPath();
    pen.rect(edge, 0, width - edge, this.height);
    pen.clip();
    pen.clearRect(edge, 0, width - edge, this.height);
    this.paint(pen, news, lines, axis, edge);
    pen.restore();
    Object.assign(drawn, { extremes, count: items.length });
    return true;
  }

  // From `edge` on, which is 0 for all of it.
  paint(pen, items, lines, axis, edge) {
    const { width, from, to } = this;
    this.shade(pen, items.get(0));
    this.grid(pen, axis, width, from, to);
    if (this.spec.rows) this.heat(pen, items.get(0), axis, width, Math.max(0, edge - left));
    if (this.spec.isStacked) this.stack(pen, items.get(0), axis);
    if (lines.length === 0) return;
    pen.save();
    pen.beginPath();
    pen.rect(left, 0, width - left - right, this.height - bottom + 1);
    pen.clip();
    const whole = this.charts.sets[0].length;
    this.spec.series.forEach((series, place) => {
      const set = items.get(series.set ?? 0);
      const draws = Math.max(set.length, edge > 0 ? whole : 0) > (width - left - right) * 1.5 ? this.band : this.line;
      draws.call(this, pen, set, lines[place], series, axis);
    });
    pen.restore();
  }

  // The values of each series that is a line.
  lines(items) {
    return this.spec.rows || this.spec.isStacked ? []
      : this.spec.series.map(series => values(items.get(series.set ?? 0), series));
  }

  // The lowest and the highest value.
  extremes(items, lines) {
    let low = Infinity;
    let high = -Infinity;
    const take = value => {
      if (value < low) low = value;
      if (value > high) high = value;
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
    }
    lines.forEach((line, place) => {
      const { ends, set } = this.spec.series[place];
      if (ends) for (const item of items.get(set ?? 0)) take(ends(item));
      for (const value of line) take(value);
    });
    return [low, high];
  }

  // From the lowest to the highest, and a little more.
  scale([lowest, highest]) {
    const isLog = this.spec.scale === "log";
    let [low, high] = Number.isFinite(lowest) ? [lowest, highest] : isLog ? [1e6, 1e7] : [0, 1];
    if (isLog) {
      low = Math.max(100, low) * 0.9;
      high = Math.max(low * 2, high * 1.1);
      const [a, b] = [Math.log(low), Math.log(high)];
      return { low, high, ticks: decades(low, high),
        y: value => this.height - bottom
          - (Math.log(Math.max(value, low)) - a) / (b - a) * (this.height - top - bottom) };
    }
    high = Math.max(this.spec.least ?? 0, high * 1.08) || 1;
    return { low: 0, high, ticks: multiples(roundStep(high / 5), 0, high),
      y: value => this.height - bottom - value / high * (this.height - top - bottom) };
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
    pen.moveTo(left, this.height - bottom + 0.5);
    pen.lineTo(width - right, this.height - bottom + 0.5);
    pen.stroke();
    pen.textBaseline = "top";
    const { axis: along } = this.charts;
    for (const at of along.ticks(from, to, width - left - right)) {
      const x = this.x(at);
      pen.beginPath();
      pen.moveTo(x, this.height - bottom);
      pen.lineTo(x, this.height - bottom + 4);
      pen.stroke();
      pen.textAlign = x > width - 30 ? "right" : x < left + 12 ? "left" : "center";
      pen.fillText(along.label(at), Math.min(x, width - 2), this.height - bottom + 7);
    }
  }

  // What is not measured.
  shade(pen, items) {
    pen.fillStyle = this.colours.shade;
    for (const item of items) {
      if (item.phase === undefined || item.phase === "measured") continue;
      const x = Math.max(left, this.x(item.start_ns / 1e9));
      const end = Math.min(this.width - right, this.x(item.end_ns / 1e9));
      pen.fillRect(x, top, end - x, this.height - top - bottom);
    }
  }

  // Nothing joins over a gap, and what stands alone is a dot.
  line(pen, items, values, series, axis) {
    const along = this.charts.axis;
    pen.strokeStyle = this.colours[series.colour];
    pen.fillStyle = pen.strokeStyle;
    pen.lineWidth = series.isThin ? 1 : 1.6;
    pen.lineJoin = "round";
    pen.setLineDash(series.isDashed ? [5, 4] : []);
    pen.beginPath();
    const isGap = place => !(values[place] === values[place]);
    for (let place = 0; place < items.length; place += 1) {
      if (isGap(place)) continue;
      const item = items[place];
      const y = axis.y(values[place]);
      if (series.isStep) {
        const [start, end] = [this.x(along.start(item)), this.x(along.end(item))];
        if (place === 0 || isGap(place - 1)) pen.moveTo(start, y); else pen.lineTo(start, y);
        pen.lineTo(end, series.ends ? axis.y(series.ends(item)) : y);
        continue;
      }
      const x = this.x((along.start(item) + along.end(item)) / 2);
      if (place === 0 || isGap(place - 1)) pen.moveTo(x, y); else pen.lineTo(x, y);
      const isAlone = (place === 0 || isGap(place - 1)) && (place === items.length - 1 || isGap(place + 1));
      if (isAlone || series.hasDots || series.isDots) pen.fillRect(x - 2, y - 2, 4, 4);
    }
    if (!series.isDots) pen.stroke();
    pen.setLineDash([]);
  }

  // Items that share a pixel become a bar from its lowest value to its highest, which reaches to the one before:
  // the same picture as a line through all of them, at a fraction of what strokes of thousands of points cost.
  band(pen, items, values, series, axis) {
    const along = this.charts.axis;
    pen.fillStyle = this.colours[series.colour];
    const thickness = series.isThin ? 1 : 2;
    let pixel = null;
    let [low, high, last] = [0, 0, null];
    const flush = () => {
      if (pixel === null || series.isDashed && pixel % 9 >= 5) return;
      pen.fillRect(pixel, Math.round(low - thickness / 2), 1, Math.max(thickness, Math.round(high - low)));
    };
    for (let place = 0; place < items.length; place += 1) {
      const value = values[place];
      if (!(value === value)) {
        flush();
        [pixel, last] = [null, null];
        continue;
      }
      const x = Math.floor(this.x((along.start(items[place]) + along.end(items[place])) / 2));
      const y = axis.y(value);
      if (x !== pixel) {
        flush();
        [pixel, low, high] = [x, Math.min(y, last ?? y), Math.max(y, last ?? y)];
      } else {
        if (y < low) low = y;
        if (y > high) high = y;
      }
      last = y;
    }
    flush();
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

  // Logarithmic in the count, or the slow few would not show beside the fast many. Columns before `first` are as they
  // were drawn.
  heat(pen, items, axis, width, first) {
    const columns = Math.max(1, Math.floor(width - left - right));
    const rows = this.height - top - bottom;
    if (first === 0 || this.heated?.columns !== columns) {
      this.heated = { columns, sums: new Float64Array(heatRowCount * columns), spans: new Float64Array(columns),
        lowest: heatRowCount, highest: -1 };
      first = 0;
    }
    const { sums, spans } = this.heated;
    let { lowest, highest } = this.heated;
    spans.fill(0, first);
    for (let row = lowest; row <= highest; row += 1) sums.fill(0, row * columns + first, (row + 1) * columns);
    for (const item of items) {
      const pairs = this.spec.rows(item);
      const [start, end] = [item.start_ns / 1e9, item.end_ns / 1e9];
      if (end <= start) continue;
      const [x1, x2] = [this.x(start) - left, this.x(end) - left];
      const from = Math.max(first, Math.floor(x1));
      const to = Math.min(columns, Math.ceil(x2));
      // How much of a pixel is of this item: pixels that many share have the mean rate of their time.
      const share = column => Math.min(column + 1, x2) - Math.max(column, x1);
      for (let column = from; column < to; column += 1) spans[column] += share(column);
      for (let index = 0; index < pairs.length; index += 2) {
        const row = pairs[index];
        const perSecond = pairs[index + 1] / (end - start);
        if (row < lowest) lowest = row;
        if (row > highest) highest = row;
        for (let column = from; column < to; column += 1) sums[row * columns + column] += perSecond * share(column);
      }
    }
    let least = Infinity;
    let most = 0;
    for (let row = lowest; row <= highest; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        const value = sums[row * columns + column] / spans[column];
        if (value > most) most = value;
        if (value > 0 && value < least) least = value;
      }
    }
    if (most === 0) return;
    // To octaves, so that the scale seldom moves: another one gives all of it other colours.
    least = 2 ** Math.floor(Math.log2(least));
    most = 2 ** Math.ceil(Math.log2(most));
    const isSame = this.heated.least === least && this.heated.most === most;
    Object.assign(this.heated, { lowest, highest, least, most });
    this.colour(axis, columns, rows, isSame ? first : 0);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(this.sheet, left, top);
    if (isSame || first === 0) return;
    this.drawn = null;
    this.charts.draw();
  }

  // Draws the sheet of the heat map, from a column on.
  colour(axis, columns, rows, first) {
    const { sums, spans, lowest, highest, least, most } = this.heated;
    this.sheet ??= document.createElement("canvas");
    if (this.sheet.width !== columns || this.sheet.height !== rows) {
      this.sheet.width = columns;
      this.sheet.height = rows;
      first = 0;
    }
    if (first >= columns) return;
    const span = Math.log(Math.max(most / least, 2));
    const image = new ImageData(columns - first, rows);
    const [red, green, blue] = this.colours.heat;
    for (let row = lowest; row <= highest; row += 1) {
      const y1 = Math.max(0, Math.floor(axis.y(edge(row + 1)) - top));
      const y2 = Math.min(rows, Math.max(y1 + 1, Math.floor(axis.y(edge(row)) - top)));
      for (let column = first; column < columns; column += 1) {
        const value = sums[row * columns + column] / spans[column];
        if (!(value > 0)) continue;
        const alpha = 255 * (0.12 + 0.88 * Math.log(value / least) / span);
        for (let y = y1; y < y2; y += 1) {
          const place = 4 * (y * image.width + column - first);
          image.data[place] = red;
          image.data[place + 1] = green;
          image.data[place + 2] = blue;
          image.data[place + 3] = alpha;
        }
      }
    }
    this.sheet.getContext("2d").putImageData(image, first, 0);
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

// NaN where a series has none.
function values(items, series) {
  const found = new Float64Array(items.length);
  for (let place = 0; place < items.length; place += 1) {
    const value = series.value(items[place]);
    found[place] = value === null || value === undefined ? NaN : value;
  }
  return found;
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
