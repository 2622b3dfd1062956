"""The page that `run --report` writes, in a headless Chromium.

Skipped where there is no browser with its driver; with CI set, that fails.
"""

import json
import os
import pathlib
import shutil
import tempfile

from absl.testing import absltest
import jax
from jax import lax
import numpy as np

import jax_cse
from jax_cse.report import run_report

BROWSER = next(filter(None, map(shutil.which, (
    "chromium", "google-chrome", "chromium-browser"))), None)
DRIVER = shutil.which("chromedriver")
X = np.arange(6, dtype="float32").reshape(2, 3)


def projections(x, w):
  first = lax.sin(x) @ w
  second = lax.sin(x) @ w
  return first * second


def loop(x):
  def step(c, _):
    return c * lax.cos(c) + lax.cos(c), None
  y = lax.optimization_barrier(x) + lax.optimization_barrier(x)
  return lax.scan(step, y, length=3)


def unique(x):
  return lax.sin(x)


PROGRAMS = ((unique, (X,)), (projections, (X, X.T.copy())), (loop, (X,)))


class PageTest(absltest.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    if not (BROWSER and DRIVER):
      missing = "chromium or google-chrome, and chromedriver, are not on PATH"
      if os.environ.get("CI"):
        raise AssertionError(missing)
      raise cls.skipTest(cls, missing)
    from selenium import webdriver
    folder = tempfile.TemporaryDirectory()
    cls.addClassCleanup(folder.cleanup)
    cls.page = pathlib.Path(folder.name) / "out.html"
    with jax_cse.enabled() as memo:
      with run_report.written(str(cls.page), "p.py", "python p.py", "exact",
                              memo.stats):
        for fun, args in PROGRAMS:
          jax.jit(fun)(*args)
    cls.reports = [jax_cse.redundancy(fun)(*args) for fun, args in PROGRAMS]
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox",
                     "--disable-dev-shm-usage", "--window-size=1280,900"):
      options.add_argument(argument)
    options.set_capability("goog:loggingPrefs",
                           {"browser": "ALL", "performance": "ALL"})
    cls.browser = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    cls.addClassCleanup(cls.browser.quit)

  def setUp(self):
    super().setUp()
    self.emulate(width=1280, scheme="light")
    self.browser.get("about:blank")
    self.browser.get(self.page.as_uri())

  def tearDown(self):
    self.assertEmpty(self.browser.get_log("browser"))
    super().tearDown()

  def emulate(self, width, scheme):
    self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
        "width": width, "height": 900, "deviceScaleFactor": 1,
        "mobile": False})
    self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {
        "features": [{"name": "prefers-color-scheme", "value": scheme}]})

  def all(self, selector):
    return self.browser.find_elements("css selector", selector)

  def shown(self, selector):
    return [e for e in self.all(selector) if e.is_displayed()]

  def choose(self, selector, value):
    from selenium.webdriver.support.select import Select
    element, = self.shown(selector)
    Select(element).select_by_value(value)

  def names(self):
    return [e.text for e in self.shown("section.function > h2")]

  def marked_lines(self):
    return [int(e.text) for e in self.shown(".source tr.picked .number")]

  def labels(self, selector):
    return [e.text for e in self.shown(f"{selector} text:not(.t)")]

  def test_asks_for_nothing_else(self):
    self.browser.get_log("performance")
    self.browser.get("about:blank")
    self.browser.get(self.page.as_uri())
    self.shown("#function")
    events = [json.loads(entry["message"])["message"]
              for entry in self.browser.get_log("performance")]
    self.assertEqual([event["params"]["request"]["url"] for event in events
                      if event["method"] == "Network.requestWillBeSent"],
                     ["about:blank", self.page.as_uri()][-1:])

  def test_the_first_with_findings_is_shown(self):
    self.assertEqual(self.names(), ["projections"])

  def test_the_chooser(self):
    self.choose("#function", "1")
    self.assertEqual(self.names(), ["unique"])
    self.assertEmpty(self.shown(".findings"))
    self.assertEqual(self.labels(".graph-frame .n:not(.in):not(.out)"),
                     ["sin", "sin"])
    self.choose("#function", "3")
    self.assertEqual(self.names(), ["loop"])
    self.assertLen(self.shown(".findings tbody tr"), 2)
    self.assertIn("scan", self.labels(".graph-frame"))

  def test_links_choose_too(self):
    self.all(".functions a")[2].click()
    self.assertEqual(self.names(), ["loop"])
    self.browser.back()
    self.all(".functions a")[0].click()
    self.assertEqual(self.names(), ["unique"])
    self.browser.get("about:blank")
    self.browser.get(self.page.as_uri() + "#function-3")
    self.assertEqual(self.names(), ["loop"])

  def test_a_finding_has_an_address(self):
    self.browser.get("about:blank")
    self.browser.get(self.page.as_uri() + "#function-2-finding-1")
    self.assertEqual(self.names(), ["projections"])
    self.assertLen(self.marked_lines(), 2)

  def test_the_chooser_of_graphs(self):
    self.choose("#function", "3")
    self.assertNotIn("cos", self.labels(".graph-frame"))
    self.choose("select.pictures", "2")
    self.assertEqual(sorted(self.labels(
        ".picture figure:first-child .n:not(.in):not(.out)")),
        ["add", "cos", "cos", "mul"])
    self.assertEqual(sorted(self.labels(
        ".picture figure:last-child .n:not(.in):not(.out)")),
        ["add", "cos", "mul"])

  def test_a_finding_marks_both_lines(self):
    finding, = self.reports[1].findings
    button, = self.shown(".findings [data-finding]")
    button.click()
    self.assertEqual(self.marked_lines(),
                     [finding.first.number, finding.line.number])
    self.assertEqual(button.get_attribute("aria-pressed"), "true")
    self.assertEqual(sorted(self.labels("figure:first-child .n.picked")),
                     ["dot_general", "dot_general", "sin", "sin"])
    self.assertEqual(sorted(self.labels("figure:last-child .n.picked")),
                     ["dot_general", "sin"])
    button.click()
    self.assertEmpty(self.all(".picked"))

  def test_a_line_marks_its_findings(self):
    row, = list(self.shown(".source tr.again"))
    row.find_element("css selector", ".code").click()
    self.assertLen(self.shown(".findings tr.picked"), 1)
    self.assertLen(self.marked_lines(), 2)

  def test_a_finding_shows_the_graph_that_it_is_in(self):
    self.choose("#function", "3")
    self.assertEqual(
        [f.primitives for f in self.reports[2].findings], [{"cos": 1}])
    self.shown(".findings [data-finding='1']")[0].click()
    self.assertEqual(self.labels("figure:first-child .n.picked"),
                     ["cos", "cos"])
    self.shown(".findings [data-finding='2']")[0].click()
    self.assertEqual(self.labels("figure:first-child .n.apart.picked"),
                     ["optimization_barrier"])

  def test_the_keyboard_is_enough(self):
    from selenium.webdriver.common.keys import Keys
    self.shown("svg .n.again")[0].send_keys(Keys.ENTER)
    self.assertLen(self.marked_lines(), 2)
    self.shown(".findings [data-finding]")[0].send_keys(Keys.ESCAPE)
    self.assertEmpty(self.all(".picked"))
    self.shown(".findings [data-finding]")[0].send_keys(Keys.SPACE)
    self.assertLen(self.marked_lines(), 2)

  def test_zoom(self):
    width = lambda: self.shown("svg.graph")[0].size["width"]
    before = width()
    self.shown("[data-zoom=in]")[0].click()
    self.assertAlmostEqual(width() / before, 1.25, places=2)
    self.shown("[data-zoom=out]")[0].click()
    self.assertAlmostEqual(width() / before, 1, places=2)

  def test_the_numbers_are_those_of_redundancy(self):
    number = lambda text: (
        None if text == "–" else int(text.replace(",", "")))
    rows = self.all("table.functions tbody tr")
    for i, (report, row) in enumerate(zip(self.reports, rows, strict=True)):
      cells = [e.text for e in row.find_elements("css selector", "td.n")]
      self.assertEqual([*map(number, cells[:5])],
                       [report.plain, report.merged, *report.flops])
      self.assertLen(cells, 8)
      for seconds in cells[5:]:
        self.assertGreaterEqual(float(seconds), 0)
      self.choose("#function", str(i + 1))
      table = [[number(e.text) for e in
                row.find_elements("css selector", "td.n")]
               for row in self.shown(".findings tbody tr")]
      self.assertEqual(table, [
          [f.equations, f.flops, f.nbytes]
          for f in (*report.findings, *report.not_merged)])
      counts = [[number(e.text) for e in
                 row.find_elements("css selector", "td.n")]
                for row in self.shown(".counts tbody tr")]
      self.assertEqual([sum(column) for column in zip(*counts)],
                       [report.plain, report.merged])

  def test_fits_its_window(self):
    for width in (1280, 420):
      for scheme in ("light", "dark"):
        self.emulate(width, scheme)
        for i in range(len(PROGRAMS)):
          self.choose("#function", str(i + 1))
          wide = self.browser.execute_script("""
              const root = document.documentElement;
              return root.scrollWidth <= root.clientWidth ? [] : [
                root.scrollWidth, innerWidth, ...[
                  ...document.querySelectorAll("body *")].filter(
                    (e) => !e.closest(".scroll") && e.getBoundingClientRect()
                      .right > root.clientWidth).map((e) => e.outerHTML)]""")
          self.assertEmpty(wide, (width, scheme, i))

  def test_dark_is_dark(self):
    paper = lambda: self.browser.execute_script(
        "return getComputedStyle(document.body).backgroundColor")
    light = paper()
    self.emulate(1280, "dark")
    self.assertNotEqual(paper(), light)

  def test_without_javascript(self):
    self.browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled",
                                 {"value": True})
    try:
      self.browser.get("about:blank")
      self.browser.get(self.page.as_uri())
      self.assertEqual(self.names(), [f.__name__ for f, _ in PROGRAMS])
      self.assertLen(self.shown("svg.graph"), 2 * 4)
      self.assertEmpty(self.shown("select"))
    finally:
      self.browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled",
                                   {"value": False})


if __name__ == "__main__":
  absltest.main()
