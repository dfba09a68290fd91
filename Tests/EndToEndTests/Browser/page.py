"""Does on the page what a person does, in Chromium, and prints what it saw as JSON.

usage: page.py JOB ADDRESS [ARGUMENT…]

Each wait is for something on the page, with a bound that a slow machine keeps.
"""

import json
import sys

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE_S = 60

# How many points of a canvas have something on them.
INK = """
    const ink = selector => {
      const one = document.querySelector(selector);
      if (!one || one.width === 0) return 0;
      const { data } = one.getContext('2d').getImageData(0, 0, one.width, one.height);
      let sum = 0;
      for (let place = 3; place < data.length; place += 4) if (data[place] > 0) sum += 1;
      return sum;
    };
"""

# What the first row of the first table says was sent.
SENT = """
    const row = document.querySelector('section.table tbody tr');
    const sent = row ? Number(row.children[1].textContent.replaceAll(',', '')) : 0;
"""


def browser():
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    for word in ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                 "--window-size=1280,900", "--disable-background-networking", "--no-first-run"]:
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
    driver.set_page_load_timeout(PATIENCE_S)
    return driver


class Page:
    def __init__(self, driver, address):
        self.driver = driver
        self.address = address
        driver.get(address)

    def until(self, what, script, *arguments):
        """Waits until a script answers with something true, and returns that."""
        body = "const [a, b] = arguments; " + script
        try:
            return WebDriverWait(self.driver, PATIENCE_S, poll_frequency=0.05).until(
                lambda driver: driver.execute_script(body, *arguments))
        except Exception:
            text = self.driver.execute_script("return document.body.innerText")
            raise SystemExit(f"not on the page: {what}\n{text}\n{self.complaints()}")

    def text(self, words):
        return self.until(words, "return document.body.innerText.includes(a)", words)

    def press(self, words):
        self.until(f"a button {words}", """
            const found = [...document.querySelectorAll('button, a.button')]
              .find(one => one.textContent.trim() === a && !one.disabled && one.offsetParent !== null);
            if (!found) return false;
            found.focus();
            return true;""", words)
        self.driver.switch_to.active_element.send_keys(Keys.ENTER)

    def go(self, place):
        self.driver.execute_script("location.hash = arguments[0]", place)

    def table(self, title):
        """Rows of a table as texts, its totals row last."""
        return self.until(f"a table {title}", """
            const found = [...document.querySelectorAll('section.table')]
              .find(one => one.querySelector('h2').textContent === a && !one.hidden);
            return found && [...found.querySelectorAll('tbody tr, tfoot tr')]
              .map(line => [...line.children].map(cell => cell.textContent));""", title)

    def rows_sent(self):
        return self.until("a row", SENT + "return sent;")

    def has_drawn(self):
        """Each chart that is on the screen has something on it."""
        self.until("something drawn", """
            const seen = [...document.querySelectorAll('canvas')].slice(0, 2);
            return seen.length > 0 && seen.every(one => one.width > 0 && one.getContext('2d')
              .getImageData(0, 0, one.width, one.height).data.some(value => value > 0));""")

    def is_overflowing(self, width, height=900):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})
        self.driver.execute_script(
            "return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return self.driver.execute_script(
            "return document.documentElement.scrollWidth > document.documentElement.clientWidth")

    def complaints(self):
        """What the browser complained of: errors of scripts, and what a policy forbade."""
        return [entry["message"] for entry in self.driver.get_log("browser")
                if entry["level"] == "SEVERE" and "Failed to load resource" not in entry["message"]
                and "ERR_CONNECTION" not in entry["message"] and "ERR_INCOMPLETE" not in entry["message"]]

    def markup(self):
        """What a hostile name would have made."""
        return self.driver.execute_script(
            "return [document.querySelectorAll('main img, main script').length, window.hacked ?? null]")


