"""A release is complete or absent, and never moves; and what a Hub refuses is one clear line."""

import hashlib
import json
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi  # noqa: TID253 - what others make refs with
from huggingface_hub.errors import HfHubHTTPError  # noqa: TID253

from plum_hub.errors import HubError, UsageError
from plum_hub.hubs import client
from plum_hub.hubs.client import (
    HubTarget,
    PublishRequest,
    choose_target,
    connected,
    fetch_file,
    fetch_repo,
    tags,
    whoami,
)
from plum_hub.hubs.git import GitRepo
from plum_hub.hubs.store import add_organisations, is_repo_name
from tests.hubs.faults import Proxy

CARD = "---\nlicense: mit\n---\n# A release\n"


@pytest.fixture
def request_(tmp_path, request):
    folder = tmp_path / "release"
    (folder / "kto").mkdir(parents=True)
    (folder / "README.md").write_text(CARD)
    (folder / "kto" / "train.parquet").write_bytes(bytes(range(256)))
    name = request.node.name.split("[")[0].replace("_", "-").removeprefix("test-")[:60]
    assert is_repo_name(f"local/{name}")
    return PublishRequest(folder=folder, repo=f"local/{name}", tag="v1.0.0", message="Release v1.0.0")


def publish_repo(request, target):
    """Publish a folder with the listing of its files that every release has."""
    paths = [path for path in sorted(request.folder.rglob("*")) if path.is_file() and path.name != "manifest.json"]
    files = [
        {"path": path.relative_to(request.folder).as_posix(), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in paths
    ]
    if files:
        (request.folder / "manifest.json").write_text(json.dumps({"lineage": {}, "files": files}))
    return client.publish_repo(request, target)


def repository(server, request):
    return GitRepo(server.root / "repos" / "datasets" / f"{request.repo}.git")


def test_a_release_is_one_commit_with_exactly_the_folder(server, request_):
    (request_.folder / "old.txt").write_text("goes away")
    first = publish_repo(request_, server.target)
    (request_.folder / "old.txt").unlink()
    (request_.folder / "new.txt").write_text("comes")
    second = publish_repo(replace(request_, tag="v1.1.0"), server.target)
    git = repository(server, request_)
    assert [it.title for it in git.log("main")] == ["Release v1.0.0", "Release v1.0.0", "initial commit"]
    assert tags(request_.repo, server.target) == {"v1.0.0": first.commit, "v1.1.0": second.commit}
    assert set(second.files) == {"README.md", "kto/train.parquet", "manifest.json", "new.txt"}
    for release, extra in ((first, "old.txt"), (second, "new.txt")):
        folder = fetch_repo(request_.repo, release.tag, server.target)
        assert folder.name == release.commit
        there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        assert set(there) == {".gitattributes", "README.md", "kto/train.parquet", "manifest.json", extra}
        for name, digest in release.files.items():
            assert hashlib.sha256(there[name].read_bytes()).hexdigest() == digest


def others_api(server):
    return HfApi(server.target.endpoint, server.target.token)


def upload(server, request, *paths):
    operations = [CommitOperationAdd(path, CARD.encode() + b"by hand") for path in paths]
    others_api(server).create_commit(request.repo, operations, commit_message="mine", repo_type=request.kind)


def test_files_that_no_release_put_there_stay(server, request_):
    request_ = replace(request_, kind="model")
    others_api(server).create_repo(request_.repo)
    upload(server, request_, "README.md", "data/own.csv", *"abcde")
    for request in (request_, replace(request_, create_pr=True)):
        with pytest.raises(HubError, match=r"main has files .*own\.csv.* and 2 more; .*delete them there, or .*--repo"):
            publish_repo(request, server.target)
    assert {"README.md", "data/own.csv", *"abcde"} < {*others_api(server).list_repo_files(request_.repo)}


def test_what_others_changed_after_a_release_stays(server, request_):
    (request_.folder / "old.txt").write_text("goes away")
    publish_repo(request_, server.target)
    upload(server, request_, "LICENSE", "README.md", "old.txt")
    (request_.folder / "README.md").write_text(f"{CARD}the next\n")
    (request_.folder / "old.txt").unlink()
    with pytest.raises(HubError, match=r"put there as they are, .*: LICENSE, old\.txt, README\.md; "):
        publish_repo(replace(request_, tag="v1.1.0"), server.target)


def test_what_a_hub_begins_a_repository_with_is_nobodys(server, request_):
    api = others_api(server)
    api.create_repo(request_.repo, repo_type="dataset")
    git = repository(server, request_)
    begun = git.write_commit(None, "initial commit\n", "local", iter([("README.md", b"---\nlicense: mit\n---\n")]))
    git.move_ref("refs/heads/main", begun, git.commit_of("main"))
    assert publish_repo(request_, server.target).tag == "v1.0.0"


def test_releasing_the_same_again_is_the_same_release(server, request_):
    first = publish_repo(request_, server.target)
    assert publish_repo(request_, server.target) == first
    under_another_tag = publish_repo(replace(request_, tag="v2.0.0"), server.target)
    assert under_another_tag.commit == first.commit
    assert repository(server, request_).count("main") == 2


def test_a_branch_and_a_tag_never_have_one_name(server, request_):
    publish_repo(replace(request_, branch="dev"), server.target)
    with pytest.raises(HubError, match="has a branch dev, which a tag would hide; name another --tag"):
        publish_repo(replace(request_, tag="dev"), server.target)
    with pytest.raises(HubError, match=r"has a tag v1\.0\.0, which a branch would hide; name another --branch"):
        publish_repo(replace(request_, tag="v2.0.0", branch="v1.0.0"), server.target)
    client = HfApi(server.target.endpoint, server.target.token)
    for make in (
        lambda: client.create_tag(request_.repo, tag="dev", repo_type="dataset"),
        lambda: client.create_branch(request_.repo, branch="v1.0.0", repo_type="dataset"),
        lambda: client.create_branch(request_.repo, branch="HEAD", repo_type="dataset"),
        lambda: client.create_tag(request_.repo, tag="a" * 40, repo_type="dataset"),
    ):
        with pytest.raises(HfHubHTTPError, match=r"already exists|cannot be the name"):
            make()
    assert set(tags(request_.repo, server.target)) == {"v1.0.0"}


def test_a_tag_never_moves(server, request_):
    first = publish_repo(request_, server.target)
    (request_.folder / "README.md").write_text(f"{CARD}changed\n")
    with pytest.raises(HubError, match=r"v1\.0\.0 exists with other content.*new tag"):
        publish_repo(request_, server.target)
    assert tags(request_.repo, server.target) == {"v1.0.0": first.commit}
    assert repository(server, request_).commit_of("main") == first.commit


def test_a_release_broken_off_before_its_tag_is_completed(server, request_):
    publish_repo(replace(request_, tag="v0.1.0"), server.target)
    (request_.folder / "README.md").write_text(f"{CARD}more\n")
    git = repository(server, request_)
    in_the_way = git.folder / "refs" / "tags" / "v1.0.0.lock"
    in_the_way.write_text("")  # git cannot write the tag: as if everything had stopped between commit and tag
    with pytest.raises(HubError):
        publish_repo(request_, server.target)
    commit = git.commit_of("main")
    assert git.count("main") == 3
    assert tags(request_.repo, server.target).keys() == {"v0.1.0"}
    in_the_way.unlink()
    assert publish_repo(request_, server.target).commit == commit
    assert git.count("main") == 3


def test_two_at_once_make_one_release(server, request_):
    code = "import sys; from tests.hubs.test_publish import release; release(*sys.argv[1:])"
    command = [sys.executable, "-c", code, server.endpoint, server.token, str(request_.folder), request_.repo]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outcomes = [process.communicate()[0].strip() for process in both]
    done = publish_repo(request_, server.target)
    git = repository(server, request_)
    assert git.count("main") == 2
    assert all(outcome == done.commit or "run it again" in outcome for outcome in outcomes), outcomes
    assert tags(request_.repo, server.target) == {"v1.0.0": done.commit}


def release(endpoint, token, folder, repo):
    request = PublishRequest(folder=Path(folder), repo=repo, tag="v1.0.0", message="Release v1.0.0")
    try:
        print(publish_repo(request, HubTarget(endpoint, token, embedded=True)).commit)
    except HubError as error:
        print(error)


@contextmanager
def proxied(server):
    """A proxy before the Hub, and the Hub as a client sees it through the proxy."""
    with Proxy(server.endpoint) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield proxy, replace(server.target, endpoint=proxy.endpoint)
        finally:
            proxy.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("request_path", "name"), [("/resolve/", "README.md"), ("/tree/", "kto/train.parquet")], ids=["small", "large"]
)
def test_what_comes_back_changed_is_not_tagged(server, request_, request_path, name):
    """A small file is downloaded again; of a large one the Hub names the sha256."""
    request_ = replace(request_, repo=f"{request_.repo}-{name[:3].lower()}")
    digest = hashlib.sha256((request_.folder / name).read_bytes()).hexdigest().encode()
    changes = {b"A release": b"a Release", digest: b"0" * 64}

    def alter(asked, content):
        for sent, changed in changes.items() if request_path in asked else ():
            content = content.replace(sent, changed)
        return content

    with proxied(server) as (proxy, target):
        proxy.alter = alter
        with pytest.raises(HubError, match=f"{name} came back changed, so nothing was tagged"):
            publish_repo(request_, target)
        assert tags(request_.repo, server.target) == {}
        proxy.alter = lambda _, content: content
        assert publish_repo(request_, target).commit == repository(server, request_).commit_of("main")


