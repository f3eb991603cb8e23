"""The embedded Hub under requests that nobody honest sends: it stays up, writes nothing, tells nothing, and answers."""

import gzip
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from plum_hub.hubs.git import GitRepo, is_file_path
from plum_hub.hubs.store import read_token
from tests.hubs.conftest import Http, Server, file
from tests.hubs.hostile import Sent, bombard, send, statuses

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SECRET = b"what the private repository holds"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{after}: &{after} [{','.join([f'*{name}'] * 10)}]\n" for name, after in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {k: v}\n" + "".join(
    f"{after}: &{after}\n  <<: [{','.join([f'*{name}'] * 10)}]\n"
    for name, after in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Hub with a public and a private repository."""
    server = Server(tmp_path_factory.mktemp("besieged"))
    http_ = Http(server)
    for name, visibility in (("kept", "public"), ("hidden", "private")):
        asked = {"name": name, "type": "dataset", "visibility": visibility}
        assert http_.json("POST", "/api/repos/create", asked)[0] == 200
    assert http_.commit("local/kept", file("README.md", b"---\nlicense: mit\n---\n# kept\n"))[0] == 200
    http_.json("POST", "/api/datasets/local/kept/discussions", {"title": "one", "pullRequest": True})
    assert http_.commit("local/hidden", file("secret.txt", SECRET))[0] == 200
    pointer = http_.put_large("local/hidden", SECRET * 9)
    large = {"key": "lfsFile", "value": {"path": "secret.bin", "algo": "sha256", "oid": pointer["oid"]}}
    assert http_.commit("local/hidden", large)[0] == 200
    yield server
    server.stop()


def _stored(root: Path) -> dict[str, str]:
    """Everything that a Hub keeps, by path; scratch is emptied, and the log grows."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.parent.name != "scratch" and path.name != "server.log"
    }


def test_a_thousand_hostile_requests_write_nothing_and_break_nothing(besieged: Server) -> None:
    before = _stored(besieged.root)
    tokens = {"read": read_token(besieged.root, "read") or "", "wrong": "plum_wrong"}
    found = bombard(besieged.endpoint, tokens, 1000, seed=18)
    assert besieged.process.poll() is None
    assert [one for one in found if one.status >= 500] == [], statuses(found)
    assert _stored(besieged.root) == before
    assert list((besieged.root / "scratch").iterdir()) == []
    assert [one for one in found if one.role != "read" and SECRET in one.body] == []
    assert [one for one in found if besieged.token.encode() in one.body] == []
    counted = statuses(found)
    assert counted[200] > 10, counted  # and some were requests that it understood
    assert counted[401] > 100, counted
    assert [one.raw for one in found if b"\r\nx-own:" in one.body.lower()] == []


def test_hostile_requests_of_the_owner_leave_whole_repositories(own_server: Server) -> None:
    http_ = Http(own_server)
    assert http_.json("POST", "/api/repos/create", {"name": "kept", "type": "dataset"})[0] == 200
    http_.json("POST", "/api/datasets/local/kept/discussions", {"title": "one", "pullRequest": True})
    found = bombard(own_server.endpoint, {"write": own_server.token}, 400, seed=19)
    assert [one for one in found if one.status >= 500] == [], statuses(found)
    for folder in (own_server.root / "repos").glob("*/*/*.git"):
        GitRepo(folder).run("fsck", "--strict", "--full", "--no-dangling")
    for path in ("/", "/api/datasets", "/api/models"):
        assert http_("GET", path)[0] == 200, path
    outside = {path.name for path in own_server.root.iterdir()}
    assert outside == {"repos", "lfs", "scratch", "token", "read-token", "server.lock", "server.json"}


def test_a_token_that_reads_does_not_write(besieged: Server) -> None:
    http_, before = Http(besieged), _stored(besieged.root)
    reading = {"Authorization": f"Bearer {read_token(besieged.root, 'read')}"}
    line = json.dumps({"key": "header", "value": {"summary": "s"}}).encode()
    for method, path, body in (
        ("POST", "/api/repos/create", b'{"name": "x"}'),
        ("DELETE", "/api/repos/delete", b'{"name": "kept", "type": "dataset"}'),
        ("POST", "/api/repos/move", b'{"fromRepo": "local/kept", "toRepo": "local/gone", "type": "dataset"}'),
        ("POST", "/api/datasets/local/kept/commit/main", line),
        ("POST", "/api/datasets/local/kept/tag/main", b'{"tag": "v9"}'),
        ("PUT", "/api/datasets/local/hidden/settings", b'{"private": false}'),
        ("POST", "/api/datasets/local/kept/discussions", b'{"title": "t"}'),
    ):
        assert http_(method, path, body, reading, owner=False)[0] == 403, path
        assert http_(method, path, body, owner=False)[0] == 401, path
    assert _stored(besieged.root) == before


