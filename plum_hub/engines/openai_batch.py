"""OpenAI's Batch API: requests go up in a file, and answers come back in one, within a day and for half the price.

Every batch has a record in the folder that the engine was given, written before the batch is made and again with its
id. A start that finds a record waits for that batch instead of paying for another; a record without an id belongs to a
start that was killed in between, and its batch is looked for at the server by the token in its metadata.
"""

import hashlib
import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from plum_hub.engines.base import Completion, Request
from plum_hub.engines.openai import OpenAIEngine
from plum_hub.engines.openai_wire import ErrorAnswerError, endpoint_of
from plum_hub.engines.pacing import Pace
from plum_hub.engines.remote import TryAgainError, persist
from plum_hub.engines.server_errors import read_error
from plum_hub.errors import EngineError
from plum_hub.files import write_whole, writing

if TYPE_CHECKING:
    from openai.types import Batch

_TOKEN = "plum_hub"
"""Key of a batch's metadata that holds the token of its record."""
_MOST_BYTES = 100_000_000
"""Most bytes of one batch's file; OpenAI takes 200 MB."""
_LONGEST_POLL = 300.0
_MOST_LISTED = 2000
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_NOT_ANSWERED = frozenset({"batch_expired", "batch_cancelled", "server_error", "rate_limit_exceeded"})
"""Codes of lines whose requests were not answered, and are not paid for."""
_TOO_MUCH = "token_limit_exceeded"
"""Code of a batch that had more tokens than the account may have waiting."""

_T = TypeVar("_T")


@dataclass
class SentBatch:
    """The record of one batch."""

    token: str
    """Written into the metadata of the batch, to find it by."""
    endpoint: str
    owed: list[str]
    """The `custom_id`s whose answers are to come from this batch, or have come."""
    batch: str = ""
    """The server's id; "" until it is known."""
    path: Path | None = field(default=None, compare=False)

    def save(self) -> None:
        """Write the record.

        Raises:
            RunError: The file cannot be written.
        """
        if self.path is not None:
            values = {name: value for name, value in asdict(self).items() if name != "path"}
            write_whole(self.path, json.dumps(values, indent=1) + "\n")

    def forget(self) -> None:
        """Delete the record of a batch that was never made.

        Raises:
            RunError: The file cannot be deleted.
        """
        if self.path is not None:
            with writing(self.path):
                self.path.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> "SentBatch":
        """Read a record.

        Args:
            path: The file.

        Returns:
            The record.

        Raises:
            EngineError: The file is damaged.
        """
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")), path=path)
        except (OSError, ValueError, TypeError) as error:
            raise EngineError(
                f"{path}: not the record of a batch ({error}); restore it, or delete it to send its requests again"
            ) from error


def answer_in_batches(engine: OpenAIEngine, requests: Sequence[Request]) -> Iterator[Completion]:
    """Answer requests by batch, and those of earlier starts from the batches that these sent.

    Args:
        engine: Knows the server, and the folder for records.
        requests: What to answer.

    Yields:
        Completions, when a batch has ended.

    Raises:
        EngineError: The server is unavailable or refused a batch or a request. Answers that were paid for come out
            first, or at the next start.
        RunError: A record cannot be written.
    """
    wanted = {_custom_id(engine, request): request for request in requests}
    yield from _Batches(engine, wanted).answers()


def _custom_id(engine: OpenAIEngine, request: Request) -> str:
    """Name a request by its id and all that is sent, so that an answer is never taken for another's."""
    body = json.dumps([request.id, engine.plain_body(request)], sort_keys=True)
    return hashlib.sha256(body.encode("utf-8", errors="replace")).hexdigest()[:40]


