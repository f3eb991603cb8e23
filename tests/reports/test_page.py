"""The page of a report in a real browser, from a file."""

from collections.abc import Iterator

import pytest

import plum_hub
from tests.reports.browser import CHROMIUM, Browser
from tests.reports.experiment import HOSTILE, write_experiment

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, as Debian's package chromium")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a run whose texts attack it."""
    folder = tmp_path_factory.mktemp("page")
    experiment = write_experiment(folder, hostile=True)
    return plum_hub.report(experiment, out=folder / "out", title=f"Report {HOSTILE}").files[0].resolve().as_uri()


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(opened: Browser, page: str) -> Browser:
    opened.screen(1280, 900)
    opened.scheme("light")
    opened.open(page)
    return opened


def shown(browser: Browser) -> list[str]:
    found: list[str] = browser.evaluate("[...document.querySelectorAll('.row')].map(row => row.textContent)")
    return found


def test_it_opens_from_a_file_and_asks_for_nothing(browser: Browser, page: str) -> None:
    assert browser.requests == [page]
    assert browser.errors == []
    assert browser.evaluate("document.querySelectorAll('svg.chart').length") >= 4
    assert browser.evaluate("document.querySelector('.diff .fail') !== null")  # a chosen beside a rejected one


def test_texts_of_others_do_not_run(browser: Browser) -> None:
    browser.evaluate("document.querySelector('#search').focus()")
    browser.type("rehearsal 0")
    browser.key("Enter")
    browser.until("document.querySelector('.task').textContent.includes('onerror')")
    browser.until("document.querySelector('.detail').textContent.includes('return x + 10 + 100  # </script>')")
    assert browser.evaluate("document.title").startswith("Report </script>")
    assert browser.evaluate("document.querySelectorAll('img').length") == 0
    assert "onerror" in browser.evaluate("document.querySelector('#overview').textContent")  # the model's name
    assert "onerror" in browser.evaluate("document.querySelector('#funnel').textContent")  # the drop's reason
    assert browser.errors == []


def test_search_finds_and_marks(browser: Browser) -> None:
    assert len(shown(browser)) == 6
    browser.evaluate("document.querySelector('#search').focus()")
    browser.type("MULTIPLY integer")
    assert len(shown(browser)) == 1
    assert browser.evaluate("document.querySelector('#count').textContent") == "1 of 6 instructions"
    assert browser.evaluate("[...document.querySelectorAll('.row mark')].map(one => one.textContent)")[0] == "multiply"
    browser.type(" nowhere")
    assert shown(browser) == []
    browser.open(browser.evaluate("location.href"))
    browser.evaluate("document.querySelector('#filter').value = 'none'")
    browser.evaluate("document.querySelector('#filter').dispatchEvent(new Event('change'))")
    assert all("0 of 6 pass" in text for text in shown(browser))
    assert 2 <= len(shown(browser)) < 6


def test_keys_lead_through_it(browser: Browser) -> None:
    def is_open() -> str:
        return str(browser.evaluate("document.querySelector('#open code').textContent"))

    browser.key("/")
    assert browser.evaluate("document.activeElement.id") == "search"
    browser.key("ArrowDown")
    assert browser.evaluate("document.activeElement.id") == "list"
    first = is_open()
    browser.key("j")
    browser.until(f"document.querySelector('#open code').textContent !== '{first}'")
    second = is_open()
    assert browser.evaluate("document.activeElement.getAttribute('aria-activedescendant')") == "row-1"
    assert browser.evaluate("document.querySelector('#row-1').getAttribute('aria-selected')") == "true"
    browser.key("k")
    browser.until(f"document.querySelector('#open code').textContent === '{first}'")
    browser.key("ArrowDown")
    browser.until(f"document.querySelector('#open code').textContent === '{second}'")
    browser.key("Enter")
    browser.until("document.activeElement.id === 'open'")
    browser.key("Escape")
    assert browser.evaluate("document.activeElement.id") == "list"
    assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.key("End")
    browser.until("document.querySelector('#row-5').getAttribute('aria-selected') === 'true'")


def test_dark_and_light_follow_the_system_until_chosen(browser: Browser) -> None:
    def brightness() -> int:
        colour = browser.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        return int(sum(colour))

    assert brightness() > 600
    browser.scheme("dark")
    assert brightness() < 150
    browser.evaluate("document.querySelector('#theme').click()")
    assert brightness() > 600
    browser.open(browser.evaluate("location.href"))
    assert brightness() > 600  # it is remembered
    browser.evaluate("localStorage.clear()")


def test_a_phone_needs_no_sideways_scrolling(browser: Browser) -> None:
    browser.screen(375, 812, phone=True)
    browser.open(browser.evaluate("location.href"))
    browser.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert browser.evaluate("document.documentElement.scrollWidth") == 375
    browser.evaluate("document.querySelector('.row').click()")
    browser.until("document.activeElement.id === 'open'")
    assert browser.evaluate("document.documentElement.scrollWidth") == 375
    assert browser.evaluate("getComputedStyle(document.querySelector('.back')).display") != "none"
