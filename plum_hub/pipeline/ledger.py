"""What a build has spent: answers, tokens and money by stage, from the rows themselves; and a limit on it."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

from typing_extensions import override

from plum_hub.engines import EngineConfig
from plum_hub.engines.base import Completion, Request
from plum_hub.engines.prices import FREE
from plum_hub.errors import BudgetError, RunError, UsageError
from plum_hub.files import locked, write_whole
from plum_hub.lines import object_of, whole_lines
from plum_hub.records import Response, Sample
from plum_hub.run import CACHED, CARRIED, Run

_FIRST, _MOST = 4, 64
"""Requests that are sent together under a limit: at first, before the length of an answer is known, and later."""
_FIRST_BATCH, _MOST_BATCH = 64, 1_000_000
"""The same for an engine whose answers come together after hours."""


@dataclass(frozen=True, kw_only=True)
class StageSpending:
    """What the answers of one stage took."""

    stage: str
    """`responses` or `samples`."""
    answers: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    """Those of the prompt tokens that a server had in its cache."""
    usd: float | None
    """US dollars at the engine's price; None where that is not known, 0 for a model that runs locally."""


def spending(run: Run, *, carried: bool = True) -> tuple[StageSpending, ...]:
    """Sum up the tokens of a run's answers.

    Args:
        run: The run.
        carried: Whether answers count that another run had paid for.

    Returns:
        The stages that have answers. Answers that a model refused are not rows, and not counted.

    Raises:
        RunError: A file of the run is damaged.
    """
    stages = (("responses", Response, run.recipe.generator), ("samples", Sample, run.recipe.policy))
    cached, others = _cached(run), frozenset[str]() if carried else _carried(run)
    found = []
    for stage, kind, engine in stages:
        counts: Counter[str] = Counter()
        for name, prompt, completion in run.columns(kind, "id", "prompt_tokens", "completion_tokens"):
            if name in others:
                continue
            counts.update(answers=1, prompt=prompt, completion=completion, cached=min(prompt, cached.get(name, 0)))
        if counts["answers"]:
            tokens = counts["prompt"], counts["completion"], counts["cached"]
            usd = price_of(engine, *tokens)
            if not any(tokens) and engine.usd_per_million_tokens() != FREE:
                usd = None  # its server does not count them
            found.append(
                StageSpending(
                    stage=stage, answers=counts["answers"], prompt_tokens=tokens[0], completion_tokens=tokens[1],
                    cached_tokens=tokens[2], usd=None if usd is None else round(usd, 6),
                )
            )  # fmt: skip
    return tuple(found)


