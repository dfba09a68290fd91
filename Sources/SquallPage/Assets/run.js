import { Charts, nines } from "./charts.js";
import { h, put, say, Table } from "./dom.js";
import { bytes, clock, count, duration, grouped, instant, none, percent, rate, short } from "./format.js";

// One run as it is drawn everywhere: in the HTML report, live, and in the history. It is given a view
// (squall.view/1), and again a newer one of the same run.

const columnCountMax = 4_200;
const palette = ["s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"];
const seconds = column => (column.end_ns - column.start_ns) / 1e9;
const perSecond = (column, number) => seconds(column) > 0 ? number / seconds(column) : null;
const signs = { good: "✓", caution: "!", bad: "✕", unknown: "?" };

// Charts that every run has; a set is a run's columns, so that several can lie on top of each other.
export function timeSpecs(names = [""]) {
  const each = lines => names.flatMap((name, set) => lines.map((line, place) => ({
    ...line, set, name: name === "" ? line.name : lines.length > 1 ? `${name} ${line.name}` : name,
    colour: name === "" ? line.colour : palette[set * lines.length % 8 + place % 8] ?? line.colour,
  })));
  return {
    rate: {
      title: "Responses per second", scale: "linear", format: short,
      series: [
        ...each([{ name: "ok", colour: "s1",
          // What the drain brings is of requests sent before it: no rate of its own.
          value: column => column.phase === "drain" ? null : perSecond(column, column.ok) }]),
        ...(names[0] === "" ? [
          { name: "not ok", colour: "s4", value: column => perSecond(column, column.not_ok) },
          { name: "target", colour: "muted", isDashed: true,
            value: column => column.phase === "drain" ? null : column.target_per_s ?? null },
        ] : []),
      ],
    },
    latency: {
      title: names[0] === "" ? "Response time" : "Response time, p99", scale: "log", format: duration,
      series: names[0] === "" ? [
        { name: "p50", colour: "s1", value: column => column.p50 },
        { name: "p90", colour: "s3", value: column => column.p90 },
        { name: "p99", colour: "s2", value: column => column.p99 },
        { name: "max", colour: "s4", isThin: true, value: column => column.max },
        { name: "service p99", colour: "s2", isDashed: true, value: column => column.service_p99 ?? null },
      ] : each([{ name: "p99", colour: "s2", value: column => column.p99 }]),
    },
    median: {
      title: "Response time, median", scale: "log", format: duration,
      series: each([{ name: "p50", colour: "s1", value: column => column.p50 }]),
    },
    heat: {
      title: "All response times: the stronger, the more", scale: "log", format: duration, series: [],
      rows: column => column.heat,
    },
    inFlight: {
      title: "Requests in flight, mean", scale: "linear", format: short,
      series: each([{ name: "in flight", colour: "s6", value: column => column.in_flight }]),
    },
  };
}

const causes = ["connect", "reset", "send", "timeout", "deadline", "parse", "status", "closed", "tls",
  "check", "other", "dropped"];

function failureSpec(seen) {
  return {
    title: "Failures per second, by cause", scale: "linear", format: short, isStacked: true,
    series: seen.map((cause, place) => ({
      name: cause, colour: palette[place % 8],
      value: column => {
        const number = cause === "dropped" ? column.dropped : column.errors?.[cause] ?? 0;
        return number > 0 ? perSecond(column, number) : null;
      },
    })),
  };
}

// A line for each set of percentiles.
export function curveSpec(names) {
  return {
    title: "Percentiles of response time: each nine as wide as the last", scale: "log", format: duration,
    series: names.map((name, set) => ({
      name, set, colour: palette[set % 8], isDashed: name === "service", value: ([, ns]) => ns,
    })),
  };
}

