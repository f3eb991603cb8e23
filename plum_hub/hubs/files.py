"""What can be read from repositories of the embedded Hub: trees, files (whole or in ranges), the page of a Space, and
git itself."""

# ruff: noqa: TID253 - part of the server, which is imported late, in its own process
import os
import subprocess
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import FileResponse, Response, StreamingResponse

from plum_hub.hubs import refusals
from plum_hub.hubs.calls import Hub, HubRequest, Route, page, reply, segment, stamp
from plum_hub.hubs.git import TreeEntry, git_environment
from plum_hub.hubs.ranges import part_of
from plum_hub.hubs.store import Repo

PAGE, EXPANDED_PAGE = 1000, 50
_PICTURES = {
    "gif": "image/gif", "jpeg": "image/jpeg", "jpg": "image/jpeg", "png": "image/png", "svg": "image/svg+xml",
    "webp": "image/webp",
}  # fmt: skip
_LONGEST_REQUEST = 64_000_000
"""Bytes of git's list of objects, unpacked."""
_HARMLESS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
}
"""Headers under which a browser runs nothing from a repository's file; an SVG may still have styles."""


_APP = {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts",
    "Content-Type": "text/html; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-cache",
}
"""Headers under which the page of a Space runs its own scripts, in an origin of its own: it has no storage, reads no
other page and sends no request, so that it can do nothing with what the browser knows of this Hub."""


def _tree(hub: Hub, call: HubRequest) -> Response:
    """List the files and folders below a path, page by page; later pages stay at the commit of the first."""
    repo, path, revision = hub.repo(call), (call.params.get("path") or "").strip("/"), call.param("rev")
    commit = repo.git.commit_of(revision)
    found = repo.git.entries(commit, path, recursive=call.flag("recursive"))
    if not found and path:
        raise refusals.entry_missing(commit)
    expand = call.flag("expand")
    next_path = call.path.replace(f"/tree/{segment(revision)}", f"/tree/{commit}", 1)
    rows, headers = page(call, iter(found), EXPANDED_PAGE if expand else PAGE, path=next_path)
    return reply(_described(hub, repo, commit, rows, expand=expand), headers | {"X-Repo-Commit": commit})


def _paths_info(hub: Hub, call: HubRequest) -> list[dict[str, Any]]:
    """Describe the paths that exist; others are left out."""
    repo = hub.repo(call)
    commit = repo.git.commit_of(call.param("rev"))
    if call.headers.get("content-type", "").startswith("application/json"):
        asked = call.json()
        given, expand = asked.get("paths", []), bool(asked.get("expand"))
        paths = [str(path) for path in given] if isinstance(given, list) else [str(given)]
    else:
        form = parse_qs(call.body.read().decode(errors="replace"), keep_blank_values=True)
        paths, expand = form.get("paths", []), form.get("expand", [""])[0].lower() == "true"
    wanted = {path.strip("/") for path in paths}
    rows = [entry for entry in repo.git.entries(commit) if entry.path in wanted]
    return _described(hub, repo, commit, rows, expand=expand)


def _resolve(hub: Hub, call: HubRequest) -> Response:
    """Return the bytes of a file, or of the requested range."""
    repo, path = hub.repo(call, files=True), call.param("path")
    commit = repo.git.commit_of(call.param("rev"))
    entry = repo.git.entry(commit, path)
    if entry is None or entry.kind != "blob":
        raise refusals.entry_missing(commit)
    headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes", "Content-Type": _media_type(path), **_HARMLESS}
    return _bytes(hub, call, repo, entry, headers)


def _app(hub: Hub, call: HubRequest) -> Response:
    """Run the page of a static Space."""
    repo = hub.repo(call, files=True)
    commit = repo.git.commit_of(call.param("rev"))
    entry = repo.git.entry(commit, "index.html")
    if entry is None or entry.kind != "blob":
        raise refusals.entry_missing(commit)
    return _bytes(hub, call, repo, entry, {"X-Repo-Commit": commit, **_APP})


def _bytes(hub: Hub, call: HubRequest, repo: Repo, entry: TreeEntry, headers: dict[str, str]) -> Response:
    large = hub.store.pointers(repo.git, {entry.oid: entry.size}).get(entry.oid)
    if large is None:
        headers["ETag"] = f'"{entry.oid}"'
        return part_of(repo.git.blob(entry.oid), call.headers, headers)
    headers |= {"ETag": f'"{large.sha256}"', "X-Linked-Etag": f'"{large.sha256}"', "X-Linked-Size": str(large.size)}
    file = hub.store.objects.path(large.sha256)
    return FileResponse(file, headers=headers)


