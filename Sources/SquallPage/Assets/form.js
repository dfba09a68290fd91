import { ask, Problem } from "./api.js";
import { Charts } from "./charts.js";
import { h, put, say } from "./dom.js";
import { clock, count, duration, short } from "./format.js";
import { loadSteps, scheduleWords } from "./run.js";

// A new run: one URL or a scenario. What is typed is checked by the server, and what is wrong is said at
// its field.

const fields = [
  { name: "url", title: "Target", kind: "both", width: "wide", hint: "http://host:port/path",
    inputmode: "url" },
  { name: "scenario", title: "Scenario", kind: "scenario", width: "wide", isLong: true, hint: "YAML or JSON" },
  { name: "users", title: "Users", kind: "scenario", hint: "such as 50; empty for what the scenario says" },
  { name: "spawn_rate", title: "Spawn rate", kind: "scenario", hint: "users that begin in a second; empty: all at once" },
  { name: "connections", title: "Connections", kind: "url", hint: "such as 64" },
  { name: "rate", title: "Requests per second", kind: "url",
    hint: "empty: as fast as answers come; 1k, or 100:5k for a ramp" },
  { name: "stages", title: "Stages", kind: "url", isList: true, hint: "time:rate, such as 30s:5k, 1m:5k" },
  { name: "duration", title: "Duration", kind: "both", hint: "such as 30s or 1m30s" },
  { name: "warmup", title: "Warm-up", kind: "both", hint: "not counted; such as 5s" },
  { name: "method", title: "Method", kind: "url", hint: "GET, or POST with a body" },
  { name: "slo", title: "Objectives", kind: "both", width: "half", hint: "such as p99<20ms,errors<0.1%" },
  { name: "labels", title: "Labels", kind: "url", width: "half", isMap: true, hint: "name=value, with commas" },
  { name: "headers", title: "Headers", kind: "url", width: "half", isLines: true, isShort: true,
    hint: "Name: value, one a line" },
  { name: "body", title: "Body", kind: "url", width: "half", isLong: true, isShort: true, hint: "" },
];

export class NewRun {
  // Filled with what a run was asked with; without one, with the run of the command line.
  constructor(run = null) {
    this.run = run;
    this.kind = "url";
    this.others = {};
    this.inputs = new Map();
    this.summary = h("p", { class: "muted", role: "status" });
    this.drawing = h("div", { class: "drawing" });
    this.explanation = h("pre", { hidden: true, tabindex: 0, "aria-label": "The scenario as it is understood" });
    this.problem = h("p", { class: "notice bad", role: "alert", hidden: true });
    this.alsoWords = h("span");
    this.also = h("p", { class: "muted", hidden: true }, this.alsoWords,
      h("button", { type: "button", onclick: () => this.leaveOthers() }, "Leave these out"));
    this.preview = h("pre", { hidden: true, tabindex: 0, "aria-label": "What is sent and answered" });
    this.go = h("button", { class: "main" }, "Start");
    const kinds = [["url", "One URL"], ["scenario", "A scenario"]].map(([kind, title]) =>
      h("label", null, h("input", { type: "radio", name: "kind", value: kind, checked: kind === this.kind,
        onchange: () => this.choose(kind) }), title));
    this.form = h("form", { class: "fields", novalidate: true, onsubmit: event => this.start(event),
      oninput: () => this.typed() },
    h("fieldset", null, h("legend", { class: "hidden" }, "What is sent"), kinds),
    fields.map(field => this.field(field)),
    h("div", { class: "field wide" }, this.also, this.problem,
      h("div", { class: "actions" }, this.go,
        h("button", { type: "button", onclick: () => this.tryOut() }, "Preview: send one of each"))));
    this.root = h("div", null, h("h1", null, "New run"), h("div", { class: "beside" }, this.form,
      h("section", { class: "outcome", "aria-label": "What it would be" }, this.summary, this.drawing, this.preview,
        this.explanation)));
    this.choose("url");
  }

