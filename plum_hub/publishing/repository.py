"""Where a release goes, and the way there: its version follows from what it holds, one commit is read back, then
tagged. A tag never moves (law 7)."""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from plum_hub.errors import RunError, UsageError
from plum_hub.files import writing
from plum_hub.hubs import client
from plum_hub.hubs.embedded import default_root
from plum_hub.lines import appending, object_of, whole_lines
from plum_hub.progress import Progress
from plum_hub.release import model_tree
from plum_hub.release.tree import MANIFEST
from plum_hub.release.versions import FIRST, Stated, following, newest_first, same_release, same_rows

_RELEASES = "releases.jsonl"
_REPO = re.compile(r"(?:[A-Za-z0-9][\w-]*/)?(?!.*(?:--|\.\.))[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9_])?", re.ASCII)
"""Names that huggingface_hub's `validate_repo_id` accepts."""
_REF = re.compile(r"(?![/.-])(?!.*(?:\.\.|//|@\{|/\.|\.lock(?:/|$)))[^\s~^:?*\[\\\x00-\x1f\x7f]+(?<![/.])")
"""Names of branches and tags that git accepts (git-check-ref-format)."""


@dataclass(frozen=True, kw_only=True)
class PublishOptions:
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

    def __post_init__(self) -> None:
        """Check the names, before hours of work.

        Raises:
            UsageError: A name is invalid.
            HubError: There is no such Hub.
        """
        if self.repo is not None and not _REPO.fullmatch(self.repo):
            raise UsageError(
                f"--repo {self.repo}: not a name that a Hub accepts; write NAME or NAMESPACE/NAME, of letters and "
                "digits, with single - _ . between them"
            )
        for option, name in (("--tag", self.tag), ("--branch", self.branch)):
            if name is not None and not _REF.fullmatch(name):
                raise UsageError(f"{option} {name}: not a name that git accepts; write it as v1.2.0 or as my-branch")
        client.choose_target(self.hub)

    @classmethod
    def chosen(
        cls,
        *,
        repo: str | None,
        hub: str,
        private: bool,
        tag: str | None = None,
        branch: str = "main",
        create_pr: bool = False,
    ) -> "PublishOptions | None":
        """Return the options, or None for `hub="none"`, which publishes nothing.

        Args:
            repo: As the field of this name, as are the others.
            hub: As `--hub` takes it.
            private: Whether to create the repository as private.
            tag: The release's tag.
            branch: The branch to commit to.
            create_pr: Whether to open a pull request.

        Raises:
            UsageError: The options contradict each other, or a name is invalid.
            HubError: There is no such Hub.
        """
        if hub != "none":
            return cls(hub=hub, repo=repo, private=private, tag=tag, branch=branch, create_pr=create_pr)
        if repo or private or tag or create_pr or branch != "main":
            raise UsageError(
                "--hub none publishes nothing: remove --repo, --private, --tag, --branch and --create-pr, or choose a "
                "Hub"
            )
        return None

    @contextmanager
    def opened(self, default_name: str, kind: client.Kind) -> Iterator["Repository"]:
        """The repository that is meant, on a Hub that answers for the time of the `with` block.

        Raises:
            HubError: the Hub cannot be reached or refuses.
        """
        with client.connected(client.choose_target(self.hub)) as target:
            name = self.repo or default_name
            repo = name if "/" in name else f"{client.whoami(target)}/{name}"
            yield Repository(self, repo, kind, target, client.tags(repo, target, kind))


@dataclass(frozen=True)
class Released:
    """What became of a run or a checkpoint. Without a destination only `folder` is there."""

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
    """What a user pastes to load it; for a dataset after `from datasets import load_dataset`."""

    def where(self) -> dict[str, str | None]:
        """What finds it again."""
        return {"repo": self.repo, "tag": self.tag, "commit": self.commit, "hub": self.hub}

    def facts(self) -> list[tuple[str, str]]:
        """Named values for a screen."""
        if self.repo is None:
            return [("release", f"{self.folder} (not published: --hub none)")]
        where = f"embedded, kept in {default_root()}" if self.hub == "embedded" else str(self.url)
        named = self.tag or "pull request"
        return [("release", f"{self.repo} {named}, commit {self.commit}"), ("hub", where)]


class Tree(Protocol):
    """A folder to be published, whose card names the tag that it is written for."""

    folder: Path

    @property
    def manifest(self) -> Stated:
        """What its manifest says."""

    def under(self, tag: str, there: Stated | None, /) -> Stated:
        """What the manifest says when the card names this tag, as it then does; `there` is the manifest of the release
        that has this tag already."""


