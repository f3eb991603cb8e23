"""Requests to a server: the one place that decides what is retried, when, and when to give up."""

import json
import math
import multiprocessing
import os
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from multiprocessing.pool import IMapIterator, ThreadPool
from pathlib import PurePath
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from typing_extensions import override

from plum_hub.engines.base import Completion, EngineSettings, Request
from plum_hub.engines.pacing import OVERLOADED, Pace
from plum_hub.errors import EngineError
from plum_hub.network import proxy_fault

_T = TypeVar("_T")

BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""HTTP statuses after which the same request may succeed."""
LACKING = frozenset({404, 405, 501})
"""HTTP statuses of a server that lacks an endpoint."""
_LONGEST_WAIT = 60.0
_JITTER = random.Random()  # the random state of the module is the caller's
_BETWEEN_SIGNALS = 1.0
_SECRET_IN_QUERY = re.compile(r"[?&][^=&]*(key|token|secret|password|sig|auth)[^=&]*=", re.IGNORECASE)


class RemoteSettings(EngineSettings):
    """Settings of every engine behind a server."""

    base_url: str | None = None
    """The server's address."""
    concurrency: int = Field(default=32, ge=1)
    """Most requests in flight. Fewer are while the server is overloaded (429, 503, no answer in time): each time half
    as many, and one more for each round of answers.
    """
    timeout_seconds: float = Field(default=300.0, gt=0)
    """Time limit of one try, in seconds, from sending the request to the last byte of its answer."""
    deadline_seconds: float | None = Field(default=None, gt=0)
    """Time limit of one request in seconds, all its tries and the waits between them counted; none by default."""
    attempts: int = Field(default=8, ge=1)
    """Tries of one request before the server counts as down; those that were too many in a minute (429) do not count
    while it answers others."""
    first_wait_seconds: float = Field(default=0.5, ge=0)
    """Wait before the second try, in seconds; doubled for each further try, up to a minute, unless the server asks for
    more (`Retry-After`).
    """
    max_retry_after_seconds: float = Field(default=600.0, ge=0)
    """Longest wait, in seconds, that a server's `Retry-After` is followed to."""

    @field_validator("base_url")
    @classmethod
    def _address_without_secret(cls, url: str | None) -> str | None:
        """Reject what is no address, or has a secret. Not by a `ValueError`: pydantic would print the value with it."""
        if url and "@" in url.rpartition("://")[2].partition("/")[0]:
            raise EngineError(
                "base_url holds a user or a key (before its @), and it is written into files: "
                "put the key into an environment variable and name it with api_key_env of the openai engine"
            )
        if url and _SECRET_IN_QUERY.search(url):
            raise EngineError(
                "base_url holds a key (after its ?), and it is written into files: put the key into an environment "
                "variable and name it with api_key_env of the openai engine"
            )
        if url and not url.lower().startswith(("http://", "https://")):
            raise EngineError(f"base_url {url!r} has no scheme: write it as in  http://localhost:8000/v1")
        try:
            urlsplit(url or "").port  # noqa: B018 - raises for what is no port
            if url and not url.isprintable():
                raise ValueError("it has a character that cannot be printed")
        except ValueError as error:
            shown = repr(url)[1:-1]
            raise EngineError(f"{shown}: is no address ({error}): write it as in  http://localhost:8000/v1") from error
        return url

    @override
    def adopting(self, sealed: Self) -> Self:
        """As `EngineSettings.adopting`; an address with and without a slash at its end is one server's."""
        mine, theirs = ((one.base_url or "").rstrip("/") for one in (self, sealed))
        same = self.model_copy(update={"base_url": sealed.base_url}) if mine == theirs else self
        return super(RemoteSettings, same).adopting(sealed)

    @override
    def public(self) -> Self:
        """Remove the server's address, and the folders of a model that the server names by its path."""
        name = PurePath(self.model).name if self.model.startswith(("/", "~", ".")) else self.model
        return self.model_copy(update={"model": name, "base_url": type(self).model_fields["base_url"].default})


class TryAgainError(Exception):
    """This try failed, and another may succeed.

    Args:
        reason: What happened, in one line.
        after: How long the server asks to wait, in seconds; 0 where it does not say.
        status: The HTTP status, where there was one.
        timed_out: Whether the server took too long, as one with too many requests does.

    Attributes:
        after: How long the server asks to wait, in seconds; 0 where it does not say.
        overloaded: Whether the server asked for fewer requests, or took too long.
        over_rate: Whether it counts requests or tokens by the minute, and these are used up (429).
    """

    def __init__(self, reason: str, after: float = 0.0, status: int | None = None, *, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.after = after
        self.overloaded = timed_out or status in OVERLOADED
        self.over_rate = status == 429


def client_of(make: Callable[[], _T]) -> _T:
    """Make an HTTP client, which reads the environment's proxies and certificates.

    Args:
        make: Makes it.

    Returns:
        The client.

    Raises:
        EngineError: The environment names a proxy that it cannot use, or certificates that are not there.
    """
    if fault := proxy_fault():
        raise EngineError(fault)
    try:
        return make()
    except OSError as error:  # of `ssl`, which names no file
        names = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]
        named = " and ".join(f"{name} ({os.environ[name]})" for name in names) or "the certificates of this machine"
        raise EngineError(f"{named} cannot be read ({error.strerror or error}): correct it, or unset it") from error


