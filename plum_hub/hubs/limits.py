"""Sizes and quotas of an embedded Hub."""

import threading
import time
from dataclasses import dataclass

from plum_hub.hubs import refusals

WINDOW = 300
"""Length of a quota's window in seconds, as on the public Hub."""


@dataclass(frozen=True)
class ServerLimits:
    """What a server accepts. Sizes are in bytes."""

    part_size: int = 64_000_000
    """Larger files are uploaded in parts of this size."""
    body: int = 4_000_000_000
    """Longer requests are refused. Large files have requests of their own, limited by the size that they declare."""
    anonymous_body: int = 1_000_000
    """The same for a caller without a token, who can only ask."""
    requests: int | None = None
    """Requests per caller in `WINDOW` seconds; None for no limit."""


class Quota:
    """Counts requests per caller, in windows that start together.

    Args:
        requests: Requests per caller and window.
    """

    def __init__(self, requests: int) -> None:
        self._requests = requests
        self._lock = threading.Lock()
        self._window, self._used = -1, dict[str, int]()

    def take(self, caller: str) -> dict[str, str]:
        """Count one request.

        Args:
            caller: Token or address.

        Returns:
            Headers that tell clients what is left.

        Raises:
            Refusal: The quota is used up.
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