@dataclass(frozen=True)
class Repository:
    """A repository on a Hub that answers."""

    destination: PublishOptions
    repo: str
    kind: client.Kind
    target: client.HubTarget
    tags: Mapping[str, str]
    """Those that it has, each with its commit."""

    def publish(
        self,
        write: Callable[[str], Tree],
        load_line: Callable[[str], str],
        progress: Progress,
        proof: AbstractContextManager[tuple[str, ...]] | None = None,
    ) -> Released:
        """Write a tree and publish it under the version that follows from its content; what is there already changes
        nothing. `proof` gives the command that must succeed before a tag is set, and is entered only where one is.

        Raises:
            HubError: the Hub refuses, or what is there is not what was sent, or the proof failed.
            RunError: the tree cannot be written.
        """
        progress.begin("release", 1, 0)
        tree, tag = self._versioned(write)
        untagged = tag not in self.tags and not self.destination.create_pr
        with proof if proof and untagged else nullcontext(()) as command:
            request = client.PublishRequest(
                folder=tree.folder,
                repo=self.repo,
                tag=tag,
                message=f"plum-hub release {tag}",
                private=self.destination.private,
                branch=self.destination.branch,
                create_pr=self.destination.create_pr,
                kind=self.kind,
                proof=command,
                new=tag not in self.tags and self.destination.tag is None,
            )
            published = client.publish_repo(request, self.target)
        progress.advance()
        progress.end()
        return Released(
            folder=str(tree.folder),
            repo=self.repo,
            tag=published.tag,
            commit=published.commit,
            url=published.url,
            hub="embedded" if self.target.embedded else self.destination.hub,
            endpoint=None if self.target.embedded else self.target.endpoint,
            load_line=load_line(published.tag or published.commit),
        )

    def _versioned(self, write: Callable[[str], Tree]) -> tuple[Tree, str]:
        """The tree, written for the tag of its content, and that tag."""
        found = [] if self.destination.tag else newest_first(self.tags)
        tag = self.destination.tag or next(iter(found), FIRST)
        tree = write(tag)
        newest = self._manifest(tag)
        stated: Callable[[Stated], Stated] = model_tree.stated if self.kind == "model" else dict
        mine = stated(tree.manifest)
        for tag in found:
            theirs = newest if tag == found[0] else self._manifest(tag)
            # A release names its tag, and may name the one before it, so equal ones are equal only then.
            if theirs and same_rows(stated(theirs), mine) and same_release(theirs, tree.under(tag, theirs)):
                self._adopt(tree, tag, theirs)
                return tree, tag
        if found:
            tag = following(found[0], newest and stated(newest), mine)
        tree.under(tag, newest if tag in self.tags else None)
        return tree, tag

    def _adopt(self, tree: Tree, tag: str, theirs: Stated) -> None:
        """Take over the files of a release that is the same but for the bytes of its tables."""
        mine = {file["path"]: file["sha256"] for file in tree.manifest["files"]}
        other = [file["path"] for file in theirs["files"] if file["sha256"] != mine[file["path"]]]
        if other:
            there = client.fetch_repo(self.repo, tag, self.target, self.kind, [*other, MANIFEST])
            with writing(tree.folder):
                for name in (*other, MANIFEST):
                    shutil.copyfile(there / name, tree.folder / name)

    def _manifest(self, tag: str) -> Stated | None:
        """What the manifest of a release says; None where it has none, or another program's."""
        path = client.fetch_file(self.repo, tag, MANIFEST, self.target, self.kind) if tag in self.tags else None
        try:
            found: Any = None if path is None else json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) and "lineage" in found else None


def releases(folder: Path) -> list[dict[str, Any]]:
    """Where a run or a checkpoint was published, as its folder remembers it; the newest last.

    Raises:
        RunError: a line is damaged.
    """
    found: list[dict[str, Any]] = []
    for number, line in whole_lines(folder / _RELEASES):
        try:
            row = object_of(line)
            found.append(row | {key: row[key] for key in ("repo", "tag", "commit")})
        except (ValueError, TypeError, KeyError) as error:
            raise RunError(
                f"{folder / _RELEASES}:{number}: is no release ({error}); bring the file back, or delete this line"
            ) from error
    return found


def remember(folder: Path, released: Released, **more: Any) -> None:
    """Append a release to those of a folder, with what else shall be known of it, unless it is the last one there; a
    pull request is none.

    Raises:
        RunError: the list is damaged, or cannot be written.
    """
    if released.tag is None:
        return
    last = (releases(folder) or [{}])[-1]
    if not released.where().items() <= last.items():
        with appending(folder / _RELEASES) as append:
            append({"at": datetime.now(UTC).isoformat(timespec="seconds"), **asdict(released), **more})
