"""Figures of the page, of whatever numbers a run may hold."""

import json
import re
from itertools import pairwise
from math import inf, isfinite, nan
from pathlib import Path

import pytest

import plum_hub
from plum_hub.reports import charts
from plum_hub.reports.charts import _ticks
from plum_hub.training.curves import Curve, CurveLine
from tests.reports.experiment import write_training

LARGEST = 1.7976931348623157e308


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-0.3, 0.1, [-0.3, -0.2, -0.1, 0, 0.1]),
        (0.12, 0.93, [0.2, 0.4, 0.6, 0.8]),
        (0, 5, [0, 1, 2, 3, 4, 5]),
        (0, 3e14, [0, 1e14, 2e14, 3e14]),
        (-2e-15, 2e-15, [-2e-15, -1e-15, 0, 1e-15, 2e-15]),
        (2.0, 2.0, [2.0]),
        (3.0, 2.0, [3.0]),
        (0, 5e-324, [0]),
        (0, inf, [0]),
    ],
)
def test_ticks_are_round_and_within_their_range(low: float, high: float, ticks: list[float]) -> None:
    assert _ticks(low, high) == pytest.approx(ticks, rel=1e-9, abs=0)


@pytest.mark.parametrize("power", [*range(-290, 300, 29), 299])
def test_ticks_of_every_size_rise(power: int) -> None:
    for size in (1.0, 2.5, 4.99, 5.0, 7.3):
        found = _ticks(0, size * 10.0**power)
        assert 3 <= len(found) <= 6
        assert all(one < other for one, other in pairwise(found))


@pytest.mark.parametrize(
    "values",
    [(0.0, 3e13), (-LARGEST, LARGEST), (LARGEST,), (1e17,), (0.0, 5e-324), (-3.0, -3.0), (1e16, 1e16 + 2)],
    ids=["3e13", "the-whole-range", "the-largest", "one-value", "the-smallest", "equal", "last-digit"],
)
def test_curves_of_any_values_lie_within_the_picture(values: tuple[float, ...]) -> None:
    line = CurveLine("loss", "#000000", tuple(range(1, len(values) + 1)), values)
    found = charts.curve(Curve("loss", "Loss", "loss", (line,)))
    heights = [float(each) for each in re.findall(r'(?:cy|y1|y)="([^"]+)"', found)]
    heights += [
        float(each.split(",")[1]) for points in re.findall(r'points="([^"]+)"', found) for each in points.split()
    ]
    assert all(isfinite(each) and 0 <= each <= 210 for each in heights)


def test_intervals_that_are_no_numbers_end_in_no_error() -> None:
    assert "nan" in charts.intervals([("kto", 0.0, nan, 100.0)], "per cent")
    assert charts.intervals([("kto", 0.0, inf, inf)], "per cent")


def test_long_names_are_told_apart() -> None:
    names = [f"experiment/evaluation/{name}-sampled: humaneval+ plus" for name in ("kto", "dpo")]
    found = charts.intervals([(name, 0.0, 1.0, 2.0) for name in names], "per cent")
    assert all(name in found for name in names)


def test_a_training_whose_loss_exploded_is_reported(tmp_path: Path) -> None:
    write_training(tmp_path / "kto")
    rows = [{"step": step, "loss": loss} for step, loss in enumerate((1.0, -LARGEST, LARGEST, 3e13), start=1)]
    (tmp_path / "kto" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    written = plum_hub.report(tmp_path / "kto", out=tmp_path / "out")
    assert all(path.stat().st_size for path in written.files)