// What was asked for; nothing where a view does not say it.
function loadSpec(result) {
  const { plan } = result;
  // An open loop is asked for its rate, which has a chart.
  if (plan.schedule !== undefined) return null;
  const steps = loadSteps(plan);
  const asked = column => {
    if (column.phase === "drain") return null;
    if (column.target_count !== undefined) return column.target_count;
    const middle = (column.start_ns + column.end_ns) / 2;
    const step = steps.find(step => middle < step.end_ns);
    return step === undefined ? null : step.from + (step.to - step.from) * (middle - step.start_ns) / (step.end_ns - step.start_ns);
  };
  const name = isOfUsers(plan) ? "users" : "connections";
  return {
    title: isOfUsers(plan) ? "Users" : "Connections", scale: "linear", format: short,
    series: [{ name: `${name} asked for`, colour: "s5", value: asked }],
  };
}

function isOfUsers(plan) { return plan.method === "scenario"; }

// The load of a plan over its time, in pieces that go straight from one count or rate to another.
export function loadSteps(plan) {
  const end = plan.duration_ns === undefined ? null : plan.warmup_ns + plan.duration_ns;
  const steps = [];
  let at = 0;
  let from = 0;
  const go = (length, to) => {
    if (length > 0) steps.push({ start_ns: at, end_ns: at + length, from, to });
    at += length;
    from = to;
  };
  if (plan.schedule) {
    from = plan.schedule.start_per_s;
    for (const stage of plan.schedule.stages) go(stage.duration_ns, stage.end_per_s);
  } else if (plan.user_stages) {
    for (const stage of plan.user_stages) go(stage.duration_ns, stage.users);
  } else {
    const count = plan.users ?? plan.connections;
    if (plan.ramp_ns > 0) go(plan.ramp_ns, count); else from = count;
  }
  if (end === null) go(at === 0 ? 1e9 : at, from); else if (at < end) go(end - at, from);
  return steps;
}

function workerSpec(title, scale, show, lines, value, least) {
  return {
    title, scale, format: show, least,
    series: lines.map((name, line) => ({
      name, colour: palette[line % 8], value: column => value(column)?.[line] ?? null,
    })),
  };
}

export class RunPage {
  // The page of a run that goes on has the newest figures in its legends.
  constructor(isLive = false) {
    this.isLive = isLive;
    this.ordered = [];
    this.title = h("h1");
    this.words = h("p", { class: "muted" });
    this.badges = h("p", { class: "badges" });
    this.tiles = new Map();
    this.tileRoot = h("section", { class: "tiles", "aria-label": "Figures" });
    this.lightRoot = h("ul", { class: "lights", "aria-label": "Can the numbers be trusted?" });
    this.remarks = h("ul", { class: "remarks", "aria-label": "Remarks" });
    this.chartRoot = h("div");
    this.names = nameTable();
    this.latency = latencyTable();
    this.checks = checkTable();
    this.iterations = iterationTable();
    this.failures = failureTable();
    this.workers = workerTable();
    this.plan = planTable();
    this.root = h("article", { class: "run" },
      h("header", null, this.title, this.words, this.badges),
      this.tileRoot, this.lightRoot, this.remarks, this.chartRoot,
      this.names.root, this.iterations.root, this.failures.root, this.checks.root, this.latency.root, this.workers.root, this.plan.root);
  }

  // `fleet` are the workers as a master sees them now; without it those of the result are shown. A whole view
  // takes the place of what was shown, any other is what is new.
  show(view, fleet = null, isWhole = false) {
    const result = view.result;
    if (isWhole) this.ordered = [];
    for (const column of view.columns) this.add(column);
    const { plan } = result;
    say(this.title, `${plan.method} ${plan.url}`);
    say(this.words, headline(result));
    this.showBadges(result);
    this.showTiles(result);
    this.showLights(view.lights);
    put(this.remarks, result.verdict.reasons.map(text => h("li", { class: "bad" }, text)),
      result.verdict.cautions.map(text => h("li", null, text)));
    this.showCharts(view);
    this.showTables(result, fleet);
  }

  // What is new lies near the end, and what is told again takes the place of what was told.
  add(column) {
    let place = this.ordered.length;
    while (place > 0 && this.ordered[place - 1].start_ns > column.start_ns) place -= 1;
    const before = this.ordered[place - 1];
    const isAgain = before?.index === column.index && before.phase === column.phase;
    if (isAgain) this.ordered[place - 1] = column; else this.ordered.splice(place, 0, column);
  }