def read_body(pieces: Iterable[bytes], until: float) -> bytes:
    """Read an answer's body as it arrives.

    Args:
        pieces: The body.
        until: When to give up, by `time.monotonic()`: a server that sends a byte now and then would hold a request for
            ever.

    Returns:
        The whole body.

    Raises:
        TryAgainError: The body is not complete in time.
    """
    body = bytearray()
    for piece in pieces:
        body += piece
        if time.monotonic() > until:
            raise TryAgainError("the answer did not arrive in time", timed_out=True)
    return bytes(body)


def json_of(body: bytes) -> Any:
    """Parse the body of an answer.

    Args:
        body: The body.

    Returns:
        The JSON value.

    Raises:
        TryAgainError: The body is cut off, or a page of a gateway instead of an answer.
        EngineError: The body is whole and in another encoding than UTF-8: it would be so again, and paid for again.
    """
    begins = body[:60].decode("utf-8", errors="replace").strip()
    try:
        return json.loads(body)
    except UnicodeDecodeError as error:
        if error.end < len(body):
            raise EngineError(
                f"the server's answers are not UTF-8 ({begins!r}): set the server, or the proxy before it, to UTF-8"
            ) from error
        raise TryAgainError(f"the answer is cut off ({begins!r})") from error
    except (ValueError, RecursionError) as error:
        raise TryAgainError(f"the answer is not JSON ({begins!r})") from error


def answer_all(
    settings: RemoteSettings, requests: Sequence[Request], answer: Callable[[Request, float], Completion]
) -> Iterator[Completion]:
    """Answer requests from a pool of threads.

    When one request fails for good no other is started, but those in flight are awaited and yielded, since they may be
    paid for; then its error is raised. A request is sent again only while it has no answer. A caller that stops
    iterating, as on Ctrl-C, waits for nothing: the pool's threads are daemons.

    Args:
        settings: Concurrency, attempts, time limits and waits.
        requests: What to answer.
        answer: Sends one request, and gives up at a time by `time.monotonic()`. It raises `TryAgainError` where another
            try may succeed.

    Yields:
        Each completion as it arrives.

    Raises:
        EngineError: `answer` raised it, or one request had no answer after every try.
    """
    pace = Pace(settings.concurrency)
    pool = ThreadPool(min(settings.concurrency, len(requests)) or 1)
    failure: EngineError | None = None
    try:
        answers = pool.imap_unordered(
            lambda request: persist(settings, lambda until: answer(request, until), pace), requests
        )
        for _ in requests:
            try:
                yield _next(answers)
            except CancelledError:
                continue
            except EngineError as error:
                failure = failure or error
    finally:  # also when the caller stops listening
        pace.stop()
        pool.terminate()
    if failure:
        raise failure


def _next(answers: "IMapIterator[_T]") -> _T:
    """Wait for the next answer in short waits: a signal that comes as one begins is only handled when it ends."""
    while True:
        try:
            return answers.next(timeout=_BETWEEN_SIGNALS)
        except multiprocessing.TimeoutError:
            continue


def persist(settings: RemoteSettings, call: Callable[[float], _T], pace: Pace) -> _T:
    """Call until there is an answer, with exponential back-off and jitter; stop the pace before raising.

    Args:
        settings: Attempts, time limits and waits.
        call: Asks the server once, and gives up at a time by `time.monotonic()`.
        pace: Says when a request may be sent.

    Returns:
        What `call` returned.

    Raises:
        EngineError: Every try failed, the deadline has passed, or `call` says that another try would not help.
        CancelledError: Another request failed first.
    """
    reason, tries, failed, deadline = "", 0, 0, math.inf
    while True:
        sent_in = pace.begin()
        if not tries and settings.deadline_seconds is not None:
            deadline = time.monotonic() + settings.deadline_seconds
        tries += 1
        try:
            answer = call(min(time.monotonic() + settings.timeout_seconds, deadline))
        except TryAgainError as error:
            reason, after = str(error), min(error.after, settings.max_retry_after_seconds)
            failed += not (error.over_rate and pace.answers_lately)
            if error.overloaded:
                pace.end(sent_in, overloaded=True, pause=after)
            else:
                pace.leave()
        except EngineError:
            pace.stop()
            raise
        else:
            pace.end(sent_in)
            return answer
        wait = max(
            after, min(_LONGEST_WAIT, settings.first_wait_seconds * 2 ** (tries - 1)) * _JITTER.uniform(0.5, 1.0)
        )
        if failed >= settings.attempts or time.monotonic() + wait >= deadline:
            pace.stop()
            raise _given_up(settings, tries, reason, in_time=failed >= settings.attempts)
        pace.stopped.wait(wait)


def _given_up(settings: RemoteSettings, tries: int, reason: str, *, in_time: bool) -> EngineError:
    limit = f"{tries} tries" if in_time else f"deadline_seconds = {settings.deadline_seconds:g}, {tries} tries"
    return EngineError(
        f"the server did not answer ({limit}; the last: {reason}): "
        "when it is up again, run the same command; nothing answered is asked again"
    )
