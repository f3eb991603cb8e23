"""The embedded Hub's discussions and pull requests.

A pull request is the ref `refs/pr/N` and, like every discussion, a JSON file in its repository's folder. The file is
written before the ref: if a kill prevented the ref, the number counts as used and is not listed.
"""

import json
import secrets
import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from plum_hub.hubs import refusals
from plum_hub.hubs.calls import Hub, HubRequest, Route, int_option, stamp
from plum_hub.hubs.git import BRANCHES, PULLS, ZERO
from plum_hub.hubs.objects import write_whole
from plum_hub.hubs.store import Repo

PAGE = 50


@dataclass(frozen=True)
class Discussion:
    """One discussion or pull request.

    Attributes:
        num: Its number in the repository.
        title: The title.
        created: Seconds since 1970.
        pull: Whether it is a pull request.
        base: The ref that a pull request is for.
        status: `draft`, `open`, `closed` or `merged`.
        merged: The commit that it became.
        events: Comments and changes, as in the API.
    """

    num: int
    title: str
    created: int
    pull: bool
    base: str = f"{BRANCHES}main"
    status: str = "open"
    merged: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)


def found(repo: Repo) -> list[Discussion]:
    """List all discussions of a repository.

    Args:
        repo: The repository.

    Returns:
        Discussions and pull requests, newest first.
    """
    there = [Discussion(**json.loads(path.read_text())) for path in (repo.git.folder / "discussions").glob("*.json")]
    refs = repo.git.refs() if there else {}
    shown = [it for it in there if not it.pull or f"{PULLS}{it.num}" in refs]
    return sorted(shown, key=lambda it: it.num, reverse=True)


def next_number(repo: Repo) -> int:
    """Return the first number that no discussion or pull request has used. The caller holds the repository's lock.

    Args:
        repo: The repository.

    Returns:
        The number, from 1.
    """
    names = [path.stem for path in (repo.git.folder / "discussions").glob("*.json")]
    names += [ref.removeprefix(PULLS) for ref in repo.git.refs() if ref.startswith(PULLS)]
    return 1 + max((int(name) for name in names if name.isdecimal()), default=0)


def keep(repo: Repo, discussion: Discussion) -> None:
    """Write a discussion to disk. The caller holds the repository's lock.

    Args:
        repo: The repository.
        discussion: What to write.
    """
    folder = repo.git.folder / "discussions"
    folder.mkdir(exist_ok=True)
    write_whole(folder / f"{discussion.num}.json", json.dumps(asdict(discussion)).encode())


def opened(hub: Hub, number: int, title: str, text: str, **about: Any) -> Discussion:
    """Make a new discussion with its first comment.

    Args:
        hub: The Hub.
        number: Its number.
        title: Its title.
        text: The comment.
        about: Further fields of `Discussion`.

    Returns:
        The discussion.
    """
    return Discussion(number, title, int(time.time()), events=[_comment(hub, text)], **about)


def pull_commits(repo: Repo, discussion: Discussion) -> list[dict[str, object]]:
    """List the commits of a pull request that its base does not have.

    Args:
        repo: The repository.
        discussion: The pull request.

    Returns:
        Events, as in the API.
    """
    head = f"{PULLS}{discussion.num}"
    base = discussion.base if discussion.base in repo.git.refs() else "refs/heads/main"
    return [
        _event("commit", it.author, {"subject": it.title, "oid": it.id}, id=it.id, createdAt=stamp(it.time))
        for it in repo.git.log(f"{base}..{head}")
    ]


def _listed(hub: Hub, call: HubRequest) -> Any:
    """Return a page of discussions, filtered by type or status on request."""
    repo = hub.repo(call)
    kinds = {"pull_request": True, "discussion": False}
    wanted = [
        it
        for it in found(repo)
        if call.option("type", "all") in ("all", "pull_request" if it.pull else "discussion")
        and call.option("status", "all") in ("all", "open" if it.status in ("open", "draft") else "closed")
        and call.option("author", hub.store.account) == hub.store.account
    ]
    if call.option("type", "all") not in ("all", *kinds):
        raise refusals.malformed("type must be all, discussion or pull_request")
    start = PAGE * int_option(call, "p", 0)
    shown = [_summary(hub, repo, it) for it in wanted[start : start + PAGE]]
    return {"count": len(wanted), "start": start, "discussions": shown}


