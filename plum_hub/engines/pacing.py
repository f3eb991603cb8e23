"""How many requests are in flight: one more for each round of answers, half as many when the server is overloaded."""

import math
import re
import time
from collections.abc import Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import Condition, Event

OVERLOADED = frozenset({429, 503, 529})
"""HTTP statuses with which a server asks for fewer requests."""
_LATELY = 300.0
"""Seconds; limits are counted by the minute, and a long answer may take more than one."""


class Pace:
    """Additive increase and multiplicative decrease, shared by the threads that send requests.

    It begins at the bound. Requests that were sent before the last decrease do not count against the server again,
    so that one burst of refusals halves the number once.

    Args:
        bound: Most requests in flight.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._limit = float(bound)
        self._in_flight = 0
        self._round = 0
        self._resume = 0.0
        self._answered = -math.inf
        self._changed = Condition()
        self.stopped = Event()
        """Set once no further request may be sent."""

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return int(self._limit)

    @property
    def answers_lately(self) -> bool:
        """Whether a request was answered in the last minutes: then a refusal is the server's pace, and no outage."""
        return time.monotonic() - self._answered < _LATELY

    def begin(self) -> int:
        """Wait until a request may be sent.

        Returns:
            The round that it is sent in, for `end`.

        Raises:
            CancelledError: `stop` was called.
        """
        with self._changed:
            while not self.stopped.is_set():
                pause = self._resume - time.monotonic()
                if pause <= 0 and self._in_flight < self.limit:
                    self._in_flight += 1
                    return self._round
                self._changed.wait(pause if pause > 0 else None)
        raise CancelledError

    def end(self, sent_in: int, *, overloaded: bool = False, pause: float = 0.0) -> None:
        """Count a request that is no longer in flight.

        Args:
            sent_in: What `begin` returned.
            overloaded: Whether the server asked for fewer requests, or took too long.
            pause: For how many seconds it wants no request at all.
        """
        with self._changed:
            self._in_flight -= 1
            if not overloaded:
                self._answered = time.monotonic()
                self._limit = min(self._bound, self._limit + 1 / self._limit)
            elif sent_in == self._round:
                self._limit = max(1.0, self._limit / 2)
                self._round += 1
            self._resume = max(self._resume, time.monotonic() + pause)
            self._changed.notify_all()

    def leave(self) -> None:
        """Count a request that failed in another way, which says nothing of the server's load."""
        with self._changed:
            self._in_flight -= 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Let no further request be sent."""
        with self._changed:
            self.stopped.set()
            self._changed.notify_all()


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EPOCH = 1e9
"""Larger numbers are moments and no durations: seconds, or milliseconds, since 1970."""


def wait_in(headers: Mapping[str, str]) -> float:
    """Read how long a busy server asks to wait: `Retry-After`, or when its limit is counted anew.

    The latter are headers of OpenAI's (`x-ratelimit-reset-requests: 6m0s`, beside `x-ratelimit-remaining-requests`) and
    of others' (`X-RateLimit-Reset`: seconds, or a moment in seconds or milliseconds since 1970).

    Args:
        headers: The headers of its answer, by lower-case name.

    Returns:
        Seconds from now, 0 or more; 0 where it does not say.
    """
    with suppress(KeyError, ValueError):
        return max(0.0, float(headers["retry-after-ms"]) / 1000)
    if "retry-after" in headers:
        return seconds_of(headers["retry-after"])
    used_up = [what for what in ("-requests", "-tokens") if headers.get(f"x-ratelimit-remaining{what}") == "0"]
    return max(_reset(headers.get(f"x-ratelimit-reset{what}", "")) for what in ("", *used_up))


def _reset(text: str) -> float:
    """Read a duration such as `1.5`, `250ms` or `6m0s`, or a moment since 1970, as seconds from now."""
    try:
        number = float(text)
    except ValueError:
        return sum(float(amount) * _UNITS[unit] for amount, unit in _DURATION.findall(text))
    if number > _EPOCH:
        number = number / (1000 if number > _EPOCH * 1000 else 1) - time.time()
    return max(0.0, number) if math.isfinite(number) else 0.0


def seconds_of(retry_after: str | None) -> float:
    """Read a `Retry-After` header (RFC 9110, section 10.2.3).

    Args:
        retry_after: Seconds, or an HTTP date; None if there is no such header.

    Returns:
        Seconds from now, 0 or more; 0 for what is neither.
    """
    if not retry_after:
        return 0.0
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            moment = parsedate_to_datetime(retry_after)
        except ValueError:
            return 0.0
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (moment - datetime.now(UTC)).total_seconds()
    return 0.0 if math.isnan(seconds) else max(0.0, seconds)
