"""The process that talks to a Hub for `client.py`: `python -m plum_hub.hubs.child ACTION`.

Reads the action's arguments as JSON on stdin, and writes `{"result": …}` or `{"error": …}` on stdout. Everything that
`huggingface_hub` raises is turned into one line here, at the boundary.
"""

# ruff: noqa: TID253 - this is the adapter of huggingface_hub, in a process of its own
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, errors, set_client_factory
from huggingface_hub.utils._http import default_client_factory

from plum_hub.errors import HubError

SIGN_IN = "set HF_TOKEN to a token with write access, or run  hf auth login"
ATTRIBUTES = ".gitattributes"
"""The Hub's own file, made with the repo; no part of a release that does not bring one."""


PATIENCE = 300.0
"""Seconds without a word from a Hub after which it counts as gone: none takes that long to make a commit."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """As `client.PublishRequest`."""

    folder: str
    repo: str
    tag: str
    message: str
    private: bool
    branch: str
    create_pr: bool
    kind: str = "dataset"
    proof: Sequence[str] = ()
    new: bool = False


def publish(api: HfApi, **given: Any) -> dict[str, Any]:
    """See `client.publish_repo`."""
    request = Request(**given)
    _signed_in(api)
    source = Path(request.folder)
    paths = {path.relative_to(source).as_posix(): path for path in sorted(source.rglob("*")) if path.is_file()}
    if not paths:
        raise HubError(f"{source}: no files to publish")
    repo = request.repo if "/" in request.repo else f"{api.whoami()['name']}/{request.repo}"
    digests = {name: sha256(path) for name, path in paths.items()}
    api.create_repo(repo, repo_type=request.kind, private=request.private, exist_ok=True)
    if request.private and not api.repo_info(repo, repo_type=request.kind, expand=["private"]).private:
        raise HubError(f"{repo} is public already, and would show a private release; publish to another repo")
    commit = tags(api, repo=repo, kind=request.kind).get(request.tag)
    if commit is None and request.create_pr:
        return _proposed(api, repo, request, paths, digests)
    if commit is None:
        commit = _tagged(api, repo, request, _committed(api, repo, request, paths, digests), digests)
    if _differing(api, repo, request.kind, commit, paths, digests):
        if request.new:
            raise HubError(
                f"{repo}: somebody else published {request.tag} meanwhile, and a tag never moves; "
                "run the same command again: it takes the next version"
            )
        raise HubError(
            f"{repo}@{request.tag} exists with other content, and a tag never moves; publish under a new tag"
        )
    url = f"{_page(api, repo, request.kind)}/tree/{request.tag}"
    return {"repo": repo, "tag": request.tag, "commit": commit, "url": url, "files": digests}


def _tagged(api: HfApi, repo: str, request: Request, commit: str, digests: dict[str, str]) -> str:
    """The commit that the tag stands on afterwards: this one, when it reads back as it was sent."""
    _read_back(api, repo, request.kind, commit, digests)
    _prove(request.proof, repo, commit)
    try:
        api.create_tag(repo, repo_type=request.kind, tag=request.tag, tag_message=request.message, revision=commit)
    except errors.HfHubHTTPError as error:
        if error.response.status_code != 409:
            raise
        if (standing := tags(api, repo=repo, kind=request.kind).get(request.tag)) is None:
            raise HubError(f"{repo}: the Hub refuses the tag {request.tag}: {_said(error)}; choose another") from error
        return standing  # somebody was quicker
    return commit


def _proposed(
    api: HfApi, repo: str, request: Request, paths: dict[str, Path], digests: dict[str, str]
) -> dict[str, Any]:
    """A pull request with exactly these files: one that is there already, or a new one. It gets no tag."""
    refs = api.list_repo_refs(repo, repo_type=request.kind, include_pull_requests=True)
    for ref in refs.pull_requests or ():
        commit, number = ref.target_commit, ref.ref.rpartition("/")[2]
        if not _differing(api, repo, request.kind, commit, paths, digests) and _is_open(api, repo, request, number):
            break
    else:
        head = _head(api, repo, request)
        operations = _operations(paths, _differing(api, repo, request.kind, head, paths, digests))
        if not operations:
            raise HubError(
                f"{repo}: {request.branch} has exactly this release already, untagged; publish it without --create-pr"
            )
        info = api.create_commit(
            repo, operations, commit_message=request.message, repo_type=request.kind, revision=request.branch,
            parent_commit=head, create_pr=True,
        )  # fmt: skip
        commit, number = str(info.oid), str(info.pr_num)
        _read_back(api, repo, request.kind, commit, digests)
    url = f"{_page(api, repo, request.kind)}/discussions/{number}"
    return {"repo": repo, "tag": None, "commit": commit, "url": url, "files": digests}


def _is_open(api: HfApi, repo: str, request: Request, number: str) -> bool:
    """Whether a pull request can still be merged."""
    try:
        status = api.get_discussion_details(repo, int(number), repo_type=request.kind).status
    except errors.HfHubHTTPError as error:
        if error.response.status_code != 404:
            raise
        return True  # a Hub that keeps pull requests as refs only
    return status in ("open", "draft")


def fetch(api: HfApi, *, repo: str, revision: str, kind: str = "dataset", patterns: Sequence[str] | None = None) -> str:
    """See `client.fetch_repo`."""
    # The library answers a tag that it cannot look up with the commit it last saw: so the commit comes first, always.
    exact = constants.HF_HUB_OFFLINE and re.fullmatch(r"[0-9a-f]{40}", revision) is not None
    commit = revision if exact else api.repo_info(repo, repo_type=kind, revision=revision).sha
    folder = api.snapshot_download(repo, repo_type=kind, revision=commit, allow_patterns=patterns)
    if Path(folder).name != commit:
        raise HubError(
            f"{repo}@{revision} is commit {commit}, but {folder} was loaded; remove that folder and run again"
        )
    return str(folder)


def fetch_file(api: HfApi, *, repo: str, revision: str, path: str, kind: str = "dataset") -> str | None:
    """See `client.fetch_file`."""
    commit = api.repo_info(repo, repo_type=kind, revision=revision).sha
    try:
        return str(api.hf_hub_download(repo, path, repo_type=kind, revision=commit))
    except errors.EntryNotFoundError:
        return None


def tags(api: HfApi, *, repo: str, kind: str = "dataset") -> dict[str, str]:
    """See `client.tags`."""
    try:
        refs = api.list_repo_refs(repo, repo_type=kind)
    except errors.RepositoryNotFoundError:
        return {}
    return {tag.name: tag.target_commit for tag in refs.tags}


def history(api: HfApi, *, repo: str, branch: str, kind: str = "dataset") -> list[str]:
    """See `client.history`."""
    try:
        return [it.commit_id for it in api.list_repo_commits(repo, repo_type=kind, revision=branch)]
    except errors.RevisionNotFoundError:
        return [it.commit_id for it in api.list_repo_commits(repo, repo_type=kind)]


def whoami(api: HfApi) -> str:
    """See `client.whoami`."""
    _signed_in(api)
    return str(api.whoami()["name"])


def _signed_in(api: HfApi) -> None:
    if not api.token:
        raise HubError(f"{api.endpoint} wants a token and there is none; {SIGN_IN}, or use --hub embedded")


def _committed(api: HfApi, repo: str, request: Request, paths: dict[str, Path], digests: dict[str, str]) -> str:
    """A commit on the branch with exactly these files: the present head if it has them already, else a new one."""
    head = _head(api, repo, request)
    operations = _operations(paths, _differing(api, repo, request.kind, head, paths, digests))
    if not operations:
        return head
    # One call, one commit; upload_folder would make several.
    info = api.create_commit(
        repo, operations, commit_message=request.message, repo_type=request.kind, revision=request.branch,
        parent_commit=head,
    )  # fmt: skip
    return str(info.oid)


def _head(api: HfApi, repo: str, request: Request) -> str:
    """The last commit of the branch, which is made where it is missing, from `main`."""
    if request.branch != "main":
        api.create_branch(repo, repo_type=request.kind, branch=request.branch, exist_ok=True)
    return str(api.repo_info(repo, repo_type=request.kind, revision=request.branch).sha)


def _page(api: HfApi, repo: str, kind: str) -> str:
    """Where the repository is shown."""
    return f"{api.endpoint}/{'' if kind == 'model' else f'{kind}s/'}{repo}"


def _operations(paths: dict[str, Path], differing: list[str]) -> list[CommitOperationAdd | CommitOperationDelete]:
    return [
        CommitOperationAdd(name, paths[name]) if name in paths else CommitOperationDelete(name) for name in differing
    ]


def _differing(
    api: HfApi, repo: str, kind: str, commit: str, paths: dict[str, Path], digests: dict[str, str]
) -> list[str]:
    """The files that are not the same here and at `commit`, or are only on one side."""
    there = _files(api, repo, kind, commit)
    differing = [name for name in there if name not in paths and name != ATTRIBUTES]
    for name, path in paths.items():
        entry = there.get(name)
        if entry is None:
            differing.append(name)
        elif entry.lfs is not None:
            differing += [name] if entry.lfs.sha256 != digests[name] else []
        elif entry.size != path.stat().st_size or entry.blob_id != _git_oid(path):
            differing.append(name)
    return differing


def _files(api: HfApi, repo: str, kind: str, commit: str) -> dict[str, Any]:
    """What the Hub says about each file at `commit`, by its path."""
    entries = api.list_repo_tree(repo, recursive=True, revision=commit, repo_type=kind)
    return {entry.path: entry for entry in entries if hasattr(entry, "blob_id")}  # the others are folders


def _read_back(api: HfApi, repo: str, kind: str, commit: str, digests: dict[str, str]) -> None:
    """Compare every file at `commit` with what was sent: a large one by the sha256 that the Hub names, under which it
    is kept and by which it was checked when it came; any other is downloaded."""
    there = _files(api, repo, kind, commit)
    with tempfile.TemporaryDirectory() as scratch:
        for name, digest in digests.items():
            if (entry := there.get(name)) is not None and entry.lfs is not None:
                found = entry.lfs.sha256
            else:
                path = Path(api.hf_hub_download(repo, name, repo_type=kind, revision=commit, local_dir=scratch))
                found = sha256(path)
                path.unlink()
            if found != digest:
                raise HubError(f"{repo}@{commit}: {name} came back changed, so nothing was tagged; run the same again")


def _prove(command: Sequence[str], repo: str, commit: str) -> None:
    """Run the command, the commit behind it, and refuse to tag where it fails."""
    if not command:
        return
    done = subprocess.run([*command, commit], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        raise HubError(f"{repo}@{commit}: {said}; so nothing was tagged: mend that and run the same again")


def sha256(path: Path) -> str:
    """A file's sha256, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git_oid(path: Path) -> str:
    """What git calls the content."""
    start = b"blob %d\0" % path.stat().st_size
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.sha1(start, usedforsecurity=False)).hexdigest()


