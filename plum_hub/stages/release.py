"""Stage `release`: write the tree, publish it as one commit, read it back, tag it.

The version follows the content (`plum_hub.release.versions`): a first release is v1.0.0, and the same content is the
release that is there already. A tag never moves (law 7).
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from plum_hub.cards import DatasetFacts, dataset_card
from plum_hub.hubs.client import (
    HubTarget,
    PublishRequest,
    choose_target,
    connected,
    fetch_file,
    publish_dataset,
    tags,
    whoami,
)
from plum_hub.hubs.embedded import default_root
from plum_hub.lines import whole_lines, writing
from plum_hub.records import Drop, Instruction, Preference, Sample, TestSuite, Verdict, from_json
from plum_hub.release.lineage import Counts, Lineage
from plum_hub.release.tree import MANIFEST, Contents, with_card, write_tree
from plum_hub.release.versions import FIRST, Stated, following, newest_first, rows_of
from plum_hub.run import Run
from plum_hub.stages.base import Context
from plum_hub.stages.build import default_folder
from plum_hub.stages.decontamination.stage import removed
from plum_hub.stages.lineage import lineage_of


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
        published = publish_dataset(request, target)
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
    found = [] if destination.tag else newest_first(tags(repo, target))
    tag = destination.tag or next(iter(found), FIRST)
    tree = _Tree(run, folder, repo, tag)
    if not found:
        return tag
    newest = _manifest(repo, tag, target)
    for tag in found:
        theirs = newest if tag == found[0] else _manifest(repo, tag, target)
        # The card names its tag, so equal cards are equal to the byte only when written for the same tag.
        if theirs and rows_of(theirs) == rows_of(tree.stated) and tree.under(tag) == theirs:
            return tag
    tag = following(found[0], newest, tree.stated)
    tree.under(tag)
    return tag


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
        contents = _contents(run, self._lineage, lambda counts: self._card(tag, counts))
        self._manifest = write_tree(folder, contents)

    @property
    def stated(self) -> Stated:
        """What the manifest says."""
        found: Stated = json.loads((self._folder / MANIFEST).read_bytes())
        return found

    def under(self, tag: str) -> Stated:
        """What the manifest says when the card names this tag, as it then does."""
        self._manifest = with_card(self._folder, self._manifest, self._card(tag, self._manifest.counts))
        return self.stated

    def _card(self, tag: str, counts: Counts) -> str:
        name = self._repo.rpartition("/")[2].replace("-", " ")
        return dataset_card(
            DatasetFacts(repo=self._repo, tag=tag, pretty_name=name, lineage=self._lineage, counts=counts)
        )


def _contents(run: Run, lineage: Lineage, card: Callable[[Counts], str]) -> Contents:
    """What is released of a run: all but what was found in a benchmark."""
    gone = removed(run)
    instructions = {row.id: row for row in run.rows(Instruction)}
    return Contents(
        lineage=lineage,
        recipe=run.recipe.public().to_yaml(),
        preferences=_Rows(run),
        dpo_seed=run.recipe.preferences.seed,
        samples=_judged(run, gone),
        suites=((instructions[row.instruction_id], row) for row in run.rows(TestSuite) if row.id not in gone),
        dropped=run.rows(Drop),
        card=card,
    )


def _judged(run: Run, gone: set[str]) -> Iterator[tuple[Sample, Verdict]]:
    """Every sample with its verdict. Verdicts come in another order and are too many to be held: kept is where each
    is."""
    path, places, place = run.path(Verdict), {}, 0
    for verdict, (_, line) in zip(run.rows(Verdict), whole_lines(path), strict=True):
        places[verdict.sample_id] = place
        place += len(line)
    with path.open("rb") as file:
        for sample in run.rows(Sample):
            if sample.id not in gone:
                file.seek(places[sample.id])
                yield sample, from_json(Verdict, json.loads(file.readline()))


class _Rows(Iterable[Preference]):
    """The run's preferences, read anew from disk each time they are walked."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __iter__(self) -> Iterator[Preference]:
        return self._run.rows(Preference)


def _note(run: Run, released: Released) -> None:
    """Append the release to the run's list, unless it is the last one there."""
    path = run.folder / "releases.jsonl"
    row = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **asdict(released)}
    with writing(path), path.open("a+", encoding="utf-8") as file:
        file.seek(0)
        last = json.loads(([*file] or ["{}"])[-1])
        if any(last.get(key) != row[key] for key in ("repo", "tag", "commit", "hub")):
            file.write(json.dumps(row) + "\n")
