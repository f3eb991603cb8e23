"""Uploads to the embedded Hub: large files and commits."""

# ruff: noqa: TID253 - part of the server, which is imported late, in its own process
import codecs
import json
import re
import secrets
import subprocess
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync
from starlette.responses import FileResponse, Response

from plum_hub.hubs import discussions, front_matter, refusals
from plum_hub.hubs.calls import Hub, HubRequest, Route, reply
from plum_hub.hubs.git import BRANCHES, PULLS, ZERO, RefMoved, git_environment, is_file_path
from plum_hub.hubs.objects import Pointer
from plum_hub.hubs.store import Repo

REGULAR_LIMIT = 10_000_000
"""Larger files are stored outside git, whatever their name. In bytes."""
_LFS_JSON = "application/vnd.git-lfs+json"


def _validate_yaml(_hub: Hub, call: HubRequest) -> Response:
    """Check a card's front matter before it is committed."""
    asked = call.json()
    errors, warnings = front_matter.problems(str(asked.get("content", "")), str(asked.get("repoType") or "model"))
    answer = {"errors": [{"message": it} for it in errors], "warnings": [{"message": it} for it in warnings]}
    return reply(answer, status=400 if errors else 200)


def _preupload(hub: Hub, call: HubRequest) -> Any:
    """Tell how each file is to be uploaded, and what the repository holds at its path."""
    repo, asked = hub.repo(call, write=True), call.json()
    commit = repo.git.commit_of(call.param("rev"))
    files = asked.get("files")
    if not isinstance(files, list) or not all(isinstance(file, dict) and "path" in file for file in files):
        raise refusals.malformed('"files" must be a list of objects with a path')
    paths = [_checked_path(file) for file in files]
    large = repo.git.lfs_paths(commit, paths, hub.store.scratch / f"index-{secrets.token_hex(8)}")
    there = {entry.path: entry for entry in repo.git.entries(commit) if entry.kind == "blob"}
    ignored = _ignored(paths, str(asked.get("gitIgnore") or ""), hub.store.scratch)
    pointers = hub.store.pointers(repo.git, {it.oid: it.size for path in paths if (it := there.get(path)) is not None})
    answers = []
    for path, file in zip(paths, files, strict=True):
        lfs = path in large or _whole(file.get("size", 0)) > REGULAR_LIMIT or _is_binary(str(file.get("sample", "")))
        answer = {"path": path, "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": path in ignored}
        if (entry := there.get(path)) is not None:
            pointer = pointers.get(entry.oid)
            answer["oid"] = pointer.sha256 if pointer else entry.oid
        answers.append(answer)
    return {"files": answers}


def _lfs_batch(hub: Hub, call: HubRequest) -> Response:
    """Tell where to put, or get, each large file: git-lfs' batch API."""
    asked = call.json()
    upload = asked.get("operation") == "upload"
    repo = hub.repo(call, write=upload, files=True)
    transfers, objects = asked.get("transfers", ["basic"]), asked.get("objects", [])
    if not isinstance(objects, list) or not isinstance(transfers, list):
        raise refusals.malformed('"objects" and "transfers" must be lists')
    multipart, answers, parts = "multipart" in transfers, list[dict[str, Any]](), False
    # A large file is stored once for all repositories: who knows its name may not read it through another one.
    held = set() if upload else hub.store.held(repo.git)
    for pointer in map(_pointer, objects):
        answer: dict[str, Any] = {"oid": pointer.sha256, "size": pointer.size, "authenticated": True}
        size = hub.store.promise(pointer.sha256, repo) if upload else hub.store.objects.size(pointer.sha256)
        stored = size is not None and (upload or pointer.sha256 in held)
        if upload and not stored:
            in_parts = multipart and pointer.size > hub.limits.part_size
            parts = parts or in_parts
            answer["actions"] = _upload_actions(hub, call, pointer, in_parts=in_parts)
        elif not upload and stored:
            href = hub.sign(call, "GET", "/lfs/object", sha256=pointer.sha256)
            answer["actions"] = {"download": {"href": href, "header": {}}}
        elif not upload:
            answer["error"] = {"code": 404, "message": "Object does not exist"}
        answers.append(answer)
    answer = {"transfer": "multipart" if parts else "basic", "objects": answers, "hash_algo": "sha256"}
    return reply(answer, {"Content-Type": _LFS_JSON})


async def _put_object(hub: Hub, call: HubRequest) -> Response:
    """Receive a whole large file, named by the signed URL."""
    facts = hub.check_signature(call)
    with hub.store.objects.receive(Pointer(facts["sha256"], int(facts["size"]))) as arrival:
        async for piece in call.chunks:
            arrival.write(piece)
        await run_sync(arrival.keep)
    return Response()


async def _put_part(hub: Hub, call: HubRequest) -> Response:
    """Receive one part of a large file."""
    facts = hub.check_signature(call)
    pointer, number = Pointer(facts["sha256"], int(facts["size"])), int(facts["part"])
    target = hub.store.objects.part_path(pointer, facts["upload"], number)
    temporary = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            async for piece in call.chunks:
                file.write(piece)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return Response(headers={"ETag": f'"{number}"'})


