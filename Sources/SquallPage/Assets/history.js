import { ask } from "./api.js";
import { Charts, nines } from "./charts.js";
import { h, menu, put, say, Table } from "./dom.js";
import { count, duration, grouped, instant, none, percent, rate, short } from "./format.js";
import { curveSpec, RunPage, timeSpecs } from "./run.js";

// The runs that were.

const whether = (value, yes, no) => value === null || value === undefined ? none : value ? yes : no;

// What can be said of a run in a line. Those of `usual` are shown to whoever has chosen nothing.
const columns = [
  { id: "state", name: "state", isText: true, isUsual: true, show: run => run.state, sort: run => run.state },
  { id: "load", name: "load", isText: true, isLong: true, isUsual: true, show: run => run.load, sort: run => run.load },
  { id: "labels", name: "labels and note", isText: true, isUsual: true, show: run => tags(run), sort: run => tags(run) },
  { id: "duration", name: "measured", show: run => duration(run.duration_ns), sort: run => run.duration_ns },
  { id: "target", name: "target/s", show: run => rate(run.target_per_s), sort: run => run.target_per_s },
  { id: "rate", name: "ok/s", isUsual: true, show: run => rate(run.ok_per_s), sort: run => run.ok_per_s },
  { id: "p50", name: "p50", isUsual: true, show: run => duration(run.response_p50_ns), sort: run => run.response_p50_ns },
  { id: "p99", name: "p99", isUsual: true, show: run => duration(run.response_p99_ns), sort: run => run.response_p99_ns },
  { id: "failed", name: "failed", isUsual: true, show: run => percent(run.not_ok_share), sort: run => run.not_ok_share },
  { id: "valid", name: "valid", isText: true, isUsual: true, show: run => whether(run.valid, "valid", "not valid"),
    sort: run => whether(run.valid, "valid", "not valid") },
  { id: "slo", name: "objectives", isText: true, show: run => whether(run.slo_pass, "pass", "fail"),
    sort: run => whether(run.slo_pass, "pass", "fail") },
  { id: "sent", name: "sent", show: run => grouped(run.requests.sent), sort: run => run.requests.sent },
  { id: "ok", name: "ok", show: run => grouped(run.requests.ok), sort: run => run.requests.ok },
  { id: "not-ok", name: "not ok", show: run => grouped(run.requests.not_ok), sort: run => run.requests.not_ok },
  { id: "hosts", name: "hosts", show: run => grouped(run.hosts), sort: run => run.hosts },
  { id: "ended", name: "ended", isText: true, show: run => instant(run.ended_at), sort: run => run.ended_at ?? "" },
  { id: "plan", name: "plan", isText: true, show: run => run.plan_hash.slice(0, 8), sort: run => run.plan_hash },
  { id: "run", name: "run", isText: true, show: run => run.id, sort: run => run.id },
];
const columnsKey = "squall.history.columns";

// What was chosen in this browser. One that keeps nothing (or a private window) has what is usual.
function chosenColumns() {
  try {
    const ids = JSON.parse(localStorage.getItem(columnsKey));
    if (Array.isArray(ids)) return new Set(ids);
  } catch { /* Nothing that could be read was kept. */ }
  return new Set(columns.filter(column => column.isUsual).map(column => column.id));
}

function keepColumns(ids) {
  try {
    localStorage.setItem(columnsKey, JSON.stringify([...ids]));
  } catch { /* It is forgotten with the page. */ }
}

