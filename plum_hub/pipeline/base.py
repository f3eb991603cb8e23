"""What a stage gets in hand, and the one loop that asks an engine and keeps each answer as it arrives."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from threading import Event
from typing import Generic

from plum_hub.engines import EngineConfig
from plum_hub.engines.base import Completion, Engine, Prompt, Request, Sampling
from plum_hub.pipeline.precision import told_numbers
from plum_hub.pipeline.rates import remember
from plum_hub.progress import Progress
from plum_hub.recipe import SamplesConfig, SuitesConfig
from plum_hub.records import Drop, KeptT, Response, digest
from plum_hub.run import Run


class EnginePool:
    """Opens an engine once and keeps it for the next stage that wants the same; holds one at a time, since two models
    seldom fit beside each other."""

    def __init__(self) -> None:
        self._config: EngineConfig | None = None
        self._engine: Engine | None = None
        self._told: set[str] = set()

    def tell_once(self, note: str) -> bool:
        """Whether this is the first stage that has this to say."""
        new = note not in self._told
        self._told.add(note)
        return new

    def open(self, config: EngineConfig) -> Engine:
        """The engine of `config`, which is pinned, ready.

        Raises:
            EngineError: it cannot be had.
        """
        if self._engine is None or config != self._config:
            self.close()
            self._engine, self._config = config.open_sealed(), config
        return self._engine

    def close(self) -> None:
        """Free the engine that is open, if any."""
        if self._engine is not None:
            self._engine.close()
        self._engine = self._config = None


@dataclass
class Context:
    """What every stage works with."""

    run: Run
    started: float = field(default_factory=time.monotonic)
    """When the build began, by `time.monotonic()`: a recipe's `budget.minutes` are counted from here."""
    progress: Progress = field(default_factory=Progress)
    engines: EnginePool = field(default_factory=EnginePool)
    donor: Run | None = None
    """An older run whose rows are taken over where the new recipe would make the very same (`--carry-over`)."""
    benchmark_data: Path | None = None
    """A folder that holds benchmarks, for the stage `decontamination` (`--benchmark-data`)."""


@dataclass(frozen=True)
class RowRequest(Generic[KeptT]):
    """One answer that is wanted: the id of the row it becomes, the request, and how to make the row."""

    id: str
    instruction_id: str
    prompt: Prompt
    seed: int
    keep: Callable[[Completion, str], KeptT | Drop]
    """From the completion and the engine's name and version to the row, or to the drop."""


def made_by(config: EngineConfig) -> list[object]:
    """What of an engine goes into a row's id: what decides about its text, not where it lies or how fast it runs."""
    return [config.type, config.public().model, config.revision, config.text_settings()]


def sampling_of(settings: SuitesConfig | SamplesConfig, stop: tuple[str, ...] = ()) -> Sampling:
    """The recipe's settings in an engine's words."""
    return Sampling(temperature=settings.temperature, top_p=settings.top_p, max_tokens=settings.max_tokens, stop=stop)


def seed_of(base: int, *parts: object) -> int:
    """A seed for one request: 31 bits from the recipe's seed and what is asked, so that no request's randomness
    depends on its neighbours."""
    return int(digest(base, *parts), 16) & 0x7FFF_FFFF


def unanswered(
    context: Context,
    kind: type[KeptT],
    stage: str,
    asks: Sequence[RowRequest[KeptT]],
    renew: Callable[[KeptT], KeptT] = lambda row: row,
) -> dict[str, RowRequest[KeptT]]:
    """Begin a stage: take over what the donor has of it, and return what is then still to be asked, by id.

    Args:
        context: the run, and the donor if there is one.
        kind: the records that the stage makes.
        stage: its name.
        asks: every answer that is wanted.
        renew: brings a donor's row up to this version.
    """
    run = context.run
    done = run.ids(kind) | {drop.id for drop in run.rows(Drop) if drop.stage == stage}
    owed = {one.id: one for one in asks if one.id not in done}
    context.progress.begin(stage, len(asks), len(asks) - len(owed))
    with run.appending(kind) as append:
        for row in carried_over(context.donor, kind, owed):
            if owed.pop(row.id, None) is not None:
                append(renew(row))
                context.progress.advance()
    return owed


def ask(
    context: Context,
    kind: type[KeptT],
    config: EngineConfig,
    owed: Mapping[str, RowRequest[KeptT]],
    sampling: Sampling,
    halt: Event | None = None,
) -> int:
    """End a stage: have an engine answer what is owed, and append each row as soon as its answer arrives. When `halt`
    is set it ends after the next answer.

    Returns:
        Tokens that were written.

    Raises:
        EngineError: the engine cannot be had or broke; answers that came before are kept.
    """
    tokens = 0
    if owed:
        role = "generator" if kind is Response else "policy"
        there = context.run.path(kind)
        resumed = there.exists() and there.stat().st_size > 0
        note = told_numbers(config, f"--run DIR --set {role}.dtype={{dtype}}", resumed=resumed)
        if note is not None and context.engines.tell_once(note):
            context.progress.say(note)
        requests = [Request(id=one.id, prompt=one.prompt, seed=one.seed, sampling=sampling) for one in owed.values()]
        with context.run.keeping(kind) as keep:
            for completion, name in answers(context.engines, config, requests, context.progress):
                keep(owed[completion.id].keep(completion, name))
                context.progress.advance(tokens=completion.completion_tokens)
                tokens += completion.completion_tokens
                if halt is not None and halt.is_set():
                    return tokens
    context.progress.end()
    return tokens


def answers(
    engines: EnginePool, config: EngineConfig, requests: Sequence[Request], progress: Progress
) -> Iterator[tuple[Completion, str]]:
    """Have an engine answer, and yield each completion as it arrives, with the engine's name and version. How fast the
    engine was is remembered; the loading of its model and the tokens under way are told to `progress`.

    Raises:
        EngineError: the engine cannot be had or broke; answers that came before stand.
    """
    engine = opened(engines, config, progress)
    engine.on_tokens = progress.wrote
    name = f"{engine.identity.engine} {engine.identity.engine_version}"
    began, tokens = time.monotonic(), 0
    for completion in engine.generate(requests):
        tokens += completion.completion_tokens
        yield completion, name
    remember(config, tokens, time.monotonic() - began)


def opened(engines: EnginePool, config: EngineConfig, progress: Progress) -> Engine:
    """The engine of `config`, ready; what it waits for is told to `progress`.

    Raises:
        EngineError: it cannot be had.
    """
    with progress.waiting(f"loading {PurePath(config.model).name or config.type}"):
        return engines.open(config)


def carried_over(donor: Run | None, kind: type[KeptT], owed: Iterable[str]) -> Iterator[KeptT]:
    """The donor's rows that are owed here: same id, so made from the same inputs (law 4)."""
    if donor is not None:
        wanted = set(owed)
        yield from (row for row in donor.rows(kind) if row.id in wanted)