def _complete_parts(hub: Hub, call: HubRequest) -> Response:
    """Join the parts of a large file."""
    facts = hub.check_signature(call)
    pointer = Pointer(facts["sha256"], int(facts["size"]))
    asked = call.json()
    given = asked.get("parts")
    numbers = [
        part.get("partNumber") if isinstance(part, dict) else None
        for part in (given if isinstance(given, list) else ())
    ]
    if asked.get("oid") != pointer.sha256 or numbers != list(range(1, int(facts["parts"]) + 1)):
        raise refusals.malformed("these are not the parts that were agreed on")
    if hub.store.objects.size(pointer.sha256) is None:  # else a repeated completion: the first one's answer was lost
        paths = [hub.store.objects.part_path(pointer, facts["upload"], number) for number in numbers]
        hub.store.objects.join(pointer, paths)
    return Response()


def _verify_object(hub: Hub, call: HubRequest) -> Response:
    """Check that a large file has arrived."""
    hub.repo(call, write=True)
    pointer = _pointer(call.json())
    if hub.store.objects.size(pointer.sha256) != pointer.size:
        raise refusals.Refusal(404, f"{pointer.sha256} was not uploaded")
    return Response()


def _get_object(hub: Hub, call: HubRequest) -> Response:
    """Return the bytes of a large file, for git-lfs."""
    sha256 = hub.check_signature(call)["sha256"]
    if hub.store.objects.size(sha256) is None:  # its repository was deleted meanwhile
        raise refusals.Refusal(404, f"{sha256} is not stored")
    return FileResponse(hub.store.objects.path(sha256), media_type="application/octet-stream")


def _commit(hub: Hub, call: HubRequest) -> Any:
    """Write one commit, with all of its operations or none."""
    repo, revision = hub.repo(call, write=True), call.param("rev")
    operations = _Operations(call)
    with hub.store.writing(repo.kind, repo.name):
        refs = repo.git.refs()
        head = repo.git.commit_of(revision, refs)
        branch = revision if revision.startswith(PULLS) else f"{BRANCHES}{revision}"
        if not call.flag("create_pr") and branch not in refs:
            raise refusals.malformed(f"{revision} is not a branch; commits go to branches only")
        parent = operations.header.get("parentCommit")
        if parent is not None and parent != head and repo.git.commit_of(str(parent), refs) != head:
            raise refusals.stale_parent()
        title, text = str(operations.header.get("summary") or "commit"), str(operations.header.get("description") or "")
        changes = operations.changes(hub, repo, head)
        oid = repo.git.write_commit(head, f"{title}\n\n{text}".strip() + "\n", hub.store.account, changes)
        url = f"{call.base}/{repo.path}"
        answer = {"success": True, "commitOid": oid, "commitUrl": f"{url}/commit/{oid}", "hookOutput": ""}
        old = head
        if call.flag("create_pr"):
            number = discussions.next_number(repo)
            base = branch if branch in refs else f"{BRANCHES}main"
            discussions.keep(repo, discussions.opened(hub, number, title, text, pull=True, base=base))
            branch, old = f"{PULLS}{number}", ZERO
            answer["pullRequestUrl"] = f"{url}/discussions/{number}"
        try:
            repo.git.move_ref(branch, oid, old)
        except RefMoved:
            raise refusals.stale_parent() from None
    return answer


class _Operations:
    """The lines of a commit request: checked once before anything is written, then read again as they are applied, so
    that
    at most one file's content is in memory.
    """

    def __init__(self, call: HubRequest) -> None:
        self._body = call.body
        self.header: dict[str, Any] = {}
        self._deleted: list[tuple[str, bool]] = []
        self._added: dict[str, Pointer | None] = {}
        for key, value in self._lines():
            if key == "header":
                self.header = value
            elif key in ("file", "lfsFile"):
                pointer = _pointer({"size": 0, "oid": value.get("oid")}) if key == "lfsFile" else None
                self._added[_checked_path(value)] = pointer
            elif key in ("deletedFile", "deletedFolder"):
                self._deleted.append((_checked_path(value), key == "deletedFolder"))
            else:
                raise refusals.malformed(f"unknown operation {key!r}")
        if not self.header:
            raise refusals.malformed("the commit has no header")

    def _lines(self) -> Iterator[tuple[str, dict[str, Any]]]:
        self._body.seek(0)
        for line in self._body:
            if line.strip():
                try:
                    operation = json.loads(line)
                    key, value = operation["key"], operation["value"]
                    if key == "file":
                        value = {"path": value["path"], "content": _decoded(value)}
                except (ValueError, KeyError, TypeError, RecursionError) as error:
                    raise refusals.malformed(f"a line of the commit is malformed: {error}") from error
                if not isinstance(value, dict):
                    raise refusals.malformed(f"the value of {key!r} is not an object")
                yield key, value

    def changes(self, hub: Hub, repo: Repo, head: str) -> Iterator[tuple[str, bytes | None]]:
        """Return what to write, deletions first.

        Raises:
            Refusal: Something to delete does not exist, or a large file was never uploaded. Raised before the first
                change.
        """
        kinds = {entry.path: entry.kind for entry in (repo.git.entries(head) if self._deleted else ())}
        for path, folder in self._deleted:
            if kinds.get(path) != ("tree" if folder else "blob"):
                raise refusals.entry_missing(head, f"A file with this name doesn't exist: {path}")
        large = {path: pointer for path, pointer in self._added.items() if pointer is not None}
        for path, pointer in large.items():
            size = hub.store.promise(pointer.sha256, repo)
            if size is None:
                raise refusals.malformed(f"LFS pointer pointed to a file that does not exist: {path}")
            large[path] = Pointer(pointer.sha256, size)
        return self._changes(large)

    def _changes(self, large: dict[str, Pointer]) -> Iterator[tuple[str, bytes | None]]:
        for path, _folder in self._deleted:
            yield path, None
        for key, value in self._lines():
            if key == "file":
                yield value["path"], value["content"]
            elif key == "lfsFile":
                yield value["path"], large[value["path"]].to_bytes()