  // A gap between what was shown and what is new, for whoever can fetch what is between.
  misses(view) {
    const first = view.columns[0];
    const last = this.ordered[this.ordered.length - 1];
    return last !== undefined && first !== undefined && first.start_ns > last.end_ns + 1e6;
  }

  // More than a master keeps apart: it has joined the older ones by now.
  get isFull() { return this.ordered.length > columnCountMax; }

  showBadges(result) {
    const badges = [];
    if (result.interrupted) badges.push(["bad", "interrupted"]);
    if (result.verdict.incomplete) badges.push(["bad", "incomplete"]);
    if (!this.isLive) {
      badges.push(result.verdict.valid ? ["good", "valid"] : ["bad", "not valid"]);
    }
    for (const objective of result.slo) {
      const value = objective.value === undefined ? "" : `, now ${measure(objective)}`;
      const verdict = objective.pass === undefined ? "not judged" : objective.pass ? "passes" : "fails";
      badges.push([objective.pass === true ? "good" : objective.pass === false ? "bad" : "muted",
        `${objective.expression} ${verdict}${this.isLive ? value : value.replace("now ", "")}`]);
    }
    for (const [key, value] of Object.entries(result.plan.labels)) badges.push(["muted", `${key}=${value}`]);
    put(this.badges, badges.map(([state, text]) => h("span", { class: `badge ${state}` },
      signs[state] ? `${signs[state]} ` : "", text)));
  }

  tile(name, value, note) {
    let tile = this.tiles.get(name);
    if (!tile) {
      tile = { value: h("b"), note: h("span", { class: "muted" }) };
      this.tiles.set(name, tile);
      this.tileRoot.append(h("div", null, h("span", { class: "muted" }, name), tile.value, tile.note));
    }
    say(tile.value, value);
    say(tile.note, note);
  }

  showTiles(result) {
    const response = result.latency_ns.response;
    const { target_per_s: target, achieved_ratio: ratio } = result.rate;
    this.tile("Throughput", result.measured_ns > 0 ? rate(result.rate.ok_per_s) : none, "ok/s");
    if (target !== undefined) this.tile("Target", rate(target), `/s, ${percent(ratio)} sent`);
    this.tile("Ok", grouped(result.requests.ok), "responses");
    this.tile("Failed", percent(failedShare(result)), `${grouped(result.requests.not_ok)} not ok`);
    this.tile("p50", duration(response.p50), "response");
    this.tile("p99", duration(response.p99), "response");
    this.tile("p99.9", duration(response["p99.9"]), "response");
    const busy = result.workers.map(worker => worker.busy_ratio);
    this.tile("Busiest worker", busy.length > 0 ? percent(Math.max(...busy)) : none, "of its CPU");
  }

  showLights(lights) {
    this.lights ??= new Map();
    const kept = lights.map(light => {
      const line = this.lights.get(light.name)
        ?? { sign: h("i", { "aria-hidden": "true" }), state: h("span", { class: "hidden" }), text: h("span") };
      line.root ??= h("li", null, line.sign, h("b", null, light.name), line.state, line.text);
      this.lights.set(light.name, line);
      line.root.className = light.state;
      say(line.sign, signs[light.state]);
      say(line.state, { good: " good: ", caution: " caution: ", bad: " bad: ", unknown: " unknown: " }[light.state]);
      say(line.text, light.sentence);
      return line.root;
    });
    if (kept.some((line, place) => this.lightRoot.children[place] !== line)
      || this.lightRoot.children.length !== kept.length) put(this.lightRoot, kept);
  }

  showCharts(view) {
    const seen = causes.filter(cause => cause === "dropped"
      ? view.result.requests.dropped > 0 : view.result.errors[cause] > 0);
    const kind = `${view.worker_lines.join()} ${seen} ${view.result.plan.schedule !== undefined}`;
    if (kind !== this.kind) this.makeCharts(view, seen);
    this.kind = kind;
    this.charts.isLive = this.isLive;
    this.charts.show([this.ordered]);
    const { response, service } = view.curves;
    this.curve.root.hidden = response === null;
    if (response) this.curve.show([response, service ?? []]);
  }