  async begin() {
    this.inputs.get("url").input.focus();
    const { order } = await ask(this.run === null ? "/api/form" : `/api/runs/${this.run}/order`);
    // What was typed meanwhile wins.
    if (order !== null && this.isEmpty && !this.isForgotten) this.fill(order);
  }

  // What no field shows goes along, and is said.
  fill(order) {
    this.others = { ...order };
    for (const { field, input } of this.inputs.values()) {
      const value = order[field.name];
      // A list may be one text; a map whose texts have commas is none that the field can say.
      if (value === undefined || value === null) continue;
      if (field.isMap && Object.values(value).some(text => String(text).includes(","))) continue;
      delete this.others[field.name];
      input.value = field.isLines ? [value].flat().join("\n") : Array.isArray(value) ? value.join(", ")
        : field.isMap ? Object.entries(value).map(([key, text]) => `${key}=${text}`).join(", ") : String(value);
    }
    const kind = "scenario" in order ? "scenario" : "url";
    this.form.querySelector(`input[value=${kind}]`).checked = true;
    this.choose(kind);
    const names = Object.entries(this.others).map(([name, value]) =>
      `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`);
    this.also.hidden = names.length === 0;
    say(this.alsoWords, `Also: ${names.join(", ")}. `);
  }

  leaveOthers() {
    this.others = {};
    this.also.hidden = true;
    this.typed();
  }

  field(field) {
    const hint = h("small", { id: `hint-${field.name}` }, field.hint);
    const attributes = { id: field.name, "aria-describedby": `hint-${field.name}`, autocomplete: "off",
      spellcheck: "false", inputmode: field.inputmode };
    const isArea = field.isLong || field.isLines;
    const input = isArea ? h("textarea", { ...attributes, rows: field.isShort ? 4 : 16 })
      : h("input", attributes);
    if (field.isShort) input.className = "short";
    const file = field.name === "scenario" ? h("input", { type: "file", accept: ".yaml,.yml,.json",
      "aria-label": "Read the scenario from a file", onchange: event => this.read(event.target) }) : null;
    const root = h("div", { class: `field ${field.width ?? ""}` },
      h("label", { for: field.name }, field.title), file, input, hint);
    this.inputs.set(field.name, { field, input, hint, root });
    return root;
  }

  choose(kind) {
    this.kind = kind;
    for (const { field, root } of this.inputs.values()) {
      root.hidden = field.kind !== "both" && field.kind !== kind;
    }
    say(this.inputs.get("url").root.querySelector("label"),
      kind === "url" ? "Target" : "Target, in the place of the scenario's");
    this.typed();
  }

  async read(file) {
    if (!file.files[0]) return;
    if (file.files[0].size > 4 << 20) return this.fault("scenario", "A scenario has 4 MiB at most.");
    this.inputs.get("scenario").input.value = await file.files[0].text();
    this.typed();
  }

  get document() {
    const document = { ...this.others };
    for (const { field, input, root } of this.inputs.values()) {
      const text = input.value.trim();
      if (root.hidden || text === "") continue;
      const parts = mark => text.split(mark).map(part => part.trim()).filter(part => part !== "");
      document[field.name] = field.isLines ? parts("\n") : field.isList ? parts(",")
        : field.isMap ? Object.fromEntries(parts(",").map(part => {
          const [key, ...value] = part.split("=");
          return [key.trim(), value.join("=").trim()];
        })) : field.name === "slo" ? [text] : field.isLong ? input.value : text;
    }
    return document;
  }

  get isEmpty() {
    return this.kind === "url" ? this.inputs.get("url").input.value.trim() === ""
      : this.inputs.get("scenario").input.value.trim() === "";
  }

  typed() {
    clearTimeout(this.later);
    this.later = setTimeout(() => this.check(), 250);
  }