export class History {
  constructor() {
    this.chosen = new Set();
    this.shownColumns = chosenColumns();
    this.filter = h("input", { id: "filter", type: "search", placeholder: "words of load, labels, note, state",
      oninput: () => this.show() });
    this.label = h("select", { id: "label", onchange: () => this.show() });
    this.compare = h("button", { type: "button", class: "main", disabled: true, onclick: () => {
      location.hash = `#/compare/${[...this.chosen].join(",")}`;
    } }, "Compare");
    this.hint = h("p", { class: "muted", role: "status" });
    this.place = h("div");
    this.trend = new Trend();
    this.boxes = new Map();
    this.links = new Map();
    this.makeTable();
    this.root = h("div", null, h("h1", null, "History"),
      h("div", { class: "filter" },
        h("div", { class: "field" }, h("label", { for: "filter" }, "Filter"), this.filter),
        h("div", { class: "field" }, h("label", { for: "label" }, "Label"), this.label),
        menu("Columns", columns.map(column => this.columnBox(column))), this.compare),
      this.hint, this.place, this.trend.root);
  }

  async begin() {
    this.runs = (await ask("/api/runs")).runs;
    if (this.isForgotten) return;
    this.fillLabels();
    this.show();
  }

  makeTable() {
    this.table = new Table("Runs", [
      { name: "", isText: true, isMark: true, show: run => this.box(run) },
      { name: "started", isText: true, sort: run => run.started_at, show: run => this.link(run) },
      ...columns.filter(column => this.shownColumns.has(column.id)),
    ], run => run.id);
    put(this.place, this.table.root);
  }

  columnBox(column) {
    const box = h("input", { type: "checkbox", checked: this.shownColumns.has(column.id), onchange: () => {
      if (box.checked) this.shownColumns.add(column.id); else this.shownColumns.delete(column.id);
      keepColumns(this.shownColumns);
      this.makeTable();
      if (this.runs) this.show();
    } });
    return h("label", null, box, column.name);
  }

  fillLabels() {
    const found = new Map();
    for (const run of this.runs) {
      for (const [key, value] of Object.entries(run.labels ?? {})) {
        if (!found.has(key)) found.set(key, new Set());
        if (found.get(key).size < valueCountMax) found.get(key).add(value);
      }
    }
    put(this.label, h("option", { value: "" }, "any"), [...found].sort().map(([key, values]) =>
      h("optgroup", { label: key }, [...values].sort().map(value =>
        h("option", { value: JSON.stringify([key, value]) }, `${key}=${value}`)))));
    this.label.disabled = found.size === 0;
  }

  box(run) {
    let box = this.boxes.get(run.id);
    if (!box) {
      box = h("input", { type: "checkbox", "aria-label": `Compare the run of ${instant(run.started_at)}`,
        onchange: () => {
          if (box.checked) this.chosen.add(run.id); else this.chosen.delete(run.id);
          this.compare.disabled = this.chosen.size < 2 || this.chosen.size > comparedCountMax;
        } });
      this.boxes.set(run.id, box);
    }
    return box;
  }

  link(run) {
    let link = this.links.get(run.id);
    if (!link) {
      link = h("a", { href: `#/run/${run.id}` }, instant(run.started_at));
      this.links.set(run.id, link);
    }
    return link;
  }

  show() {
    const wanted = this.filter.value.toLowerCase().split(/\s+/).filter(word => word !== "");
    const label = this.label.value === "" ? null : JSON.parse(this.label.value);
    const found = this.runs.filter(run => {
      if (label && run.labels?.[label[0]] !== label[1]) return false;
      const text = `${run.id} ${run.load} ${run.state} ${instant(run.started_at)} ${tags(run)}`.toLowerCase();
      return wanted.every(word => text.includes(word));
    });
    say(this.hint, this.runs.length === 0 ? "No run was recorded yet."
      : `${count(found.length, "run")}${found.length < this.runs.length ? ` of ${grouped(this.runs.length)}` : ""}. `
        + `Pick two or more (${comparedCountMax} at most) to compare them; the first one picked is the baseline.`);
    this.table.show(found);
    this.trend.show(found);
  }

  forget() {
    this.isForgotten = true;
    this.trend.forget();
  }
}

const valueCountMax = 100;
const comparedCountMax = 8;

