"""The context that every stage gets, and the loop that has an engine generate rows and keeps each as it arrives."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from threading import Event
from typing import TYPE_CHECKING, Any, Generic, Protocol

from plum_hub.engines import EngineConfig
from plum_hub.engines.base import Completion, Engine, Prompt, Request, Sampling
from plum_hub.pipeline.ledger import SpendingLimit, noting_cached
from plum_hub.pipeline.precision import dtype_note
from plum_hub.pipeline.rates import remember
from plum_hub.pipeline.source_reader import SourceReader
from plum_hub.progress import Progress
from plum_hub.recipe import SamplesConfig, SuitesConfig
from plum_hub.records import Drop, KeptT, Response, Sample, digest
from plum_hub.run import CARRIED, Run

if TYPE_CHECKING:
    from plum_hub.errors import BenchmarkError
    from plum_hub.pipeline.decontamination.targets import Targets

BATCHES = "batches"
"""Folder of a run, or of an evaluation, with the records of the batches that an engine has sent."""


class EnginePool:
    """Keeps the engine that was opened last, for the next stage with the same configuration.

    It holds one engine at a time, because two models seldom fit on one machine.
    """

    def __init__(self) -> None:
        self._config: EngineConfig | None = None
        self._engine: Engine | None = None
        self._notes: set[str] = set()

    def is_new_note(self, note: str) -> bool:
        """Return whether a message is new, and remember it.

        Args:
            note: The message.

        Returns:
            False if an earlier stage has shown it.
        """
        new = note not in self._notes
        self._notes.add(note)
        return new

    def open(self, config: EngineConfig) -> Engine:
        """Return the engine of a configuration, opening it if another one is open.

        Args:
            config: The pinned configuration.

        Returns:
            The engine, ready to generate.

        Raises:
            EngineError: The engine cannot be opened.
        """
        if self._engine is None or config != self._config:
            self.close()
            self._engine, self._config = config.open_sealed(), config
        return self._engine

    def close(self) -> None:
        """Close the open engine, if any."""
        if self._engine is not None:
            self._engine.close()
        self._engine = self._config = None


class Cluster(Protocol):
    """Machines that run the stages of a build."""

    def working(self, context: "Context") -> AbstractContextManager[Callable[[str], None]]:
        """Have the machines work for the time of a block.

        Args:
            context: The build, whose instructions are complete.

        Returns:
            Within the block, a function that runs a stage on all shards, given by the name of its function.
        """
        ...


@dataclass
class Context:
    """What every stage works with: one shard of a run, except for the stage `instructions`, which fills all."""

    run: Run
    started: float = field(default_factory=time.monotonic)
    """When the build began, by `time.monotonic()`. A recipe's `budget.minutes` are counted from then."""
    progress: Progress = field(default_factory=Progress)
    engines: EnginePool = field(default_factory=EnginePool)
    donor: Run | None = None
    """An older run whose rows are taken over where the new recipe would make the same ones (`--carry-over`)."""
    benchmark_data: Path | None = None
    """Folder with the files of benchmarks, for `screening` and `decontamination` (`--benchmark-data`)."""
    limit: SpendingLimit = field(default_factory=SpendingLimit)
    """What the build may spend in all (`--budget`, `--max-tokens`)."""
    workers: int = 1
    """Processes that share the shards of a new run."""
    cluster: "Cluster | None" = None
    """Other machines that do the stages; None for this one."""
    readers: dict[str, SourceReader[Any]] = field(default_factory=dict)
    """Sources that stay open from one shard to the next, by the stage that reads them."""
    benchmarks: "dict[str, Targets | BenchmarkError]" = field(default_factory=dict)
    """Problems of benchmarks that were read already, by name, or why they are not available: nobody waits twice for a
    Hub that cannot be reached."""
    donor_places: dict[str, str] = field(default_factory=dict)
    """The donor's shard of each of its instructions, if it has several."""

    def reader(self, name: str, opened: Callable[[], Iterator[tuple[str, Any]]]) -> SourceReader[Any]:
        """Return the reader of a source, which is opened when the first shard asks for it.

        Args:
            name: Who reads it.
            opened: Opens the source, as in `SourceReader`.

        Returns:
            The reader.
        """
        return self.readers.setdefault(name, SourceReader(opened))


@dataclass(frozen=True)
class RowRequest(Generic[KeptT]):
    """A row to be generated: its id, the request to the engine, and how its answer becomes the row."""

    id: str
    instruction_id: str
    prompt: Prompt
    seed: int
    keep: Callable[[Completion, str], KeptT | Drop]
    """Makes the row, or a drop, from the completion and the engine's name and version."""
    schema: Mapping[str, object] | None = None
    """JSON schema that the answer must follow."""


def engine_inputs(config: EngineConfig) -> list[object]:
    """List what identifies an engine in the id of a row: what determines its text, not where it runs or how fast.

    Args:
        config: The pinned configuration.

    Returns:
        JSON values for `digest`.
    """
    return [config.type, config.public().model, config.revision, config.text_settings()]


def sampling_of(settings: SuitesConfig | SamplesConfig, stop: tuple[str, ...] = ()) -> Sampling:
    """Convert the settings of a stage to those of a request.

    Args:
        settings: The section of the recipe.
        stop: Strings at which the answer ends.

    Returns:
        The sampling settings.
    """
    return Sampling(temperature=settings.temperature, top_p=settings.top_p, max_tokens=settings.max_tokens, stop=stop)


def seed_of(base: int, *parts: object) -> int:
    """Derive the seed of one request, so that its randomness does not depend on other requests.

    Args:
        base: Seed in the recipe.
        parts: What identifies the request.

    Returns:
        An integer of 31 bits.
    """
    return int(digest(base, *parts), 16) & 0x7FFF_FFFF


