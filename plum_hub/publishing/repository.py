"""Publish a release: its version follows from its content, one commit is read back, then tagged.

A tag never moves (law 7).
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from plum_hub.errors import UsageError
from plum_hub.files import writing
from plum_hub.hubs import client
from plum_hub.hubs.embedded import default_root, namespaces
from plum_hub.lines import appending
from plum_hub.loading import remember_published
from plum_hub.progress import Progress
from plum_hub.release import model_tree
from plum_hub.release.manifest import MANIFEST
from plum_hub.release.record import RELEASES, ReleaseRecord, read_releases
from plum_hub.release.versions import FIRST, Stated, following, newest_first, same_release, same_rows

_REPO = re.compile(
    r"(?!.*(?:--|\.\.))(?:[A-Za-z0-9](?:[\w-]*\w)?/)?[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9_])?(?<!\.git)", re.ASCII
)
"""Names that huggingface_hub's `validate_repo_id` accepts."""
_REF = re.compile(
    r"(?![/.-])(?!@$)(?!.*(?:\.\.|//|@\{|/\.|\.lock(?:/|$)))[^\s~^:?*\[\\\"'`\x00-\x1f\x7f\ud800-\udfff]+(?<![/.])"
)
"""Names of branches and tags that git accepts (git-check-ref-format), without quotes, which the card's code could not
hold."""
_OF_OTHERS = re.compile(r"HEAD|[0-9a-f]{40}|refs/.*")
"""Names that a Hub takes for something else than a branch or tag."""


@dataclass(frozen=True, kw_only=True)
class PublishOptions:
    """Where to publish, and how."""

    hub: str
    """Hub, as `--hub` takes it: auto, public, embedded or a URL."""
    repo: str | None = None
    """`NAME` or `NAMESPACE/NAME`; None for the default name."""
    private: bool = False
    tag: str | None = None
    """Version; None for the one that follows from the content."""
    branch: str = "main"
    create_pr: bool = False
    """Open a pull request for the branch; nothing is tagged."""

    def __post_init__(self) -> None:
        """Check the names, before hours of work.

        Raises:
            UsageError: A name is invalid, or in a namespace that the embedded Hub does not have.
            HubError: There is no such Hub, no token for it, or a proxy before it that cannot be used.
        """
        if self.repo is not None and not _REPO.fullmatch(self.repo):
            raise UsageError(
                f"--repo {self.repo}: not a name that a Hub accepts; write NAME or NAMESPACE/NAME, of letters and "
                "digits, with single - _ . between them"
            )
        for option, name in (("--tag", self.tag), ("--branch", self.branch)):
            if name is not None and not _REF.fullmatch(name):
                raise UsageError(f"{option} {name}: not a name that git accepts; write it as v1.2.0 or as my-branch")
            if name is not None and _OF_OTHERS.fullmatch(name):
                raise UsageError(f"{option} {name}: a Hub takes this for a commit; write it as v1.2.0 or as my-branch")
        if self.tag in ("main", self.branch):
            raise UsageError(
                f"--tag {self.tag}: is a branch, and a Hub finds one thing of a name only; write it as v1.2.0"
            )
        if newest_first([self.branch]):
            raise UsageError(
                f"--branch {self.branch}: is the name of a version, and a Hub finds one thing of a name only; write it "
                f"as my-branch, or give the version with  --tag {self.branch}"
            )
        target = client.choose_target(self.hub)
        if not target.embedded and target.token is None:
            raise client.token_needed(target.endpoint)
        client.require_reachable(target)
        owner, _, name = (self.repo or "").rpartition("/")
        if target.embedded and owner and owner not in (own := namespaces()):
            raise UsageError(
                f"--repo {self.repo}: the embedded Hub here has no namespace {owner}, only {', '.join(own)}: name "
                f"{own[0]}/{name}, add it with  plum-hub hub serve --organisation {owner} , or publish on the Hub, "
                "after  hf auth login"
            )

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
    def open(self, default_name: str, kind: client.Kind, last: ReleaseRecord | None = None) -> Iterator["Repository"]:
        """Connect to the Hub, and resolve the repository, for the time of the block.

        Args:
            default_name: Name of the repository where neither `repo` nor `last` names one.
            kind: What the repository holds.
            last: The last release of the same folder. Without `repo` its repository is meant, and on another Hub one
                of that name.

        Yields:
            The repository, which need not exist yet.

        Raises:
            HubError: The Hub cannot be reached or refuses.
        """
        with client.connected(client.choose_target(self.hub)) as target:
            name = self.repo or (_named_again(last, target) if last else default_name)
            repo = name if "/" in name else f"{client.whoami(target)}/{name}"
            yield Repository(self, repo, kind, target, client.tags(repo, target, kind))