  makeCharts(view, seen) {
    const zoom = this.charts?.zoom ?? null;
    this.charts?.forget();
    this.curve?.forget();
    const isOpen = view.result.plan.schedule !== undefined;
    const common = timeSpecs();
    if (!isOpen) {
      common.rate.series = common.rate.series.filter(series => series.name !== "target");
      common.latency.series = common.latency.series.filter(series => series.name !== "service p99");
    }
    const lines = view.worker_lines;
    const specs = [common.rate, common.latency, common.heat, common.inFlight];
    const load = loadSpec(view.result);
    if (load) specs.push(load);
    if (seen.length > 0) specs.push(failureSpec(seen));
    specs.push(workerSpec("Workers: share of their CPU used", "linear", percent, lines,
      column => column.busy, 1));
    if (isOpen) {
      specs.push(workerSpec("Workers: how late requests left, p99", "log", duration, lines,
        column => column.lag_p99));
    }
    this.charts = new Charts(specs);
    this.charts.zoomTo(zoom);
    this.curve = new Charts([curveSpec(isOpen ? ["response", "service"] : ["response"])], nines);
    put(this.chartRoot, this.charts.root, this.curve.root);
  }

  showTables(result, fleet) {
    const share = number => result.requests.ok > 0
      ? number / result.requests.ok * result.rate.ok_per_s : null;
    const rows = result.requests_by_name.map(row =>
      ({ ...row, rate: share(row.ok), response: row.latency_ns.response }));
    const totals = {
      name: "All", sent: result.requests.sent, ok: result.requests.ok, not_ok: result.requests.not_ok,
      response: result.latency_ns.response, rate: result.rate.ok_per_s,
      bytes_body: result.bytes.body,
    };
    this.names.show(rows, rows.length > 1 ? totals : null,
      rest(result.name_count, rows.length, "names"));
    this.latency.show(Object.entries(result.latency_ns)
      .filter(([, summary]) => summary.count > 0).map(([name, summary]) => ({ name, ...summary })));
    this.checks.show(result.requests_by_name.flatMap(({ name, checks }) =>
      checks.map(one => ({ name, ...one }))));
    this.iterations.show(result.iterations ? [result.iterations] : []);
    this.failures.show(failures(result, this.ordered));
    this.workers.show(fleet ?? result.workers.map((worker, number) => ({ number, ...worker })), null,
      rest(result.worker_count, result.workers.length, "workers"));
    this.plan.show(planRows(result));
  }

  forget() {
    this.charts?.forget();
    this.curve?.forget();
  }
}

function rest(all, shown, noun) {
  return all > shown ? `${grouped(all - shown)} more ${noun} are in the JSON.` : "";
}

function failedShare(result) {
  const failed = result.requests.not_ok + result.errors.connect + result.errors.tls;
  const attempts = failed + result.requests.ok;
  return attempts > 0 ? failed / attempts : null;
}

function headline(result) {
  const { plan } = result;
  const parts = [plan.schedule === undefined ? "closed loop" : "open loop",
    count(plan.connections, plan.method === "scenario" ? "user" : "connection"), count(result.worker_count, "worker"),
    `${clock(result.measured_ns / 1e9)} measured`];
  if (result.started_at) parts.push(instant(result.started_at));
  parts.push(`${result.tool.name} ${result.tool.version}`);
  return parts.join(" · ");
}

// The value of an objective in the unit of what it is about.
function measure(objective) {
  const metric = objective.expression;
  if (metric.startsWith("errors")) return percent(objective.value);
  if (metric.startsWith("rate")) return `${rate(objective.value)}/s`;
  return duration(objective.value);
}