def test_a_release_never_goes_on_top_of_what_it_has_not_seen(server, request_):
    publish_repo(replace(request_, tag="v0.1.0"), server.target)
    (request_.folder / "README.md").write_text(f"{CARD}more\n")
    other = request_.folder.parent / "other"
    other.mkdir()
    (other / "README.md").write_text(f"{CARD}another's\n")
    quicker = []

    def before(asked):
        if "/commit/main" in asked and not quicker:
            quicker.append(publish_repo(replace(request_, folder=other, tag="v0.2.0"), server.target).commit)

    with proxied(server) as (proxy, target):
        proxy.before = before
        with pytest.raises(HubError, match="somebody else changed"):
            publish_repo(request_, target)
    assert repository(server, request_).commit_of("main") == quicker[0]
    assert "v1.0.0" not in tags(request_.repo, server.target)


def test_a_private_release_never_goes_to_a_public_repo(server, request_):
    publish_repo(request_, server.target)
    with pytest.raises(HubError, match="is public already"):
        publish_repo(replace(request_, tag="v2.0.0", private=True), server.target)
    hidden = publish_repo(replace(request_, repo="hidden", private=True), server.target)
    assert hidden.repo == "local/hidden"
    with pytest.raises(HubError, match="no dataset local/hidden"):
        fetch_repo("local/hidden", "v1.0.0", replace(server.target, token=None))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"repo": "other/name"}, "may not write to other/name"),
        ({"repo": "a..b/name"}, "no valid repo name"),
        ({"tag": "not..a-tag"}, "cannot be the name of a branch or tag"),
    ],
)
def test_what_a_hub_refuses_is_told(server, request_, change, message):
    with pytest.raises(HubError, match=message):
        publish_repo(replace(request_, **change), server.target)