def watch(page, started_by="Start"):
    """Starts a run, watches it, stops it, and tells its last figures."""
    page.text("Workers are ready")
    page.press(started_by)
    page.until("running", "return document.getElementById('state').textContent === 'running'")
    page.has_drawn()
    page.until("rows", """
        const row = document.querySelector('section.table tbody tr');
        return row && Number(row.children[2].textContent.replaceAll(',', '')) > 0;""")
    lights = page.driver.execute_script(
        "return [...document.querySelectorAll('.lights b')].map(one => one.textContent)")
    page.press("Stop")
    page.until("its end", "return document.getElementById('state').textContent === 'ended'")
    return {"rows": page.table("Requests by name"), "lights": lights, "markup": page.markup(),
            "complaints": page.complaints()}


def change(page):
    """Changes the load of a run that goes on, with the keyboard alone."""
    page.text("Workers are ready")
    page.press("Start")
    page.until("running", "return document.getElementById('state').textContent === 'running'")
    page.press("Change load")
    labels = page.until("the form", """
        return [...document.querySelectorAll('#change label')].map(one => one.textContent);""")
    first = page.driver.switch_to.active_element
    first.send_keys("fast" + Keys.ENTER)
    page.until("a complaint", """
        const said = document.querySelector('#change [role=alert]');
        return !said.hidden && said.textContent.includes('fast');""")
    marked = page.driver.execute_script(
        "return [...document.querySelectorAll('[aria-invalid]')].map(one => one.id)")
    first.send_keys(Keys.CONTROL + "a")
    first.send_keys("700" + Keys.ENTER)
    page.text("Changed at")
    page.text("700 /s")
    first.send_keys(Keys.ESCAPE)
    focus = page.until("the button", """
        return document.getElementById('change').hidden && document.activeElement.textContent;""")
    narrow = [width for width in [360, 768, 1280] if page.is_overflowing(width)]
    page.press("Stop")
    page.until("its end", "return document.getElementById('state').textContent === 'ended'")
    return {"labels": labels, "marked": marked, "focus": focus, "overflowing": narrow,
            "markup": page.markup(), "complaints": page.complaints()}


def choose_label(page):
    """Chooses the first label there is, and tells all."""
    labels = page.until("labels", """
        const found = [...document.querySelectorAll('#label option')].map(one => one.textContent);
        return found.length > 1 && found;""")
    page.driver.find_element(By.ID, "label").send_keys(Keys.ARROW_DOWN)
    return labels


def look_back(page, *ids):
    """History, one run, and a comparison."""
    page.go("#/history")
    rows = page.table("Runs")
    page.driver.find_element(By.ID, "filter").send_keys(ids[0])
    page.until("one run", "return document.querySelectorAll('tbody tr').length === 1")
    page.driver.find_element(By.ID, "filter").clear()
    page.driver.find_element(By.ID, "filter").send_keys(" ")
    page.until("all runs", "return document.querySelectorAll('tbody tr').length === a", len(rows))
    labels = choose_label(page)
    page.until("one run of that label", "return document.querySelectorAll('tbody tr').length === 1")
    page.driver.find_element(By.CSS_SELECTOR, "#label").send_keys(Keys.HOME)
    page.until("all runs again", "return document.querySelectorAll('tbody tr').length === a", len(rows))
    page.text("Trend over runs of one plan")
    page.until("a trend", INK + "return ink('.trend canvas') > 0;")
    figure = page.until("its picture", "return document.querySelector('.trend canvas').toDataURL()")
    page.driver.find_element(By.ID, "trend-metric").send_keys("ok")
    page.until("another figure", "return document.querySelector('.trend canvas').toDataURL() !== a", figure)
    heads = "return [...document.querySelectorAll('thead th')].map(one => one.textContent)"
    before = page.driver.execute_script(heads)
    page.driver.find_element(By.CSS_SELECTOR, ".menu summary").send_keys(Keys.ENTER)
    for name in ["p50", "hosts"]:
        page.driver.find_element(By.XPATH, f"//label[normalize-space()='{name}']/input").send_keys(Keys.SPACE)
    page.driver.refresh()
    page.table("Runs")
    after = page.driver.execute_script(heads)
    for line in page.driver.find_elements(By.CSS_SELECTOR, "tbody tr"):
        if "ended" in line.text:
            line.find_element(By.TAG_NAME, "input").send_keys(Keys.SPACE)
    page.press("Compare")
    page.text("95% interval")
    page.has_drawn()
    verdicts = [row[-1] for row in page.table("B against A")]
    bars = page.driver.execute_script("return document.querySelectorAll('svg.interval').length")
    lines = page.driver.execute_script(
        "return [...document.querySelector('.charts .legend').querySelectorAll('.key')].map(one => one.innerText.trim())")
    page.go(f"#/run/{ids[0]}")
    totals = page.table("Requests by name")[-1]
    page.has_drawn()
    narrow = [width for width in [360, 768, 1280, 3840] if page.is_overflowing(width)]
    page.driver.find_element(By.ID, "note").send_keys("a <b>note</b>")
    page.press("Save")
    page.text("saved")
    return {"rows": rows, "labels": labels, "columns": [before, after], "bars": bars, "lines": lines, "verdicts": verdicts, "totals": totals, "overflowing": narrow,
            "markup": page.markup(), "complaints": page.complaints()}