def _checked_path(value: dict[str, Any]) -> str:
    path = str(value.get("path", "")).removesuffix("/")
    if not is_file_path(path):
        raise refusals.malformed(f"{path!r} cannot be a path in a repo")
    return path


def _decoded(value: dict[str, Any]) -> bytes:
    if value.get("encoding", "utf-8") == "base64":
        return b64decode(value["content"], validate=True)
    return str(value["content"]).encode()


def _whole(value: Any) -> int:
    if not isinstance(value, int):
        raise refusals.malformed(f"a size is a number of bytes, not {str(value)[:40]!r}")
    return value


def _pointer(value: Any) -> Pointer:
    if not isinstance(value, dict):
        raise refusals.malformed("a large file is an object with oid and size")
    sha256, size = str(value.get("oid", "")), value.get("size")
    if re.fullmatch(r"[0-9a-f]{64}", sha256) is None or not isinstance(size, int) or size < 0:
        raise refusals.malformed(f"{value!r} names no large file: oid is a sha256, size a number of bytes")
    return Pointer(sha256, size)


def _upload_actions(hub: Hub, call: HubRequest, pointer: Pointer, *, in_parts: bool) -> dict[str, Any]:
    facts: dict[str, str | int] = {"sha256": pointer.sha256, "size": pointer.size}
    header: dict[str, str] = {}
    if in_parts:
        upload, parts = secrets.token_hex(8), ceil(pointer.size / hub.limits.part_size)
        header = {"chunk_size": str(hub.limits.part_size)}
        for number in range(1, parts + 1):
            header[f"{number:05d}"] = hub.sign(call, "PUT", "/lfs/part", **facts, upload=upload, part=number)
        href = hub.sign(call, "POST", "/lfs/complete", **facts, upload=upload, parts=parts)
    else:
        href = hub.sign(call, "PUT", "/lfs/object", **facts)
    verify = call.base + call.path.removesuffix("objects/batch") + "verify"
    return {"upload": {"href": href, "header": header}, "verify": {"href": verify, "header": {}}}


def _is_binary(sample: str) -> bool:
    """Tell whether the first bytes of a file (base64) are not UTF-8; a character cut at the end does not count."""
    try:
        content = b64decode(sample, validate=True)
        codecs.getincrementaldecoder("utf-8")().decode(content)
    except ValueError:
        return True
    return b"\0" in content


def _ignored(paths: list[str], rules: str, scratch: Path) -> set[str]:
    """Return the paths that a `.gitignore` with these rules excludes."""
    if not rules.strip():
        return set()
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        work = Path(folder)
        (work / "rules").write_text(rules)
        subprocess.run(["git", "init", "--quiet", "--template=", folder], check=True, env=git_environment())
        command = ["git", "-c", f"core.excludesFile={work / 'rules'}", "check-ignore", "--no-index", "-z", "--stdin"]
        names = "".join(f"{path}\0" for path in paths).encode()
        found = subprocess.run(
            command, input=names, stdout=subprocess.PIPE, check=False, cwd=work, env=git_environment()
        )
    return set(found.stdout.decode().split("\0")[:-1])


ROUTES = [
    Route("POST", "/api/validate-yaml", _validate_yaml),
    Route("POST", "/api/{kinds}/{repo}/preupload/{rev}", _preupload),
    Route("POST", "/api/{kinds}/{repo}/commit/{rev}", _commit),
    Route("POST", "/{prefix}{repo}/info/lfs/objects/batch", _lfs_batch),
    Route("POST", "/{prefix}{repo}/info/lfs/verify", _verify_object),
    Route("PUT", "/lfs/object", _put_object),
    Route("GET", "/lfs/object", _get_object),
    Route("PUT", "/lfs/part", _put_part),
    Route("POST", "/lfs/complete", _complete_parts),
]
