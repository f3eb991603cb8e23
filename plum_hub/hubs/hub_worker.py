"""Process that carries out one action on a Hub for `client.py`: `python -m plum_hub.hubs.hub_worker`.

It reads a pickled `Action` from standard input and writes the pickled result, or a `HubError`, to standard output.
Everything that `huggingface_hub` raises becomes one line (`failures.py`).
"""

# ruff: noqa: TID253 - this is the adapter of huggingface_hub, in a process of its own
import hashlib
import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, errors
from huggingface_hub.hf_api import RepoFile

from plum_hub.errors import HubError
from plum_hub.hubs.client import Account, Action, HubOutageError, Published, PublishRequest, token_needed
from plum_hub.hubs.failures import FAILURES, explained, is_outage, said
from plum_hub.network import offline_variable
from plum_hub.patience import be_patient

ATTRIBUTES = ".gitattributes"
"""The file that a Hub adds to a new repository; not part of a release that does not bring its own."""
LISTING = "manifest.json"
"""The file of a release that names its other files, with their SHA-256."""
_NAMED = 5
"""How many files an error names."""


class HubRepository:
    """One repository on the Hub of this process's environment.

    Args:
        repo: `namespace/name`; for `publish` a bare name, too, for the account's own namespace.
        kind: `dataset`, `model` or `space`, which is a static one.
        embedded: Whether the Hub is the embedded one, which changes what errors advise.
    """

    def __init__(self, repo: str, kind: str, *, embedded: bool) -> None:
        self.api = HfApi(token=os.environ.get("HF_TOKEN") or False)
        self.endpoint = self.api.endpoint
        self.repo, self.kind, self.embedded = repo, kind, embedded

    def whoami(self) -> str:
        """Return the account of the token.

        Returns:
            Its name.

        Raises:
            HubError: There is no token.
        """
        self.require_token()
        return str(self.api.whoami()["name"])

    def account(self) -> Account:
        """Return whose the token is, and what it may do.

        Returns:
            The account; a fine-grained token may write to what its scopes name.

        Raises:
            HubError: There is no token.
        """
        self.require_token()
        found = self.api.whoami()
        name, token = str(found["name"]), (found.get("auth") or {}).get("accessToken") or {}
        role = str(token.get("role") or "unknown")
        if role in ("write", "admin"):
            return Account(
                name=name, role=role, writable=(name, *(str(org["name"]) for org in found.get("orgs") or ()))
            )
        scoped = (token.get("fineGrained") or {}).get("scoped") or ()
        writable = tuple(str(one["entity"]["name"]) for one in scoped if "repo.write" in one["permissions"])
        return Account(name=name, role=role, writable=writable)

    def require_token(self) -> None:
        """Refuse to go on without a token.

        Raises:
            HubError: There is none.
        """
        if not self.api.token:
            raise token_needed(self.endpoint)

    def tags(self) -> dict[str, str]:
        """Return the repository's tags with their commits; none where the repository does not exist."""
        try:
            refs = self.api.list_repo_refs(self.repo, repo_type=self.kind)
        except errors.RepositoryNotFoundError:
            return {}
        return {tag.name: tag.target_commit for tag in refs.tags}

    def history(self, branch: str) -> list[str]:
        """List the commits of a branch.

        Args:
            branch: The branch; the default branch where there is none of this name.

        Returns:
            Commits, newest first.
        """
        try:
            commits = self.api.list_repo_commits(self.repo, repo_type=self.kind, revision=branch)
        except errors.RevisionNotFoundError:
            commits = self.api.list_repo_commits(self.repo, repo_type=self.kind)
        return [commit.commit_id for commit in commits]

    def fetch(self, revision: str, patterns: Sequence[str] | None) -> Path:
        """Download the repository at a revision.

        Args:
            revision: A tag, branch or commit.
            patterns: Files to download, as glob patterns; None for all.

        Returns:
            The local folder, named after the commit.

        Raises:
            HubError: The library returned another commit than the revision stands for.
        """
        # The library answers a tag that it cannot look up with the commit it last saw: so resolve the commit first.
        exact = constants.HF_HUB_OFFLINE and re.fullmatch(r"[0-9a-f]{40}", revision) is not None
        commit = revision if exact else self.commit_of(revision)
        folder = self._sound(
            lambda: self.api.snapshot_download(self.repo, repo_type=self.kind, revision=commit, allow_patterns=patterns)
        )
        if folder.name != commit:
            raise HubError(
                f"{self.repo}@{revision} is commit {commit}, but {folder} was loaded; remove that folder and run again"
            )
        return folder

    def fetch_file(self, revision: str, path: str) -> Path | None:
        """Download one file at a revision.

        Args:
            revision: A tag, branch or commit.
            path: Path within the repository.

        Returns:
            The local file; None where the repository does not have it.
        """
        commit = self.commit_of(revision)
        try:
            return self._sound(lambda: self.api.hf_hub_download(self.repo, path, repo_type=self.kind, revision=commit))
        except errors.EntryNotFoundError:
            return None

    def _sound(self, download: Callable[[], str]) -> Path:
        """Download into the cache, and once more what the cache has in another form than the Hub.

        The library takes whatever bytes it finds in the cache, as a full disk or a bad one left them.

        Args:
            download: Returns the file or folder.

        Returns:
            The file or folder.

        Raises:
            HubError: A file in the cache is damaged, and this process is offline.
        """
        place = Path(download())
        damaged = [*_damaged_blobs(place)]
        if not damaged:
            return place
        if variable := offline_variable():
            raise HubError(
                f"{damaged[0]}: is damaged, and {variable} is set; unset it once, so that {self.repo} is downloaded "
                "again"
            )
        for blob in damaged:
            blob.unlink()
        return Path(download())

    def commit_of(self, revision: str) -> str:
        """Resolve a revision.

        Args:
            revision: A tag, branch or commit.

        Returns:
            The commit.
        """
        return str(self.api.repo_info(self.repo, repo_type=self.kind, revision=revision).sha)

    def files(self, commit: str) -> dict[str, RepoFile]:
        """List the files at a commit.

        Args:
            commit: The commit.

        Returns:
            What the Hub says about each file, by its path.
        """
        entries = self.api.list_repo_tree(self.repo, recursive=True, revision=commit, repo_type=self.kind)
        return {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}  # the others are folders

    def publish(self, request: PublishRequest) -> Published:
        """Publish a release in this repository.

        Args:
            request: The release.

        Returns:
            The release as it was read back.
        """
        self.require_token()
        publication = Publication(self, request)
        if "/" not in self.repo:
            self.repo = f"{self.whoami()}/{self.repo}"
        return publication.publish()


