"""The page of a report with many samples, in Chromium: its size, its first paint, and the time of a search.

The run is the scripted engine's, whose texts are about as long, and compress about as well, as those of a real run with
a small policy; it is kept under plum-hub's home folder. The page is opened from a file; figures are medians over the
rounds. Keys:

- page_mb: size of report.html (10^6 bytes);
- first_paint_s: from the navigation to the first paint that shows content;
- search_ms: from a change of the search to the list as it is then laid out: the slowest of the searches.

    scripts/bench report [--samples 20000] [--rounds 5]
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # first: a package of the extra eval brings a `tests` too

from releasing import rows

from tests.reports.browser import CHROMIUM, Browser

SEARCHES = ("function", "what add_word", "integer count_line sort_node", "no such words", "")
_SEARCH = """(() => {
  const input = document.querySelector('#search'), began = performance.now();
  input.value = %s;
  input.dispatchEvent(new Event('input'));
  document.querySelector('#list').getBoundingClientRect();
  return performance.now() - began;
})()"""
_OPEN = """(async () => {
  const before = document.querySelector('#open').textContent, began = performance.now();
  document.querySelectorAll('.row[aria-selected=false]')[4].click();
  while (document.querySelector('#open').textContent === before) await new Promise(requestAnimationFrame);
  return performance.now() - began;
})()"""


def paint(browser: Browser, page: str) -> float:
    """Return the seconds to the first paint of a page that is opened anew."""
    browser.open(page)
    browser.until("performance.getEntriesByName('first-contentful-paint').length")
    return float(browser.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")) / 1000


def main() -> None:
    """Measure, print a table, and end with one line of JSON."""
    from plum_hub import report
    from plum_hub.home import home

    parser = argparse.ArgumentParser(description="The page of a report in Chromium.")
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if CHROMIUM is None:
        sys.exit("Chromium is not installed:  apt-get install chromium")
    run = rows.made(home() / "bench-report", options.samples)
    with tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        written = report(run, out=Path(scratch) / "out", samples=options.samples)
        seconds = time.perf_counter() - began
        page = written.files[0]
        with Browser(Path(scratch) / "profile") as browser:
            browser.screen(1280, 900)

            def median(measure: Callable[[], float]) -> float:
                return statistics.median(measure() for _ in range(options.rounds))

            first = median(lambda: paint(browser, page.as_uri()))
            searches = {
                text: median(lambda text=text: float(browser.evaluate(_SEARCH % json.dumps(text))))  # type: ignore[misc]
                for text in SEARCHES
            }
            opening = statistics.median(float(browser.evaluate(_OPEN)) for _ in range(options.rounds))
        megabytes = page.stat().st_size / 1e6
    for text, took in searches.items():
        print(f"search {text!r:35} {took:8.1f} ms")
    print(f"opening an instruction                     {opening:8.1f} ms\nfirst paint {1000 * first:38.0f} ms")
    print(f"page {megabytes:45.1f} MB\nwriting the report {seconds:31.1f} s")
    cpu = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    result = {
        "samples": options.samples,
        "page_mb": round(megabytes, 2),
        "first_paint_s": round(first, 3),
        "search_ms": round(max(searches.values()), 1),
        "cpu": cpu.partition(":")[2].strip(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
