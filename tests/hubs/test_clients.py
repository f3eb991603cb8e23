"""The embedded Hub is a Hub to clients that know nothing of it."""

import hashlib
import json

import pytest

from tests.hubs import battery
from tests.hubs.conftest import Http, file


@pytest.mark.parametrize(
    "actions",
    [
        battery.commits,
        battery.refs_and_history,
        battery.repos_and_rights,
        battery.large_files_and_downloads,
        battery.discussions,
        battery.datasets_library,
        battery.transformers_and_peft,
        battery.hf_command,
    ],
    ids=lambda it: it.__name__,
)
def test_unmodified_clients_find_a_hub(client, actions):
    client(actions)


def test_ranges(http_, repo):
    content = bytes(range(256)) * 10
    pointer = http_.put_large(repo, content)
    large = {"key": "lfsFile", "value": {"path": "large.bin", "algo": "sha256", "oid": pointer["oid"]}}
    assert http_.commit(repo, file("small.txt", content), large)[0] == 200
    for name in ("small.txt", "large.bin"):
        url = f"/datasets/{repo}/resolve/main/{name}"
        status, headers, body = http_("GET", url)
        assert (status, body, headers["accept-ranges"]) == (200, content, "bytes")
        for asked, expected in {"0-9": content[:10], "2550-": content[2550:], "-5": content[-5:]}.items():
            status, headers, body = http_("GET", url, headers={"Range": f"bytes={asked}"})
            assert (status, body) == (206, expected)
            assert headers["content-range"].endswith("/2560")
        status, headers, body = http_("GET", url, headers={"Range": "bytes=0-3,100-103"})
        assert (status, headers["content-type"].split(";")[0]) == (206, "multipart/byteranges")
        parts = [part.split(b"\r\n\r\n", 1)[1] for part in body.split(b"--")[1:] if b"\r\n\r\n" in part]
        assert [part[:4] for part in parts] == [content[:4], content[100:104]]
        assert http_("GET", url, headers={"Range": "bytes=2560-"})[0] == 416
        assert http_("GET", url, headers={"Range": "bytes=0-9", "If-Range": '"other"'})[::2] == (200, content)
        status, headers, body = http_("HEAD", url)
        assert (status, headers["content-length"], body) == (200, "2560", b"")
        assert len(headers["x-repo-commit"]) == 40
    assert headers["x-linked-etag"] == f'"{pointer["oid"]}"'


def test_a_large_file_is_checked_and_its_url_is_signed(http_, repo):
    good = {"oid": hashlib.sha256(b"good").hexdigest(), "size": 4}
    batch = f"/datasets/{repo}.git/info/lfs/objects/batch"
    asked = {"operation": "upload", "objects": [good]}
    assert http_.json("POST", batch, asked, owner=False)[0] == 401
    href = http_.json("POST", batch, asked)[2]["objects"][0]["actions"]["upload"]["href"]
    assert http_("PUT", href, b"evil", owner=False)[0] == 400
    assert http_("PUT", href.replace("size=4", "size=5"), b"good!", owner=False)[0] == 403
    line = {"key": "lfsFile", "value": {"path": "x", "algo": "sha256", "oid": good["oid"]}}
    status, headers, _ = http_.commit(repo, line)
    assert (status, headers["x-error-message"][:52]) == (400, "LFS pointer pointed to a file that does not exist: x")
    assert http_("PUT", href, b"good", owner=False)[0] == 200
    assert http_.commit(repo, line)[0] == 200
    assert "actions" not in http_.json("POST", batch, asked)[2]["objects"][0]


def test_a_malformed_commit_writes_nothing(http_, repo):
    head = json.loads(http_("GET", f"/api/datasets/{repo}")[2])["sha"]
    good = file("good.txt", b"x")
    torn = {"key": "file", "value": {"path": "torn.txt", "content": "***", "encoding": "base64"}}
    outside = file("../outside", b"x")
    for lines in (
        [good, torn],
        [good, outside],
        [file(".GIT/config", b"x")],
        [good, {"key": "rename", "value": {"path": "a"}}],
        [good, {"value": 1}],
    ):
        assert http_.commit(repo, *lines)[0] == 400
    assert http_("POST", f"/api/datasets/{repo}/commit/main", b"not json")[0] == 400
    assert http_.commit(repo, good, header={"parentCommit": "0" * 40})[0] in (404, 412)
    assert json.loads(http_("GET", f"/api/datasets/{repo}")[2])["sha"] == head


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/datasets/local/nothing", 404, "RepoNotFound"),
        ("/api/datasets/{repo}/revision/nothing", 404, "RevisionNotFound"),
        ("/api/datasets/{repo}/revision/main~1", 404, "RevisionNotFound"),
        ("/api/datasets/{repo}/tree/main/nothing", 404, "EntryNotFound"),
        ("/datasets/{repo}/resolve/main/nothing", 404, "EntryNotFound"),
        ("/datasets/{repo}/resolve/main/..%2F..%2Ftoken", 404, "EntryNotFound"),
        ("/api/datasets/..%2F..%2Fx", 404, None),
        ("/datasets/{repo}/resolve/main/a%00b", 404, None),
        ("/api/agent-harnesses", 404, None),
        ("/datasets/{repo}/info/refs?service=git-receive-pack", 403, None),
    ],
)
def test_refusals_carry_the_codes_that_clients_look_for(http_, repo_once, path, status, code):
    answer, headers, _ = http_("GET", path.format(repo=repo_once))
    assert (answer, headers.get("x-error-code")) == (status, code)


@pytest.fixture(scope="module")
def repo_once(server):
    Http(server).json("POST", "/api/repos/create", {"name": "refusals", "type": "dataset"})
    return "local/refusals"


def test_a_card_is_checked_before_it_is_taken(http_):
    for content, status in {
        "---\nlicense: mit\n---\n": 200,
        "# no front matter\n": 200,
        "---\nlicense: [}\n---\n": 400,
        "---\n- a\n---\n": 400,
        "---\nlicense: {a: b}\n---\n": 400,
        "---\nconfigs:\n- config_name: a\n- config_name: a\n---\n": 400,
    }.items():
        answer = http_.json("POST", "/api/validate-yaml", {"content": content, "repoType": "dataset"})
        assert answer[0] == status, content
        assert bool(answer[2]["errors"]) == (status == 400)
