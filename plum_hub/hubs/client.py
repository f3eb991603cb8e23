"""The one way to a Hub, for publishing and for loading: `huggingface_hub`, against the public Hub, any other endpoint,
or the embedded one.

Each action runs in a fresh process (`child.py`), because `huggingface_hub` reads its endpoint and its Xet switch once,
on import: so the caller's own environment and imports never matter, and it never needs to import that library.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from plum_hub.errors import HubError
from plum_hub.hubs.embedded import EmbeddedHub

Kind: TypeAlias = Literal["dataset", "model"]
"""What a repository holds."""


@dataclass(frozen=True)
class HubTarget:
    """A Hub, and who we are there. `endpoint` None is the public Hub, or an embedded one that is not running yet."""

    endpoint: str | None
    token: str | None = field(repr=False)
    embedded: bool = False


@dataclass(frozen=True, kw_only=True)
class PublishRequest:
    """A release to be made: exactly the files of `folder`, as `tag` of the repository `repo`.

    `repo` is `namespace/name`, or a bare name in one's own namespace; `message` is the title of the commit. A repo that
    is missing is created, for its owner's eyes only if `private`; a missing `branch` is begun from `main`. With
    `create_pr` the files are proposed for the branch, and nothing is tagged. `proof` is a command that must succeed
    before the tag is set: it gets the commit as its last argument, and the Hub and the token in its environment."""

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
    """Whether the repository had no such tag when it was chosen; if it has then, another publisher was quicker."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A complete release: `files` are the paths with the sha256 that were read back from the Hub at `commit`. `tag` is
    None for a pull request, to which `url` then leads."""

    repo: str
    tag: str | None
    commit: str
    url: str
    files: Mapping[str, str]


def choose_target(setting: str = "auto") -> HubTarget:
    """The Hub that a setting means.

    Args:
        setting: `auto`: the public Hub (or `HF_ENDPOINT`) where there is a token, else the embedded Hub; `public`;
            `embedded`; or the http(s) URL of another Hub. The token is `HF_TOKEN` or that of `hf auth login`.

    Raises:
        HubError: it is none of these.
    """
    if setting == "embedded":
        return HubTarget(None, None, embedded=True)
    if setting.startswith(("http://", "https://")) and urlsplit(setting).hostname:
        return HubTarget(setting.rstrip("/"), _own_token())
    if setting not in ("auto", "public"):
        raise HubError(f"unknown hub {setting!r}; use auto, public, embedded, or the URL of a Hub")
    token = _own_token()
    if setting == "auto" and token is None:
        return HubTarget(None, None, embedded=True)
    return HubTarget((os.environ.get("HF_ENDPOINT") or "").rstrip("/") or None, token)


@contextmanager
def connected(target: HubTarget, root: Path | None = None) -> Iterator[HubTarget]:
    """The same Hub, answering: starts the embedded one (kept in `root`) for the time of the `with` block."""
    if not target.embedded or target.endpoint is not None:
        yield target
        return
    with EmbeddedHub(root) as hub:
        yield HubTarget(hub.endpoint, hub.token, embedded=True)


def publish_repo(request: PublishRequest, target: HubTarget) -> Published:
    """Make a release that is complete or absent: one commit guarded by its parent, read back, then tagged.

    Run again after whatever interrupted it, it goes on from there: equal content makes no second commit, and a tag that
    already stands on the same files is the release. A tag is never moved. A pull request that proposes these very files
    already is the one.

    Raises:
        HubError: the Hub refused or could not be reached; the tag stands on other content; the repo is public and the
            release private; what was read back is not what was sent; the proof failed, with its last line.
    """
    arguments = {
        "folder": str(request.folder.absolute()),
        "repo": request.repo,
        "tag": request.tag,
        "message": request.message,
        "private": request.private,
        "branch": request.branch,
        "create_pr": request.create_pr,
        "kind": request.kind,
        "proof": request.proof,
        "new": request.new,
    }
    return Published(**_ask(target, "publish", arguments))


def fetch_repo(
    repo: str, revision: str, target: HubTarget, kind: Kind = "dataset", patterns: Sequence[str] | None = None
) -> Path:
    """A folder with the files of a repository at exactly one commit, which is also the folder's name.

    Args:
        repo: `namespace/name`.
        revision: a tag, branch or commit; with `HF_HUB_OFFLINE=1` the full commit, which nothing can mistake.
        target: where it is.
        kind: what it holds.
        patterns: only files that match one of these are sure to be in the folder, as `kto/*`; None for all files.

    Raises:
        HubError: no such repo or revision, or the Hub refused or could not be reached.
    """
    return Path(_ask(target, "fetch", {"repo": repo, "revision": revision, "kind": kind, "patterns": patterns}))


def fetch_file(repo: str, revision: str, path: str, target: HubTarget, kind: Kind = "dataset") -> Path | None:
    """One file of a repository at a tag, branch or commit; None where that revision has no such file.

    Raises:
        HubError: as `fetch_repo`.
    """
    arguments = {"repo": repo, "revision": revision, "path": path, "kind": kind}
    found: str | None = _ask(target, "fetch_file", arguments)
    return None if found is None else Path(found)


def tags(repo: str, target: HubTarget, kind: Kind = "dataset") -> dict[str, str]:
    """The tags of a repository, each with its commit; empty where there is none of that name."""
    found: dict[str, str] = _ask(target, "tags", {"repo": repo, "kind": kind})
    return found


def history(repo: str, branch: str, target: HubTarget, kind: Kind = "dataset") -> list[str]:
    """The commits of a branch, the newest first; those of `main` where it is not begun.

    Raises:
        HubError: no such repo, or the Hub refused or could not be reached.
    """
    found: list[str] = _ask(target, "history", {"repo": repo, "branch": branch, "kind": kind})
    return found


def whoami(target: HubTarget) -> str:
    """The account that the token belongs to: one's own namespace."""
    return str(_ask(target, "whoami", {}))


def _own_token() -> str | None:
    from huggingface_hub import get_token

    token: str | None = get_token()
    return token


def _ask(target: HubTarget, action: str, arguments: dict[str, Any]) -> Any:
    """Run one action in a child process and return its result."""
    command = [sys.executable, "-P", "-m", "plum_hub.hubs.child", action]
    child = subprocess.run(
        command, input=json.dumps(arguments).encode(), capture_output=True, check=False, env=_environment(target)
    )
    if child.returncode < 0:
        raise HubError(f"the process that was to {action} was killed by signal {-child.returncode}; run the same again")
    if child.returncode > 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{child.stderr.decode(errors='replace')}")
    answer = json.loads(child.stdout)
    if "error" in answer:
        raise HubError(answer["error"])
    return answer["result"]


def _environment(target: HubTarget) -> dict[str, str]:
    """What `huggingface_hub` reads on import. The token travels here, since arguments are for everybody to see."""
    ours = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT")
    environment = {key: value for key, value in os.environ.items() if key not in ours}
    environment["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = environment["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    environment["PLUM_HUB_EMBEDDED"] = str(int(target.embedded))
    if target.token is not None:
        environment["HF_TOKEN"] = target.token
    if target.endpoint is not None:
        environment["HF_ENDPOINT"] = target.endpoint
        environment.setdefault("HF_HUB_DISABLE_XET", "1")  # a Hub without Xet fails every upload that tries it
        host = urlsplit(target.endpoint).hostname or ""
        if target.embedded:
            environment["NO_PROXY"] = environment["no_proxy"] = host
            environment.pop("HF_HUB_OFFLINE", None)  # the loopback is always there
    return environment
