"""Stage `release`: write the tree, publish it as one commit, read it back, tag it.

The version follows from the content (`plum_hub.release.versions`): a first release is v1.0.0, and content that is
published already keeps its version.
"""

import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import chain
from shlex import quote
from typing import TYPE_CHECKING, Any

from plum_hub.cards import DatasetFacts, dataset_card
from plum_hub.errors import NothingToReleaseError, RunError
from plum_hub.files import writing
from plum_hub.hubs.client import history
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.build import default_folder
from plum_hub.pipeline.decontamination.stage import removed_ids
from plum_hub.publishing.evidence import evidence_kinds, evidence_of
from plum_hub.publishing.lineage import lineage_of
from plum_hub.publishing.repository import PublishOptions, Released, Repository, record_release, unpublished_name
from plum_hub.records import Drop, Instruction, Preference, Record, Response, Sample, TestSuite, Verdict
from plum_hub.release.lineage import Lineage
from plum_hub.release.manifest import MANIFEST, PreviousRelease, ReleaseCounts
from plum_hub.release.record import last_release
from plum_hub.release.tree import ReleaseContents, with_card, write_tree
from plum_hub.release.versions import Stated, newest_first
from plum_hub.run import Run

if TYPE_CHECKING:
    import pyarrow as pa

_STAGES = ("instructions", "responses", "suites", "samples", "verdicts", "decontamination", "preferences")
"""The stages that leave rows out, in order."""
_KEYS: dict[type[Record], str] = {
    Instruction: "id", Response: "id", TestSuite: "id", Sample: "id", Verdict: "sample_id",
}  # fmt: skip
"""The column of which each row has a value of its own."""


def release(context: Context, options: PublishOptions | None) -> Released:
    """Write the run's release and publish it; content that is published already changes nothing.

    Args:
        context: The run, and the progress reporter.
        options: Where to publish; None only writes the release.

    Returns:
        The release.

    Raises:
        NothingToReleaseError: No instruction has a chosen sample.
        HubError: The Hub cannot be reached or refuses.
        RunError: The tree cannot be written.
    """
    with context.run.lock():
        return _release(context, options)


def _release(context: Context, options: PublishOptions | None) -> Released:
    run = context.run
    _refuse_duplicates(run)
    require_labels(run)
    last = last_release(run.folder)
    if options is None:
        repo, tag = unpublished_name(last, _default_name(run))
        return Released(folder=str(_DatasetTree(run, repo, tag).folder))
    with options.open(_default_name(run), "dataset", last) as repository:
        write = partial(_DatasetTree, run, repository.repo, before=partial(_newest, repository))
        load_line = f'load_dataset("{repository.repo}", "kto", revision="{{}}")'
        released = repository.publish(write, load_line.format, context.progress)
    record_release(run.folder, released)
    return released


def _refuse_duplicates(run: Run) -> None:
    """Check that no row is there twice, as where copies of a run were joined; labels are made again by their stage."""
    for shard in run.shards:
        for kind, key in _KEYS.items():
            lines: dict[str, int] = {}
            for number, (name,) in enumerate(shard.columns(kind, key), 1):
                if lines.setdefault(name, number) != number:
                    raise RunError(
                        f"{shard.path(kind)}:{number}: is a second row of {key} {name}, beside line {lines[name]}; "
                        "delete one of the two and run the same command again"
                    )


def require_labels(run: Run) -> None:
    """Check that a complete run has labels.

    Args:
        run: The run.

    Raises:
        NothingToReleaseError: It has none; the message says at which stages its rows ended, and what may give it some.
    """
    if next(run.columns(Preference, "id"), None) is not None:
        return
    reasons = Counter(run.columns(Drop, "stage", "reason")).most_common(3)
    left_out = ", ".join(f"{stage} {count:,} {reason}" for (stage, reason), count in reasons) or "none"
    judged = next(run.columns(Verdict, "id"), None) is not None
    mend = "no sample was judged"
    if judged:
        mend = "use a stronger policy, more samples for each suite, or more instructions"
    shown = f"plum-hub status {quote(str(run.folder))}"
    raise NothingToReleaseError(
        f"no instruction has a chosen sample, so there is nothing to release (left out: {left_out}): {mend}; "
        f"{shown} shows all"
    )


def _default_name(run: Run) -> str:
    """Name the repository `plum-<instructions>-<model>`, cut to the Hub's 96 characters."""
    return f"plum-{default_folder(run.recipe).name}"[:96].rstrip("-.")