@dataclass(frozen=True)
class Released:
    """A release of a run or a checkpoint. Unless it was published, only `folder` is set."""

    folder: str
    """Folder with the files of the release."""
    repo: str | None = None
    tag: str | None = None
    """None for a pull request."""
    commit: str | None = None
    url: str | None = None
    """Page of the version, or of the pull request."""
    hub: str | None = None
    """Value of `--hub` that finds it again."""
    endpoint: str | None = None
    """Address of the Hub, unless it is the public or the embedded one."""
    load_line: str | None = None
    """Code that loads it; for a dataset it follows `from datasets import load_dataset`."""

    def facts(self) -> list[tuple[str, str]]:
        """Describe the release for a screen.

        Returns:
            Pairs of name and value.
        """
        if self.repo is None:
            return [("release", f"{self.folder} (not published: --hub none)")]
        where = f"embedded, stored in {default_root()}" if self.hub == "embedded" else str(self.url)
        version = self.tag or "pull request"
        return [("release", f"{self.repo} {version}, commit {self.commit}"), ("hub", where)]


def unpublished_name(last: ReleaseRecord | None, default: str) -> tuple[str, str]:
    """Name what is written without being published.

    Args:
        last: The last release of the same folder.
        default: Name of the repository without one.

    Returns:
        The repository, and the version.
    """
    return (last.repo, last.tag or FIRST) if last else (default, FIRST)


def _named_again(last: ReleaseRecord, target: client.HubTarget) -> str:
    """Name the repository of the last release; on another Hub, where its namespace may not exist, without that."""
    endpoint = None if target.embedded else target.endpoint
    same_hub = (last.hub == "embedded") == target.embedded and last.endpoint == endpoint
    return last.repo if same_hub else last.repo.rpartition("/")[2]


class Tree(Protocol):
    """A folder to publish, whose card names the tag that it is written for."""

    folder: Path

    @property
    def manifest(self) -> Stated:
        """Content of the manifest."""

    def under(self, tag: str, there: Stated | None, /) -> Stated:
        """Rewrite the card for a tag.

        Args:
            tag: The tag that the card is to name.
            there: Manifest of the release that has this tag already, if any.

        Returns:
            Content of the manifest after that.
        """