def test_an_organisation_is_a_namespace_of_who_may_write(server, request_):
    request = replace(request_, repo="acme/numbers")
    with pytest.raises(HubError, match="may not write to acme/numbers"):
        publish_repo(request, server.target)
    add_organisations(server.root, ["acme", "acme"])
    reader = (server.root / "read-token").read_text().strip()
    with pytest.raises(HubError, match="may not write to acme/numbers"):
        publish_repo(request, replace(server.target, token=reader))
    assert publish_repo(request, server.target).repo == "acme/numbers"
    assert fetch_repo("acme/numbers", "v1.0.0", server.target).is_dir()
    from huggingface_hub import HfApi

    said = HfApi(server.endpoint, server.token).whoami()
    assert [one["name"] for one in said["orgs"]].count("acme") == 1
    with pytest.raises(UsageError, match="--organisation a/b"):
        add_organisations(server.root, ["a/b"])


def test_a_card_that_the_hub_refuses_is_told(server, request_):
    (request_.folder / "README.md").write_text("---\nlicense: [}\n---\n")
    with pytest.raises(HubError, match=r"Invalid metadata in README\.md"):
        publish_repo(request_, server.target)


def test_an_empty_folder_is_no_release(server, tmp_path):
    request = PublishRequest(folder=tmp_path / "nothing", repo="local/nothing", tag="v1.0.0", message="m")
    with pytest.raises(HubError, match="no files to publish"):
        publish_repo(request, server.target)
    assert tags("local/nothing", server.target) == {}


def test_a_missing_dataset_revision_or_right_is_told(server, request_):
    publish_repo(request_, server.target)
    with pytest.raises(HubError, match=r"no such revision.*v9.*existing tag"):
        fetch_repo(request_.repo, "v9", server.target)
    with pytest.raises(HubError, match="no dataset local/none"):
        fetch_repo("local/none", "v1.0.0", server.target)
    stranger = HubTarget(server.endpoint, "hf_wrong")
    with pytest.raises(HubError, match=r"refuses the token; set HF_TOKEN .* hf auth login") as refused:
        publish_repo(request_, stranger)
    assert "hf_wrong" not in str(refused.value)
    with pytest.raises(HubError, match="hf auth login"):
        whoami(replace(stranger, token=None))


def test_an_unreachable_hub_is_told(unused_port):
    with pytest.raises(HubError, match=r"cannot be reached.*--hub embedded"):
        whoami(HubTarget(f"http://127.0.0.1:{unused_port}", "hf_x"))


@pytest.fixture
def unused_port():
    import socket

    with socket.socket() as listener:  # bound, but not listening: refused
        listener.bind(("127.0.0.1", 0))
        yield listener.getsockname()[1]


