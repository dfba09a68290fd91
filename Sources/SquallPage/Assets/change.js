import { ask } from "./api.js";
import { h, put, say } from "./dom.js";
import { clock, rate } from "./format.js";
import { changeWords } from "./run.js";

// The load of a run that goes on, changed while it goes on. What can be changed is what its status names.

const changeable = {
  rate: { title: "Requests per second", hint: "such as 500 or 10k; 0 pauses", inputmode: "decimal" },
  connections: { title: "Connections", inputmode: "numeric" },
  users: { title: "Users", inputmode: "numeric" },
  spawn_rate: { title: "Users that come or go in a second", hint: "empty: all at once", inputmode: "decimal" },
};

export class ChangeLoad {
  // `take` is given the status that answers a change.
  constructor(take) {
    this.take = take;
    this.names = "";
    this.inputs = new Map();
    this.isOpen = false;
    this.button = h("button", { type: "button", hidden: true, "aria-expanded": "false",
      "aria-controls": "change", onclick: () => this.open(!this.isOpen) }, "Change load");
    this.place = h("div", { class: "fields" });
    this.problem = h("p", { class: "notice bad", role: "alert", hidden: true });
    this.send = h("button", { class: "main" }, "Change");
    this.form = h("form", { id: "change", class: "change", novalidate: true, hidden: true,
      "aria-label": "Change load", onsubmit: event => this.submit(event),
      onkeydown: event => { if (event.key === "Escape") this.open(false, true); } },
    this.place, this.problem,
    h("div", { class: "actions" }, this.send,
      h("button", { type: "button", onclick: () => this.open(false, true) }, "Close")));
    this.state = h("p", { class: "muted", role: "status" });
    this.root = h("div", null, this.form, this.state);
  }

  open(isOpen, returnsFocus = false) {
    this.isOpen = isOpen;
    this.form.hidden = !isOpen;
    this.button.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) this.inputs.values().next().value?.focus();
    if (returnsFocus) this.button.focus();
  }

  show(figures) {
    const { target, asked, changes } = figures;
    const isOn = figures.state === "running" && target !== null && target !== undefined;
    this.button.hidden = !isOn;
    if (!isOn && this.isOpen) this.open(false);
    if (isOn) this.fields(target);
    const last = changes?.at(-1);
    const isAhead = last && figures.elapsed_ns !== null && last.at_ns > figures.elapsed_ns;
    say(this.state, asked ? `${changeWords(asked)} asked for: the workers are being told.`
      : !last ? "" : isAhead ? `${changeWords(last)} from ${clock(last.at_ns / 1e9)} on.`
        : `Changed at ${clock(last.at_ns / 1e9)}: ${changeWords(last)}.`);
  }

  // Those that the load has, made once; what is typed stays.
  fields(target) {
    const names = "rate" in target ? ["rate"].concat("connections" in target ? ["connections"] : [])
      : "users" in target ? ["users", "spawn_rate"] : ["connections"];
    if (names.join() !== this.names) {
      this.names = names.join();
      this.inputs.clear();
      put(this.place, names.map(name => this.field(name, target)));
    }
    for (const [name, input] of this.inputs) {
      const now = target[name];
      if (now !== undefined) input.placeholder = name === "rate" ? rate(now) : String(now);
    }
  }

  field(name, target) {
    const { title, hint, inputmode } = changeable[name];
    const id = `change-${name}`;
    const input = h("input", { id, inputmode, autocomplete: "off", spellcheck: "false",
      "aria-describedby": `${id}-hint` });
    this.inputs.set(name, input);
    return h("div", { class: "field" }, h("label", { for: id }, title), input,
      h("small", { id: `${id}-hint` }, hint ?? `1 to ${target.count_max}`));
  }

  async submit(event) {
    event.preventDefault();
    this.problem.hidden = true;
    const document = {};
    for (const [name, input] of this.inputs) {
      input.removeAttribute("aria-invalid");
      if (input.value.trim() !== "") document[name] = input.value.trim();
    }
    this.send.disabled = true;
    try {
      const status = await ask("/api/change", "POST", document);
      for (const input of this.inputs.values()) input.value = "";
      await this.take(status);
    } catch (error) {
      this.problem.hidden = false;
      say(this.problem, error.message);
      const wrong = this.inputs.get(error.errors?.[0]?.field);
      wrong?.setAttribute("aria-invalid", "true");
      wrong?.focus();
    } finally {
      this.send.disabled = false;
    }
  }
}