@dataclass(frozen=True)
class Repository:
    """A repository on a connected Hub."""

    options: PublishOptions
    repo: str
    """`NAMESPACE/NAME`."""
    kind: client.Kind
    target: client.HubTarget
    tags: Mapping[str, str]
    """Existing tags, each with its commit."""

    def publish(
        self,
        write: Callable[[str], Tree],
        load_line: Callable[[str], str],
        progress: Progress,
        proof: AbstractContextManager[tuple[str, ...]] | None = None,
    ) -> Released:
        """Write a tree and publish it under the version that follows from its content.

        If the content is published already, nothing changes.

        Args:
            write: Writes the tree, with a card for the given tag.
            load_line: Returns the code that loads a given revision.
            progress: Progress reporter.
            proof: Gives the command that must succeed before a tag is set; entered only where one will be set.

        Returns:
            The release.

        Raises:
            HubError: The Hub refuses, the files read back are not those that were sent, or the proof failed.
            RunError: The tree cannot be written.
        """
        progress.begin("release", 1, 0)
        tree, tag = self._versioned(write)
        untagged = tag not in self.tags and not self.options.create_pr
        with proof if proof and untagged else nullcontext(()) as command:
            request = client.PublishRequest(
                folder=tree.folder,
                repo=self.repo,
                tag=tag,
                message=f"plum-hub release {tag}",
                private=self.options.private,
                branch=self.options.branch,
                create_pr=self.options.create_pr,
                kind=self.kind,
                proof=command,
                new=tag not in self.tags and self.options.tag is None,
            )
            published = client.publish_repo(request, self.target)
            if published.tag:
                remember_published(self.target, self.repo, published.tag, published.commit, self.kind)
        if tag in self.tags:
            where = self._not_committed_to(published.commit)
            ending = f"; nothing was committed to {where}" if where else ""
            progress.say(f"{self.repo}: this is published already, as {tag}{ending}")
        progress.advance()
        progress.end()
        return Released(
            folder=str(tree.folder),
            repo=self.repo,
            tag=published.tag,
            commit=published.commit,
            url=published.url,
            hub="embedded" if self.target.embedded else self.options.hub,
            endpoint=None if self.target.embedded else self.target.endpoint,
            load_line=load_line(published.tag or published.commit),
        )

    def _not_committed_to(self, commit: str) -> str | None:
        """Name the branch or pull request that was asked for, unless it has a release that was there already."""
        options = self.options
        if options.create_pr:
            return f"a pull request for {options.branch}"
        if options.branch != "main":
            return options.branch
        return None if commit in client.history(self.repo, "main", self.target, self.kind) else "main"

    def _versioned(self, write: Callable[[str], Tree]) -> tuple[Tree, str]:
        """Write the tree for the tag that its content has or gets."""
        versions = [] if self.options.tag else newest_first(self.tags)
        tag = self.options.tag or next(iter(versions), FIRST)
        tree = write(tag)
        newest = self._manifest(tag)
        stated: Callable[[Stated], Stated] = model_tree.stated if self.kind == "model" else dict
        mine = stated(tree.manifest)
        for tag in versions:
            theirs = newest if tag == versions[0] else self._manifest(tag)
            # A release names its tag, and may name the one before it, so equal ones are equal only then.
            if theirs and same_rows(stated(theirs), mine) and same_release(theirs, tree.under(tag, theirs)):
                self._adopt(tree, tag, theirs)
                return tree, tag
        if versions:
            tag = following(versions[0], newest and stated(newest), mine)
        tree.under(tag, newest if tag in self.tags else None)
        return tree, tag

    def _adopt(self, tree: Tree, tag: str, theirs: Stated) -> None:
        """Take over the files of a release that differs only in the bytes of its tables."""
        mine = {file["path"]: file["sha256"] for file in tree.manifest["files"]}
        other = [file["path"] for file in theirs["files"] if file["sha256"] != mine[file["path"]]]
        if other:
            there = client.fetch_repo(self.repo, tag, self.target, self.kind, [*other, MANIFEST])
            with writing(tree.folder):
                for name in (*other, MANIFEST):
                    shutil.copyfile(there / name, tree.folder / name)

    def _manifest(self, tag: str) -> Stated | None:
        """Read the manifest of a release; None where it has none, or another program's."""
        path = client.fetch_file(self.repo, tag, MANIFEST, self.target, self.kind) if tag in self.tags else None
        try:
            found: Any = None if path is None else json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) and "lineage" in found else None


def record_release(folder: Path, released: Released, *, model: str | None = None, licence: str | None = None) -> None:
    """Append a release to those of a folder, unless it is the last one there. A pull request is not a release.

    Args:
        folder: The run or the checkpoint.
        released: The release.
        model: For a whole model, `sha256:…` of its files.
        licence: For a model, its licence.

    Raises:
        RunError: The list is damaged, or cannot be written.
    """
    if released.tag is None:
        return
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record = ReleaseRecord(**{"at": now, **asdict(released), "model": model, "license": licence})
    last = read_releases(folder)[-1:]
    if not any(_same_version(record, earlier) for earlier in last):
        with appending(folder / RELEASES) as append:
            append(record.model_dump(mode="json"))


def _same_version(one: ReleaseRecord, other: ReleaseRecord) -> bool:
    return (one.repo, one.tag, one.commit, one.hub) == (other.repo, other.tag, other.commit, other.hub)
