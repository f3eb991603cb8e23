"""The pages: their content and URLs. Their look is in the templates beside this file."""

# ruff: noqa: TID253 - part of the server, which is imported late, in its own process
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import RedirectResponse, Response

from plum_hub.hubs import api, discussions, front_matter, refusals
from plum_hub.hubs.calls import Hub, HubRequest, Route, int_option, segment
from plum_hub.hubs.git import BRANCHES, PULLS, TAGS, TreeEntry
from plum_hub.hubs.store import KINDS, Repo
from plum_hub.hubs.web import cards, rows

LONGEST_TEXT, LONGEST_PATCH, HISTORY = 500_000, 200_000, 50
"""Upper bounds of what a page shows: characters of a file, characters of a patch, commits."""
_CHIPS = {
    "license": "license", "language": "language", "task_categories": "task", "size_categories": "rows",
    "pipeline_tag": "task", "library_name": "library", "base_model": "base model", "datasets": "dataset", "tags": "tag",
}  # fmt: skip
"""Labels for keys of the front matter."""
_PICTURES = (".gif", ".jpeg", ".jpg", ".png", ".svg", ".webp")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
}


def _home(hub: Hub, call: HubRequest) -> Response:
    """Show all repositories that the caller may see, last changed first."""
    groups: dict[str, list[dict[str, Any]]] = {"Datasets": [], "Models": [], "Spaces": []}
    for kind in KINDS.values():
        for repo in hub.store.repos(kind):
            if not repo.settings.disabled and (call.signed_in or not repo.settings.private):
                versions, branches = repo.git.dated(TAGS), repo.git.dated(BRANCHES)
                changed = max(ref.time for ref in (*versions, *branches))
                groups[f"{kind.capitalize()}s"].append({"repo": repo, "versions": versions, "changed": changed})
    for found in groups.values():
        found.sort(key=lambda it: int(it["changed"]), reverse=True)
    return _page("home", 200, call=call, groups={name: found for name, found in groups.items() if found})


def _card(hub: Hub, call: HubRequest) -> Response:
    """Show a repository's card, its front matter and its versions."""
    repo, facts = _facts(hub, call, call.option("revision", "main"), tab="card")
    about = api.describe(hub, repo, facts["commit"], blobs=False)
    return _page(
        "card", 200, **facts, about=about, chips=_chips(hub, call, about.get("cardData", {})), text=_readme(facts)
    )


def _tree(hub: Hub, call: HubRequest) -> Response:
    """Show the files and folders at a revision, with the folder's card."""
    repo, facts = _facts(hub, call, call.param("rev"), tab="files")
    path = (call.params.get("path") or "").strip("/")
    entries = repo.git.entries(facts["commit"], path, recursive=False)
    if not entries and path:
        raise refusals.entry_missing(facts["commit"])
    large = hub.store.pointers(repo.git, {it.oid: it.size for it in entries if it.kind == "blob"})
    entries.sort(key=lambda it: (it.kind != "tree", it.path))
    listed = [{"entry": it, "large": large.get(it.oid), "name": it.path.rpartition("/")[2]} for it in entries]
    return _page("tree", 200, **facts, path=path, listed=listed, text=None if path else _readme(facts))


def _blob(hub: Hub, call: HubRequest) -> Response:
    """Show a file: its text, picture, first rows, or only its size."""
    repo, facts = _facts(hub, call, call.param("rev"), tab="files", files=True)
    path = call.param("path")
    entry = repo.git.entry(facts["commit"], path)
    if entry is None or entry.kind != "blob":
        raise refusals.entry_missing(facts["commit"])
    large = hub.store.pointers(repo.git, {entry.oid: entry.size}).get(entry.oid)
    shown: dict[str, Any] = {"picture": path.lower().endswith(_PICTURES), "table": None, "text": None, "card": None}
    if path.endswith(".parquet"):
        shown["table"] = rows.first_rows(hub.store, repo, [entry])
    elif not shown["picture"]:
        content = _text_of(hub, repo, entry)
        shown["card" if path.endswith(".md") and content else "text"] = content
        if shown["card"]:
            shown["card"] = _rendered(facts, content or "", path.rpartition("/")[0])
    return _page("blob", 200, **facts, path=path, entry=entry, large=large, **shown)


