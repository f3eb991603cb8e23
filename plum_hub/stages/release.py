"""Stage `release`: write the tree, publish it as one commit, read it back, tag it.

The version follows the content (`plum_hub.release.versions`): a first release is v1.0.0, and the same content is the
release that is there already. A tag never moves (law 7).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING

from plum_hub.cards import DatasetFacts, dataset_card
from plum_hub.hubs.client import (
    HubTarget,
    PublishRequest,
    choose_target,
    connected,
    fetch_file,
    history,
    publish_repo,
    tags,
    whoami,
)
from plum_hub.hubs.embedded import default_root
from plum_hub.lines import writing
from plum_hub.records import Drop, Instruction, Preference, Sample, TestSuite, Verdict
from plum_hub.release.lineage import Counts, Lineage, Previous
from plum_hub.release.tree import MANIFEST, Contents, with_card, write_tree
from plum_hub.release.versions import FIRST, Stated, following, newest_first, rows_of
from plum_hub.run import Run
from plum_hub.stages.base import Context
from plum_hub.stages.build import default_folder
from plum_hub.stages.decontamination.stage import removed
from plum_hub.stages.lineage import lineage_of

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where to publish, and how."""

    hub: str
    """As `--hub` takes it."""
    repo: str | None = None
    """`NAME` or `NAMESPACE/NAME`; None for the default name."""
    private: bool = False
    tag: str | None = None
    """The version; None for the one that follows from the content."""
    branch: str = "main"
    create_pr: bool = False
    """Propose the release for the branch; nothing is tagged."""


@dataclass(frozen=True)
class Released:
    """What became of a run. Without a destination only `folder` is there."""

    folder: str
    repo: str | None = None
    tag: str | None = None
    """None for a pull request."""
    commit: str | None = None
    url: str | None = None
    hub: str | None = None
    """What `--hub` must say to find it again."""
    endpoint: str | None = None
    """The Hub's address where it is neither the public one nor embedded."""
    load_line: str | None = None
    """What a user pastes to load it, after `from datasets import load_dataset`."""

    def facts(self) -> list[tuple[str, str]]:
        """Named values for a screen."""
        if self.repo is None:
            return [("release", f"{self.folder} (not published: --hub none)")]
        where = f"embedded, kept in {default_root()}" if self.hub == "embedded" else str(self.url)
        named = self.tag or "pull request"
        return [("release", f"{self.repo} {named}, commit {self.commit}"), ("hub", where)]


def release(context: Context, destination: Destination | None) -> Released:
    """Write the run's release and publish it; publishing again what is there already changes nothing.

    Raises:
        NothingToReleaseError: no instruction has a chosen sample.
        HubError: the Hub cannot be reached or refuses.
        RunError: the tree cannot be written.
    """
    with context.run.lock():
        return _release(context, destination)


def _release(context: Context, destination: Destination | None) -> Released:
    run = context.run
    folder = run.folder / "release" / "dataset"
    name = default_name(run) if destination is None or destination.repo is None else destination.repo
    if destination is None:
        _Tree(run, folder, name, FIRST)
        return Released(folder=str(folder))
    with connected(choose_target(destination.hub)) as target:
        repo = name if "/" in name else f"{whoami(target)}/{name}"
        context.progress.begin("release", 1, 0)
        tag = _version(run, folder, repo, destination, target)
        request = PublishRequest(
            folder=folder,
            repo=repo,
            tag=tag,
            message=f"plum-hub release {tag}",
            private=destination.private,
            branch=destination.branch,
            create_pr=destination.create_pr,
        )
        published = publish_repo(request, target)
        context.progress.advance()
        context.progress.end()
    released = Released(
        folder=str(folder),
        repo=repo,
        tag=published.tag,
        commit=published.commit,
        url=published.url,
        hub="embedded" if target.embedded else destination.hub,
        endpoint=None if target.embedded else target.endpoint,
        load_line=f'load_dataset("{repo}", "kto", revision="{published.tag or published.commit}")',
    )
    if published.tag is not None:
        _note(run, released)
    return released