class Answering(BaseHTTPRequestHandler):
    """Not a Hub: gives every request the one answer that the server was told."""

    def do_GET(self):
        status, headers, body = self.server.answer
        if status == 0:
            self.connection.close()
            return
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            (401, {"X-Error-Message": "Invalid credentials in Authorization header"}, b""),
            "refuses the token; set HF_TOKEN",
        ),
        (
            (403, {"X-Error-Message": "read only"}, b""),
            "may not write to .*read only; use a repo in your own namespace",
        ),
        ((412, {}, b""), "nothing was written; run it again"),
        ((429, {}, b""), "too many requests; wait"),
        ((500, {}, b""), r"broken at the moment \(HTTP 500\); run it again later"),
        ((507, {}, b""), "disk is full"),
        ((418, {"X-Error-Message": "teapot"}, b""), r"HTTP 418\): teapot"),
        ((0, {}, b""), "cannot be reached"),
        ((200, {}, b"<html>Sign in to the Wi-Fi</html>"), "does not answer as a Hub does"),
    ],
    ids=lambda it: str(it[0]) if isinstance(it, tuple) else "",
)
def test_every_answer_becomes_one_line_with_what_to_do(answer, message):
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        server.answer = answer
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(HubError, match=message) as told:
                whoami(HubTarget(f"http://127.0.0.1:{server.server_port}", "hf_secret"))
        finally:
            server.shutdown()
            thread.join()
    assert "\n" not in str(told.value)
    assert "hf_secret" not in str(told.value)


@pytest.mark.parametrize("name", ["README.md", "kto/train.parquet"])
def test_a_cache_that_is_damaged_is_loaded_again(server, request_, monkeypatch, name):
    release = publish_repo(request_, server.target)
    folder = fetch_repo(request_.repo, release.tag, server.target)
    whole = (request_.folder / name).read_bytes()
    for damaged in (whole[:11], b"x" + whole[1:]):
        (folder / name).resolve().write_bytes(damaged)
        assert (fetch_repo(request_.repo, release.tag, server.target) / name).read_bytes() == whole
    (folder / name).resolve().write_bytes(b"")
    path = fetch_file(request_.repo, release.tag, name, server.target)
    assert path is not None
    assert path.read_bytes() == whole
    (folder / name).resolve().write_bytes(b"")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubError, match=r"is damaged, and HF_HUB_OFFLINE is set; unset it once"):
        fetch_repo(request_.repo, release.commit, replace(server.target, embedded=False))


def test_a_cache_that_cannot_be_written_is_named_with_the_variable_that_moves_it(
    server, request_, monkeypatch, tmp_path
):
    release = publish_repo(request_, server.target)
    (tmp_path / "file").touch()
    monkeypatch.setenv("HF_HOME", str(tmp_path / "file"))
    with pytest.raises(
        HubError, match=r"file.*; the Hub's client keeps what it loads there: set HF_HOME to another folder"
    ):
        fetch_repo(request_.repo, release.tag, server.target)


def test_offline_only_a_full_commit_is_believed(server, request_, monkeypatch):
    first = publish_repo(request_, server.target)
    folder = fetch_repo(request_.repo, "v1.0.0", server.target)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    elsewhere = replace(server.target, embedded=False)
    assert fetch_repo(request_.repo, first.commit, elsewhere) == folder
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        fetch_repo(request_.repo, "v1.0.0", elsewhere)
    assert fetch_repo(request_.repo, "v1.0.0", server.target) == folder, "the embedded Hub needs no network"


def test_without_a_token_the_embedded_hub_is_meant():
    # In a process of its own: the library looks for a stored login where HF_HOME was when it was first imported.
    code = "from plum_hub.hubs.client import choose_target as to; print(to(), to('public'))"
    said = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert said.strip() == f"{HubTarget(None, None, embedded=True)} {HubTarget(None, None)}"


def test_which_hub_a_setting_means(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert choose_target() == HubTarget(None, "hf_secret")
    assert choose_target("embedded") == HubTarget(None, None, embedded=True)
    assert choose_target("http://hub.invalid/") == HubTarget("http://hub.invalid", "hf_secret")
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.invalid")
    assert choose_target("auto") == HubTarget("http://mirror.invalid", "hf_secret")
    assert "hf_secret" not in repr(choose_target())
    with pytest.raises(HubError, match="unknown hub 'ftp'"):
        choose_target("ftp")
    with pytest.raises(HubError, match="unknown hub 'http://'"):
        choose_target("http://")
    with pytest.raises(HubError, match=r"write it as https://hub\.invalid:8443,") as refused:
        choose_target("https://me:hunter2@hub.invalid:8443")
    assert "hunter2" not in str(refused.value)


def test_the_embedded_hub_keeps_releases_between_runs(request_):
    with connected(choose_target("embedded")) as target:
        released = publish_repo(request_, target)
    with connected(choose_target("embedded")) as target:
        assert publish_repo(request_, target).commit == released.commit
