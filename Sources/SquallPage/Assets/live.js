import { ask, Problem } from "./api.js";
import { ChangeLoad } from "./change.js";
import { h, menu, put, say } from "./dom.js";
import { clock, count, instant } from "./format.js";
import { downloads, orderOf } from "./history.js";
import { RunPage } from "./run.js";

// The run that goes on.

const firstPauseMs = 500;
const longestPauseMs = 5_000;

// Nobody there, a server that comes up or is too busy: what a second try may mend.
function isPassing(status) { return status === 0 || status === 429 || status >= 500; }

export class Live {
  constructor(tell) {
    this.tell = tell;
    this.page = null;
    this.run = null;
    this.elapsed = h("span", { class: "muted" });
    this.start = h("button", { type: "button", class: "main", hidden: true, onclick: () => this.command("start") },
      "Start");
    this.stop = h("button", { type: "button", class: "stop", hidden: true, onclick: () => this.command("stop") },
      "Stop");
    this.repeat = h("button", { type: "button", class: "main", hidden: true,
      onclick: () => this.command("start", this.order) }, "Run again");
    this.like = h("a", { class: "button", hidden: true }, "New run like this");
    this.share = h("span", { hidden: true });
    this.change = new ChangeLoad(status => this.take(status));
    this.problem = h("p", { class: "notice bad", role: "alert", hidden: true });
    this.waiting = h("p", { class: "notice", hidden: true });
    this.lost = h("p", { class: "notice bad", role: "status", hidden: true });
    this.pauseMs = firstPauseMs;
    this.place = h("div");
    this.log = h("ol", { class: "log", tabindex: 0, "aria-label": "Log" });
    this.logRoot = h("section", { class: "table", hidden: true }, h("h2", null, "Log"), this.log);
    this.lastLine = 0;
    // A browser has six connections to a server and no more, for all its tabs: a page that nobody sees holds none.
    this.seen = () => { if (document.hidden) this.rest(); else this.wake(); };
    document.addEventListener("visibilitychange", this.seen);
    this.isResting = document.hidden;
    this.root = h("div", null,
      h("div", { class: "actions" }, this.start, this.repeat, this.stop, this.change.button, this.like, this.share,
        h("span", { class: "grow" }), this.elapsed),
      this.change.root, this.problem, this.lost, this.waiting, this.place, this.logRoot);
  }

  begin() { return this.again(); }

  // Null while there is no run.
  async status() {
    try {
      return await ask("/api/status");
    } catch (error) {
      if (error instanceof Problem && error.status === 503) return null;
      throw error;
    }
  }

  idle() {
    this.tell("no run");
    this.waiting.hidden = false;
    put(this.waiting, "No run goes on. ", h("a", { href: "#/new" }, "Begin one"), ", or look at ",
      h("a", { href: "#/history" }, "those that were"), ".");
  }

  listen() {
    this.source?.close();
    this.source = new EventSource("/api/live");
    this.source.onopen = () => this.found();
    this.source.onmessage = event => this.take(JSON.parse(event.data)).catch(error => this.fail(error));
    // A browser tries again by itself only where a connection broke, and never where a server that is just
    // coming up refuses: so that is done here for both.
    this.source.onerror = () => this.lose();
  }

  rest() {
    this.isResting = true;
    this.source?.close();
    clearTimeout(this.later);
  }

  wake() {
    if (!this.isResting) return;
    this.isResting = false;
    this.again().catch(error => this.fail(error));
  }

  lose() {
    this.source?.close();
    if (this.isForgotten || this.isResting) return;
    if (!this.hasEnded) {
      this.tell("no connection: trying again");
      if (this.lost.hidden) {
        say(this.lost, `Nobody answers since ${instant(new Date())}: the master has ended, or the network is down. `
          + "What is shown is from before; this page goes on by itself.");
      }
      this.lost.hidden = this.run === null;
    }
    this.later = setTimeout(() => this.again(), this.pauseMs);
    this.pauseMs = Math.min(2 * this.pauseMs, longestPauseMs);
  }

  found() {
    this.pauseMs = firstPauseMs;
    this.lost.hidden = true;
    this.problem.hidden = true;
    this.tell(this.word ?? "");
  }

  // Where it stands, and then what is new. Whoever has to sign in first comes back here.
  async again() {
    try {
      const status = await this.status();
      if (this.isForgotten) return;
      if (status) await this.take(status); else this.idle();
      if (!this.isForgotten && !this.isResting) this.listen();
    } catch (error) {
      if (!(error instanceof Problem && isPassing(error.status))) throw error;
      this.lose();
    }
  }