class Publication:
    """One release on its way to a repository.

    Args:
        hub: The repository, by its full name.
        request: The release.

    Raises:
        HubError: The folder has no files.
    """

    def __init__(self, hub: HubRepository, request: PublishRequest) -> None:
        self._hub, self._request = hub, request
        self._api, self._kind = hub.api, hub.kind
        paths = sorted(path for path in request.folder.rglob("*") if path.is_file())
        if not paths:
            raise HubError(f"{request.folder}: no files to publish")
        self._paths = {path.relative_to(request.folder).as_posix(): path for path in paths}

    @property
    def _repo(self) -> str:
        return self._hub.repo

    @cached_property
    def _digests(self) -> Mapping[str, str]:
        return {name: _sha256(path) for name, path in self._paths.items()}

    def publish(self) -> Published:
        """Upload, read back and tag the release, as far as that is not done yet.

        Returns:
            The release as it was read back.

        Raises:
            HubError: The repository is public and the release private, the tag is taken, or the Hub refuses.
        """
        api, repo, request = self._api, self._repo, self._request
        sdk = "static" if self._kind == "space" else None
        api.create_repo(repo, repo_type=self._kind, private=request.private, exist_ok=True, space_sdk=sdk)
        if request.private and not api.repo_info(repo, repo_type=self._kind, expand=["private"]).private:
            raise HubError(f"{repo} is public already, and would show a private release; publish to another repo")
        commit = self._tags_without_shadow().get(request.tag)
        if commit is None and request.create_pr:
            return self._proposed()
        if commit is None:
            commit = self._tagged(self._committed())
        if self._differing(commit):
            raise HubError(
                f"{repo}: somebody else published {request.tag} meanwhile, and a tag never moves; "
                "run the same command again: it takes the next version"
                if request.new
                else f"{repo}@{request.tag} exists with other content, and a tag never moves; publish under a new tag"
            )
        return self._published(request.tag, commit, f"tree/{request.tag}")

    def _tags_without_shadow(self) -> dict[str, str]:
        """Return the tags with their commits.

        A tag that is to be named like a branch is refused, and a branch like a tag: a Hub finds only one of the two.
        """
        refs, request = self._api.list_repo_refs(self._repo, repo_type=self._kind), self._request
        if request.tag in {branch.name for branch in refs.branches}:
            raise HubError(f"{self._repo} has a branch {request.tag}, which a tag would hide; name another --tag")
        if request.branch in {tag.name for tag in refs.tags}:
            raise HubError(f"{self._repo} has a tag {request.branch}, which a branch would hide; name another --branch")
        return {tag.name: tag.target_commit for tag in refs.tags}

    def _published(self, tag: str | None, commit: str, page: str) -> Published:
        prefix = "" if self._kind == "model" else f"{self._kind}s/"
        url = f"{self._api.endpoint}/{prefix}{self._repo}/{page}"
        return Published(repo=self._repo, tag=tag, commit=commit, url=url, files=self._digests)

    def _committed(self) -> str:
        """Return a commit on the branch with exactly these files: its head if that has them, else a new one."""
        head = self._head()
        operations = self._operations(head)
        return str(self._commit(operations, head).oid) if operations else head

    def _commit(self, operations: Sequence[CommitOperationAdd | CommitOperationDelete], head: str) -> Any:
        """Make one commit in one call; `upload_folder` would make several."""
        request = self._request
        return self._api.create_commit(
            self._repo, operations, commit_message=request.message, repo_type=self._kind, revision=request.branch,
            parent_commit=head, create_pr=request.create_pr,
        )  # fmt: skip

    def _head(self) -> str:
        """Return the last commit of the branch, which is begun from `main` where it is missing."""
        if self._request.branch != "main":
            self._api.create_branch(self._repo, repo_type=self._kind, branch=self._request.branch, exist_ok=True)
        return self._hub.commit_of(self._request.branch)

    def _tagged(self, commit: str) -> str:
        """Read a commit back, tag it, and return the commit that then has the tag."""
        self._read_back(commit)
        self._prove(commit)
        request = self._request
        try:
            self._api.create_tag(
                self._repo, repo_type=self._kind, tag=request.tag, tag_message=request.message, revision=commit
            )
        except errors.HfHubHTTPError as error:
            if error.response.status_code != 409:
                raise
            if (standing := self._hub.tags().get(request.tag)) is None:
                raise HubError(
                    f"{self._repo}: the Hub refuses the tag {request.tag}: {said(error)}; choose another"
                ) from error
            return standing  # somebody was quicker
        return commit

    def _proposed(self) -> Published:
        """Return the pull request with exactly these files, an open one or a new one. It gets no tag."""
        refs = self._api.list_repo_refs(self._repo, repo_type=self._kind, include_pull_requests=True)
        for ref in refs.pull_requests or ():
            commit, number = ref.target_commit, ref.ref.rpartition("/")[2]
            if not self._differing(commit) and self._is_open(int(number)):
                return self._published(None, commit, f"discussions/{number}")
        head = self._head()
        operations = self._operations(head)
        if not operations:
            raise HubError(
                f"{self._repo}: {self._request.branch} has exactly this release already, untagged; "
                "publish it without --create-pr"
            )
        info = self._commit(operations, head)
        self._read_back(str(info.oid))
        return self._published(None, str(info.oid), f"discussions/{info.pr_num}")

    def _is_open(self, number: int) -> bool:
        """Return whether a pull request can still be merged."""
        try:
            return self._api.get_discussion_details(self._repo, number, repo_type=self._kind).status in (
                "open", "draft",
            )  # fmt: skip
        except errors.HfHubHTTPError as error:
            if error.response.status_code != 404:
                raise
            return True  # a Hub that keeps pull requests as refs only

    def _operations(self, head: str) -> list[CommitOperationAdd | CommitOperationDelete]:
        differing = self._differing(head)
        if others := self._of_others(head, differing):
            more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
            raise HubError(
                f"{self._repo}: {self._request.branch} has files that no release put there as they are, and a release "
                f"would replace or remove them: {', '.join(others[:_NAMED])}{more}; keep them elsewhere and delete "
                "them there, or publish to another --repo"
            )
        return [
            CommitOperationAdd(name, self._paths[name]) if name in self._paths else CommitOperationDelete(name)
            for name in differing
        ]

    def _of_others(self, head: str, names: Sequence[str]) -> list[str]:
        """Return the files among these that are at a commit, and that no release put there with this content."""
        there = self._hub.files(head)
        found = [name for name in names if name in there and name != ATTRIBUTES]
        listed = self._listed(head) if found else {}
        if not found or (not listed and self._is_new(head)):
            return []
        with tempfile.TemporaryDirectory() as scratch:
            return [name for name in found if listed.get(name) != self._sha256_there(head, there[name], scratch)]

    def _listed(self, commit: str) -> dict[str, str]:
        """Return the SHA-256 of each file that the release at a commit consists of; empty where there is none."""
        path = self._hub.fetch_file(commit, LISTING)
        try:
            stated = json.loads(b"null" if path is None else path.read_bytes())
            found = {str(file["path"]): str(file["sha256"]) for file in stated["files"]} if "lineage" in stated else {}
        except (ValueError, LookupError, TypeError, RecursionError):
            return {}
        return found | ({LISTING: _sha256(path)} if found and path else {})

    def _is_new(self, commit: str) -> bool:
        """Return whether a commit has only what the Hub began the repository with."""
        commits = self._api.list_repo_commits(self._repo, repo_type=self._kind, revision=commit)
        return [one.title for one in commits] == ["initial commit"]

    def _sha256_there(self, commit: str, entry: RepoFile, scratch: str) -> str:
        """Return the SHA-256 of a file at a commit.

        A Hub checks a large file against it when it comes, so what it says is enough; others are downloaded.
        """
        if entry.lfs is not None:
            return str(entry.lfs.sha256)
        path = Path(
            self._api.hf_hub_download(self._repo, entry.path, repo_type=self._kind, revision=commit, local_dir=scratch)
        )
        found = _sha256(path)
        path.unlink()
        return found

    def _differing(self, commit: str) -> list[str]:
        """Return the files that differ between the folder and a commit, or are only on one side."""
        there = self._hub.files(commit)
        differing = [name for name in there if name not in self._paths and name != ATTRIBUTES]
        for name, path in self._paths.items():
            entry = there.get(name)
            if entry is None:
                differing.append(name)
            elif entry.lfs is not None:
                differing += [name] if entry.lfs.sha256 != self._digests[name] else []
            elif entry.size != path.stat().st_size or entry.blob_id != _git_oid(path):
                differing.append(name)
        return differing

    def _read_back(self, commit: str) -> None:
        """Compare every file at a commit with the one that was sent."""
        there = self._hub.files(commit)
        with tempfile.TemporaryDirectory() as scratch:
            for name, digest in self._digests.items():
                entry = there.get(name)
                if entry is None or self._sha256_there(commit, entry, scratch) != digest:
                    raise HubError(
                        f"{self._repo}@{commit}: {name} came back changed, so nothing was tagged; run it again"
                    )

    def _prove(self, commit: str) -> None:
        """Run the request's proof on a commit, and refuse to tag where it fails."""
        if not self._request.proof:
            return
        command = [*self._request.proof, commit]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            why = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
            raise HubError(f"{self._repo}@{commit}: {why}; nothing was tagged: fix that and run it again")