def test_bodies_have_a_limit_for_who_has_no_token(besieged: Server) -> None:
    body = b"x" * 1_100_000
    status, _, said = Http(besieged)("POST", "/api/validate-yaml", body, owner=False)
    assert (status, b"1000000" in said.replace(b",", b"").replace(b"_", b"")) == (413, True)
    assert Http(besieged)("POST", "/api/validate-yaml", body)[0] == 400


def test_a_request_of_git_that_unpacks_to_gigabytes_is_refused(besieged: Server) -> None:
    packed = gzip.compress(bytes(70_000_000))
    path = "/datasets/local/kept.git/git-upload-pack"
    status, _, _ = Http(besieged)("POST", path, packed, {"Content-Encoding": "gzip"}, owner=False)
    assert status == 413
    assert Http(besieged)("POST", path, b"\x1f\x8bno", {"Content-Encoding": "gzip"}, owner=False)[0] == 400


def test_a_large_file_is_read_through_its_own_repository_only(besieged: Server) -> None:
    http_, content = Http(besieged), SECRET * 9
    asked = {"operation": "download", "objects": [{"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}]}
    path = "/datasets/local/kept.git/info/lfs/objects/batch"
    _, _, answer = http_.json("POST", path, asked, owner=False)
    assert answer["objects"][0]["error"]["code"] == 404
    _, _, answer = http_.json("POST", path.replace("kept", "hidden"), asked)
    href = answer["objects"][0]["actions"]["download"]["href"]
    assert http_("GET", href, owner=False)[2] == content
    assert http_("PUT", href, b"other", owner=False)[0] == 403  # signed for reading


def test_a_large_file_is_named_by_its_digest_and_by_nothing_else(besieged: Server) -> None:
    for oid in ("../../token", "", "x", None, ["a"], "A" * 64):
        line = {"key": "lfsFile", "value": {"path": "a.bin", "algo": "sha256", "oid": oid}}
        assert Http(besieged).commit("local/kept", line)[0] == 400, oid


@pytest.mark.parametrize(
    "card",
    [BOMB, MERGES, "a: &a [*a]\n", "2024-01-01: x\n1.5: .nan\n", 'tags: ["\\ud800"]\n', "tags: 3\nlicense: {a: b}\n"],
)
def test_a_hostile_card_stops_no_page_and_no_list(besieged: Server, card: str) -> None:
    http_ = Http(besieged)
    http_.json("POST", "/api/repos/create", {"name": "cards", "type": "dataset"})
    assert http_.commit("local/cards", file("README.md", f"---\n{card}---\n# x\n".encode()))[0] == 200
    for path in (
        "/api/datasets/local/cards",
        "/api/datasets",
        "/datasets/local/cards",
        "/",
        "/datasets/local/cards/viewer",
    ):
        status, _, body = http_("GET", path, headers={"Accept": "text/html" if not path.startswith("/api") else "*/*"})
        assert status == 200, path
        if path.startswith("/api"):
            json.loads(body)


def test_names_that_git_or_a_file_system_reads_otherwise_are_refused_or_kept_as_they_are(besieged: Server) -> None:
    for path in (".g\u200cit/config", ".git ", ".git./x", ".git::$INDEX_ALLOCATION/x", "a" * 256, "GIT~1/x"):
        assert not is_file_path(path), path
    http_ = Http(besieged)
    http_.json("POST", "/api/repos/create", {"name": "names", "type": "dataset"})
    for name in (":(glob)**", ":!x", "-rf", "a\\b", "<img src=x>", "a b;c|d", "$(touch x)", "*"):
        assert http_.commit("local/names", file(name, b"x"))[0] == 200, name
    status, _, listed = http_("GET", "/api/datasets/local/names/tree/main?expand=true")
    assert status == 200
    assert {":(glob)**", "$(touch x)"} <= {one["path"] for one in json.loads(listed)}


def test_a_query_that_is_no_text_is_answered(besieged: Server) -> None:
    sent = Sent(b"GET /api/datasets?search=\xce\xff HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "none", "GET")
    send(besieged.endpoint, sent)
    assert sent.status in (200, 400)


def test_a_message_with_a_nul_leaves_the_history_readable(besieged: Server) -> None:
    http_ = Http(besieged)
    http_.json("POST", "/api/repos/create", {"name": "nul", "type": "dataset"})
    assert http_.commit("local/nul", file("a", b"x"), header={"summary": "a\0b", "description": "\0"})[0] == 200
    assert http_.json("POST", "/api/datasets/local/nul/tag/main", {"tag": "v1", "message": "a\0b"})[0] == 200
    status, _, found = http_("GET", "/api/datasets/local/nul/commits/main")
    assert (status, json.loads(found)[0]["title"]) == (200, "a b")


def test_who_shares_the_machine_reads_neither_tokens_nor_private_repositories(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        server = Server(tmp_path / "hub")
    finally:
        os.umask(before)
    try:
        assert server.root.stat().st_mode & 0o077 == 0
        assert (server.root / "token").stat().st_mode & 0o777 == 0o600
    finally:
        server.stop()


MARK = "document.documentElement.setAttribute('data-ran','1')"
PAYLOADS = (
    f"<script>{MARK}</script>", f"<img src=x onerror=\"{MARK}\">", f"\"><svg onload=\"{MARK}\">",
    f"</td></code></pre><script>{MARK}</script>", "{{ 7 * 7 }}", f"<iframe srcdoc=\"<script>parent.{MARK}</script>\">",
)  # fmt: skip
SVG = f'<svg xmlns="http://www.w3.org/2000/svg"><script>{MARK}</script></svg>'


def shown_by_a_browser(url: str, home: Path) -> str:
    """What a real browser makes of a page, after its scripts."""
    command = [
        CHROMIUM or "", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={home}", "--no-first-run",
        "--virtual-time-budget=2000", "--dump-dom", url,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert "<html" in done.stdout or "<svg" in done.stdout, done.stderr[-500:]
    return done.stdout


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_a_hostile_release_runs_nothing_in_a_browser(besieged: Server, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    page = tmp_path / "page.html"
    page.write_text(f"<html><body>{PAYLOADS[0]}</body></html>")
    assert "data-ran" in shown_by_a_browser(page.as_uri(), tmp_path / "browser"), "the browser runs scripts elsewhere"
    http_, all_ = Http(besieged), " ".join(PAYLOADS)
    http_.json("POST", "/api/repos/create", {"name": "evil", "type": "dataset"})
    pq.write_table(pa.table({name: [all_, all_] for name in PAYLOADS}), tmp_path / "rows.parquet")
    rows = http_.put_large("local/evil", (tmp_path / "rows.parquet").read_bytes())
    tags = json.dumps([*PAYLOADS])
    card = f"---\ntags: {tags}\nlicense: {json.dumps(all_)}\n---\n# {all_}\n\n{all_}\n\n"
    card += f"[x](javascript:{MARK})\n\n```\n{all_}\n```\n"
    large = {"key": "lfsFile", "value": {"path": "train.parquet", "algo": "sha256", "oid": rows["oid"]}}
    names = [file(f"{name.replace('/', '')}.py", all_.encode()) for name in PAYLOADS]
    title = {"summary": all_, "description": all_}
    lines = (file("README.md", card.encode()), file("x.svg", SVG.encode()), large, *names)
    assert http_.commit("local/evil", *lines, header=title)[0] == 200
    http_.json(
        "POST", "/api/datasets/local/evil/discussions", {"title": all_, "description": all_, "pullRequest": True}
    )
    base = f"{besieged.endpoint}/datasets/local/evil"
    for path in ("", "/tree/main", "/viewer", "/commit/main", "/discussions/1", "/resolve/main/x.svg",
                 "/blob/main/" + quote(f"{PAYLOADS[0].replace('/', '')}.py")):  # fmt: skip
        shown = shown_by_a_browser(base + path, tmp_path / "browser")
        assert "data-ran" in shown or "resolve" in path, path  # the payload is there, as text
        assert 'data-ran="1"' not in shown, path
        assert "<iframe" not in shown, path
        assert "49 <" not in shown, path
