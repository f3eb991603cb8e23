"""Requests to a server: the one place that decides what is retried, when, and when to give up."""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from multiprocessing.pool import ThreadPool
from pathlib import PurePath
from threading import Event
from typing import Self

from pydantic import Field, field_validator
from typing_extensions import override

from plum_hub.engines.base import Completion, EngineSettings, Request
from plum_hub.errors import EngineError

BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""HTTP statuses after which the same request may succeed."""
_LONGEST_WAIT = 60.0


class RemoteSettings(EngineSettings):
    """Settings of every engine behind a server."""

    base_url: str | None = None
    """The server's address."""
    concurrency: int = Field(default=32, ge=1)
    """Requests in flight at once."""
    timeout_seconds: float = Field(default=300.0, gt=0)
    """Time limit of one answer, in seconds."""
    attempts: int = Field(default=8, ge=1)
    """Tries of one request before the server counts as down."""
    first_wait_seconds: float = Field(default=0.5, ge=0)
    """Wait before the second try, in seconds; doubled for each further try, up to a minute, unless the server asks for
    more.
    """

    @field_validator("base_url")
    @classmethod
    def _without_userinfo(cls, url: str | None) -> str | None:
        """Reject a secret in the address. Not by a `ValueError`, since pydantic would print the value with it."""
        if url and "@" in url.rpartition("://")[2].partition("/")[0]:
            raise EngineError(
                "base_url holds a user or a key (before its @), and it is written into files: "
                "put the key into an environment variable and name it with api_key_env of the openai engine"
            )
        return url

    @override
    def public(self) -> Self:
        """Remove the server's address, and the folders of a model that the server names by its path."""
        name = PurePath(self.model).name if self.model.startswith(("/", "~", ".")) else self.model
        return self.model_copy(update={"model": name, "base_url": type(self).model_fields["base_url"].default})


class TryAgainError(Exception):
    """This try failed, and another may succeed.

    Attributes:
        after: The server's `Retry-After`, in seconds; 0 where it gave none.
    """

    def __init__(self, reason: str, after: str | None = None) -> None:
        super().__init__(reason)
        try:
            self.after = float(after or 0)
        except ValueError:  # a date: as good as not said
            self.after = 0.0


def answer_all(
    settings: RemoteSettings, requests: Sequence[Request], answer: Callable[[Request], Completion]
) -> Iterator[Completion]:
    """Answer requests from a pool of threads.

    When one request fails for good no other is started, but those in flight are awaited and yielded, since they may be
    paid for; then its error is raised. A request is sent again only while it has no answer. A caller that stops
    iterating, as on Ctrl-C, waits for nothing: the pool's threads are daemons.

    Args:
        settings: Concurrency, attempts and waits.
        requests: What to answer.
        answer: Sends one request. It raises `TryAgainError` where another try may succeed.

    Yields:
        Each completion as it arrives.

    Raises:
        EngineError: `answer` raised it, or one request had no answer after every try.
    """
    failed = Event()
    pool = ThreadPool(min(settings.concurrency, len(requests)) or 1)
    failure: EngineError | None = None
    try:
        answers = pool.imap_unordered(lambda request: _persist(settings, lambda: answer(request), failed), requests)
        for _ in requests:
            try:
                yield next(answers)
            except CancelledError:
                continue
            except EngineError as error:
                failure = failure or error
    finally:  # also when the caller stops listening
        failed.set()
        pool.terminate()
    if failure:
        raise failure


def _persist(settings: RemoteSettings, call: Callable[[], Completion], failed: Event) -> Completion:
    """Call until there is an answer, with exponential back-off and jitter; set `failed` before raising.

    Raises:
        EngineError: Every try failed, or `call` says that another would not help.
        CancelledError: Another request failed first.
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