def sign_in(page, token):
    page.text("Sign in")
    field = page.driver.find_element(By.ID, "token")
    field.send_keys("not the token at all, really")
    page.press("Sign in")
    page.text("this is not the token")
    field.clear()
    field.send_keys(token)
    page.press("Sign in")
    page.text("waiting")
    cookies = page.driver.get_cookies()
    page.driver.refresh()
    page.text("waiting")
    page.press("Sign out")
    page.text("Sign in")
    return {"cookies": cookies, "address": page.driver.current_url, "complaints": page.complaints()}


def report(page):
    """The HTML report, as a file."""
    page.has_drawn()
    charts = page.driver.find_element(By.CSS_SELECTOR, ".charts")
    charts.send_keys(Keys.ARROW_RIGHT)
    page.until("the cursor", "return [...document.querySelectorAll('.cursor')].some(one => !one.hidden)")
    told = page.driver.execute_script("return document.querySelector('[role=status]').textContent")
    charts.send_keys("+")
    page.until("zoom", "return !document.querySelector('button.whole').hidden")
    charts.send_keys(Keys.ESCAPE)
    page.until("no zoom", "return document.querySelector('button.whole').hidden")
    names = page.table("Requests by name")
    return {"told": told, "rows": names, "markup": page.markup(), "complaints": page.complaints(),
            "requests": page.driver.execute_script(
                "return performance.getEntriesByType('resource').map(one => one.name)")}


def fill(page, url, scenario, staged):
    """A form for a run: filled with that of the command line, checked and drawn while it is typed, previewed."""
    page.go("#/new")
    page.until("the form, filled", "return document.getElementById('url')?.value === a", url)
    find = lambda name: page.driver.find_element(By.ID, name)
    find("duration").send_keys("5 parsecs")
    page.until("a complaint", "return document.getElementById('hint-duration').textContent.includes('parsecs')")
    marked = page.driver.execute_script(
        "return [...document.querySelectorAll('[aria-invalid]')].map(one => one.id)")
    find("duration").clear()
    find("duration").send_keys("5s")
    page.text("This can be: as fast as answers come, 64 connections, 5 s")
    page.text("Connections over the run")
    page.until("a drawing", INK + "return ink('.drawing canvas') > 0;")
    find("rate").send_keys("100:5k")
    page.text("Requests per second over the run")
    drawn = page.until("a ramp", INK + "return ink('.drawing canvas') > 0 && "
                       "document.querySelector('.drawing canvas').toDataURL();")
    find("rate").clear()
    find("rate").send_keys("100")
    find("stages").send_keys("2s:2k, 1s:2k, 2s:0")
    page.until("stages", "return ![a, null].includes(document.querySelector('.drawing canvas')?.toDataURL() ?? null)", drawn)
    page.text("2.00 s to 0/s")
    find("stages").clear()
    page.press("Preview: send one of each")
    page.text("HTTP/1.1 200")
    narrow = [width for width in [360, 768, 1280, 2560] if page.is_overflowing(width)]
    page.is_overflowing(1280)
    page.driver.find_element(By.CSS_SELECTOR, "input[value=scenario]").click()
    find("scenario").send_keys(scenario)
    page.until("its place", "return document.getElementById('hint-scenario').textContent.includes('Line ')")
    hint = find("hint-scenario").text
    find("url").clear()
    find("scenario").clear()
    find("scenario").send_keys(staged)
    page.text("Users over the run")
    return {"marked": marked, "hint": hint, "overflowing": narrow, "markup": page.markup(),
            "complaints": page.complaints()}


