"""The embedded Hub's account, repositories, refs and history."""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

from plum_hub.hubs import front_matter, refusals
from plum_hub.hubs.calls import Hub, HubRequest, Route, page, reply, stamp
from plum_hub.hubs.git import BRANCHES, PULLS, TAGS, ZERO, RefMoved, is_ref_name
from plum_hub.hubs.store import KINDS, Kind, Repo

PAGE = 1000


def _organisation(name: str) -> dict[str, Any]:
    return {
        "type": "org", "id": name, "name": name, "fullname": name, "avatarUrl": "", "roleInOrg": "admin",
        "isEnterprise": False, "canPay": False, "email": None, "periodEnd": None,
    }  # fmt: skip


def _whoami(hub: Hub, call: HubRequest) -> Any:
    """Describe the one account."""
    if not call.signed_in:
        raise refusals.sign_in_needed()
    account = hub.store.account
    token = {"displayName": "owner" if call.role == "write" else "reader", "role": call.role, "createdAt": stamp(0)}
    return {
        "type": "user", "id": account, "name": account, "fullname": account, "email": f"{account}@plum-hub.invalid",
        "emailVerified": True, "canPay": False, "isPro": False, "periodEnd": None, "avatarUrl": "",
        "orgs": [_organisation(name) for name in hub.store.organisations],
        "auth": {"type": "access_token", "accessToken": token},
    }  # fmt: skip


def _create(hub: Hub, call: HubRequest) -> Any:
    """Create a repository in the account's own namespace, or in one of its organisations'."""
    kind, name, asked = _named(hub, call)
    private = _private(asked) or False
    url = f"{call.base}/{name}" if kind == "model" else f"{call.base}/{kind}s/{name}"
    try:
        repo = hub.store.create(kind, name, private=private)
    except refusals.Refusal as refusal:
        if refusal.status == 409:
            raise refusals.exists(refusal.message, url=url) from None  # exist_ok=True reads the url of the refusal
        raise
    return {"url": url, "name": name, "id": repo.settings.id}


def _delete(hub: Hub, call: HubRequest) -> Any:
    """Delete a repository."""
    kind, name, _ = _named(hub, call)
    hub.store.delete(_existing(hub, call, kind, name))
    return {}


def _move(hub: Hub, call: HubRequest) -> Any:
    """Rename a repository within the account's namespaces."""
    asked = call.json()
    kind = _kind(asked)
    _own(hub, call, str(asked.get("toRepo", "")))
    hub.store.move(_existing(hub, call, kind, str(asked.get("fromRepo", ""))), str(asked["toRepo"]))
    return {}


def _settings(hub: Hub, call: HubRequest) -> Any:
    """Change the visibility of a repository, or whether it is gated."""
    repo, asked = hub.repo(call, write=True), call.json()
    changed = repo.settings
    if (private := _private(asked)) is not None:
        changed = replace(changed, private=private)
    if "gated" in asked:
        if asked["gated"] not in ("auto", "manual", False):
            raise refusals.malformed("gated must be auto, manual or false")
        changed = replace(changed, gated=asked["gated"])
    hub.store.change(repo, changed)
    return {}


def _may_read(hub: Hub, call: HubRequest) -> Any:
    """Check read access; a refusal means no."""
    hub.repo(call, files=True)
    return {}


def _may_write(hub: Hub, call: HubRequest) -> Any:
    """Check write access; a refusal means no."""
    hub.repo(call, write=True)
    return {}


def _list_repos(hub: Hub, call: HubRequest) -> Any:
    """List the repositories of a kind that the caller may see, last changed first."""
    found = []
    for repo in hub.store.repos(KINDS[call.param("kinds")]):
        wanted = call.option("search").lower() in repo.name.lower() and call.option("author") in (
            "",
            repo.name.split("/")[0],
        )
        if wanted and (call.signed_in or not repo.settings.private):
            info = describe(hub, repo, "main", blobs=False)
            if set(call.query.get("filter", [])) <= set(info["tags"]):
                found.append(_expanded(call, info))
    found.sort(key=lambda info: str(info.get("lastModified", "")), reverse=True)
    return reply(*page(call, iter(found), PAGE))


def _info(hub: Hub, call: HubRequest) -> Any:
    """Describe a repository at a revision."""
    repo = hub.repo(call)
    return _expanded(call, describe(hub, repo, call.params.get("rev") or "main", blobs=call.flag("blobs")))


