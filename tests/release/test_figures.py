"""The card's pictures hold the counts, as drawings that a browser can read."""

from xml.etree import ElementTree as ET

import pytest

from plum_hub.release.figures import BINS, histogram, pass_ratios, statuses

SVG = "{http://www.w3.org/2000/svg}"


def words(drawing: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(drawing).iter(f"{SVG}text")]


def bars(drawing: str) -> list[tuple[float, float, str]]:
    found = ET.fromstring(drawing).findall(f"{SVG}rect")[1:]  # the first is the paper
    return [(float(bar.attrib["width"]), float(bar.attrib["height"]), bar.attrib["fill"]) for bar in found]


@pytest.mark.parametrize(
    ("passed", "samples", "place"),
    [(0, 20, 0), (1, 20, 0), (2, 20, 1), (19, 20, 9), (20, 20, 9), (1, 3, 3), (7, 10, 7)],
)
def test_a_suite_falls_into_the_bin_of_its_ratio(passed: int, samples: int, place: int) -> None:
    assert [*pass_ratios([(passed, samples)])] == [int(number == place) for number in range(BINS)]


def test_the_histogram_is_as_high_as_its_counts() -> None:
    drawing = histogram((4, 0, 0, 0, 0, 2, 0, 0, 0, 1_000))
    heights = [height for _, height, _ in bars(drawing)]
    assert heights[-1] == max(heights)
    assert heights[1] == 0 < heights[0] < heights[-1]
    assert {"4", "2", "1,000", "0", "0.5", "1"} <= set(words(drawing))
    assert [height for _, height, _ in bars(histogram((0,) * BINS))] == [0.0] * BINS


def test_verdicts_are_ordered_and_coloured_by_their_label() -> None:
    labels = {"passed": True, "failed": False, "no_code": None}
    drawing = statuses({"no_code": 1, "failed": 3, "passed": 6}, labels)
    assert [word for word in words(drawing) if word in labels] == ["passed", "failed", "no_code"]
    widths = [width for width, _, _ in bars(drawing)]
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.1)
    assert len({colour for _, _, colour in bars(drawing)}) == 3
    assert "6 (60.0 %)" in words(drawing)
