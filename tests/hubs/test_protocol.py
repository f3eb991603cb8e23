"""What the embedded Hub refuses, counts, frees and keeps apart, below what well-behaved clients show of it."""

import hashlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from plum_hub.hubs.front_matter import problems
from plum_hub.hubs.git import GitRepo
from tests.hubs.conftest import Http, Server, file


@pytest.fixture
def counted(tmp_path) -> Iterator[Server]:
    """A server with a quota of twelve requests."""
    server = Server(tmp_path / "hub", "--requests=12")
    yield server
    server.stop()


def large(path, pointer):
    return {"key": "lfsFile", "value": {"path": path, "algo": "sha256", "oid": pointer["oid"]}}


def test_a_deleted_repo_frees_what_no_other_holds(http_, server):
    for name in ("gone", "stays"):
        http_.json("POST", "/api/repos/create", {"name": name, "type": "dataset"})
    own, shared = (http_.put_large("local/gone", content) for content in (b"own" * 99, b"shared" * 99))
    promised, loose = (http_.put_large("local/gone", content) for content in (b"promised" * 99, b"loose" * 99))
    assert http_.commit("local/gone", large("own.bin", own), large("shared.bin", shared))[0] == 200
    assert http_.commit("local/gone", {"key": "deletedFile", "value": {"path": "own.bin"}})[0] == 200
    assert http_.commit("local/stays", large("shared.bin", shared))[0] == 200
    asked = {"operation": "upload", "objects": [promised]}
    answer = http_.json("POST", "/datasets/local/stays.git/info/lfs/objects/batch", asked)[2]
    assert "actions" not in answer["objects"][0], "a stored file was asked for again"
    assert http_.json("DELETE", "/api/repos/delete", {"name": "gone", "type": "dataset"})[0] == 200
    left = {path.name for path in (server.root / "lfs").rglob("*") if path.is_file()}
    assert {it["oid"] for it in (own, shared, promised, loose)} & left == {shared["oid"], promised["oid"]}
    assert http_("GET", "/datasets/local/stays/resolve/main/shared.bin")[2] == b"shared" * 99
    assert http_.commit("local/stays", large("promised.bin", promised))[0] == 200
    assert http_.commit("local/stays", large("own.bin", own))[0] == 400


def test_a_deletion_that_was_killed_is_ended_at_the_next_start(own_server):
    http_ = Http(own_server)
    http_.json("POST", "/api/repos/create", {"name": "gone", "type": "dataset"})
    pointer = http_.put_large("local/gone", b"own" * 99)
    assert http_.commit("local/gone", large("own.bin", pointer))[0] == 200
    own_server.kill()
    bin_ = own_server.root / "scratch" / "folder-0"
    bin_.mkdir()
    (own_server.root / "repos" / "datasets" / "local" / "gone.git").rename(bin_ / "repo")
    own_server.start()
    assert [path for path in (own_server.root / "lfs").rglob("*") if path.is_file()] == []
    assert list((own_server.root / "scratch").iterdir()) == []


def test_of_two_commits_on_one_parent_one_is_written(http_, repo, server):
    head = json.loads(http_("GET", f"/api/datasets/{repo}")[2])["sha"]
    together = threading.Barrier(4)

    def write(number):
        together.wait(30)
        return http_.commit(repo, file(f"{number}.txt", b"x"), header={"parentCommit": head})[0]

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(write, range(4))) == [200, 412, 412, 412]
    git = GitRepo(server.root / "repos" / "datasets" / f"{repo}.git")
    assert git.count("main") == 2
    git.run("fsck", "--strict", "--full")


def test_who_has_used_up_his_quota_is_told_when_it_is_new(counted):
    http_, left = Http(counted), []
    for _ in range(12):
        status, headers, _ = http_("GET", "/api/whoami-v2")
        left.append(headers["ratelimit"].split(";")[1])
        assert status == 200
    assert (left[0], left[-1]) in (("r=11", "r=0"), ("r=10", "r=0")), "the window may have ended meanwhile"
    status, headers, _ = http_("GET", "/api/whoami-v2")
    assert status == 429
    assert headers["ratelimit"] == f'"api";r=0;t={headers["retry-after"]}'
    assert headers["ratelimit-policy"] == '"fixed window";"api";q=12;w=300'
    assert http_("GET", "/api/datasets", owner=False)[0] == 200, "another caller's quota is his own"


def test_more_bytes_than_were_announced_are_refused(http_, repo):
    asked = {"operation": "upload", "objects": [{"oid": hashlib.sha256(b"four").hexdigest(), "size": 4}]}
    answer = http_.json("POST", f"/datasets/{repo}.git/info/lfs/objects/batch", asked)[2]
    href = answer["objects"][0]["actions"]["upload"]["href"]
    assert http_("PUT", href, b"four" * 100_000, owner=False)[0] == 413
    assert http_("PUT", href, b"four", owner=False)[0] == 200


def test_a_gated_repo_is_seen_and_not_read_without_a_token(http_, repo):
    assert http_.commit(repo, file("a.txt", b"x"))[0] == 200
    assert http_.json("PUT", f"/api/datasets/{repo}/settings", {"gated": "auto"})[0] == 200
    assert json.loads(http_("GET", f"/api/datasets/{repo}", owner=False)[2])["gated"] == "auto"
    for path in (f"/datasets/{repo}/resolve/main/a.txt", f"/api/datasets/{repo}/auth-check",
                 f"/datasets/{repo}/info/refs?service=git-upload-pack", f"/datasets/{repo}/blob/main/a.txt",
                 f"/datasets/{repo}/commit/main"):  # fmt: skip
        status, headers, _ = http_("GET", path, owner=False)
        assert (status, headers.get("x-error-code")) == (401, "GatedRepo"), path
        assert http_("GET", path)[0] == 200


def test_a_disabled_repo_says_so(http_, repo, server):
    place = server.root / "repos" / "datasets" / f"{repo}.git" / "hub.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"disabled": True}))
    status, headers, _ = http_("GET", f"/api/datasets/{repo}")
    assert (status, headers["x-error-message"]) == (403, "Access to this resource is disabled.")


def test_a_page_of_another_site_cannot_write(http_, server):
    asked = json.dumps({"name": "stolen"}).encode()
    for origin, status in {"http://elsewhere.example": 403, "null": 403, server.endpoint: 200}.items():
        assert http_("POST", "/api/repos/create", asked, {"Origin": origin})[0] == status


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ("[{name: m, results: [{task: {type: t}, dataset: {type: d, name: D}, metrics: [{type: p, value: 0}]}]}]", []),
        ("[{name: m, results: []}]", []),
        ("{name: m}", ['"model-index" must be a list of mappings']),
        ("[{results: [1]}]", ['"model-index[0].name" must be a text', '"model-index[0].results[0]" must be a mapping']),
        ("[{name: m}]", ['"model-index[0].results" must be a list']),
        ("[{name: m, results: [{task: {type: t}, dataset: {type: d}, metrics: [{type: p}]}]}]",
         ['"model-index[0].results[0].dataset.name" must be a text',
          '"model-index[0].results[0].metrics[0]" needs a type and a value']),
    ],
)  # fmt: skip
def test_a_models_results_are_checked(index, expected):
    assert problems(f"---\nmodel-index: {index}\n---\n", "model")[0] == expected
    assert problems(f"---\nmodel-index: {index}\n---\n", "dataset")[0] == []