def describe(hub: Hub, repo: Repo, revision: str, *, blobs: bool) -> dict[str, Any]:
    """Describe a repository as the Hub's API does. Its tags come from the card's front matter, as on the public Hub.

    Args:
        hub: The Hub.
        repo: The repository.
        revision: A branch, tag or commit.
        blobs: Whether to include sizes and ids of files.

    Returns:
        The info object of the API.

    Raises:
        Refusal: There is no such revision.
    """
    commit = repo.git.commit_of(revision)
    files = [entry for entry in repo.git.entries(commit) if entry.kind == "blob"]
    large = hub.store.pointers(repo.git, {entry.oid: entry.size for entry in files})
    siblings: list[dict[str, Any]] = [{"rfilename": entry.path} for entry in files]
    if blobs:
        for sibling, entry in zip(siblings, files, strict=True):
            sibling |= {"size": entry.size, "blobId": entry.oid}
            if (it := large.get(entry.oid)) is not None:
                sibling |= {"size": it.size, "lfs": {"sha256": it.sha256, "size": it.size, "pointerSize": entry.size}}
    card = _card(repo, next((entry.oid for entry in files if entry.path == "README.md"), None))
    licenses = [f"license:{it}" for it in front_matter.texts(card.get("license"))]
    about = {
        "_id": repo.settings.id, "id": repo.name, "author": repo.name.split("/")[0], "sha": commit,
        "lastModified": stamp(repo.git.log(commit, limit=1)[0].time), "createdAt": stamp(repo.settings.created),
        "private": repo.settings.private, "gated": repo.settings.gated, "disabled": False, "downloads": 0, "likes": 0,
        "tags": front_matter.texts(card.get("tags")) + licenses + front_matter.texts(card.get("language")),
        "siblings": siblings, "usedStorage": sum(large[e.oid].size if e.oid in large else e.size for e in files),
    }  # fmt: skip
    if card:
        about["cardData"] = card
    if repo.kind == "model":
        about["modelId"] = repo.name
        about |= {key: card[key] for key in ("pipeline_tag", "library_name", "model-index") if key in card}
    return about


def _refs(hub: Hub, call: HubRequest) -> Any:
    """List branches, tags and, on request, pull requests; a tag's target is the commit, annotated or not."""
    answer: dict[str, list[dict[str, str]]] = {"branches": [], "tags": [], "converts": []}
    groups = {BRANCHES: "branches", TAGS: "tags"}
    if call.flag("include_prs"):
        answer["pullRequests"] = []
        groups[PULLS] = "pullRequests"
    for ref, (_oid, commit) in hub.repo(call).git.refs().items():
        for prefix, group in groups.items():
            if ref.startswith(prefix):
                name = ref if prefix == PULLS else ref.removeprefix(prefix)
                answer[group].append({"name": name, "ref": ref, "targetCommit": commit})
    return answer


def _create_branch(hub: Hub, call: HubRequest) -> Any:
    """Make a branch at `startingPoint`, or at the head of `main`."""
    repo, name = hub.repo(call, write=True), _ref_name(call.param("rev"))
    with hub.store.writing(repo.kind, repo.name):
        _refuse_shadow(repo, f"{TAGS}{name}")
        start = repo.git.commit_of(str(call.json().get("startingPoint") or "main"))
        _make_ref(repo, f"{BRANCHES}{name}", start)
    return {}


def _create_tag(hub: Hub, call: HubRequest) -> Any:
    """Tag a revision: an annotated tag when there is a message. A tag that exists is never moved."""
    repo, asked = hub.repo(call, write=True), call.json()
    name, message = _ref_name(str(asked.get("tag", ""))), asked.get("message")
    with hub.store.writing(repo.kind, repo.name):
        _refuse_shadow(repo, f"{BRANCHES}{name}")
        target = repo.git.commit_of(call.param("rev"))
        if message:
            target = repo.git.write_tag(name, target, str(message), hub.store.account)
        _make_ref(repo, f"{TAGS}{name}", target)
    return {}


def _delete_branch(hub: Hub, call: HubRequest) -> Any:
    """Remove a branch, except `main`."""
    if call.param("rev") == "main":
        raise refusals.forbidden("the main branch cannot be deleted")
    return _delete_ref(hub, call, BRANCHES)


def _delete_tag(hub: Hub, call: HubRequest) -> Any:
    """Remove a tag."""
    return _delete_ref(hub, call, TAGS)


def _commits(hub: Hub, call: HubRequest) -> Any:
    """Return the history of a revision, newest first."""
    repo = hub.repo(call)
    head = repo.git.commit_of(call.param("rev"))
    rows, headers = page(call, _history(repo, head), PAGE)
    return reply(rows, headers | {"X-Total-Count": str(repo.git.count(head))})


def _squash(hub: Hub, call: HubRequest) -> Any:
    """Replace a branch's history by one commit with the same files; tags keep the old commits alive."""
    repo, branch = hub.repo(call, write=True), call.param("rev")
    message = str(call.json().get("message") or f"Super-squash branch '{branch}'")
    with hub.store.writing(repo.kind, repo.name):
        head = repo.git.refs().get(f"{BRANCHES}{branch}")
        if head is None:
            raise refusals.revision_missing(branch)
        root = repo.git.write_tree_commit(repo.git.tree_of(head[1]), message, hub.store.account)
        repo.git.move_ref(f"{BRANCHES}{branch}", root, head[0])
    return {}