def again(page):
    """A run that is described in the form, and one more of the same."""
    page.text("Workers are ready")
    page.go("#/new")
    page.until("the form, filled", "return document.getElementById('duration')?.value !== ''")
    field = page.driver.find_element(By.ID, "connections")
    field.clear()
    field.send_keys("3")
    field.send_keys(Keys.ENTER)
    for _ in range(2):
        page.until("its end", "return document.getElementById('state').textContent === 'ended'")
        shown = page.driver.execute_script("return document.querySelector('.run header .muted').textContent")
        page.press("Run again")
        page.until("another", "return document.getElementById('state').textContent !== 'ended'")
    page.until("its end", "return document.getElementById('state').textContent === 'ended'")
    page.press("New run like this")
    filled = page.until("the form, filled", "return document.getElementById('connections')?.value")
    return {"shown": shown, "filled": filled, "complaints": page.complaints()}


def lose(page):
    """The master is lost while a run goes on and comes back; nobody touches the page. Its stages go to
    standard error."""
    def tell(stage):
        print(f"page: {stage}", file=sys.stderr, flush=True)

    page.text("Workers are ready")
    page.press("Start")
    page.until("running", "return document.getElementById('state').textContent === 'running'")
    page.table("Requests by name")
    tell("running")
    page.until("the loss", "return document.getElementById('state').textContent.startsWith('no connection')")
    page.text("Nobody answers since")
    tell("lost")
    page.until("running again", "return document.getElementById('state').textContent === 'running'")
    page.until("no complaint", "return !document.body.innerText.includes('Nobody answers since')")
    before = page.rows_sent()
    page.until("more than before", SENT + "return sent > a;", before)
    tell("back")
    page.press("Stop")
    page.until("its end", "return document.getElementById('state').textContent === 'ended'")
    return {"rows": page.table("Requests by name"), "complaints": page.complaints()}


def audit(page, axe, *places):
    """What axe has against each place that is serious or worse, in both colour schemes, narrow and wide."""
    with open(axe, encoding="utf-8") as file:
        source = file.read()
    page.driver.set_script_timeout(PATIENCE_S)
    found = []
    for scheme, width in [("light", 1280), ("dark", 1280), ("light", 360)]:
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": scheme}]})
        page.is_overflowing(width)
        for place in places:
            # With a word that must be on it, so that an empty page is no good one.
            place, words = place.split("=", 1)
            page.go(place)
            page.until(words, "return document.getElementById('content').textContent.includes(a)", words)
            page.driver.execute_script(source)
            answer = page.driver.execute_async_script("""
                const done = arguments[arguments.length - 1];
                axe.run({resultTypes: ["violations"]}).then(done, error => done({failed: String(error)}));""")
            if "failed" in answer:
                raise SystemExit(answer["failed"])
            found += [f"{scheme} {width} {place}: {one['id']} ({one['help']}) at {one['nodes'][0]['target']}"
                      for one in answer["violations"] if one["impact"] in ("serious", "critical")]
    return {"found": found, "rules": len(page.driver.execute_script("return axe.getRules()")),
            "complaints": page.complaints()}


