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


def look_back(page, *ids):
    """History, one run, and a comparison."""
    page.go("#/history")
    rows = page.table("Runs")
    page.driver.find_element(By.ID, "filter").send_keys(ids[0])
    page.until("one run", "return document.querySelectorAll('tbody tr').length === 1")
    page.driver.find_element(By.ID, "filter").clear()
    page.driver.find_element(By.ID, "filter").send_keys(" ")
    page.until("all runs", "return document.querySelectorAll('tbody tr').length === a", len(rows))
    for line in page.driver.find_elements(By.CSS_SELECTOR, "tbody tr"):
        if "ended" in line.text:
            line.find_element(By.TAG_NAME, "input").send_keys(Keys.SPACE)
    page.press("Compare")
    page.text("95% interval")
    page.has_drawn()
    verdicts = [row[5] for row in page.table("B against A")]
    page.go(f"#/run/{ids[0]}")
    totals = page.table("Requests by name")[-1]
    page.has_drawn()
    narrow = [width for width in [360, 768, 1280, 3840] if page.is_overflowing(width)]
    page.driver.find_element(By.ID, "note").send_keys("a <b>note</b>")
    page.press("Save")
    page.text("saved")
    return {"rows": rows, "verdicts": verdicts, "totals": totals, "overflowing": narrow,
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


def fill(page, url, scenario):
    """A form for a run: checked while it is typed, and previewed."""
    page.go("#/new")
    page.until("the form", "return document.getElementById('url') !== null")
    find = lambda name: page.driver.find_element(By.ID, name)
    find("url").send_keys(url)
    find("duration").send_keys("5 parsecs")
    page.until("a complaint", "return document.getElementById('hint-duration').textContent.includes('parsecs')")
    marked = page.driver.execute_script(
        "return [...document.querySelectorAll('[aria-invalid]')].map(one => one.id)")
    find("duration").clear()
    find("duration").send_keys("5s")
    page.text("This can be: as fast as answers come, 64 connections, 5 s")
    page.press("Preview: send one of each")
    page.text("HTTP/1.1 200")
    page.driver.find_element(By.CSS_SELECTOR, "input[value=scenario]").click()
    find("scenario").send_keys(scenario)
    page.until("its place", "return document.getElementById('hint-scenario').textContent.includes('Line ')")
    return {"marked": marked, "hint": find("hint-scenario").text, "markup": page.markup(),
            "complaints": page.complaints()}


JOBS = {"fill": fill, "watch": watch, "change": change, "look-back": look_back, "sign-in": sign_in, "report": report}

if __name__ == "__main__":
    driver = browser()
    try:
        page = Page(driver, sys.argv[2])
        print(json.dumps(JOBS[sys.argv[1]](page, *sys.argv[3:])))
    finally:
        driver.quit()