def default_name(run: Run) -> str:
    """The repository's name when `--repo` does not say: `plum-<instructions>-<model>`, at most 96 characters."""
    return f"plum-{default_folder(run.recipe).name}"[:96].rstrip("-.")


def _version(run: Run, folder: Path, repo: str, destination: Destination, target: HubTarget) -> str:
    """The tag of this content; leaves the tree, written for that tag, in `folder`."""
    there = tags(repo, target)
    found = [] if destination.tag else newest_first(there)
    tag = destination.tag or next(iter(found), FIRST)
    tree = _Tree(run, folder, repo, tag)
    newest = _manifest(repo, tag, target) if tag in there else None
    for tag in found:
        theirs = newest if tag == found[0] else _manifest(repo, tag, target)
        # A release names its tag and the one before it, so equal ones are equal to the byte only under the same names.
        if theirs and rows_of(theirs) == rows_of(tree.stated) and tree.under(tag, _named(theirs)) == theirs:
            return tag
    if found:
        tag = following(found[0], newest, tree.stated)
    tree.under(tag, _named(newest) if tag in there and newest else _newest_on(destination.branch, repo, there, target))
    return tag


def _named(theirs: Stated) -> Previous | None:
    """The release that a manifest names as the one before it."""
    found = theirs.get("previous")
    return Previous(**found) if isinstance(found, dict) and found.keys() == {"tag", "commit"} else None


def _newest_on(branch: str, repo: str, there: Mapping[str, str], target: HubTarget) -> Previous | None:
    """The newest version whose commit is on the branch."""
    commits = set(history(repo, branch, target)) if there else set()
    return next((Previous(tag, there[tag]) for tag in newest_first(there) if there[tag] in commits), None)


def _manifest(repo: str, tag: str, target: HubTarget) -> Stated | None:
    """What the manifest of a release says; None where it has none."""
    path = fetch_file(repo, tag, MANIFEST, target)
    found: Stated | None = None if path is None else json.loads(path.read_bytes())
    return found


class _Tree:
    """The tree of a run, written once; only its card, which names the tag, is written anew for another tag."""

    def __init__(self, run: Run, folder: Path, repo: str, tag: str) -> None:
        self._folder, self._repo, self._lineage = folder, repo, lineage_of(run)
        with writing(folder):
            folder.parent.mkdir(exist_ok=True)
        self._rule = run.recipe.preferences
        contents = _contents(run, self._lineage, lambda counts: self._card(tag, counts))
        self._manifest = write_tree(folder, contents)

    @property
    def stated(self) -> Stated:
        """What the manifest says."""
        found: Stated = json.loads((self._folder / MANIFEST).read_bytes())
        return found

    def under(self, tag: str, previous: Previous | None) -> Stated:
        """What the manifest says when the card names this tag and the manifest the release before, as they then do."""
        manifest = replace(self._manifest, previous=previous)
        self._manifest = with_card(self._folder, manifest, self._card(tag, manifest.counts))
        return self.stated

    def _card(self, tag: str, counts: Counts) -> str:
        name = self._repo.rpartition("/")[2].replace("-", " ")
        return dataset_card(
            DatasetFacts(
                repo=self._repo, tag=tag, pretty_name=name, lineage=self._lineage, counts=counts, rule=self._rule
            )
        )


def _contents(run: Run, lineage: Lineage, card: Callable[[Counts], str]) -> Contents:
    """What is released of a run: all but what was found in a benchmark."""
    gone = removed(run)
    instructions = {row.id: row for row in run.rows(Instruction)}
    return Contents(
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


def _note(run: Run, released: Released) -> None:
    """Append the release to the run's list, unless it is the last one there."""
    path = run.folder / "releases.jsonl"
    row = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **asdict(released)}
    with writing(path), path.open("a+", encoding="utf-8") as file:
        file.seek(0)
        last = json.loads(([*file] or ["{}"])[-1])
        if any(last.get(key) != row[key] for key in ("repo", "tag", "commit", "hub")):
            file.write(json.dumps(row) + "\n")