def pending_requests(
    context: Context,
    kind: type[KeptT],
    stage: str,
    requests: Sequence[RowRequest[KeptT]],
    renew: Callable[[KeptT], KeptT] = lambda row: row,
) -> dict[str, RowRequest[KeptT]]:
    """Begin a stage: take over the rows that the donor has, and find those that remain to be generated.

    Args:
        context: The run, and the donor if there is one.
        kind: The record class of the stage.
        stage: Name of the stage.
        requests: All rows of the stage.
        renew: Brings a row of the donor up to this version.

    Returns:
        The remaining requests, by id.

    Raises:
        RunError: A file of either run is damaged, or the run cannot be written.
    """
    run = context.run
    done = run.ids(kind) | {drop.id for drop in run.rows(Drop) if drop.stage == stage}
    pending = {request.id: request for request in requests if request.id not in done}
    context.progress.begin(stage, len(requests), len(requests) - len(pending))
    with run.appending(kind) as append:
        for row in carried_over(run, context.donor, kind, pending):
            if pending.pop(row.id, None) is not None:
                append(renew(row))
                context.progress.advance()
    return pending


def generate_rows(
    context: Context,
    kind: type[KeptT],
    config: EngineConfig,
    pending: Mapping[str, RowRequest[KeptT]],
    sampling: Sampling,
    halt: Event | None = None,
) -> int:
    """Finish a stage: have an engine generate the pending rows, and append each as soon as its answer arrives.

    Args:
        context: The run.
        kind: The record class of the stage.
        config: The pinned configuration of the engine.
        pending: The pending requests, by id.
        sampling: How each answer is sampled.
        halt: If it gets set, the stage ends after the next answer.

    Returns:
        The number of generated tokens.

    Raises:
        EngineError: The engine cannot be opened or failed. Rows that arrived before are kept.
        BudgetError: The limit on what the build may spend is reached.
    """
    tokens = 0
    if pending:
        role = "generator" if kind is Response else "policy"
        path = context.run.path(kind)
        resumed = path.exists() and path.stat().st_size > 0
        note = dtype_note(config, f"--run DIR --set {role}.dtype={{dtype}}", resumed=resumed)
        if note is not None and context.engines.is_new_note(note):
            context.progress.say(note)
        requests = [
            Request(id=row.id, prompt=row.prompt, seed=row.seed, sampling=sampling, schema=row.schema)
            for row in pending.values()
        ]
        with context.run.keeping(kind) as keep, noting_cached(context.run) as note_cached:
            for group in context.limit.groups(requests, config, together=config.answers_later):
                answers = completions(
                    context.engines, config, group, context.progress, context.run.folder / BATCHES, halt
                )
                for completion, name in answers:
                    note_cached(completion)
                    keep(pending[completion.id].keep(completion, name))
                    context.limit.add(config, completion)
                    context.progress.advance(tokens=completion.completion_tokens)
                    tokens += completion.completion_tokens
                    if halt is not None and halt.is_set():
                        return tokens
    context.progress.end()
    return tokens


def completions(
    engines: EnginePool,
    config: EngineConfig,
    requests: Sequence[Request],
    progress: Progress,
    folder: Path | None = None,
    halt: Event | None = None,
) -> Iterator[tuple[Completion, str]]:
    """Have an engine answer requests. Its speed is remembered for estimates.

    Args:
        engines: The pool that opens the engine.
        config: The pinned configuration of the engine.
        requests: The requests.
        progress: Is told about the loading of the model and about generated tokens.
        folder: Where the engine keeps what it must find again after a restart.
        halt: Ends the call if another thread sets it.

    Yields:
        Each completion as it arrives, with the engine's name and version.

    Raises:
        EngineError: The engine cannot be opened or failed.
    """
    engine = open_engine(engines, config, progress)
    engine.on_tokens, engine.on_note, engine.folder, engine.halt = progress.wrote, progress.say, folder, halt
    name = f"{engine.identity.engine} {engine.identity.engine_version}"
    began, tokens = time.monotonic(), 0
    for completion in engine.generate(requests):
        tokens += completion.completion_tokens
        yield completion, name
    if not config.answers_later:
        remember(config, tokens, time.monotonic() - began)


def open_engine(engines: EnginePool, config: EngineConfig, progress: Progress) -> Engine:
    """Open an engine and report the wait.

    Args:
        engines: The pool that opens the engine.
        config: The pinned configuration of the engine.
        progress: Is told about the loading of the model.

    Returns:
        The engine, ready to generate.

    Raises:
        EngineError: The engine cannot be opened.
    """
    with progress.waiting(f"loading {PurePath(config.model).name or config.type}"):
        return engines.open(config)


def carried_over(run: Run, donor: Run | None, kind: type[KeptT], pending: Iterable[str]) -> Iterator[KeptT]:
    """Find the rows of the donor that are pending here. Equal ids mean equal inputs (law 4).

    With the first one, the run records the versions of the packages that made the rows of the donor; of each, that
    another run had paid for it.

    Args:
        run: The run that takes them over.
        donor: The older run, or None.
        kind: The record class.
        pending: Ids of the pending rows.

    Yields:
        The rows of the donor.

    Raises:
        RunError: A file of the donor is damaged, or the run cannot be written.
    """
    if donor is None:
        return
    wanted, recorded = set(pending), False
    with ExitStack() as opened:
        note: Callable[[Mapping[str, Any]], None] | None = None
        for row in donor.rows(kind):
            if row.id not in wanted:
                continue
            if not recorded:
                for versions in donor.environments():
                    run.record_environment(versions)
                recorded = True
            if isinstance(row, Response | Sample):
                note = note or opened.enter_context(run.appending_to(CARRIED))
                note({"id": row.id})
            yield row