function nameTable() {
  const time = (name, key) => ({
    name, show: row => duration(row.response[key]), sort: row => row.response[key],
  });
  const number = (name, show, sort) => ({ name, show, sort });
  return new Table("Requests by name", [
    { name: "name", isText: true, show: row => row.name, sort: row => row.name },
    number("sent", row => grouped(row.sent), row => row.sent),
    number("ok", row => grouped(row.ok), row => row.ok),
    number("not ok", row => grouped(row.not_ok), row => row.not_ok),
    number("ok/s", row => rate(row.rate), row => row.rate),
    time("mean", "mean"), time("p50", "p50"), time("p95", "p95"), time("p99", "p99"),
    time("p99.9", "p99.9"), time("max", "max"),
    number("body", row => row.ok + row.not_ok > 0 ? bytes(row.bytes_body / (row.ok + row.not_ok)) : none,
      row => row.bytes_body / Math.max(1, row.ok + row.not_ok)),
  ], row => row.name);
}

function latencyTable() {
  const keys = ["mean", "stdev", "min", "p50", "p75", "p90", "p95", "p99", "p99.9", "p99.99", "max"];
  return new Table("Latency", [
    { name: "", isText: true, show: row => row.name.replaceAll("_", " ") },
    { name: "count", show: row => grouped(row.count) },
    ...keys.map(key => ({ name: key, show: row => duration(row[key]) })),
  ], row => row.name);
}

// Status codes that are no failure are told too: the table says what became of everything.
function failures(result, columns) {
  const seen = cause => {
    const found = columns.filter(column =>
      cause === "dropped" ? column.dropped > 0 : column.errors?.[cause] > 0);
    return found.length === 0 ? [null, null]
      : [found[0].start_ns / 1e9, found[found.length - 1].end_ns / 1e9];
  };
  const rows = Object.entries(result.errors).filter(([, number]) => number > 0)
    .map(([cause, number]) => ({ cause, number, seen: seen(cause), example: example(result, cause) }));
  if (result.requests.dropped > 0) {
    rows.push({ cause: "dropped", number: result.requests.dropped, seen: seen("dropped"),
      example: "due, and given up unsent" });
  }
  return rows;
}

function example(result, cause) {
  const { causes } = result;
  if (cause === "status") {
    const codes = Object.entries(result.status).filter(([code]) => Number(code) >= 400 || Number(code) < 200);
    return codes.map(([code, number]) => `${grouped(number)} × ${code}`).join(", ");
  }
  if (cause === "parse" && causes) {
    return causes.malformed.map(one => `${grouped(one.count)} × ${one.explanation}`).join("; ");
  }
  if (cause === "check" && causes?.samples) {
    return Object.entries(causes?.samples ?? {}).map(([kind, text]) => `${kind}: ${text}`).join("; ");
  }
  return "";
}

function checkTable() {
  return new Table("Checks that failed", [
    { name: "name", isText: true, show: row => row.name, sort: row => row.name },
    { name: "check", isText: true, show: row => row.check, sort: row => row.check },
    { name: "failed", show: row => grouped(row.failed), sort: row => row.failed },
  ], row => `${row.name} ${row.check}`);
}

function iterationTable() {
  return new Table("Iterations of users", [
    ...["started", "completed", "abandoned", "interrupted"].map(name =>
      ({ name, show: row => grouped(row[name]) })),
    ...["mean", "p50", "p95", "p99", "max"].map(name =>
      ({ name, show: row => duration(row.time_ns[name]) })),
  ], () => "all");
}

function failureTable() {
  return new Table("Failures", [
    { name: "cause", isText: true, show: row => row.cause },
    { name: "count", show: row => grouped(row.number), sort: row => row.number },
    { name: "first", show: row => clock(row.seen[0]), sort: row => row.seen[0] },
    { name: "last", show: row => clock(row.seen[1]), sort: row => row.seen[1] },
    { name: "what", isText: true, show: row => row.example },
  ], row => row.cause);
}