class _DatasetTree:
    """The tree of a run, written once; only the card, which names the tag, is rewritten for another tag."""

    def __init__(
        self, run: Run, repo: str, tag: str, before: Callable[[], PreviousRelease | None] = lambda: None
    ) -> None:
        self.folder = run.folder / "release" / "dataset"
        self._repo, self._before, self._lineage = repo, before, lineage_of(run)
        with writing(self.folder):
            self.folder.parent.mkdir(exist_ok=True)
        self._rule, self._mypy = run.recipe.preferences, bool(run.recipe.verdicts.mypy_codes)
        contents = _contents(run, self._lineage, lambda counts: self._card(tag, counts))
        self._manifest = write_tree(self.folder, contents)

    @property
    def manifest(self) -> Stated:
        """Content of the manifest."""
        manifest: Stated = json.loads((self.folder / MANIFEST).read_bytes())
        return manifest

    def under(self, tag: str, there: Stated | None) -> Stated:
        """Rewrite the card for a tag, and name the previous release in the manifest.

        Args:
            tag: The tag that the card is to name.
            there: Manifest of the release that has this tag already, if any.

        Returns:
            Content of the manifest after that.
        """
        manifest = replace(self._manifest, previous=_previous(there) if there else self._before())
        self._manifest = with_card(self.folder, manifest, self._card(tag, manifest.counts))
        return self.manifest

    def _card(self, tag: str, counts: ReleaseCounts) -> str:
        name = self._repo.rpartition("/")[2].replace("-", " ")
        return dataset_card(
            DatasetFacts(
                repo=self._repo,
                tag=tag,
                pretty_name=name,
                lineage=self._lineage,
                counts=counts,
                rule=self._rule,
                mypy=self._mypy,
            )
        )


def _previous(manifest: Stated) -> PreviousRelease | None:
    """Read the release that a manifest names as the previous one."""
    found = manifest.get("previous")
    return PreviousRelease(**found) if isinstance(found, dict) and found.keys() == {"tag", "commit"} else None


def _newest(repository: Repository) -> PreviousRelease | None:
    """Find the newest version whose commit is on the branch."""
    tags = repository.tags
    commits = set(history(repository.repo, repository.options.branch, repository.target)) if tags else set()
    return next((PreviousRelease(tag, tags[tag]) for tag in newest_first(tags) if tags[tag] in commits), None)


def _contents(run: Run, lineage: Lineage, card: Callable[[ReleaseCounts], str]) -> ReleaseContents:
    """Collect what is released of a run: everything but what was found in a benchmark."""
    contaminated = removed_ids(run)
    return ReleaseContents(
        lineage=lineage,
        recipe=run.recipe.public().to_yaml(),
        preferences=_Preferences(run),
        rule=run.recipe.preferences,
        samples=chain.from_iterable(_judged(shard, contaminated) for shard in run.shards),
        suites=chain.from_iterable(_suites(shard, contaminated) for shard in run.shards),
        dropped=_dropped(run),
        card=card,
        evidence=evidence_kinds(run, contaminated),
    )


def _suites(shard: Run, contaminated: set[str]) -> Iterator[tuple[Instruction, TestSuite, Mapping[str, Any]]]:
    """Yield the suites of a shard, each with its instruction and the evidence about it."""
    instructions = {row.id: row for row in shard.rows(Instruction)}
    evidence = evidence_of(shard, contaminated)
    for row in shard.rows(TestSuite):
        if row.id not in contaminated:
            yield instructions[row.instruction_id], row, evidence.get(row.id, {})


def _dropped(run: Run) -> "Iterator[pa.Table]":
    """Yield the rows that were left out: with several shards stage by stage, as a run with one shard makes them."""
    if len(run.names) == 1:
        yield from run.tables(Drop)
        return
    from pyarrow import compute

    stages = dict.fromkeys(stage for (stage,) in run.columns(Drop, "stage"))
    for stage in sorted(stages, key=lambda name: _STAGES.index(name) if name in _STAGES else len(_STAGES)):
        for table in run.tables(Drop):
            yield table.filter(compute.equal(table["stage"], stage))


def _judged(run: Run, contaminated: set[str]) -> "Iterator[tuple[pa.Table, pa.Table]]":
    """Pair the samples of a shard with their verdicts, which come in another order and do not fit into memory."""
    waiting: deque[pa.Table] = deque()  # one table: `tee` would keep up to 57 of them

    def names() -> Iterator[list[str]]:
        for table in run.tables(Sample):
            kept = _kept(table, contaminated)
            if kept.num_rows:
                waiting.append(kept)
                yield kept["id"].to_pylist()

    for verdicts in run.matching(Verdict, "sample_id", names()):
        yield waiting.popleft(), verdicts


def _kept(samples: "pa.Table", contaminated: set[str]) -> "pa.Table":
    import pyarrow as pa

    if not contaminated:
        return samples
    return samples.filter(pa.array(name not in contaminated for name in samples["id"].to_pylist()))


class _Preferences(Iterable["pa.Table"]):
    """The run's preferences, read from disk on every iteration."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __iter__(self) -> "Iterator[pa.Table]":
        return self._run.tables(Preference)