const trends = [
  { name: "p99", scale: "log", format: duration, value: run => run.response_p99_ns },
  { name: "p50", scale: "log", format: duration, value: run => run.response_p50_ns },
  { name: "ok responses per second", scale: "linear", format: short, value: run => run.ok_per_s },
  { name: "share that failed", scale: "linear", format: percent, value: run => run.not_ok_share },
];

// A figure over the runs of one plan, oldest first: what a build, a day or a host changed.
class Trend {
  constructor() {
    this.metric = h("select", { id: "trend-metric", onchange: () => this.draw() },
      trends.map((one, place) => h("option", { value: place }, one.name)));
    this.plan = h("select", { id: "trend-plan", onchange: () => this.draw() });
    this.place = h("div");
    this.root = h("section", { class: "table trend", hidden: true }, h("h2", null, "Trend over runs of one plan"),
      h("div", { class: "filter" },
        h("div", { class: "field" }, h("label", { for: "trend-plan" }, "Plan"), this.plan),
        h("div", { class: "field" }, h("label", { for: "trend-metric" }, "Figure"), this.metric)),
      this.place);
  }

  // Plans of which two runs or more have ended.
  show(runs) {
    const plans = new Map();
    for (const run of runs) {
      if (run.ok_per_s === null || run.ok_per_s === undefined) continue;
      if (!plans.has(run.plan_hash)) plans.set(run.plan_hash, []);
      plans.get(run.plan_hash).push(run);
    }
    this.plans = new Map([...plans].filter(([, runs]) => runs.length > 1));
    this.root.hidden = this.plans.size === 0;
    const kept = this.plan.value;
    put(this.plan, [...this.plans].map(([hash, runs]) => h("option", { value: hash },
      `${runs[0].load}: ${count(runs.length, "run")}`)));
    if (this.plans.has(kept)) this.plan.value = kept;
    this.draw();
  }

  draw() {
    this.chart?.forget();
    this.chart = null;
    const runs = this.plans.get(this.plan.value);
    if (!runs) return put(this.place);
    const items = [...runs].reverse().map((run, place) => ({ run, place }));
    const { name, scale, format, value } = trends[Number(this.metric.value)];
    this.chart = new Charts([{
      title: `${name}, by run; a click opens it`, scale, format, height: 150,
      series: [
        { name, colour: "s1", hasDots: true, value: item => value(item.run) },
        { name: "not valid", colour: "s4", isDots: true,
          value: item => item.run.valid === false ? value(item.run) : null },
      ],
      pick: item => { location.hash = `#/run/${item.run.id}`; },
    }], alongRuns(items));
    put(this.place, this.chart.root);
    this.chart.show([items]);
  }

  forget() { this.chart?.forget(); }
}

function alongRuns(items) {
  return {
    start: item => item.place,
    end: item => item.place + 1,
    ticks(from, to, room) {
      const step = Math.max(1, Math.ceil((to - from) / Math.max(1, Math.floor(room / 150))));
      return items.filter(item => item.place % step === 0).map(item => item.place + 0.5)
        .filter(at => at >= from && at <= to);
    },
    label(at) {
      const item = items[Math.min(items.length - 1, Math.max(0, Math.floor(at)))];
      return item ? instant(item.run.started_at).slice(0, 16) : "";
    },
  };
}

