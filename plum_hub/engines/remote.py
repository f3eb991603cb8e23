"""Asking a server many things at once: the one place that decides what is tried again, when, and when to give up."""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from multiprocessing.pool import ThreadPool
from pathlib import PurePath
from threading import Event
from typing import Self

from pydantic import Field, field_validator

from plum_hub.engines.base import Completion, EngineSettings, Request
from plum_hub.errors import EngineError

BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""HTTP statuses after which the same request may succeed."""
_LONGEST_WAIT = 60.0


class RemoteSettings(EngineSettings):
    """What every engine behind a server has."""

    base_url: str | None = None
    """The server's address."""
    concurrency: int = Field(default=32, ge=1)
    """Requests under way at once."""
    timeout_seconds: float = Field(default=300.0, gt=0)
    """How long one answer may take."""
    attempts: int = Field(default=8, ge=1)
    """Tries of one request before the server counts as down."""
    first_wait_seconds: float = Field(default=0.5, ge=0)
    """The wait before the second try; doubled for each try after it, up to a minute, unless the server says longer."""

    @field_validator("base_url")
    @classmethod
    def _without_userinfo(cls, url: str | None) -> str | None:
        """Refuse a secret in the address. Not by a `ValueError`, since pydantic would show the value with it."""
        if url and "@" in url.rpartition("://")[2].partition("/")[0]:
            raise EngineError(
                "base_url holds a user or a key (before its @), and it is written into files: "
                "put the key into an environment variable and name it with api_key_env of the openai engine"
            )
        return url

    def public(self) -> Self:
        """Without the server's address. The model is what the server calls it, cut where that is a path."""
        name = PurePath(self.model).name if self.model.startswith(("/", "~", ".")) else self.model
        return self.model_copy(update={"model": name, "base_url": type(self).model_fields["base_url"].default})


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
    be paid for; then its error is raised. A request is sent again only while it has no answer. A caller that stops
    listening, as on Ctrl-C, waits for nothing: the pool's threads are daemons, which no exit waits for either.

    Raises:
        EngineError: what `answer` raised, or one request had no answer after every try.
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