def price_of(engine: EngineConfig, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> float | None:
    """Price tokens.

    Args:
        engine: The engine that they were, or are to be, generated with.
        prompt_tokens: Tokens of prompts.
        completion_tokens: Generated tokens.
        cached_tokens: Tokens of prompts that the server had in its cache.

    Returns:
        US dollars; None where the engine's price is not known.
    """
    prices = engine.usd_per_million_tokens()
    return None if prices is None else prices.cost(prompt_tokens, completion_tokens, cached_tokens)


@contextmanager
def noting_cached(run: Run) -> Iterator[Callable[[Completion], None]]:
    """Record how much of each prompt the server had in its cache, which is no part of the answer's row.

    Args:
        run: One shard of the run.

    Yields:
        A function that records an answer before its row is appended: after a kill in between, the later line counts.

    Raises:
        RunError: The file cannot be written.
    """
    with ExitStack() as opened:
        append: Callable[[Mapping[str, Any]], None] | None = None

        def note(completion: Completion) -> None:
            nonlocal append
            if completion.cached_tokens:
                append = append or opened.enter_context(run.appending_to(CACHED))
                append({"id": completion.id, "cached_tokens": completion.cached_tokens})

        yield note


def _cached(run: Run) -> dict[str, int]:
    """Read the cached tokens of prompts, by the id of the answer."""
    found = {}
    for path in (run.folder / CACHED, *(shard.own_folder / CACHED for shard in run.shards)):
        for number, line in whole_lines(path):
            try:
                row = object_of(line)
                found[str(row["id"])] = int(row["cached_tokens"])
            except (ValueError, TypeError, KeyError) as error:
                raise RunError(
                    f"{path}:{number}: not a count of cached tokens ({error}); delete this line: its answer is then "
                    "counted at the full price"
                ) from error
    return found


def _carried(run: Run) -> frozenset[str]:
    """Read the ids of the answers that another run had paid for; a line that cannot be read is such an answer paid."""
    found = set()
    for shard in run.shards:
        for _, line in whole_lines(shard.own_folder / CARRIED):
            with suppress(ValueError, KeyError):
                found.add(str(object_of(line)["id"]))
    return frozenset(found)


@dataclass(kw_only=True)
class SpendingAccount:
    """What was spent, and how many answers are on their way."""

    usd: float = 0.0
    tokens: float = 0.0
    answers: float = 0.0
    pending: dict[str, int] = field(default_factory=dict)
    """Requests that were sent and not yet answered, by the number of the process that sent them."""

    def note(self, holder: int, tokens: float, usd: float, answers: int = 1) -> None:
        """Count answers.

        Args:
            holder: The process that asked for them.
            tokens: Tokens of prompts and answers.
            usd: US dollars.
            answers: Number of answers.
        """
        self.usd, self.tokens, self.answers = self.usd + usd, self.tokens + tokens, self.answers + answers
        self.pending[str(holder)] = max(0, self.pending.get(str(holder), 0) - answers)

    def take(self, limit: "SpendingLimit", holder: int, first: int, most: int) -> int:
        """Let a process send as many requests as its share of what is left allows; none if the limit is reached.

        What others have sent is counted as answers of average length, so that one which gets its answers fast does not
        spend what the answers of a slow one will take. What the process itself had sent is answered, or was lost with
        its predecessor.

        Args:
            limit: The limit.
            holder: Number of the process.
            first: How many all may send before an average is known.
            most: How many a process may send.

        Returns:
            The number of requests.
        """
        self.pending[str(holder)] = 0
        others = sum(self.pending.values())
        sizes = [most]
        for allowed, spent in ((limit.usd, self.usd), (limit.tokens, self.tokens)):
            if allowed is not None:
                if spent >= allowed:
                    return 0
                average = spent / self.answers if self.answers else 0.0
                share = (
                    (allowed - spent - others * average) / average / limit.sharers if average else first / limit.sharers
                )
                sizes.append(max(1, int(share)))
        self.pending[str(holder)] = min(sizes)
        return min(sizes)


class Ledger(Protocol):
    """Where the processes that share a limit count together."""

    def take(self, limit: "SpendingLimit", first: int, most: int) -> tuple[int, SpendingAccount]:
        """Ask how many requests this process may send.

        Args:
            limit: The limit.
            first: How many all may send before an average is known.
            most: How many a process may send.

        Returns:
            The number, and what all have spent.
        """
        ...

    def add(self, tokens: float, usd: float) -> None:
        """Count an answer.

        Args:
            tokens: Its tokens, those of its prompt included.
            usd: What it cost.
        """
        ...


@dataclass(frozen=True)
class LedgerFile(Ledger):
    """A ledger of the processes of one machine."""

    path: Path
    holder: int
    """Number of this process."""

    @override
    def take(self, limit: "SpendingLimit", first: int, most: int) -> tuple[int, SpendingAccount]:
        with self._account() as account:
            return account.take(limit, self.holder, first, most), account

    @override
    def add(self, tokens: float, usd: float) -> None:
        with self._account() as account:
            account.note(self.holder, tokens, usd)

    @contextmanager
    def _account(self) -> Iterator[SpendingAccount]:
        with locked(self.path.with_suffix(".lock"), None):
            account = SpendingAccount(**json.loads(self.path.read_text()))
            yield account
            write_whole(self.path, json.dumps(asdict(account)))


@dataclass(kw_only=True)
class SpendingLimit:
    """A limit on what a build may spend in all, over all of its starts.

    Answers are requested in small groups under a limit, so that what is in flight cannot exceed it by much: the last
    group is as large as the average answer allows.
    """

    usd: float | None = None
    """US dollars; None for no limit."""
    tokens: int | None = None
    """Tokens of prompts and answers together; None for no limit."""
    ledger: Ledger | None = None
    """Where several processes count together; None for one process."""
    sharers: int = 1
    """Processes that share the limit: each sends that much smaller groups."""
    is_blind: bool = False
    """Whether a server answered without saying how many tokens that took."""
    account: SpendingAccount = field(default_factory=SpendingAccount)
    """What was spent; with a ledger, as this process last read it."""

    @classmethod
    def chosen(cls, budget: float | None, max_tokens: int | None) -> Self:
        """Read the options of a build.

        Args:
            budget: US dollars; None for no limit.
            max_tokens: Tokens of prompts and answers together; None for no limit.

        Returns:
            The limit.

        Raises:
            UsageError: One is no positive, finite number.
        """
        if budget is not None and not 0 < budget < math.inf:  # neither is "not a number"
            raise UsageError(f"--budget {budget}: give a positive number of dollars, or leave it out for no limit")
        if max_tokens is not None and max_tokens < 1:
            raise UsageError(f"--max-tokens {max_tokens}: give at least 1, or leave it out for no limit")
        return cls(usd=budget, tokens=max_tokens)

    @property
    def is_set(self) -> bool:
        """Whether there is a limit at all."""
        return self.usd is not None or self.tokens is not None

    def start(self, run: Run) -> None:
        """Count what the run has spent before.

        Args:
            run: The run.

        Raises:
            UsageError: There is a limit in dollars, and the price of an engine is not known.
            RunError: A file of the run is damaged.
        """
        if self.usd is not None:
            for role, engine in (("generator", run.recipe.generator), ("policy", run.recipe.policy)):
                if engine.usd_per_million_tokens() is None:
                    raise UsageError(
                        f"--budget: the price of {engine.type}:{engine.model} is not known; set "
                        f"{role}.usd_per_million_input and {role}.usd_per_million_output, or use --max-tokens"
                    )
        for stage in spending(run, carried=False) if self.is_set else ():
            tokens = stage.prompt_tokens + stage.completion_tokens
            self.account.note(0, tokens, stage.usd or 0.0, stage.answers)

    def shared(self, run: Run, sharers: int, number: int) -> dict[str, Any]:
        """Share the limit among several processes, which count in one file.

        Args:
            run: The run, in whose folder the file is. Its lines say what was spent, the file only saves reading them.
            sharers: Number of processes.
            number: That of the process which gets the values.

        Returns:
            JSON values for `of_shared` in that process.

        Raises:
            RunError: The file cannot be written.
        """
        path = run.folder / ".spent.json"
        if self.is_set and self.ledger is None:
            write_whole(path, json.dumps(asdict(self.account)))
            self.ledger = LedgerFile(path, number)
        ledger = [str(path), number] if self.is_set else None
        return {"usd": self.usd, "tokens": self.tokens, "ledger": ledger, "sharers": sharers}

    @classmethod
    def of_shared(cls, values: Mapping[str, Any]) -> "SpendingLimit":
        """Join the processes that share a limit.

        Args:
            values: What `shared` returned.

        Returns:
            The limit.
        """
        ledger = values["ledger"] and LedgerFile(Path(values["ledger"][0]), values["ledger"][1])
        return cls(**{**values, "ledger": ledger})

    def groups(
        self, requests: Sequence[Request], engine: EngineConfig, *, together: bool = False
    ) -> Iterator[Sequence[Request]]:
        """Divide requests into groups that may be sent one after the other.

        Args:
            requests: All requests of a stage.
            engine: What they go to. One that costs nothing has no limit in dollars.
            together: Whether the answers to a group come together after hours, so that groups should be large.

        Yields:
            Groups, as long as the limit is not reached. Without a limit, all requests at once.

        Raises:
            BudgetError: The limit is reached, and requests are left.
            UsageError: The server does not count tokens.
        """
        limit = self if any(engine.usd_per_million_tokens() or (1.0,)) else replace(self, usd=None)
        if not limit.is_set:
            yield requests
            return
        start = 0
        while start < len(requests):
            first, most = (_FIRST_BATCH, _MOST_BATCH) if together else (_FIRST, _MOST)
            most = min(most, len(requests) - start)
            if self.is_set and self.is_blind:
                raise UsageError(
                    f"{engine.model}: the server does not say how many tokens an answer takes (`usage`), so that no "
                    "limit can be kept; all rows are kept: run the same command without --budget and --max-tokens"
                )
            if self.ledger is None:
                size = self.account.take(limit, 0, first, most)
            else:
                size, self.account = self.ledger.take(limit, first, most)
            if size < 1:
                raise BudgetError(
                    f"the limit is reached after {self.account.answers:,.0f} answers ({self.account.tokens:,.0f} "
                    f"tokens, {self.account.usd:.4f} US dollars), and {len(requests) - start:,} requests of this "
                    "stage remain. All rows are kept: run the same command with a higher --budget or --max-tokens "
                    "to continue"
                )
            yield requests[start : start + size]
            start += size

    def add(self, engine: EngineConfig, completion: Completion) -> None:
        """Count one answer, whatever became of it.

        Args:
            engine: The engine that generated it.
            completion: The answer.
        """
        tokens = completion.prompt_tokens + completion.completion_tokens
        self.is_blind = self.is_blind or (not tokens and completion.finish_reason != "refused")
        usd = price_of(engine, completion.prompt_tokens, completion.completion_tokens, completion.cached_tokens) or 0.0
        if self.ledger is None:
            self.account.note(0, tokens, usd)
        else:
            self.ledger.add(tokens, usd)
