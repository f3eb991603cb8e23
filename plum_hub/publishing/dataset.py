"""Stage `release`: write the tree, publish it as one commit, read it back, tag it.

The version follows the content (`plum_hub.release.versions`): a first release is v1.0.0, and the same content is the
release that is there already.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import tee
from typing import TYPE_CHECKING

from plum_hub.cards import DatasetFacts, dataset_card
from plum_hub.files import writing
from plum_hub.hubs.client import history
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.build import default_folder
from plum_hub.pipeline.decontamination.stage import removed_ids
from plum_hub.publishing.lineage import lineage_of
from plum_hub.publishing.repository import PublishOptions, Released, Repository, remember
from plum_hub.records import Drop, Instruction, Preference, Sample, TestSuite, Verdict
from plum_hub.release.lineage import Lineage
from plum_hub.release.manifest import MANIFEST, PreviousRelease, ReleaseCounts
from plum_hub.release.tree import ReleaseContents, with_card, write_tree
from plum_hub.release.versions import FIRST, Stated, newest_first
from plum_hub.run import Run

if TYPE_CHECKING:
    import pyarrow as pa


def release(context: Context, destination: PublishOptions | None) -> Released:
    """Write the run's release and publish it; publishing again what is there already changes nothing.

    Raises:
        NothingToReleaseError: no instruction has a chosen sample.
        HubError: the Hub cannot be reached or refuses.
        RunError: the tree cannot be written.
    """
    with context.run.lock():
        return _release(context, destination)


def _release(context: Context, destination: PublishOptions | None) -> Released:
    run = context.run
    if destination is None:
        return Released(folder=str(_DatasetTree(run, default_name(run), FIRST).folder))
    with destination.opened(default_name(run), "dataset") as place:
        write = partial(_DatasetTree, run, place.repo, before=partial(_newest, place))
        load_line = f'load_dataset("{place.repo}", "kto", revision="{{}}")'
        released = place.publish(write, load_line.format, context.progress)
    remember(run.folder, released)
    return released


def default_name(run: Run) -> str:
    """The repository's name when `--repo` does not say: `plum-<instructions>-<model>`, at most 96 characters."""
    return f"plum-{default_folder(run.recipe).name}"[:96].rstrip("-.")


class _DatasetTree:
    """The tree of a run, written once; only its card, which names the tag, is written anew for another tag."""

    def __init__(
        self, run: Run, repo: str, tag: str, before: Callable[[], PreviousRelease | None] = lambda: None
    ) -> None:
        self.folder = run.folder / "release" / "dataset"
        self._repo, self._before, self._lineage = repo, before, lineage_of(run)
        with writing(self.folder):
            self.folder.parent.mkdir(exist_ok=True)
        self._rule = run.recipe.preferences
        contents = _contents(run, self._lineage, lambda counts: self._card(tag, counts))
        self._manifest = write_tree(self.folder, contents)

    @property
    def manifest(self) -> Stated:
        """What the manifest says."""
        found: Stated = json.loads((self.folder / MANIFEST).read_bytes())
        return found

    def under(self, tag: str, there: Stated | None) -> Stated:
        """As `Tree.under`; the manifest then names the release before."""
        manifest = replace(self._manifest, previous=_named(there) if there else self._before())
        self._manifest = with_card(self.folder, manifest, self._card(tag, manifest.counts))
        return self.manifest

    def _card(self, tag: str, counts: ReleaseCounts) -> str:
        name = self._repo.rpartition("/")[2].replace("-", " ")
        return dataset_card(
            DatasetFacts(
                repo=self._repo, tag=tag, pretty_name=name, lineage=self._lineage, counts=counts, rule=self._rule
            )
        )


def _named(manifest: Stated) -> PreviousRelease | None:
    """The release that a manifest names as the one before it."""
    found = manifest.get("previous")
    return PreviousRelease(**found) if isinstance(found, dict) and found.keys() == {"tag", "commit"} else None


def _newest(place: Repository) -> PreviousRelease | None:
    """The newest version whose commit is on the branch."""
    commits = set(history(place.repo, place.destination.branch, place.target)) if place.tags else set()
    versions = newest_first(place.tags)
    return next((PreviousRelease(tag, place.tags[tag]) for tag in versions if place.tags[tag] in commits), None)


def _contents(run: Run, lineage: Lineage, card: Callable[[ReleaseCounts], str]) -> ReleaseContents:
    """What is released of a run: all but what was found in a benchmark."""
    gone = removed_ids(run)
    instructions = {row.id: row for row in run.rows(Instruction)}
    return ReleaseContents(
        lineage=lineage,
        recipe=run.recipe.public().to_yaml(),
        preferences=_Preferences(run),
        rule=run.recipe.preferences,
        samples=_judged(run, gone),
        suites=((instructions[row.instruction_id], row) for row in run.rows(TestSuite) if row.id not in gone),
        dropped=run.tables(Drop),
        card=card,
    )


def _judged(run: Run, gone: set[str]) -> "Iterator[tuple[pa.Table, pa.Table]]":
    """Every sample with its verdict; verdicts come in another order, and are too many to be held."""
    samples, again = tee(_kept(table, gone) for table in run.tables(Sample))
    names = (table["id"].to_pylist() for table in again if table.num_rows)
    return zip((table for table in samples if table.num_rows), run.matching(Verdict, "sample_id", names), strict=True)


def _kept(samples: "pa.Table", gone: set[str]) -> "pa.Table":
    import pyarrow as pa

    return samples.filter(pa.array(name not in gone for name in samples["id"].to_pylist())) if gone else samples


class _Preferences(Iterable["pa.Table"]):
    """The run's preferences, read anew from disk each time they are walked."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __iter__(self) -> "Iterator[pa.Table]":
        return self._run.tables(Preference)