  // A status or an event, which has a view too.
  async take(figures) {
    if (this.isForgotten) return;
    if (figures.run === null) {
      this.showState(figures);
      if (figures.log) this.showLog(figures.log);
      return;
    }
    if (figures.run !== this.run) {
      this.run = figures.run;
      this.page?.forget();
      this.page = new RunPage(true);
      this.isFetching = false;
      this.hasAll = false;
      this.isWhole = false;
      put(this.place, this.page.root);
      this.share.hidden = false;
      put(this.share, menu("Share and download", downloads(this.run)));
      this.order = null;
      this.like.setAttribute("href", `#/new/${this.run}`);
      orderOf(this.run).then(order => {
        if (this.isForgotten || this.run !== figures.run) return;
        this.order = order;
        this.showState(this.figures);
      }, () => null);
    }
    this.showState(figures);
    if (figures.log) this.showLog(figures.log);
    if (figures.view && !this.isWhole) {
      this.fleet = figures.fleet;
      const hasGap = this.page.misses(figures.view);
      this.page.show(figures.view, figures.fleet);
      if (!hasGap && this.hasAll && !this.hasEnded && !this.page.isFull) return;
    } else if (this.isWhole) {
      return;
    }
    await this.fetchAll();
  }

  // The whole run: when it is met in its middle, when events were missed, and once it is over.
  async fetchAll() {
    if (this.isFetching) return;
    this.isFetching = true;
    const { run, hasEnded } = this;
    try {
      const view = await ask(`/api/runs/${run}/view`);
      if (run !== this.run || this.isForgotten) return;
      this.hasAll = true;
      this.isWhole = hasEnded;
      this.page.isLive = !hasEnded;
      this.page.show(view, hasEnded ? null : this.fleet ?? null, true);
    } catch (error) {
      // A master that ends with its run has told the end already.
      if (!(hasEnded && error instanceof Problem && error.status === 0)) throw error;
    } finally {
      this.isFetching = false;
    }
    if (this.hasEnded && !hasEnded) await this.fetchAll();
  }

  showState(figures) {
    this.figures = figures;
    const { state } = figures;
    const words = {
      waiting: `waiting: ${count(figures.workers_ready, "worker")} ready`, preparing: "preparing",
      running: "running", collecting: "collecting the last counts", ended: "ended",
    };
    this.word = words[state] ?? state;
    this.hasEnded = state === "ended";
    if (!this.hasEnded) this.isWhole = false;
    this.tell(this.word);
    // A master that was started again may have no run while this page still shows one.
    const isFirst = state === "waiting";
    this.start.hidden = !isFirst && state !== "ended";
    this.start.disabled = figures.workers_ready === 0;
    this.change.show(figures);
    this.stop.hidden = state !== "running" && state !== "preparing";
    this.repeat.hidden = this.like.hidden = state !== "ended" || !this.order;
    if (!this.repeat.hidden) this.start.hidden = true;
    this.waiting.hidden = !isFirst;
    if (isFirst) {
      say(this.waiting, figures.workers_ready > 0
        ? "Workers are ready. Start sends the load."
        : "No worker is ready yet: start squall worker --master-host HOST on each host.");
    }
    say(this.elapsed, figures.elapsed_ns === null ? "" : clock(Math.floor(figures.elapsed_ns / 1e9)));
  }

  showLog(lines) {
    // A master that was started again counts anew.
    if (lines.length > 0 && lines[lines.length - 1].number < this.lastLine) this.lastLine = 0;
    for (const line of lines) {
      if (line.number <= this.lastLine) continue;
      this.lastLine = line.number;
      this.log.prepend(h("li", null, h("span", { class: "muted" }, `${instant(line.at)} `), line.text));
    }
    while (this.log.children.length > 200) this.log.lastChild.remove();
    this.logRoot.hidden = this.log.children.length === 0;
  }

  async command(name, document = {}) {
    this.problem.hidden = true;
    try {
      await this.take(await ask(`/api/${name}`, "POST", document));
    } catch (error) {
      this.fail(error);
    }
  }

  fail(error) {
    if (error instanceof Problem && error.status === 401) throw error;
    this.problem.hidden = false;
    say(this.problem, error.message);
    if (!(error instanceof Problem)) throw error;
  }

  forget() {
    this.isForgotten = true;
    document.removeEventListener("visibilitychange", this.seen);
    this.tell("");
    this.source?.close();
    clearTimeout(this.later);
    this.page?.forget();
  }
}
