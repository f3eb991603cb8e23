"""Stages over the shards of a run: how large a shard is, one stage over all of them, one progress view of all."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path

from typing_extensions import override

from plum_hub.lines import whole_lines
from plum_hub.pipeline.base import Context
from plum_hub.progress import Progress
from plum_hub.records import Instruction
from plum_hub.run import Run

UNIT = 64
"""The instructions of a shard are a multiple of this, which is how many the stage `suites` checks together; so a run of
fewer is not shared among workers."""
SHARD_INSTRUCTIONS = 32 * UNIT
"""Instructions of a full shard. With the paper's 20 samples, their rows are about 160 MB of JSON lines."""


def shard_size(instructions: int | None, workers: int = 1) -> int:
    """Choose how many instructions a shard of a new run holds, so that each worker gets as many shards as the others.

    Args:
        instructions: Instructions of the run; None if that is not known.
        workers: Processes that will share the shards.

    Returns:
        A multiple of `UNIT`, at most `SHARD_INSTRUCTIONS`.
    """
    if instructions is None or workers == 1:
        return SHARD_INSTRUCTIONS
    shards = workers * max(1, ceil(instructions / (workers * SHARD_INSTRUCTIONS)))
    return min(SHARD_INSTRUCTIONS, max(1, ceil(instructions / (shards * UNIT))) * UNIT)


def over_shards(context: Context, stage: Callable[[Context], None]) -> None:
    """Run a stage on each shard of a run, one after the other.

    Args:
        context: The run. Engines and sources stay open from one shard to the next.
        stage: The stage.

    Raises:
        PlumError: The stage failed. The rows made before are kept.
    """
    shards = context.run.shards
    if len(shards) == 1:
        stage(context)
        return
    view = RunProgress(context.progress, weights(shards))
    for shard in shards:
        stage(of_shard(context, shard, view.of(shard.names[0])))
    view.finish()


def of_shard(context: Context, shard: Run, progress: Progress) -> Context:
    """Return the context of a stage on one shard.

    Args:
        context: The context of the build.
        shard: The view of the shard.
        progress: The reporter of the shard.

    Returns:
        The context, whose donor is limited to the shards that have rows of the same instructions.
    """
    donor = context.donor
    if donor is not None and len(donor.names) > 1:
        places = context.donor_places
        if not places:
            for one in donor.shards:
                places.update(dict.fromkeys((name for (name,) in one.columns(Instruction, "id")), one.names[0]))
        found = {places[name] for (name,) in shard.columns(Instruction, "id") if name in places}
        donor = donor.limited(sorted(found) or donor.names[:1])
    return replace(context, run=shard, progress=progress, donor=donor)


def weights(shards: tuple[Run, ...]) -> dict[str, int]:
    """Count the instructions of shards.

    Args:
        shards: A view of each.

    Returns:
        The number of instructions, by the name of the shard.
    """
    return {shard.names[0]: _lines(shard.path(Instruction)) for shard in shards}


def _lines(path: Path) -> int:
    return sum(1 for _ in whole_lines(path))


@dataclass
class RunProgress:
    """One view of a stage that runs shard by shard, or on several shards at a time.

    The rows of a shard that has not begun are estimated by its instructions, from those of the shards that have.
    """

    inner: Progress
    """Is shown the whole run."""
    weights: Mapping[str, int]
    """Instructions of each shard, by name."""
    _totals: dict[str, int] = field(default_factory=dict)
    _done: dict[str, int] = field(default_factory=dict)
    _beside: "RunProgress | None" = None

    def of(self, shard: str) -> "ShardProgress":
        """Return the reporter of one shard.

        Args:
            shard: Its name.

        Returns:
            A reporter that adds to this view. A shard that begins again replaces what it has reported.
        """
        return ShardProgress(self, shard)

    def beside(self) -> "RunProgress":
        """Return the view of the stage that runs at the same time; there is one for all shards."""
        if self._beside is None:
            self._beside = RunProgress(self.inner.beside(), self.weights)
        return self._beside

    def begin(self, shard: str, stage: str, total: int, done: int) -> None:
        """Begin the stage on one shard.

        Args:
            shard: Name of the shard.
            stage: Name of the stage.
            total: Rows that the stage makes of this shard.
            done: Rows that exist already.
        """
        first = not self._totals
        more = done - self._done.get(shard, 0)
        self._totals[shard], self._done[shard] = total, done
        if first:
            self.inner.begin(stage, self._expected(), done)
        else:
            self.inner.extend(self._expected(), more)

    def advance(self, shard: str, rows: int, tokens: int) -> None:
        """Count finished rows of one shard.

        Args:
            shard: Name of the shard.
            rows: Number of rows.
            tokens: Tokens generated for them.
        """
        self._done[shard] = self._done.get(shard, 0) + rows
        self.inner.advance(rows, tokens)

    def finish(self) -> None:
        """Report that the stage is complete on all shards."""
        if self._totals:
            self.inner.end()
        if self._beside is not None:
            self._beside.finish()

    def _expected(self) -> int:
        """Return the rows of all shards; exact once all have begun."""
        begun = sum(self.weights.get(name, 0) for name in self._totals)
        total = sum(self._totals.values())
        if len(self._totals) >= len(self.weights) or not begun:
            return total
        return round(total * sum(self.weights.values()) / begun)


class ShardProgress(Progress):
    """Reporter of a stage on one shard, as part of the view of the run.

    Args:
        view: The view.
        shard: Name of the shard.
    """

    def __init__(self, view: RunProgress, shard: str) -> None:
        self._view, self._shard = view, shard

    @override
    def begin(self, stage: str, total: int, done: int) -> None:
        self._view.begin(self._shard, stage, total, done)

    @contextmanager
    @override
    def waiting(self, what: str) -> Iterator[None]:
        with self._view.inner.waiting(what):
            yield

    @override
    def expect(self, tokens: float) -> None:
        self._view.inner.expect(tokens)

    @override
    def wrote(self, tokens: int) -> None:
        self._view.inner.wrote(tokens)

    @override
    def advance(self, rows: int = 1, tokens: int = 0) -> None:
        self._view.advance(self._shard, rows, tokens)

    @override
    def say(self, text: str) -> None:
        self._view.inner.say(text)

    @override
    def beside(self) -> Progress:
        return self._view.beside().of(self._shard)