def _viewer(hub: Hub, call: HubRequest) -> Response:
    """Show the first rows of a config of a dataset."""
    repo, facts = _facts(hub, call, call.option("revision", "main"), tab="rows", files=True)
    entries = [it for it in repo.git.entries(facts["commit"]) if it.kind == "blob"]
    found = rows.configs(_front_matter(facts), entries)
    config = call.option("config") or next(iter(found), "")
    if found and config not in found:
        raise refusals.Refusal(404, f"there is no config {config}")
    splits = found.get(config, {})
    split = call.option("split") or next(iter(splits), "")
    if splits and split not in splits:
        raise refusals.Refusal(404, f"config {config} has no split {split}")
    table = rows.first_rows(hub.store, repo, splits[split]) if splits else None
    return _page("rows", 200, **facts, configs=found, config=config, split=split, table=table)


def _history(hub: Hub, call: HubRequest) -> Response:
    """Show the commits of a revision, newest first."""
    repo, facts = _facts(hub, call, call.params.get("rev") or "main", tab="history")
    skip = int_option(call, "skip", 0)
    logged = repo.git.log(facts["commit"], limit=HISTORY + 1, skip=skip)
    more = skip + HISTORY if len(logged) > HISTORY else None
    return _page("history", 200, **facts, logged=list(islice(logged, HISTORY)), more=more)


def _commit(hub: Hub, call: HubRequest) -> Response:
    """Show what a commit changed."""
    repo, facts = _facts(hub, call, call.param("rev"), tab="history", files=True)
    patch = repo.git.patch(facts["commit"])
    return _page("commit", 200, **facts, it=repo.git.log(facts["commit"], limit=1)[0], **_cut(patch))


def _talk(hub: Hub, call: HubRequest) -> Response:
    """List discussions and pull requests."""
    repo, facts = _facts(hub, call, "main", tab="discussions")
    return _page("discussions", 200, **facts, found=discussions.found(repo))


def _discussion(hub: Hub, call: HubRequest) -> Response:
    """Show one discussion or pull request, with its changes."""
    repo, facts = _facts(hub, call, "main", tab="discussions")
    about = discussions.details(hub, call)
    gated = repo.settings.gated and not call.signed_in
    patch = (
        repo.git.diff(about["changes"]["base"], f"{PULLS}{about['num']}")
        if about["isPullRequest"] and not gated
        else ""
    )
    for event in about["events"]:
        if event["type"] == "comment":
            event["html"] = cards.rendered(event["data"]["latest"]["raw"])
    return _page("discussion", 200, **facts, about=about, **_cut(patch))


def _login(_hub: Hub, call: HubRequest) -> Response:
    """Make the browser ask for a token, which it then sends with every request."""
    if not call.signed_in:
        raise refusals.sign_in_needed()
    return RedirectResponse("/", 303)


def _style(_hub: Hub, _call: HubRequest) -> Response:
    """Return the style sheet."""
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
    return Response((Path(__file__).parent / "style.css").read_bytes(), headers=headers, media_type="text/css")


def refused(refusal: refusals.Refusal, headers: dict[str, str], *, path: str, authorized: bool) -> Response:
    """Render a refusal as a page. A browser without a token is asked for one only where its user wants to sign in.

    Args:
        refusal: The refusal.
        headers: Its headers.
        path: The requested path.
        authorized: Whether the request had a token.

    Returns:
        The page.
    """
    status = refusal.status
    if status == 401 and not authorized and path != "/login":
        headers = {name: value for name, value in headers.items() if name != "WWW-Authenticate"}
        status = 401 if refusal.code == "GatedRepo" else 404
    response = _page("refused", status, refusal=refusal, status=status, authorized=authorized)
    for name, value in headers.items():
        response.headers[name] = value
    return response


def _facts(hub: Hub, call: HubRequest, revision: str, *, tab: str, files: bool = False) -> tuple[Repo, dict[str, Any]]:
    """Return the repository, and what each of its pages shows."""
    repo = hub.repo(call, files=files)
    commit_id = repo.git.commit_of(revision)
    found = discussions.found(repo)
    return repo, {
        "hub": hub, "call": call, "repo": repo, "revision": revision, "commit": commit_id, "tab": tab,
        "versions": repo.git.dated(TAGS), "branches": repo.git.dated(BRANCHES),
        "talks": sum(it.status in ("open", "draft") for it in found),
    }  # fmt: skip