def explained(error: Exception, api: HfApi, repo: str, kind: str = "dataset") -> str:
    """One line on what a Hub or the way to it did wrong, and what mends it."""
    if isinstance(error, HubError):
        return str(error)
    if type(error) is RuntimeError and isinstance(error.__cause__, Exception):  # how uploading threads report
        return explained(error.__cause__, api, repo, kind)
    if isinstance(error, errors.HfHubHTTPError):
        return _refusal(error, api, repo, kind)
    if isinstance(error, (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError)) and constants.HF_HUB_OFFLINE:
        return (
            f"HF_HUB_OFFLINE is set, and {repo} at this very commit is not in the cache; unset it, or name the commit"
        )
    if isinstance(error, errors.HFValidationError):
        return f"{repo}: no valid repo name; write namespace/name in letters, digits, '-', '_' and '.'"
    if isinstance(error, (errors.HTTPError, ConnectionError, errors.LocalEntryNotFoundError)):
        return f"{api.endpoint} cannot be reached ({_one_line(error)}); {_network_advice()}"
    if isinstance(error, json.JSONDecodeError):
        return f"{api.endpoint} does not answer as a Hub does; check the URL"
    if isinstance(error, ValueError):
        return f"{repo}: the Hub refuses the content: {_one_line(error)}; mend it and run the same again"
    return f"{_one_line(error)}; mend this and run the same again"