  // True when the run can be.
  async check() {
    this.number = (this.number ?? 0) + 1;
    const number = this.number;
    if (this.isEmpty) {
      this.clear();
      say(this.summary, "What is typed is checked at once, and its load is drawn here.");
      this.draw(null);
      return false;
    }
    try {
      const answer = await ask("/api/check", "POST", this.document);
      if (number !== this.number || this.isForgotten) return false;
      this.clear();
      say(this.summary, summary(answer));
      this.draw(answer);
      return true;
    } catch (error) {
      if (number !== this.number || this.isForgotten) return false;
      this.clear();
      say(this.summary, "");
      this.draw(null);
      this.show(error);
      return false;
    }
  }

  // The load over the run's time.
  draw(answer) {
    this.explanation.hidden = !answer?.explanation;
    say(this.explanation, answer?.explanation ?? "");
    if (answer === null) {
      this.chart?.forget();
      this.chart = null;
      return put(this.drawing);
    }
    const { plan } = answer;
    const isRate = plan.schedule !== undefined;
    const noun = isRate ? answer.explanation ? "Iterations per second" : "Requests per second"
      : answer.explanation ? "Users" : "Connections";
    if (this.noun !== noun || !this.chart) {
      this.noun = noun;
      this.chart?.forget();
      this.chart = new Charts([{
        title: `${noun} over the run`, scale: "linear", format: short, height: 150, series: [{
          name: noun.toLowerCase(), colour: "s1", isStep: true, value: step => step.from, ends: step => step.to,
          at: (step, seconds) => step.from + (step.to - step.from) * (seconds * 1e9 - step.start_ns)
            / (step.end_ns - step.start_ns),
        }],
      }]);
      put(this.drawing, this.chart.root);
    }
    this.chart.show([loadSteps(plan)]);
  }

  clear() {
    this.problem.hidden = true;
    for (const { field, input, hint } of this.inputs.values()) {
      input.removeAttribute("aria-invalid");
      hint.className = "";
      say(hint, field.hint);
    }
  }

  show(error) {
    if (error instanceof Problem && error.status === 401) throw error;
    let isShown = false;
    for (const fault of error.errors ?? []) {
      const place = fault.line ? `Line ${fault.line}, column ${fault.column}: ` : "";
      isShown = this.fault(fault.field, place + fault.detail) || isShown;
    }
    if (!isShown) {
      this.problem.hidden = false;
      say(this.problem, error.message);
    }
  }

  fault(name, text) {
    const found = this.inputs.get(name);
    if (!found || found.root.hidden) return false;
    found.input.setAttribute("aria-invalid", "true");
    found.hint.className = "bad";
    say(found.hint, text);
    return true;
  }

  async tryOut() {
    if (!await this.check()) return;
    this.preview.hidden = false;
    say(this.preview, "…");
    try {
      say(this.preview, (await ask("/api/preview", "POST", this.document)).text);
    } catch (error) {
      this.preview.hidden = true;
      this.show(error);
    }
  }

  async start(event) {
    event.preventDefault();
    this.go.disabled = true;
    try {
      await ask("/api/start", "POST", this.document);
      location.hash = "#/live";
    } catch (error) {
      this.clear();
      this.show(error);
      this.root.querySelector("[aria-invalid]")?.focus();
    } finally {
      this.go.disabled = false;
    }
  }

  forget() {
    this.isForgotten = true;
    this.chart?.forget();
    clearTimeout(this.later);
  }
}

function summary({ plan, slo, explanation, remark }) {
  const parts = [plan.schedule ? scheduleWords(plan.schedule) : "as fast as answers come",
    count(plan.connections, explanation ? "user" : "connection"),
    plan.duration_ns ? clock(plan.duration_ns / 1e9) : count(plan.requests, "request")];
  if (plan.warmup_ns > 0) parts.push(`after ${duration(plan.warmup_ns)} of warm-up`);
  if (explanation) parts.push(count(plan.endpoints.length, "name"));
  if (slo.length > 0) parts.push(count(slo.length, "objective"));
  return `This can be: ${parts.join(", ")}.${remark ? ` Note: ${remark}.` : ""}`;
}