def _chips(hub: Hub, call: HubRequest, data: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return label, value and link of each fact in the front matter; the link is empty except for repositories of this
    Hub.
    """
    chips = []
    for key, name in _CHIPS.items():
        for value in front_matter.texts(data.get(key)):
            kind = {"base_model": KINDS["models"], "datasets": KINDS["datasets"]}.get(key)
            other = hub.store.find(kind, value) if kind else None
            href = f"/{other.path}" if other and (call.signed_in or not other.settings.private) else ""
            chips.append((name, value, href))
    return chips


def _readme(facts: dict[str, Any]) -> Any:
    content = _readme_text(facts)
    return None if content is None else _rendered(facts, content, "")


def _readme_text(facts: dict[str, Any]) -> str | None:
    entry = facts["repo"].git.entry(facts["commit"], "README.md")
    return None if entry is None else _text_of(facts["hub"], facts["repo"], entry)


def _front_matter(facts: dict[str, Any]) -> dict[str, Any]:
    try:
        return front_matter.read(_readme_text(facts) or "")
    except front_matter.FrontMatterError:
        return {}


def _rendered(facts: dict[str, Any], content: str, folder: str) -> Any:
    places = [f"{_url(facts['repo'], it, facts['commit'], folder)}".rstrip("/") for it in ("blob", "resolve")]
    return cards.rendered(cards.without_front_matter(content), *places)


def _text_of(hub: Hub, repo: Repo, entry: TreeEntry) -> str | None:
    """Return a file's text; None where it is binary or too long for a page."""
    large = hub.store.pointers(repo.git, {entry.oid: entry.size}).get(entry.oid)
    if (large.size if large else entry.size) > LONGEST_TEXT:
        return None
    content = hub.store.objects.path(large.sha256).read_bytes() if large else repo.git.blob(entry.oid)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _cut(patch: str) -> dict[str, Any]:
    return {"patch": patch[:LONGEST_PATCH].splitlines(), "cut": max(len(patch) - LONGEST_PATCH, 0)}


def _url(repo: Repo, what: str, revision: str = "", path: str = "") -> str:
    """Return the URL of a page of a repository."""
    parts = ["", quote(repo.path), what, *([segment(revision)] if revision else []), *([quote(path)] if path else [])]
    return "/".join(parts)


def _size(count: int) -> str:
    """Format a number of bytes."""
    if count < 1000:
        return f"{count} B"
    value, units = float(count), iter("kMGTP")
    while value >= 999.5:
        value, unit = value / 1000, next(units)
    return f"{value:.3g} {unit}B"


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {"size": _size, "date": _date}
    made.globals["url"] = _url
    return made


_TEMPLATES = _environment()


def _page(name: str, code: int, /, **facts: Any) -> Response:
    content = _TEMPLATES.get_template(f"{name}.html.jinja").render(**facts)
    return Response(content.encode(errors="replace"), code, _HEADERS, media_type="text/html")


_REPO = "/(?!api/){prefix}{repo}"
ROUTES = [
    Route("GET HEAD", "/", _home),
    Route("GET HEAD", "/login", _login),
    Route("GET HEAD", "/static/style.css", _style),
    Route("GET HEAD", _REPO, _card),
    Route("GET HEAD", f"{_REPO}/tree/{{rev}}", _tree),
    Route("GET HEAD", f"{_REPO}/tree/{{rev}}/{{path}}", _tree),
    Route("GET HEAD", f"{_REPO}/blob/{{rev}}/{{path}}", _blob),
    Route("GET HEAD", f"{_REPO}/viewer", _viewer),
    Route("GET HEAD", f"{_REPO}/commits", _history),
    Route("GET HEAD", f"{_REPO}/commits/{{rev}}", _history),
    Route("GET HEAD", f"{_REPO}/commit/{{rev}}", _commit),
    Route("GET HEAD", f"{_REPO}/discussions", _talk),
    Route("GET HEAD", f"{_REPO}/discussions/{{number}}", _discussion),
]
