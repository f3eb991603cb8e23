"""How many requests are in flight: one more for each round of answers, half as many when the server is overloaded."""

import math
import time
from concurrent.futures import CancelledError
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import Condition, Event

OVERLOADED = frozenset({429, 503, 529})
"""HTTP statuses with which a server asks for fewer requests."""


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
        self._changed = Condition()
        self.stopped = Event()
        """Set once no further request may be sent."""

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return int(self._limit)

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