def arrive(page):
    """How soon something is on the page and how much it weighs, with nothing in the cache."""
    page.driver.execute_cdp_cmd("Network.enable", {})
    page.driver.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})
    paints, weight = [], None
    # More often than a browser has connections to a server: pages that were left hold none.
    for _ in range(7):
        page.driver.get("about:blank")
        page.driver.get(page.address)
        paints.append(page.until("its first paint", """
            const found = performance.getEntriesByName('first-contentful-paint')[0];
            return found && found.startTime;"""))
        page.until("the page", "return document.querySelector('#content h1, #content .notice') !== null")
        weight = page.driver.execute_script("""
            return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
              .reduce((sum, one) => sum + one.transferSize, 0);""")
    if max(paints) > 10_000:
        raise SystemExit(f"one load waited for a connection: {paints}")
    return {"paints": sorted(paints), "bytes": weight, "complaints": page.complaints()}


# A run of an hour with 50 names on 64 workers, made of one that was: what a master would send each second.
HOUR = """
window.hour = async (run) => {
  const view = await (await fetch(`/api/runs/${run}/view`)).json();
  const status = await (await fetch('/api/status')).json();
  let seed = 1;
  const chance = () => { seed = (seed * 48271) % 2147483647; return seed / 2147483647; };
  const model = view.columns.find(one => one.phase === 'measured');
  const column = index => {
    const ok = Math.round(model.ok * (0.8 + 0.4 * chance()));
    const p50 = 2e6 * (1 + chance()), p99 = p50 * (2 + 3 * chance());
    return {...model, index, phase: 'measured', start_ns: index * 1e9, end_ns: (index + 1) * 1e9, ok,
      not_ok: Math.round(3 * chance()), errors: {timeout: 1, status: 2}, p50, p90: p50 * 1.5, p99, max: p99 * 4,
      service_p99: p99 * 0.9, lag_p99: [2e4, 4e4, 9e4], busy: [0.2, 0.3, 0.5 + 0.2 * chance()], workers: 64,
      target_per_s: model.ok, heat: Array.from({length: 24}, (_, row) => [88 + row, 1 + Math.round(900 * chance())])
        .flat()};
  };
  const names = Array.from({length: 50}, (_, number) => `GET /things/${number}/of/a/name`);
  const name = view.result.requests_by_name[0];
  const worker = view.result.workers[0];
  const fleet = second => Array.from({length: 64}, (_, number) => ({number, host: `host-${number >> 3}`, cpu: number % 8,
    state: 'running', connections: 16, busy_ratio: 0.3 + 0.4 * chance(), schedule_lag_p99_ns: 2e4 + 1e5 * chance(),
    sent: 1000 * second + number, ok: 1000 * second, not_ok: number, in_flight_at_stop: 3, restarts: 0}));
  const result = second => ({...view.result, run: 'feedfeedfeedfeed', measured_ns: second * 1e9,
    errors: {...view.result.errors, timeout: second, status: 2 * second},
    requests: {...view.result.requests, sent: 64000 * second, ok: 63990 * second, not_ok: 3 * second},
    requests_by_name: names.map(one => ({...name, name: one, sent: Math.round(1280 * second * chance()),
      ok: Math.round(1270 * second * chance()), not_ok: second,
      latency_ns: {...name.latency_ns, response: {...name.latency_ns.response, p50: 2e6 * (1 + chance()),
        p95: 5e6 * (1 + chance()), p99: 8e6 * (1 + chance()), 'p99.9': 2e7 * (1 + chance()), max: 4e7}}})),
    workers: Array.from({length: 64}, () => worker), worker_count: 64, name_count: 50});
  const curve = () => Array.from({length: 161}, (_, step) => [10 ** (step / 30), 2e6 + 3e5 * step * chance()]);
  const picture = (second, columns) => ({...view, result: result(second), columns,
    worker_lines: ['lowest', 'median', 'highest'], curves: {response: curve(), service: curve()}});
  const all = Array.from({length: 3600}, (_, index) => column(index));
  window.shown = 3600;
  const event = second => JSON.stringify({...status, state: 'running', run: 'feedfeedfeedfeed', elapsed_ns: second * 1e9,
    view: picture(second, all.slice(Math.max(0, second - 5), second)), fleet: fleet(second), log: []});
  window.whole = second => JSON.stringify(picture(second, all.slice(0, second)));
  window.events = event;
  const answer = text => Promise.resolve(new Response(text, {headers: {'Content-Type': 'application/json'}}));
  const real = window.fetch;
  window.fetch = (path, ...rest) => {
    if (path === '/api/runs/feedfeedfeedfeed/view') return answer(window.whole(window.shown));
    if (path === '/api/status') {
      const {view, fleet, log, ...small} = JSON.parse(event(Math.max(1, window.shown)));
      return answer(JSON.stringify(small));
    }
    return real(path, ...rest);
  };
  window.EventSource = class {
    constructor() { window.source = this; this.readyState = 1; setTimeout(() => this.onopen()); }
    close() { this.readyState = 2; }
  };
  window.feed = async (from, to, isDrawn) => {
    const frame = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    for (let second = from; second <= to; second += 1) {
      window.source.onmessage({data: event(second)});
      if (isDrawn || second % 20 === 0) await frame();
    }
    await frame();
  };
};
"""


