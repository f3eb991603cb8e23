"""Asking a server many things at once: the one place that decides what is tried again, when, and when to give up."""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from functools import partial
from threading import Event

from pydantic import Field

from plum_hub.engines.base import Completion, EngineSettings, Request
from plum_hub.errors import EngineError

BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""HTTP statuses after which the same request may succeed."""
_LONGEST_WAIT = 60.0


class RemoteSettings(EngineSettings):
    """What every engine behind a server has."""

    concurrency: int = Field(default=32, ge=1)
    """Requests under way at once."""
    timeout_seconds: float = Field(default=300.0, gt=0)
    """How long one answer may take."""
    attempts: int = Field(default=8, ge=1)
    """Tries of one request before the server counts as down."""
    first_wait_seconds: float = Field(default=0.5, ge=0)
    """The wait before the second try; doubled for each try after it, up to a minute, unless the server says longer."""


class TryAgainError(Exception):
    """This try was not answered, and another may be. `after` is the server's `Retry-After`, in seconds."""

    def __init__(self, reason: str, after: str | None = None) -> None:
        super().__init__(reason)
        try:
            self.after = float(after or 0)
        except ValueError:  # a date: as good as not said
            self.after = 0.0


def answer_all(
    settings: RemoteSettings, requests: Sequence[Request], answer: Callable[[Request], Completion]
) -> Iterator[Completion]:
    """Answer the requests from a pool of threads and yield each completion as it arrives.

    When one request fails for good no other is begun, but those under way are waited for and yielded, since they may
    be paid for; then its error is raised. A request is sent again only while it has no answer.

    Raises:
        EngineError: what `answer` raised, or one request had no answer after every try.
    """
    failed = Event()
    pool = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="plum-remote")
    failure: EngineError | None = None
    try:
        waiting: set[Future[Completion]] = {
            pool.submit(_persist, settings, partial(answer, request), failed) for request in requests
        }
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                try:
                    yield future.result()
                except CancelledError:
                    continue
                except EngineError as error:
                    failure = failure or error
    finally:  # also when the caller stops listening
        failed.set()
        pool.shutdown(wait=False, cancel_futures=True)
    if failure:
        raise failure


def _persist(settings: RemoteSettings, call: Callable[[], Completion], failed: Event) -> Completion:
    """Call until it is answered, with exponential back-off and jitter; sets `failed` before it raises.

    Raises:
        EngineError: every try was refused, or `call` says that another would not help.
        CancelledError: another request failed first.
    """
    reason = ""
    for attempt in range(settings.attempts):
        if failed.is_set():
            raise CancelledError
        try:
            return call()
        except TryAgainError as error:
            reason, after = str(error), error.after
        except EngineError:
            failed.set()
            raise
        backoff = min(_LONGEST_WAIT, settings.first_wait_seconds * 2**attempt) * random.uniform(0.5, 1.0)
        if attempt + 1 < settings.attempts:
            failed.wait(max(after, backoff))
    failed.set()
    raise EngineError(
        f"the server did not answer ({settings.attempts} tries; the last: {reason}): "
        "when it is up again, run the same command; nothing answered is asked again"
    )