function workerTable() {
  return new Table("Workers", [
    { name: "worker", isText: true, show: row => row.number, sort: row => row.number },
    { name: "host", isText: true, show: row => row.host, sort: row => row.host },
    { name: "cpu", show: row => row.cpu ?? "any", sort: row => row.cpu },
    { name: "state", isText: true, sort: row => row.state ?? "",
      show: row => row.state ?? (row.lost ? "lost" : "ended") },
    { name: "connections", show: row => grouped(row.connections), sort: row => row.connections },
    { name: "busy", show: row => percent(row.busy_ratio), sort: row => row.busy_ratio },
    { name: "lag p99", show: row => duration(row.schedule_lag_p99_ns), sort: row => row.schedule_lag_p99_ns },
    { name: "sent", show: row => grouped(row.sent), sort: row => row.sent },
    { name: "ok", show: row => grouped(row.ok), sort: row => row.ok },
    { name: "not ok", show: row => grouped(row.not_ok), sort: row => row.not_ok },
    { name: "in flight", show: row => grouped(row.in_flight_at_stop), sort: row => row.in_flight_at_stop },
    { name: "lives", show: row => row.restarts === undefined ? row.incarnations.length : row.restarts + 1 },
  ], row => row.number);
}

function planTable() {
  return new Table("Plan", [
    { name: "", isText: true, show: row => row[0] }, { name: "", isText: true, show: row => row[1] },
  ], row => row[0]);
}

function planRows(result) {
  const { plan, requests } = result;
  const rows = [
    ["target", plan.destinations.join(", ")],
    ["protocol", `HTTP/${result.http?.version ?? "1.1"}${result.tls ? ` over TLS ${result.tls.version ?? ""}` : ""}`],
    ["timeout", duration(plan.timeout_ns)],
    ["warm-up, drain", `${duration(plan.warmup_ns)}, ${duration(plan.drain_ns)}`],
  ];
  if (plan.schedule) rows.push(["rate", scheduleWords(plan.schedule)]);
  if (result.changes) {
    const shown = result.changes.slice(-8).map(change =>
      `at ${clock(change.at_ns / 1e9)} to ${changeWords(change)}`);
    const left = result.changes.length - shown.length;
    rows.push(["changed", (left > 0 ? [`${count(left, "earlier change")}`] : []).concat(shown).join("; ")]);
  }
  if (plan.pipeline > 1) rows.push(["pipeline", grouped(plan.pipeline)]);
  if (plan.streams !== undefined) rows.push(["streams", grouped(plan.streams)]);
  for (const [name, codes] of [["gone away", result.http?.goaway_codes], ["streams reset", result.http?.reset_codes]]) {
    const parts = Object.entries(codes ?? {}).sort((one, other) => other[1] - one[1])
      .map(([code, times]) => `${grouped(times)} ${code}`);
    if (parts.length > 0) rows.push([name, parts.join(", ")]);
  }
  if (result.http?.sent_again > 0) rows.push(["sent again", grouped(result.http.sent_again)]);
  if (requests.dropped > 0) rows.push(["dropped", grouped(requests.dropped)]);
  if (requests.in_flight_at_stop > 0) rows.push(["in flight", grouped(requests.in_flight_at_stop)]);
  rows.push(["bytes in, out", `${bytes(result.bytes.received)}, ${bytes(result.bytes.sent)}`]);
  if (result.host.cpu_model) {
    rows.push(["host", `${result.host.cpu_model}, ${count(result.host.cpus, "CPU")}, `
      + `kernel ${result.host.kernel}`]);
  }
  if (result.backend) rows.push(["backend", result.backend]);
  if (result.run) rows.push(["run", result.run]);
  if (result.argv.length > 0) rows.push(["command", result.argv.join(" ")]);
  return rows;
}

export function scheduleWords(schedule) {
  const steps = [`${short(schedule.start_per_s)}/s`, ...schedule.stages.map(stage =>
    `${duration(stage.duration_ns)} to ${short(stage.end_per_s)}/s`)];
  return `${steps.join(", ")}, ${schedule.arrival} arrival`;
}

// A change of the load, of a result or of a status.
export function changeWords(change) {
  const perS = change.per_s ?? change.rate;
  const spawn = change.spawn_per_s ?? change.spawn_rate;
  return [
    perS === undefined ? null : `${rate(perS)} /s`,
    change.connections === undefined ? null : count(change.connections, "connection"),
    change.users === undefined ? null
      : count(change.users, "user") + (spawn === undefined ? "" : `, ${rate(spawn)} a second`),
  ].filter(part => part !== null).join(", ");
}