def endure(page, run):
    """An hour's run on the page: CPU time of the browser's main thread for an update, and its memory."""
    driver = page.driver
    driver.set_script_timeout(300)
    driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})

    def metrics():
        driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
        found = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        return {one["name"]: one["value"] for one in found}

    def wait(script, *arguments):
        answer = driver.execute_async_script(
            "const done = arguments[arguments.length - 1]; const [a, b, c] = arguments;"
            f"(async () => {{ {script} }})().then(() => done(null), error => done(String(error)));", *arguments)
        if answer:
            raise SystemExit(answer)

    def show(seconds):
        page.go("#/new")
        page.until("the form", "return document.getElementById('url') !== null")
        driver.execute_script("window.shown = arguments[0]", seconds)
        page.go("#/live")
        page.until("the run", "return document.querySelectorAll('section.table tbody tr').length > 100")

    driver.execute_script(HOUR)
    wait("await window.hour(a);", run)
    seen = {}
    for width, height in [(1280, 900), (2560, 1440)]:
        page.is_overflowing(width, height)
        show(3600)
        page.has_drawn()
        # What an event costs to make is not the page's: it is taken off.
        wait("await window.feed(3500, 3520, true);")
        updates = 60
        # The collector's time for what was before is not that of an update.
        metrics()
        before = metrics()
        wait("await window.feed(a, b, true);", 3521, 3520 + updates)
        after = metrics()
        wait("for (let second = a; second <= b; second += 1) window.made = window.events(second);", 3521, 3520 + updates)
        made = metrics()
        spent = lambda name: ((after[name] - before[name]) - (made[name] - after[name])) / updates * 1e3
        seen[str(width)] = {name: round(spent(name), 2) for name in [
            "TaskDuration", "ScriptDuration", "LayoutDuration", "RecalcStyleDuration"]}
    page.is_overflowing(1280, 900)
    show(3600)
    fetched = metrics()
    show(1)
    wait("await window.feed(2, 300, false);")
    early = metrics()
    wait("await window.feed(301, 3600, false);")
    late = metrics()
    kept = ["JSHeapUsedSize", "Nodes", "JSEventListeners"]
    seen["fetched"] = {name: fetched[name] for name in kept}
    seen["early"] = {name: early[name] for name in kept}
    seen["late"] = {name: late[name] for name in kept}
    return {**seen, "complaints": page.complaints()}


JOBS = {"again": again, "arrive": arrive, "audit": audit, "change": change, "endure": endure, "fill": fill, "look-back": look_back,
        "lose": lose, "report": report, "sign-in": sign_in, "watch": watch}

if __name__ == "__main__":
    driver = browser()
    try:
        page = Page(driver, sys.argv[2])
        print(json.dumps(JOBS[sys.argv[1]](page, *sys.argv[3:])))
    finally:
        driver.quit()