def details(hub: Hub, call: HubRequest) -> Any:
    """Describe one discussion with its events; a pull request also with its commits, conflicts and, on request, its
    patch.

    Args:
        hub: The Hub.
        call: The request.

    Returns:
        The discussion, as in the API.

    Raises:
        Refusal: There is no such discussion.
    """
    repo = hub.repo(call, files=call.flag("diff"))
    it = _asked(repo, call)
    about = _summary(hub, repo, it) | {"events": it.events}
    if it.pull:
        events = [*it.events, *pull_commits(repo, it)]
        about["events"] = sorted(events, key=lambda event: str(event["createdAt"]))
        about["changes"] = {"base": it.base, "mergeCommitId": it.merged}
        head = f"{PULLS}{it.num}"
        is_open = it.status in ("open", "draft") and it.base in repo.git.refs()
        about["filesWithConflicts"] = _merged(hub, repo, it.base, head)[1] if is_open else []
        if call.flag("diff") and it.base in repo.git.refs():
            about["diff"] = repo.git.diff(it.base, head)
    return about


def _create(hub: Hub, call: HubRequest) -> Any:
    """Open a discussion, or a pull request, which is a draft until it is opened."""
    repo, asked = hub.repo(call, write=True), call.json()
    title, pull = str(asked.get("title", "")).strip(), bool(asked.get("pullRequest"))
    if not title:
        raise refusals.malformed("a discussion needs a title")
    with hub.store.writing(repo.kind, repo.name):
        number = next_number(repo)
        status = "draft" if pull else "open"
        keep(repo, opened(hub, number, title, str(asked.get("description") or ""), pull=pull, status=status))
        if pull:
            repo.git.move_ref(f"{PULLS}{number}", repo.git.commit_of("main"), ZERO)
    return {"num": number, "pullRequest": pull}


def _add_comment(hub: Hub, call: HubRequest) -> Any:
    """Add a comment."""
    asked, made = call.json(), []

    def say(it: Discussion) -> Discussion:
        made.append(_comment(hub, str(asked.get("comment", ""))))
        return replace(it, events=[*it.events, *made])

    _changed(hub, call, say)
    return {"newMessage": made[0]}


def _retitle(hub: Hub, call: HubRequest) -> Any:
    """Change the title of a discussion."""
    title, made = str(call.json().get("title", "")).strip(), []
    if not title:
        raise refusals.malformed("a discussion needs a title")

    def rename(it: Discussion) -> Discussion:
        made.append(_event("title-change", hub.store.account, {"from": it.title, "to": title}))
        return replace(it, title=title, events=[*it.events, *made])

    _changed(hub, call, rename)
    return {"newTitle": made[0]}


def _set_status(hub: Hub, call: HubRequest) -> Any:
    """Close or reopen a discussion; a merged pull request stays merged."""
    asked, made = call.json(), []
    status = asked.get("status")
    if status not in ("open", "closed"):
        raise refusals.malformed("status must be open or closed")

    def change(it: Discussion) -> Discussion:
        if it.status == "merged":
            raise refusals.malformed("this pull request is merged")
        said = [_comment(hub, str(asked["comment"]))] if asked.get("comment") else []
        made.append(_event("status-change", hub.store.account, {"status": status}))
        return replace(it, status=str(status), events=[*it.events, *said, *made])

    _changed(hub, call, change)
    return {"newStatus": made[0]}


