import { ask } from "./api.js";
import { Charts } from "./charts.js";
import { h, put, say, Table } from "./dom.js";
import { count, duration, grouped, instant, none, percent, rate } from "./format.js";
import { RunPage, timeSpecs } from "./run.js";

// The runs that were.

export class History {
  constructor() {
    this.chosen = new Set();
    this.filter = h("input", { id: "filter", type: "search", oninput: () => this.show() });
    this.compare = h("button", { type: "button", class: "main", disabled: true, onclick: () => {
      location.hash = `#/compare/${[...this.chosen].join(",")}`;
    } }, "Compare");
    this.hint = h("p", { class: "muted", role: "status" });
    this.table = new Table("Runs", [
      { name: "", isText: true, isMark: true, show: run => this.box(run) },
      { name: "started", isText: true, sort: run => run.started_at,
        show: run => this.link(run) },
      { name: "state", isText: true, show: run => run.state, sort: run => run.state },
      { name: "load", isText: true, show: run => run.load, sort: run => run.load },
      { name: "labels and note", isText: true, sort: run => tags(run), show: run => tags(run) },
      { name: "hosts", show: run => grouped(run.hosts), sort: run => run.hosts },
      { name: "sent", show: run => grouped(run.requests.sent), sort: run => run.requests.sent },
      { name: "ok", show: run => grouped(run.requests.ok), sort: run => run.requests.ok },
      { name: "not ok", show: run => grouped(run.requests.not_ok), sort: run => run.requests.not_ok },
    ], run => run.id);
    this.boxes = new Map();
    this.links = new Map();
    this.root = h("div", null, h("h1", null, "History"),
      h("div", { class: "filter" },
        h("div", { class: "field" }, h("label", { for: "filter" }, "Filter"), this.filter),
        this.compare),
      this.hint, this.table.root);
  }

  async begin() {
    this.runs = (await ask("/api/runs")).runs;
    this.show();
  }