class _Batches:
    """The batches of one call."""

    def __init__(self, engine: OpenAIEngine, wanted: dict[str, Request]) -> None:
        self._engine, self._client, self._config = engine, engine.client, engine.config
        self._wanted = wanted
        self._open: list[SentBatch] = []
        self._sent: Counter[str] = Counter()
        self._most = engine.config.batch_requests
        self._one_at_a_time = False
        """Whether the account had too many tokens waiting: a batch is sent when the last one has ended."""
        self._reason = ""
        """What the last batch that left requests unanswered said."""
        self._failure: EngineError | None = None

    def answers(self) -> Iterator[Completion]:
        """Send what no batch has, and yield the answers of each batch that has ended, until none is wanted."""
        self._pick_up()
        wait = self._config.batch_poll_seconds
        while self._wanted:
            self._send_rest()
            wanted = len(self._wanted)
            for sent in list(self._open):
                state = self._look(sent)
                if state.status in _ENDED:
                    yield from self._collect(sent, state)
            if self._failure and (self._engine.folder is not None or not self._open):
                raise self._failure  # what is open is collected by the next start
            if len(self._wanted) < wanted:
                wait = self._config.batch_poll_seconds
            elif self._halted(wait):
                return
            else:
                wait = max(self._config.batch_poll_seconds, min(_LONGEST_POLL, wait * 1.5))

    def _halted(self, seconds: float) -> bool:
        """Sleep, and tell whether another thread wants the call to end; the batches go on."""
        if self._engine.halt is not None:
            return self._engine.halt.wait(seconds)
        time.sleep(seconds)
        return False

    def _pick_up(self) -> None:
        """Find the batches of earlier starts that have wanted answers."""
        folder = self._engine.folder
        paths = sorted(folder.glob("*.json")) if folder is not None else []
        for sent in map(SentBatch.load, paths):
            count = len(self._wanted.keys() & set(sent.owed))
            if not count:
                continue
            if not sent.batch and (found := self._ask(partial(self._find, sent))):
                sent.batch = found.id
                sent.save()
            if not sent.batch:
                sent.forget()  # the kill came before the server knew of it
            else:
                self._open.append(sent)
                self._engine.on_note(f"batch {sent.batch}: picked up again, for {count:,} answers")

    def _send_rest(self) -> None:
        """Send the wanted requests that are in no open batch."""
        if self._failure or (self._one_at_a_time and self._open):
            return
        carried = {name for sent in self._open for name in sent.owed}
        rest = {name: request for name, request in self._wanted.items() if name not in carried}
        for name in rest:
            if self._sent[name] >= self._config.attempts:
                raise EngineError(
                    f"{self._engine.where} ended {self._sent[name]} batches without an answer to {len(rest):,} "
                    f"requests ({self._reason}): run the same command later, or begin a run with --carry-over and "
                    "without generator.batch (policy.batch for the policy)"
                )
        for endpoint, lines in _chunks(self._engine, rest, self._most):
            self._send(endpoint, lines)
            self._sent.update(lines.keys())
            if self._one_at_a_time:
                return

    def _send(self, endpoint: str, lines: Mapping[str, bytes]) -> None:
        folder, token = self._engine.folder, uuid.uuid4().hex
        path = folder / f"{time.time_ns()}-{token[:8]}.json" if folder is not None else None
        sent = SentBatch(token=token, endpoint=endpoint, owed=list(lines), path=path)
        sent.save()  # before the server knows of it: a kill from here on leaves a token to find it by
        data = b"".join(lines.values())
        uploaded = self._ask(lambda: self._client.files.create(file=("plum-hub.jsonl", data), purpose="batch"))
        tried: list[str] = []

        def create() -> "Batch":
            found = self._find(sent) if tried else None  # the answer may have been lost, not the request
            tried.append(token)
            return found or self._client.batches.create(
                input_file_id=uploaded.id,
                endpoint=endpoint,
                completion_window="24h",
                metadata={_TOKEN: token},
            )

        sent.batch = self._ask(create).id
        sent.save()
        self._open.append(sent)
        self._engine.on_note(
            f"batch {sent.batch}: {len(lines):,} requests sent; answers come within 24 hours. This command may be "
            "stopped: the same command waits for the same batch"
        )

    def _find(self, sent: SentBatch) -> "Batch | None":
        """Look for the batch of a record at the server, among the newest."""
        first = self._engine.asked(lambda: self._client.batches.list(limit=100))
        for batch in islice(first, _MOST_LISTED):
            if (batch.metadata or {}).get(_TOKEN) == sent.token:
                return batch
        return None

    def _look(self, sent: SentBatch) -> "Batch":
        return self._ask(lambda: self._client.batches.retrieve(sent.batch), sent)

    def _collect(self, sent: SentBatch, state: "Batch") -> Iterator[Completion]:
        """Yield the answers of a batch that has ended, and release what it did not answer."""
        self._open.remove(sent)
        lines, is_whole = self._lines(sent, state)
        answered = set()
        for name in [name for name in sent.owed if name in lines]:
            request = self._wanted.get(name)
            if request is None:
                answered.add(name)  # of another call, or of an earlier start
                continue
            try:
                completion = self._outcome(request, lines[name])
            except EngineError as error:
                self._failure = self._failure or error
                continue
            if completion is not None:
                answered.add(name)
                del self._wanted[name]
                yield completion
        if is_whole and len(answered) < len(sent.owed):
            unanswered = [name for name in sent.owed if name not in answered]
            sent.owed = [name for name in sent.owed if name in answered]
            sent.save()
            self._released(sent, state, unanswered)

    def _released(self, sent: SentBatch, state: "Batch", unanswered: Sequence[str]) -> None:
        """Decide what becomes of the requests that a batch did not answer: they are sent again, or it is an error."""
        problem = next(iter((state.errors and state.errors.data) or ()), None)
        self._reason = (problem and (problem.message or problem.code)) or state.status
        if state.status == "cancelled":
            self._failure = self._failure or EngineError(
                f"batch {sent.batch} was cancelled at {self._engine.where}: run the same command to send the rest again"
            )
        elif problem is not None and problem.code == _TOO_MUCH:
            if not self._open:  # it was too large by itself
                self._most = max(1, min(self._most, len(self._wanted)) // 2)
            self._one_at_a_time = True
            if len(unanswered) > 1:  # its size was refused, and not what it asks
                self._sent.subtract(unanswered)
        elif state.status == "failed" and problem is not None:
            self._failure = self._failure or EngineError(
                f"{self._engine.where} refused the batch {sent.batch} ({self._reason}): change the setting that it "
                "names, or begin a run with --carry-over and without generator.batch (policy.batch for the policy)"
            )
        self._engine.on_note(f"batch {sent.batch}: left requests unanswered ({self._reason})")

    def _lines(self, sent: SentBatch, state: "Batch") -> tuple[dict[str, Mapping[str, Any]], bool]:
        """Read the two files of a batch that has ended, by `custom_id`, and tell whether all that it counts is there.

        What is not stays owed by the batch, and is a failure: it was paid for.
        """
        answered = state.request_counts.completed if state.request_counts else 0
        files = [file for file in (state.error_file_id, state.output_file_id) if file]
        most: dict[str, Mapping[str, Any]] = {}

        def read() -> None:
            lines: dict[str, Mapping[str, Any]] = {}
            for file in files:
                lines |= _by_name(self._client.files.content(file).content)
            most.update(lines)
            if len(most) < answered:
                raise TryAgainError(f"the files of {sent.batch} have {len(most)} answers of {answered}")

        try:
            self._ask(read, sent)
        except EngineError as error:
            if not most:
                raise
            self._failure = self._failure or EngineError(
                f"batch {sent.batch} at {self._engine.where} counts {answered} answers, and {len(most)} can be read in "
                f"its files ({', '.join(files)}): {error}; or delete {sent.path} to pay for the others again"
            )
        return most, len(most) >= answered

    def _outcome(self, request: Request, line: Mapping[str, Any]) -> Completion | None:
        """Read a line: the completion, or None if the request was not answered."""
        answer, error = line.get("response") or {}, line.get("error")
        status = int(answer.get("status_code") or 0)
        said = read_error(status or 200, error or answer.get("body"))
        if status == 200 and not error:
            try:
                return self._engine.read(request, answer.get("body"))
            except TryAgainError:
                return None
            except ErrorAnswerError as failed:
                said = failed.body
        if said.is_busy or not said.codes.isdisjoint(_NOT_ANSWERED) or self._engine.learns(request, said):
            return None
        if own := persist(self._config, lambda until: self._engine.own_refusal(request, said, until), Pace(1)):
            return own
        raise self._engine.refusal(request, ErrorAnswerError(said))

    def _ask(self, call: Callable[[], _T], sent: SentBatch | None = None) -> _T:
        """Call the client until the server answers."""
        import openai

        try:
            return persist(self._config, lambda _: self._engine.asked(call), Pace(1))
        except openai.NotFoundError as error:
            if sent is None:
                raise self._engine.without_batches(error) from error
            raise EngineError(
                f"{self._engine.where} does not know the batch {sent.batch} or its files any more ({error.message}): "
                f"use the key of the account that sent it, or delete {sent.path} to pay for its requests again"
            ) from error
        except openai.APIStatusError as error:
            raise self._engine.failure(error) from error


def _by_name(data: bytes) -> dict[str, Mapping[str, Any]]:
    """Read the lines of a file of answers; one that is no such line, as a last one that was cut, is left out."""
    found = {}
    for line in data.splitlines():
        with suppress(ValueError, TypeError, KeyError):
            answer = json.loads(line)
            found[str(answer["custom_id"])] = answer
    return found


def _chunks(engine: OpenAIEngine, rest: Mapping[str, Request], most: int) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Divide requests into files: the endpoint, and lines by `custom_id`."""
    pending: dict[str, dict[str, bytes]] = {}
    sizes: Counter[str] = Counter()
    for name, request in rest.items():
        endpoint = endpoint_of(request)
        line = {"custom_id": name, "method": "POST", "url": endpoint, "body": engine.body(request)}
        data = json.dumps(line).encode() + b"\n"
        lines = pending.setdefault(endpoint, {})
        if lines and (len(lines) >= most or sizes[endpoint] + len(data) > _MOST_BYTES):
            yield endpoint, lines
            lines = pending[endpoint] = {}
            sizes[endpoint] = 0
        lines[name] = data
        sizes[endpoint] += len(data)
    yield from pending.items()
