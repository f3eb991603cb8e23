"""The one way to a Hub, for publishing and loading: `huggingface_hub`, against the public Hub, any other endpoint, or
the embedded one.

Each action runs in a process of its own (`hub_worker.py`, 0.3 s). In the caller's process `huggingface_hub` could not
be pointed at one Hub after another: it decides on import whether it uses Xet (on a Hub without it every upload fails)
and whether it is offline (the embedded Hub never is), and only a process-wide client, which other threads may be
using, can be given time-outs. The caller never needs to import the library, and its own use of it is left alone.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from plum_hub.errors import HubError
from plum_hub.hubs.embedded import EmbeddedHub
from plum_hub.network import on_loopback, proxy_fault

SIGN_IN = "set HF_TOKEN to a token with write access, or run  hf auth login"
Kind: TypeAlias = Literal["dataset", "model", "space"]
"""What a repository holds."""


@dataclass(frozen=True)
class HubTarget:
    """A Hub and the account to use there.

    Attributes:
        endpoint: Its URL. None: the public Hub, or an embedded one that is not running yet.
        token: The account's token; None for anonymous access.
        embedded: Whether it is the embedded Hub.
    """

    endpoint: str | None
    token: str | None = field(repr=False)
    embedded: bool = False


@dataclass(frozen=True, kw_only=True)
class PublishRequest:
    """A release to make: exactly the files of a folder, under one tag.

    Attributes:
        folder: The files. `manifest.json` names the others with their SHA-256, so that a later release knows which
            files of the branch it may replace.
        repo: `NAMESPACE/NAME`, or a bare name in the account's own namespace. It is created if missing.
        tag: The version.
        message: Title of the commit.
        private: Create the repository for its owner only; a public one is refused.
        branch: Branch to commit to, begun from `main` if missing.
        create_pr: Propose the files for the branch in a pull request, and tag nothing.
        kind: What the repository holds.
        proof: Command that must succeed before the tag is set. Its last argument is the commit, and its environment
            has the Hub (`HF_ENDPOINT`) and the token (`HF_TOKEN`).
        new: Whether the repository had no such tag when it was chosen. If it has by then, another publisher was
            quicker, and the error says so.
    """

    folder: Path
    repo: str
    tag: str
    message: str
    private: bool = False
    branch: str = "main"
    create_pr: bool = False
    kind: Kind = "dataset"
    proof: tuple[str, ...] = ()
    new: bool = False


@dataclass(frozen=True, kw_only=True)
class Published:
    """A complete release.

    Attributes:
        repo: `NAMESPACE/NAME`.
        tag: The version; None for a pull request.
        commit: The commit with exactly these files.
        url: The page of the release or of the pull request.
        files: The sha256 of each path, as read back from the Hub.
    """

    repo: str
    tag: str | None
    commit: str
    url: str
    files: Mapping[str, str]


class HubOutageError(HubError):
    """The Hub cannot be reached, or is overloaded or broken: the same may succeed later."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """Whose a token is, and what it may do.

    Attributes:
        name: The account.
        role: `write`, `read`, `fineGrained`, or as the Hub calls it.
        writable: Namespaces, or single repositories, that the token may write to.
    """

    name: str
    role: str
    writable: tuple[str, ...]


@dataclass(frozen=True)
class Action:
    """What a worker process is to do.

    Attributes:
        method: A method of `hub_worker.HubRepository`.
        arguments: Its arguments.
        repo: The repository.
        kind: What it holds.
        embedded: Whether the Hub is the embedded one.
    """

    method: str
    arguments: tuple[object, ...] = ()
    repo: str = ""
    kind: Kind = "dataset"
    embedded: bool = False


def choose_target(setting: str = "auto") -> HubTarget:
    """Return the Hub that a setting means.

    Args:
        setting: `auto` (the public Hub, or `HF_ENDPOINT`, where there is a token, else the embedded Hub), `public`,
            `embedded`, or the http(s) URL of another Hub. The token is `HF_TOKEN` or that of `hf auth login`.

    Raises:
        HubError: It is none of these.
    """
    if setting == "embedded":
        return HubTarget(None, None, embedded=True)
    with suppress(ValueError):  # of an address that is none
        address = urlsplit(setting)
        if address.scheme in ("http", "https") and address.hostname:
            _, at, host = address.netloc.rpartition("@")
            if at:
                raise HubError(
                    f"the Hub's address has a password or token in it; write it as {address.scheme}://{host}"
                    f", and {SIGN_IN}"
                )
            return HubTarget(setting.rstrip("/"), _own_token())
    if setting not in ("auto", "public"):
        raise HubError(f"unknown hub {setting!r}; use auto, public, embedded, or the URL of a Hub")
    token = _own_token()
    if setting == "auto" and token is None:
        return HubTarget(None, None, embedded=True)
    return HubTarget((os.environ.get("HF_ENDPOINT") or "").rstrip("/") or None, token)


@contextmanager
def connected(target: HubTarget, root: Path | None = None) -> Iterator[HubTarget]:
    """Run the embedded Hub for the `with` block, if that is the target.

    Args:
        target: A Hub.
        root: Folder of the embedded Hub. Default: in `$PLUM_HUB_HOME`.

    Yields:
        The same Hub, running.
    """
    if not target.embedded or target.endpoint is not None:
        yield target
        return
    with EmbeddedHub(root) as hub:
        yield HubTarget(hub.endpoint, hub.token, embedded=True)


def token_needed(endpoint: str | None) -> HubError:
    """Return the error of publishing without a token.

    Args:
        endpoint: The Hub's URL; None for the public Hub.
    """
    return HubError(
        f"{endpoint or 'https://huggingface.co'} wants a token and there is none; {SIGN_IN}, or use --hub embedded"
    )


def require_reachable(target: HubTarget) -> None:
    """Refuse a Hub that the environment keeps out of reach.

    Args:
        target: The Hub.

    Raises:
        HubError: It is behind a proxy that cannot be used.
    """
    if not target.embedded and (fault := proxy_fault()):
        raise HubError(f"{target.endpoint or 'https://huggingface.co'} cannot be reached: {fault}")


def publish_repo(request: PublishRequest, target: HubTarget) -> Published:
    """Make a release that is complete or absent: one commit guarded by its parent, read back, then tagged.

    Repeated after an interruption, it goes on where it was: equal content makes no second commit, a tag that is already
    on the same files is the release, and so is an open pull request with them. A tag is never moved.

    Args:
        request: The release.
        target: The Hub.

    Returns:
        The release as it is on the Hub.

    Raises:
        HubError: The Hub refused or could not be reached; the tag is on other content; the branch has files that no
            release put there; the repository is public and the release private; what was read back is not what was
            sent; or the proof failed, with its last line.
    """
    found: Published = _run(target, Action("publish", (request,), request.repo, request.kind))
    return found


def fetch_repo(
    repo: str, revision: str, target: HubTarget, kind: Kind = "dataset", patterns: Sequence[str] | None = None
) -> Path:
    """Download the files of a repository at exactly one commit.

    Args:
        repo: `NAMESPACE/NAME`.
        revision: A tag, branch or commit. With `HF_HUB_OFFLINE=1` only a full commit, which cannot be mistaken.
        target: The Hub.
        kind: What the repository holds.
        patterns: Download only files that match one of these, such as `kto/*`. Default: all.

    Returns:
        A folder named after the commit. It may hold more files than the patterns ask for.

    Raises:
        HubError: No such repository or revision, or the Hub refused or could not be reached.
    """
    found: Path = _run(target, Action("fetch", (revision, patterns), repo, kind))
    return found


def fetch_file(repo: str, revision: str, path: str, target: HubTarget, kind: Kind = "dataset") -> Path | None:
    """Download one file of a repository.

    Args:
        repo: `NAMESPACE/NAME`.
        revision: A tag, branch or commit.
        path: The file's path in the repository.
        target: The Hub.
        kind: What the repository holds.

    Returns:
        The local file, or None if the revision has no such file.

    Raises:
        HubError: As `fetch_repo`.
    """
    found: Path | None = _run(target, Action("fetch_file", (revision, path), repo, kind))
    return found


def tags(repo: str, target: HubTarget, kind: Kind = "dataset") -> dict[str, str]:
    """Return the commit of each tag of a repository; empty if there is no such repository.

    Args:
        repo: `NAMESPACE/NAME`.
        target: The Hub.
        kind: What the repository holds.

    Raises:
        HubError: The Hub refused or could not be reached.
    """
    found: dict[str, str] = _run(target, Action("tags", (), repo, kind))
    return found


def history(repo: str, branch: str, target: HubTarget, kind: Kind = "dataset") -> list[str]:
    """Return the commits of a branch, newest first; those of `main` if there is no such branch.

    Args:
        repo: `NAMESPACE/NAME`.
        branch: The branch.
        target: The Hub.
        kind: What the repository holds.

    Raises:
        HubError: No such repository, or the Hub refused or could not be reached.
    """
    found: list[str] = _run(target, Action("history", (branch,), repo, kind))
    return found


def whoami(target: HubTarget) -> str:
    """Return the name of the token's account, which is its own namespace.

    Args:
        target: The Hub.

    Raises:
        HubOutageError: The Hub cannot be reached now.
        HubError: There is no token, or the Hub refused it.
    """
    found: str = _run(target, Action("whoami"))
    return found


def account(target: HubTarget, seconds: float | None = None) -> Account:
    """Ask a Hub whose the token is, and what it may do there.

    Args:
        target: The Hub.
        seconds: When to give up; None waits as long as `huggingface_hub`.

    Returns:
        The account, and the token's scope.

    Raises:
        HubError: There is no token, or the Hub refused it or could not be reached.
        subprocess.TimeoutExpired: There was no answer in time.
    """
    found: Account = _run(target, Action("account"), seconds)
    return found


def _own_token() -> str | None:
    from huggingface_hub import get_token

    token: str | None = get_token()
    return token


def _run(target: HubTarget, action: Action, seconds: float | None = None) -> Any:
    """Carry out one action in a worker process, and return its result."""
    require_reachable(target)
    command = [sys.executable, "-P", "-m", "plum_hub.hubs.hub_worker"]
    action = replace(action, embedded=target.embedded)
    worker = subprocess.run(
        command, input=pickle.dumps(action), capture_output=True, check=False, env=_environment(target), timeout=seconds
    )  # fmt: skip
    if worker.returncode < 0:
        raise HubError(f"the process that talks to the Hub was killed by signal {-worker.returncode}; run it again")
    if worker.returncode > 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{worker.stderr.decode(errors='replace')}")
    answer = pickle.loads(worker.stdout)
    if isinstance(answer, HubError):
        raise answer
    return answer


def _environment(target: HubTarget) -> dict[str, str]:
    """Return the environment in which `huggingface_hub` uses this Hub, and no other token than the target's."""
    ours = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT")
    environment = {key: value for key, value in os.environ.items() if key not in ours}
    environment["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = environment["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    if target.token is not None:
        environment["HF_TOKEN"] = target.token
    if target.endpoint is not None:
        environment["HF_ENDPOINT"] = target.endpoint
        environment.setdefault("HF_HUB_DISABLE_XET", "1")  # a Hub without Xet fails every upload that tries it
        if target.embedded:
            return on_loopback(environment)
    return environment