def _refusal(error: errors.HfHubHTTPError, api: HfApi, repo: str, kind: str) -> str:
    status, hub = error.response.status_code, api.endpoint
    sign_in = "look in the token file of the embedded Hub's folder for its owner's token" if _embedded() else SIGN_IN
    if error.response.headers.get("X-Error-Message") == "Invalid credentials in Authorization header":
        return f"{hub} refuses the token; {sign_in}"
    if isinstance(error, errors.GatedRepoError):
        return f"{repo} is gated: ask for access on its page on {hub}, then {sign_in}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"{hub} has no {kind} {repo}, or this account may not see it; check the name" + (
            "" if _embedded() else f", or {sign_in}"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repo} on {hub} has no such revision: {_said(error)}; name an existing tag, branch or commit"
    advice = {
        401: f"the token is missing or refused; {sign_in}",
        403: f"this token may not write to {repo}: {_said(error)}; use a repo in your own namespace, or {sign_in}",
        412: f"somebody else changed {repo} meanwhile, so nothing was written; run the same again",
        429: "too many requests; wait a few minutes, then run the same again",
        507: "the Hub's disk is full; make room, then run the same again",
    }
    if status in advice:
        return f"{hub}: {advice[status]}"
    if status >= 500:
        return f"{hub} is broken at the moment (HTTP {status}); run the same again later"
    return f"{hub} refuses {repo} (HTTP {status}): {_said(error)}; mend it and run the same again"


def _embedded() -> bool:
    return os.environ["PLUM_HUB_EMBEDDED"] == "1"


def _network_advice() -> str:
    return "run the same again" if _embedded() else "check the network, or use --hub embedded"


def _said(error: errors.HfHubHTTPError) -> str:
    return _one_line(error.server_message or error.response.headers.get("X-Error-Message") or error)


def _one_line(thing: object) -> str:
    return " ".join(str(thing).split())[:300].rstrip(".")


ACTIONS: dict[str, Callable[..., Any]] = {
    "publish": publish,
    "fetch": fetch,
    "fetch_file": fetch_file,
    "tags": tags,
    "history": history,
    "whoami": whoami,
}


def patient(seconds: float) -> None:
    """Have the library give a Hub up that says nothing for so long. Left to itself it would wait for ever."""

    def client() -> Any:
        made = default_client_factory()
        made.timeout = seconds
        return made

    set_client_factory(client)


def main() -> None:
    """Carry out one action."""
    patient(PATIENCE)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer
    arguments = json.load(sys.stdin)
    api = HfApi(token=os.environ.get("HF_TOKEN") or False)
    try:
        answer = {"result": ACTIONS[sys.argv[1]](api, **arguments)}
    except (HubError, errors.HTTPError, OSError, ValueError, RuntimeError) as error:
        answer = {"error": explained(error, api, str(arguments.get("repo", "")), arguments.get("kind", "dataset"))}
    with answers:
        json.dump(answer, answers)


if __name__ == "__main__":
    main()