def _merge(hub: Hub, call: HubRequest) -> Any:
    """Merge a pull request as one commit on its base branch."""
    asked = call.json()
    repo = hub.repo(call, write=True)

    def merged(it: Discussion) -> Discussion:
        refs = repo.git.refs()
        if not it.pull or it.status != "open":
            raise refusals.malformed(f"only an open pull request can be merged; this one is {it.status}")
        if it.base not in refs:
            raise refusals.revision_missing(it.base)
        base, head = refs[it.base][1], refs[f"{PULLS}{it.num}"][1]
        tree, conflicts = _merged(hub, repo, base, head)
        if conflicts:
            raise refusals.exists(f"both sides changed {', '.join(conflicts[:5])}; nothing was merged")
        oid = base
        if tree != repo.git.tree_of(base):  # else it was merged already, by one who was killed before he could say so
            oid = repo.git.write_tree_commit(tree, f"{it.title} (#{it.num})\n", hub.store.account, base)
            repo.git.move_ref(it.base, oid, base)
        said = [_comment(hub, str(asked["comment"]))] if asked.get("comment") else []
        event = _event("status-change", hub.store.account, {"status": "merged"})
        return replace(it, status="merged", merged=oid, events=[*it.events, *said, event])

    _changed(hub, call, merged)
    return {}


def _edit(hub: Hub, call: HubRequest) -> Any:
    """Replace the text of a comment."""
    text = str(call.json().get("content", ""))
    return _with_comment(hub, call, {"edited": True, "latest": {"raw": text}})


def _hide(hub: Hub, call: HubRequest) -> Any:
    """Delete the text of a comment permanently."""
    return _with_comment(hub, call, {"hidden": True, "latest": {"raw": "This comment has been hidden"}})


def _with_comment(hub: Hub, call: HubRequest, news: dict[str, Any]) -> Any:
    made = []

    def change(it: Discussion) -> Discussion:
        events = list(it.events)
        for at, event in enumerate(events):
            if event["id"] == call.param("comment") and event["type"] == "comment":
                events[at] = event | {"data": event["data"] | news}
                made.append(events[at])
                return replace(it, events=events)
        raise refusals.Refusal(404, "there is no such comment")

    _changed(hub, call, change)
    return {"updatedComment": made[0]}


def _changed(hub: Hub, call: HubRequest, change: Any) -> None:
    repo = hub.repo(call, write=True)
    with hub.store.writing(repo.kind, repo.name):
        keep(repo, change(_asked(repo, call)))


def _asked(repo: Repo, call: HubRequest) -> Discussion:
    for it in found(repo):
        if str(it.num) == call.param("number"):
            return it
    raise refusals.Refusal(404, "there is no such discussion")


def _merged(hub: Hub, repo: Repo, base: str, head: str) -> tuple[str, list[str]]:
    return repo.git.merged(base, head, hub.store.scratch / f"index-{secrets.token_hex(8)}")


def _summary(hub: Hub, repo: Repo, it: Discussion) -> dict[str, Any]:
    return {
        "num": it.num, "title": it.title, "status": it.status, "isPullRequest": it.pull,
        "author": {"name": hub.store.account}, "createdAt": stamp(it.created),
        "repo": {"name": repo.name, "type": repo.kind},
    }  # fmt: skip


def _comment(hub: Hub, text: str) -> dict[str, Any]:
    return _event("comment", hub.store.account, {"edited": False, "hidden": False, "latest": {"raw": text}})


def _event(kind: str, author: str, data: dict[str, Any], **more: str) -> dict[str, Any]:
    made = {"id": secrets.token_hex(12), "createdAt": stamp(int(time.time()))}
    return {**made, "type": kind, "author": {"name": author}, "data": data, **more}


_ONE = "/api/{kinds}/{repo}/discussions/{number}"
ROUTES = [
    Route("GET", "/api/{kinds}/{repo}/discussions", _listed),
    Route("POST", "/api/{kinds}/{repo}/discussions", _create),
    Route("GET", _ONE, details),
    Route("POST", f"{_ONE}/comment", _add_comment),
    Route("POST", f"{_ONE}/comment/{{comment}}/edit", _edit),
    Route("POST", f"{_ONE}/comment/{{comment}}/hide", _hide),
    Route("POST", f"{_ONE}/title", _retitle),
    Route("POST", f"{_ONE}/status", _set_status),
    Route("POST", f"{_ONE}/merge", _merge),
]