def _history(repo: Repo, head: str) -> Iterator[dict[str, Any]]:
    for skip in count(0, PAGE):
        logged = repo.git.log(head, limit=PAGE, skip=skip)
        for it in logged:
            author = [{"user": it.author}]
            yield {"id": it.id, "title": it.title, "message": it.message, "authors": author, "date": stamp(it.time)}
        if len(logged) < PAGE:
            return


def _expanded(call: HubRequest, about: dict[str, Any]) -> dict[str, Any]:
    """With `expand`, only the properties asked for (and the ids)."""
    wanted = call.query.get("expand") or call.query.get("expand[]")
    return about if wanted is None else {key: about[key] for key in ("_id", "id", *wanted) if key in about}


def _card(repo: Repo, oid: str | None) -> dict[str, Any]:
    if oid is None:
        return {}
    try:
        card: dict[str, Any] = front_matter.as_json(front_matter.read(repo.git.blob(oid).decode()))
        return card
    except (front_matter.FrontMatterError, UnicodeDecodeError):
        return {}


def _kind(asked: dict[str, Any]) -> Kind:
    kind = KINDS.get(f"{asked.get('type') or 'model'}s")
    if kind is None:
        raise refusals.malformed(f"unknown type {asked['type']!r}; use model, dataset or space")
    return kind


def _private(asked: dict[str, Any]) -> bool | None:
    """Tell if a repo is to be private; None where the request does not say. Older clients send `private` itself."""
    if "visibility" in asked:
        return bool(asked["visibility"] != "public")
    return bool(asked["private"]) if "private" in asked else None


def _named(hub: Hub, call: HubRequest) -> tuple[Kind, str, dict[str, Any]]:
    asked = call.json()
    name = str(asked.get("name", ""))
    full = name if "/" in name else f"{asked.get('organization') or hub.store.account}/{name}"
    kind = _kind(asked)
    _own(hub, call, full)
    return kind, full, asked


def _own(hub: Hub, call: HubRequest, name: str) -> None:
    call.require_write()
    own = (hub.store.account, *hub.store.organisations)
    if name.partition("/")[0] not in own:
        raise refusals.forbidden(f"{name} is outside the namespaces of this account: {', '.join(own)}")


def _existing(hub: Hub, call: HubRequest, kind: Kind, name: str) -> Repo:
    if (repo := hub.store.find(kind, name)) is None:
        raise refusals.repo_missing(call.signed_in)
    return repo


def _ref_name(name: str) -> str:
    if not is_ref_name(name) or name == "HEAD" or re.fullmatch("[0-9a-f]{40}", name):
        raise refusals.malformed(f"{name!r} cannot be the name of a branch or tag")
    return name


def _refuse_shadow(repo: Repo, ref: str) -> None:
    """Refuse a branch with the name of a tag, and a tag with that of a branch: a revision would mean one of them."""
    if ref in repo.git.refs():
        raise refusals.exists(f"Reference {ref} already exists, and a revision of this name means it")


def _make_ref(repo: Repo, ref: str, oid: str) -> None:
    if ref in repo.git.refs():
        raise refusals.exists(f"Reference {ref} already exists")
    try:
        repo.git.move_ref(ref, oid, ZERO)
    except RefMoved as error:  # `a` and `a/b` cannot both be refs
        raise refusals.exists(f"Reference {ref} cannot be made: {error}") from error


def _delete_ref(hub: Hub, call: HubRequest, prefix: str) -> Any:
    repo, name = hub.repo(call, write=True), call.param("rev")
    with hub.store.writing(repo.kind, repo.name):
        found = repo.git.refs().get(prefix + name)
        if found is None:
            raise refusals.revision_missing(name)
        repo.git.move_ref(prefix + name, None, found[0])
    return {}


ROUTES = [
    Route("GET", "/api/whoami-v2", _whoami),
    Route("POST", "/api/repos/create", _create),
    Route("DELETE", "/api/repos/delete", _delete),
    Route("POST", "/api/repos/move", _move),
    Route("GET", "/api/{kinds}", _list_repos),
    Route("GET", "/api/{kinds}/{repo}", _info),
    Route("GET", "/api/{kinds}/{repo}/revision/{rev}", _info),
    Route("PUT", "/api/{kinds}/{repo}/settings", _settings),
    Route("GET", "/api/{kinds}/{repo}/auth-check", _may_read),
    Route("GET", "/api/{kinds}/{repo}/auth-check/write", _may_write),
    Route("GET", "/api/{kinds}/{repo}/refs", _refs),
    Route("POST", "/api/{kinds}/{repo}/branch/{rev}", _create_branch),
    Route("DELETE", "/api/{kinds}/{repo}/branch/{rev}", _delete_branch),
    Route("POST", "/api/{kinds}/{repo}/tag/{rev}", _create_tag),
    Route("DELETE", "/api/{kinds}/{repo}/tag/{rev}", _delete_tag),
    Route("GET", "/api/{kinds}/{repo}/commits/{rev}", _commits),
    Route("POST", "/api/{kinds}/{repo}/super-squash/{rev}", _squash),
]
