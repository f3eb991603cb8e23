"""How much an embedded Hub takes at once, and how often."""

import threading
import time
from dataclasses import dataclass

from plum_hub.hubs import refusals

WINDOW = 300
"""How long a quota of requests lasts, in seconds: that of the public Hub."""


@dataclass(frozen=True)
class ServerLimits:
    """What a server allows. Sizes are in bytes."""

    part_size: int = 64_000_000
    """Larger files are uploaded in parts of this size."""
    body: int = 4_000_000_000
    """A request with more is refused; large files come in requests of their own, and are limited by what they say."""
    requests: int | None = None
    """How many requests each caller has in `WINDOW` seconds; None for any number."""


class Quota:
    """Counts the requests of each caller, in windows that all begin at once."""

    def __init__(self, requests: int) -> None:
        self._requests = requests
        self._lock = threading.Lock()
        self._window, self._used = -1, dict[str, int]()

    def take(self, caller: str) -> dict[str, str]:
        """Count one request, and say in the headers that clients read what is left.

        Raises:
            Refusal: nothing was left.
        """
        now = int(time.time())
        with self._lock:
            if now // WINDOW != self._window:
                self._window, self._used = now // WINDOW, {}
            used = self._used[caller] = self._used.get(caller, 0) + 1
        wait = WINDOW - now % WINDOW
        headers = {
            "RateLimit": f'"api";r={max(self._requests - used, 0)};t={wait}',
            "RateLimit-Policy": f'"fixed window";"api";q={self._requests};w={WINDOW}',
        }
        if used > self._requests:
            raise refusals.too_many(headers | {"Retry-After": str(wait)})
        return headers