def _damaged_blobs(place: Path) -> Iterator[Path]:
    """Yield the files behind a cached file or folder that are not what their names say.

    A blob of the cache is named by the Hub's digest of it: git's object id, or SHA-256 for a large file.
    """
    for path in [place] if place.is_file() else place.rglob("*"):
        if path.is_symlink() and path.is_file():
            blob = path.resolve()
            digest = {40: _git_oid, 64: _sha256}.get(len(blob.name))
            if digest is not None and re.fullmatch("[0-9a-f]+", blob.name) and digest(blob) != blob.name:
                yield blob


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git_oid(path: Path) -> str:
    """Return git's object id of a file's content."""
    start = b"blob %d\0" % path.stat().st_size
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.sha1(start, usedforsecurity=False)).hexdigest()


def carry_out(action: Action) -> Any:
    """Carry out an action.

    Args:
        action: What to do, in which repository.

    Returns:
        What its method of `HubRepository` returns; a `HubError` where it failed.
    """
    hub = HubRepository(action.repo, action.kind, embedded=action.embedded)
    try:
        return getattr(hub, action.method)(*action.arguments)
    except FAILURES as error:
        return (HubOutageError if is_outage(error) else HubError)(explained(error, hub))


def main() -> None:
    """Carry out one action from standard input."""
    be_patient()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    answer = carry_out(pickle.load(sys.stdin.buffer))
    with answers:
        pickle.dump(answer, answers)


if __name__ == "__main__":
    main()