def _media_type(path: str) -> str:
    """Return the type of a picture; everything else is a download."""
    return _PICTURES.get(path.rpartition(".")[2].lower(), "application/octet-stream")


def _advertise(hub: Hub, call: HubRequest) -> Response:
    """Answer the first request of `git clone` and `git fetch`: the refs."""
    service = call.option("service")
    if service != "git-upload-pack":
        raise refusals.forbidden("git push is not served; upload through the Hub's API")
    repo, protocol = hub.repo(call, files=True), _protocol(call)
    advertisement = _start_upload_pack(repo, protocol, "--advertise-refs").communicate()[0]
    if "version=2" not in protocol:
        advertisement = b"001e# service=git-upload-pack\n0000" + advertisement
    headers = {"Cache-Control": "no-cache"}
    return Response(advertisement, headers=headers, media_type="application/x-git-upload-pack-advertisement")


def _upload_pack(hub: Hub, call: HubRequest) -> Response:
    """Answer the second request of `git clone` and `git fetch`: the objects."""
    request = call.body.read()
    if call.headers.get("content-encoding") == "gzip":
        request = _unpacked(request)
    process = _start_upload_pack(hub.repo(call, files=True), _protocol(call))

    def output() -> Iterator[bytes]:
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(request)
                process.stdin.close()
                while piece := os.read(process.stdout.fileno(), 1 << 16):
                    yield piece
            finally:
                process.kill()  # the client may have gone

    return StreamingResponse(output(), media_type="application/x-git-upload-pack-result")


def _unpacked(packed: bytes) -> bytes:
    """Unpack what git asks, which names the objects that it has and wants; a small body may stand for a huge one."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        request = unpacker.decompress(packed, _LONGEST_REQUEST)
    except zlib.error as error:
        raise refusals.malformed(f"the body is not gzip: {error}") from error
    if unpacker.unconsumed_tail:
        raise refusals.too_large(_LONGEST_REQUEST)
    return request


def _protocol(call: HubRequest) -> str:
    """Return the version of git's protocol that was asked for; "" if it cannot be passed on to git."""
    asked = call.headers.get("git-protocol", "")
    return asked if asked.isprintable() else ""


def _start_upload_pack(repo: Repo, protocol: str, *options: str) -> "subprocess.Popen[bytes]":
    command = ["git", "upload-pack", "--stateless-rpc", "--strict", *options, str(repo.git.folder)]
    environment = git_environment(GIT_PROTOCOL=protocol)
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )


def _described(hub: Hub, repo: Repo, commit: str, rows: list[TreeEntry], *, expand: bool) -> list[dict[str, Any]]:
    large = hub.store.pointers(repo.git, {row.oid: row.size for row in rows if row.kind == "blob"})
    described = []
    for row in rows:
        kind = "file" if row.kind == "blob" else "directory"
        about: dict[str, Any] = {"type": kind, "oid": row.oid, "size": row.size, "path": row.path}
        if row.kind == "blob" and (it := large.get(row.oid)) is not None:
            about |= {"size": it.size, "lfs": {"oid": it.sha256, "size": it.size, "pointerSize": row.size}}
        if expand:
            last = repo.git.log(commit, row.path, limit=1)[0]
            about["lastCommit"] = {"id": last.id, "title": last.title, "date": stamp(last.time)}
        described.append(about)
    return described


ROUTES = [
    Route("GET", "/api/{kinds}/{repo}/tree/{rev}", _tree),
    Route("GET", "/api/{kinds}/{repo}/tree/{rev}/{path}", _tree),
    Route("POST", "/api/{kinds}/{repo}/paths-info/{rev}", _paths_info),
    Route("GET HEAD", "/{prefix}{repo}/resolve/{rev}/{path}", _resolve),
    Route("GET HEAD", "/(?P<kinds>spaces)/{repo}/app/{rev}", _app),
    Route("GET", r"/{prefix}{repo}/info/refs", _advertise),
    Route("POST", r"/{prefix}{repo}/git-upload-pack", _upload_pack),
]