  box(run) {
    let box = this.boxes.get(run.id);
    if (!box) {
      box = h("input", { type: "checkbox", "aria-label": `Compare the run of ${instant(run.started_at)}`,
        onchange: () => {
          if (box.checked) this.chosen.add(run.id); else this.chosen.delete(run.id);
          this.compare.disabled = this.chosen.size < 2;
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
    const found = this.runs.filter(run => {
      const text = `${run.id} ${run.load} ${run.state} ${instant(run.started_at)} ${tags(run)}`.toLowerCase();
      return wanted.every(word => text.includes(word));
    });
    say(this.hint, this.runs.length === 0 ? "No run was recorded yet."
      : `${count(found.length, "run")}${found.length < this.runs.length ? ` of ${grouped(this.runs.length)}` : ""}. `
        + "Pick two or more to compare them; the first one picked is the baseline.");
    this.table.show(found);
  }
}

function tags(run) {
  const labels = Object.entries(run.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return [...labels, run.note ?? ""].filter(text => text !== "").join(" · ");
}

const forms = [["report.html", "HTML"], ["report.json", "JSON"], ["report.csv", "CSV"], ["report.text", "text"],
  ["report.timeseries", "time series"], ["report.hdr", "HDR percentiles"], ["report.hlog", "HDR log"]];

// One of them.
export class PastRun {
  constructor(id) {
    this.id = id;
    this.page = new RunPage();
    this.problem = h("p", { class: "notice bad", role: "alert", hidden: true });
    this.note = h("input", { id: "note", autocomplete: "off", maxlength: 2000 });
    this.labels = h("input", { id: "labels", autocomplete: "off", placeholder: "build=a, where=lab" });
    this.saved = h("span", { class: "muted", role: "status" });
    const path = `/api/runs/${id}`;
    this.remove = h("button", { type: "button", class: "stop", onclick: () => this.ask() }, "Delete");
    this.sure = h("span", { hidden: true }, "This run is gone for good then. ",
      h("button", { type: "button", class: "stop", onclick: () => this.delete() }, "Delete it"), " ",
      h("button", { type: "button", onclick: () => this.ask(false) }, "Keep it"));
    this.root = h("div", null,
      h("div", { class: "actions" },
        forms.map(([form, name]) => h("a", {
          class: "button", href: `${path}/${form}`,
          ...(form === "report.html" ? { target: "_blank", rel: "noopener" } : { download: `${id}.${form}` }),
        }, name)),
        h("span", { class: "grow" }), this.remove, this.sure),
      this.problem, this.page.root,
      h("section", { class: "table" }, h("h2", null, "Labels and note"),
        h("form", { class: "fields", onsubmit: event => this.save(event) },
          h("div", { class: "field half" }, h("label", { for: "labels" }, "Labels"), this.labels,
            h("small", null, "name=value, with commas between them")),
          h("div", { class: "field half" }, h("label", { for: "note" }, "Note"), this.note, h("small", null, "")),
          h("div", { class: "field wide" }, h("div", { class: "actions" }, h("button", null, "Save"), this.saved)))));
  }

  async begin() {
    const [view, { runs }] = await Promise.all([ask(`/api/runs/${this.id}/view`), ask("/api/runs")]);
    if (this.isForgotten) return;
    this.page.show(view);
    const run = runs.find(run => run.id === this.id);
    this.note.value = run?.note ?? "";
    this.labels.value = Object.entries(run?.labels ?? {}).map(([key, value]) => `${key}=${value}`).join(", ");
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
    this.ids = ids;
    this.place = h("div");
    this.root = h("div", null, h("h1", null, "Comparison"), this.place);
  }

  async begin() {
    const [{ runs }, ...views] = await Promise.all([ask("/api/runs"),
      ...this.ids.map(id => ask(`/api/runs/${id}/view`))]);
    const comparisons = await Promise.all(this.ids.slice(1).map(id =>
      ask(`/api/compare?runs=${this.ids[0]},${id}`)));
    if (this.isForgotten) return;
    const names = this.ids.map((id, place) => this.name(id, place, runs));
    const specs = timeSpecs(names.map((_, place) => letter(place)));
    this.charts = new Charts([specs.rate, specs.latency, specs.median, specs.inFlight]);
    this.charts.show(views.map(view => view.columns));
    put(this.place,
      h("ul", null, names.map((name, place) => h("li", null, h("b", null, `${letter(place)} `), name,
        place === 0 ? " (baseline)" : ""))),
      comparisons.map((comparison, place) => table(comparison, letter(0), letter(place + 1))),
      this.charts.root);
  }

  name(id, place, runs) {
    const run = runs.find(run => run.id === id);
    const text = run ? `${instant(run.started_at)}, ${run.load}${tags(run) ? `, ${tags(run)}` : ""}` : id;
    return h("a", { href: `#/run/${id}` }, text);
  }

  forget() {
    this.isForgotten = true;
    this.charts?.forget();
  }
}

function letter(place) { return String.fromCharCode(65 + place); }

function table(comparison, left, right) {
  const value = (row, key) => {
    if (row[key] === null) return none;
    if (row.metric === "errors") return percent(row[key]);
    if (row.metric === "rate") return `${rate(row[key])}/s`;
    return duration(row[key]);
  };
  const change = number => number === null ? none
    : `${number > 0 ? "+" : ""}${(number * 100).toFixed(Math.abs(number) < 0.1 ? 2 : 1)}%`;
  const rows = new Table(`${right} against ${left}`, [
    { name: "", isText: true, show: row => row.metric },
    { name: left, show: row => value(row, "baseline") },
    { name: right, show: row => value(row, "candidate") },
    { name: "change", show: row => change(row.change) },
    { name: "95% interval", show: row => row.low === null ? none : `${change(row.low)} to ${change(row.high)}` },
    { name: "verdict", isText: true,
      show: row => h("span", { class: `verdict ${verdicts[row.verdict] ?? "muted"}` }, row.verdict) },
  ], row => row.metric);
  rows.show(comparison.metrics);
  const remarks = [...comparison.plan_differences.map(text => `Plans differ: ${text}.`),
    ...comparison.cautions.map(text => `${text[0].toUpperCase()}${text.slice(1)}.`)];
  return h("div", null, rows.root, remarks.length === 0 ? null
    : h("ul", { class: "remarks" }, remarks.map(text => h("li", null, text))));
}