function tags(run) {
  const labels = Object.entries(run.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return [...labels, run.note ?? ""].filter(text => text !== "").join(" · ");
}

const forms = [["report.html", "HTML"], ["report.json", "JSON"], ["report.csv", "CSV"], ["report.text", "text"],
  ["report.timeseries", "time series"], ["report.hdr", "HDR percentiles"], ["report.hlog", "HDR log"]];

// What a run was asked with; null when its master does not know any more.
export async function orderOf(id) { return (await ask(`/api/runs/${id}/order`)).order; }

// A run in every form of output. The HTML report is what is shared: one file that needs nobody.
export function downloads(id) {
  return forms.map(([form, name]) => h("a", {
    class: "button", href: `/api/runs/${id}/${form}`,
    ...(form === "report.html" ? { target: "_blank", rel: "noopener" } : { download: `${id}.${form}` }),
  }, name));
}

// One of them.
export class PastRun {
  constructor(id) {
    this.id = id;
    this.page = new RunPage();
    this.problem = h("p", { class: "notice bad", role: "alert", hidden: true });
    this.note = h("input", { id: "note", autocomplete: "off", maxlength: 2000 });
    this.labels = h("input", { id: "labels", autocomplete: "off", placeholder: "build=a, where=lab" });
    this.saved = h("span", { class: "muted", role: "status" });
    this.like = h("a", { class: "button", href: `#/new/${id}`, hidden: true }, "New run like this");
    this.remove = h("button", { type: "button", class: "stop", onclick: () => this.ask() }, "Delete");
    this.sure = h("span", { hidden: true }, "This run is gone for good then. ",
      h("button", { type: "button", class: "stop", onclick: () => this.delete() }, "Delete it"), " ",
      h("button", { type: "button", onclick: () => this.ask(false) }, "Keep it"));
    this.root = h("div", null,
      h("div", { class: "actions" },
        downloads(id), h("span", { class: "grow" }), this.like, this.remove, this.sure),
      this.problem, this.page.root,
      h("section", { class: "table" }, h("h2", null, "Labels and note"),
        h("form", { class: "fields", onsubmit: event => this.save(event) },
          h("div", { class: "field half" }, h("label", { for: "labels" }, "Labels"), this.labels,
            h("small", null, "name=value, with commas between them")),
          h("div", { class: "field half" }, h("label", { for: "note" }, "Note"), this.note, h("small", null, "")),
          h("div", { class: "field wide" }, h("div", { class: "actions" }, h("button", null, "Save"), this.saved)))));
  }

  async begin() {
    const [view, run] = await Promise.all([ask(`/api/runs/${this.id}/view`), ask(`/api/runs/${this.id}/summary`)]);
    if (this.isForgotten) return;
    this.page.show(view);
    this.note.value = run?.note ?? "";
    this.labels.value = Object.entries(run?.labels ?? {}).map(([key, value]) => `${key}=${value}`).join(", ");
    this.like.hidden = await orderOf(this.id) === null;
  }

  ask(isAsked = true) {
    this.remove.hidden = isAsked;
    this.sure.hidden = !isAsked;
    (isAsked ? this.sure.querySelector("button") : this.remove).focus();
  }

  async delete() {
    try {
      await ask(`/api/runs/${this.id}`, "DELETE");
      location.hash = "#/history";
    } catch (error) {
      this.fail(error);
    }
  }

  async save(event) {
    event.preventDefault();
    const labels = {};
    for (const part of this.labels.value.split(",")) {
      const [key, ...value] = part.split("=");
      if (key.trim() !== "") labels[key.trim()] = value.join("=").trim();
    }
    try {
      await ask(`/api/runs/${this.id}`, "PATCH", { labels, note: this.note.value });
      say(this.saved, "saved");
    } catch (error) {
      this.fail(error);
    }
  }

  fail(error) {
    this.problem.hidden = false;
    say(this.problem, error.message);
  }

  forget() {
    this.isForgotten = true;
    this.page.forget();
  }
}

const verdicts = { better: "good", worse: "bad" };

// Two or more: each against the first, and their curves on top of each other.
export class Compare {
  constructor(ids) {
    this.ids = ids.slice(0, comparedCountMax);
    this.place = h("div");
    this.root = h("div", null, h("h1", null, "Comparison"), this.place);
  }

  async begin() {
    const [runs, views, comparisons] = await Promise.all([
      Promise.all(this.ids.map(id => ask(`/api/runs/${id}/summary`))),
      Promise.all(this.ids.map(id => ask(`/api/runs/${id}/view`))),
      this.ids.length < 2 ? [] : ask(`/api/comparisons?runs=${this.ids.join(",")}`).then(all => all.comparisons),
    ]);
    if (this.isForgotten) return;
    const letters = this.ids.map((_, place) => letter(place));
    const specs = timeSpecs(letters);
    this.charts = new Charts([specs.rate, specs.latency, specs.median, specs.inFlight]);
    this.charts.show(views.map(view => view.columns));
    this.curve = new Charts([curveSpec(letters)], nines);
    this.curve.show(views.map(view => view.curves.response ?? []));
    put(this.place,
      h("ul", { class: "sides" }, runs.map((run, place) => h("li", null, h("b", null, `${letter(place)} `),
        h("a", { href: `#/run/${run.id}` }, instant(run.started_at)), ` ${run.load}`,
        tags(run) === "" ? null : h("span", { class: "muted" }, ` ${tags(run)}`),
        place === 0 ? " (baseline)" : ""))),
      h("div", { class: "pairs" }, comparisons.map((comparison, place) =>
        table(comparison, letter(0), letter(place + 1)))),
      this.charts.root, this.curve.root);
  }

  forget() {
    this.isForgotten = true;
    this.charts?.forget();
    this.curve?.forget();
  }
}

function letter(place) { return String.fromCharCode(65 + place); }

// The interval as it lies around no change. All of one table have the same scale.
function intervalBar(row, most) {
  if (row.low === null) return "";
  const svg = (tag, attributes, ...children) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const x = change => 50 + 48 * Math.max(-1, Math.min(1, change / most));
  return svg("svg", { viewBox: "0 0 100 12", width: 100, height: 12, "aria-hidden": "true",
    class: `interval ${verdicts[row.verdict] ?? ""}` },
  svg("line", { x1: 50, x2: 50, y1: 0, y2: 12, class: "none" }),
  svg("line", { x1: x(row.low), x2: x(row.high), y1: 6, y2: 6, class: "span" }),
  svg("circle", { cx: x(row.change ?? 0), cy: 6, r: 3 }));
}

function table(comparison, left, right) {
  const value = (row, key) => {
    if (row[key] === null) return none;
    if (row.metric === "errors") return percent(row[key]);
    if (row.metric === "rate") return `${rate(row[key])}/s`;
    return duration(row[key]);
  };
  const change = number => number === null ? none
    : `${number > 0 ? "+" : ""}${(number * 100).toFixed(Math.abs(number) < 0.1 ? 2 : 1)}%`;
  // As wide as the widest, and no wider than a doubling.
  const most = Math.min(1, Math.max(0.05, ...comparison.metrics.filter(row => row.low !== null)
    .flatMap(row => [Math.abs(row.low), Math.abs(row.high)])));
  const rows = new Table(`${right} against ${left}`, [
    { name: "", isText: true, show: row => row.metric },
    { name: left, show: row => value(row, "baseline") },
    { name: right, show: row => value(row, "candidate") },
    { name: "change", show: row => change(row.change) },
    { name: "95% interval", show: row => row.low === null ? none : `${change(row.low)} to ${change(row.high)}` },
    { name: `around none, ±${Math.round(most * 100)}%`, show: row => intervalBar(row, most) },
    { name: "verdict", isText: true,
      show: row => h("span", { class: `verdict ${verdicts[row.verdict] ?? "muted"}` }, row.verdict) },
  ], row => row.metric);
  rows.show(comparison.metrics);
  const remarks = [...comparison.plan_differences.map(text => `Plans differ: ${text}.`),
    ...comparison.cautions.map(text => `${text[0].toUpperCase()}${text.slice(1)}.`)];
  return h("div", null, rows.root, remarks.length === 0 ? null
    : h("ul", { class: "remarks" }, remarks.map(text => h("li", null, text))));
}
