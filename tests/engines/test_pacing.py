"""How many requests are in flight, and what a server may ask for by `Retry-After`."""

import threading
import time
from concurrent.futures import CancelledError
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from plum_hub.engines.pacing import Pace, seconds_of


def answered(pace: Pace, count: int) -> None:
    for _ in range(count):
        pace.end(pace.begin())


def test_it_halves_once_for_a_burst_and_grows_by_one_for_each_round() -> None:
    pace = Pace(16)
    burst = [pace.begin() for _ in range(16)]
    for sent_in in burst:
        pace.end(sent_in, overloaded=True)
    assert pace.limit == 8
    answered(pace, 8)
    assert pace.limit == 8  # not a whole round at the new height yet: 1/8, 1/8.1, ...
    answered(pace, 1)
    assert pace.limit == 9
    answered(pace, 500)
    assert pace.limit == 16  # never over the bound


def test_it_never_stops_altogether() -> None:
    pace = Pace(4)
    for _ in range(9):
        pace.end(pace.begin(), overloaded=True)
    assert pace.limit == 1


def test_nothing_is_sent_above_the_limit_or_in_a_pause() -> None:
    pace = Pace(2)
    first, _ = pace.begin(), pace.begin()
    sent: list[float] = []
    waiting = threading.Thread(target=lambda: sent.append(pace.begin() + time.monotonic()), daemon=True)
    waiting.start()
    time.sleep(0.05)
    assert sent == []
    began = time.monotonic()
    pace.end(first, pause=0.2)
    waiting.join(timeout=60)
    assert sent[0] - began >= 0.2


def test_who_waits_is_told_to_stop() -> None:
    pace = Pace(1)
    pace.begin()
    told = threading.Event()

    def wait() -> None:
        with pytest.raises(CancelledError):
            pace.begin()
        told.set()

    threading.Thread(target=wait, daemon=True).start()
    pace.stop()
    assert told.wait(timeout=60)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3.0), ("0.5", 0.5), (None, 0.0), ("", 0.0), ("-4", 0.0), ("nan", 0.0), ("soon", 0.0)],
)
def test_seconds(header: str | None, seconds: float) -> None:
    assert seconds_of(header) == seconds


def test_dates() -> None:
    now = datetime.now(UTC)
    assert 50 < seconds_of(format_datetime(now + timedelta(seconds=60), usegmt=True)) <= 60
    assert seconds_of(format_datetime(now - timedelta(seconds=60), usegmt=True)) == 0.0
