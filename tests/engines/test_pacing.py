"""How long a busy server asks to wait, as OpenAI, gateways and others write it."""

import time
from email.utils import formatdate

import pytest

from plum_hub.engines.pacing import wait_in


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"retry-after": "7"}, 7),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "soon"}, 0),
        ({"x-ratelimit-reset": "12"}, 12),
        ({"x-ratelimit-reset": "1m30s"}, 90),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360),
        ({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "6m0s"}, 0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({"x-ratelimit-reset": "-3"}, 0),
        ({"x-ratelimit-reset": "nan"}, 0),
    ],
)
def test_durations(headers: dict[str, str], seconds: float) -> None:
    assert wait_in(headers) == pytest.approx(seconds)


@pytest.mark.parametrize("factor", [1, 1000], ids=["seconds", "milliseconds"])
def test_a_moment_since_1970(factor: int) -> None:
    assert 20 < wait_in({"x-ratelimit-reset": str((time.time() + 30) * factor)}) <= 30
    assert wait_in({"x-ratelimit-reset": str((time.time() - 30) * factor)}) == 0


def test_a_date() -> None:
    assert 20 < wait_in({"retry-after": formatdate(time.time() + 30, usegmt=True)}) <= 30
