import { ask, Problem } from "./api.js";
import { h, put, say } from "./dom.js";
import { NewRun } from "./form.js";
import { Compare, History, PastRun } from "./history.js";
import { Live } from "./live.js";

// The page: what the address names after #, in the element `content`.

const content = document.getElementById("content");
const state = document.getElementById("state");
const signOut = document.getElementById("sign-out");
let shown = null;

const pages = {
  live: () => new Live(words => say(state, words)),
  new: ids => new NewRun(ids[0]),
  history: () => new History(),
  run: ids => new PastRun(ids[0]),
  compare: ids => new Compare(ids),
};

function route() {
  // The link that skips to the content names an element, and no page.
  if (location.hash === "#content") return content.focus();
  const [, name, ids = ""] = location.hash.split("/");
  const page = Object.hasOwn(pages, name) ? pages[name] : pages.live;
  shown?.forget?.();
  for (const link of document.querySelectorAll("nav a")) {
    const isHere = link.dataset.page === (name in pages ? name : "live");
    if (isHere) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  shown = page(ids.split(",").filter(id => id !== ""));
  put(content, shown.root);
  shown.begin().catch(error => fail(error));
}

function fail(error) {
  if (error instanceof Problem && error.status === 401) return signIn();
  put(content, h("p", { class: "notice bad", role: "alert" }, error.message));
  if (!(error instanceof Problem)) throw error;
}

function signIn() {
  shown?.forget?.();
  const wrong = h("small", { id: "token-hint" }, "The secret that the master and its workers share.");
  const field = h("input", { id: "token", type: "password", autocomplete: "current-password", required: true,
    "aria-describedby": "token-hint" });
  const form = h("form", { class: "fields", onsubmit: async event => {
    event.preventDefault();
    try {
      await ask("/api/session", "POST", { token: field.value.trim() });
      signOut.hidden = false;
      route();
    } catch (error) {
      wrong.className = "bad";
      say(wrong, error.message);
      field.setAttribute("aria-invalid", "true");
      field.select();
    }
  } }, h("div", { class: "field half" }, h("label", { for: "token" }, "Token"), field, wrong),
  h("div", { class: "field wide" }, h("div", null, h("button", { class: "main" }, "Sign in"))));
  put(content, h("h1", null, "Sign in"), form);
  field.focus();
}

signOut.addEventListener("click", async () => {
  await ask("/api/session", "DELETE").catch(() => null);
  signOut.hidden = true;
  signIn();
});

addEventListener("hashchange", route);
addEventListener("unhandledrejection", event => {
  if (event.reason instanceof Problem && event.reason.status === 401) {
    event.preventDefault();
    signIn();
  }
});
ask("/api/session").then(session => { signOut.hidden = !session.is_signed_in; }, () => null);
route();
