"""The embedded Hub's process: one a root, found again, and whole after any kill."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from plum_hub.errors import HubError
from plum_hub.hubs.client import PublishRequest, fetch_repo, publish_repo, tags
from plum_hub.hubs.embedded import EmbeddedHub, default_root, running_endpoint
from plum_hub.hubs.git import BRANCHES, ZERO, GitRepo, RefMoved, is_file_path, is_ref_name
from plum_hub.hubs.server import is_loopback, serve
from tests.hubs.conftest import REPOSITORY, client_environment

ENDLESS_COMMITS = """
import itertools, os
from huggingface_hub import CommitOperationAdd, HfApi
api = HfApi()
api.create_repo("local/struck", repo_type="dataset", exist_ok=True)
for number in itertools.count():
    files = {"n.txt": b"%d" % number, "copy/n.txt": b"%d" % number, "large.bin": os.urandom(100_000)}
    operations = [CommitOperationAdd(name, content) for name, content in files.items()]
    oid = api.create_commit("local/struck", operations, commit_message=f"commit {number}", repo_type="dataset").oid
    print(oid, flush=True)
"""


def test_a_server_killed_amid_commits_leaves_whole_repositories(own_server, tmp_path):
    for strike in range(3):
        client = subprocess.Popen(
            [sys.executable, "-c", ENDLESS_COMMITS],
            env=client_environment(own_server, tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        confirmed = [client.stdout.readline().strip() for _ in range(3 + strike)]
        threading.Event().wait(0.01 * strike)  # strike at another moment each time
        own_server.kill()
        client.kill()
        confirmed += client.communicate()[0].split()
        own_server.start()
        git = GitRepo(own_server.root / "repos" / "datasets" / "local" / "struck.git")
        git.run("fsck", "--strict", "--full", "--no-dangling")
        history = [it.id for it in git.log("main")]
        assert set(confirmed) <= set(history), "a commit that was answered is gone"
        for commit in history:
            contents = {it.path: git.blob(it.oid) for it in git.entries(commit) if it.path.endswith("n.txt")}
            assert len(set(contents.values())) <= 1, "a commit holds half of its operations"
        folder = fetch_repo("local/struck", "main", own_server.target)
        assert (folder / "large.bin").stat().st_size == 100_000


def test_a_publisher_and_server_killed_anywhere_end_in_one_release(own_server, tmp_path):
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    (folder / "data.bin").write_bytes(os.urandom(3_000_000))
    request = PublishRequest(folder=folder, repo="local/r", tag="v1.0.0", message="Release v1.0.0")
    code = "import sys; from tests.hubs.test_publish import release; release(*sys.argv[1:])"
    for delay in (0.35, 0.45, 0.55, 0.65):
        arguments = [own_server.endpoint, own_server.token, str(folder), "local/r"]
        publisher = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=REPOSITORY, start_new_session=True)
        threading.Event().wait(delay)
        own_server.kill()
        with suppress(ProcessLookupError):
            os.killpg(publisher.pid, signal.SIGKILL)  # the publisher and its child: a session of their own
        publisher.wait()
        own_server.start()
    done = publish_repo(request, own_server.target)
    assert tags("local/r", own_server.target) == {"v1.0.0": done.commit}
    git = GitRepo(own_server.root / "repos" / "datasets" / "local" / "r.git")
    assert [it.title for it in git.log("main")] == ["Release v1.0.0", "initial commit"]
    assert list((own_server.root / "scratch").iterdir()) == []


def test_concurrent_writers_lose_nothing(own_server, tmp_path):
    code = "from tests.hubs.test_server import write_many; write_many()"
    environment = client_environment(own_server, tmp_path)
    for writer in ("a", "b", "c"):
        environment |= {"WRITER": writer}
    writers = [
        subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, env=environment | {"WRITER": name})
        for name in "abc"
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    git = GitRepo(own_server.root / "repos" / "models" / "local" / "busy.git")
    assert git.count("main") == 1 + 3 * 5
    assert {it.path for it in git.entries(git.commit_of("main"))} > {
        f"{name}{n}.txt" for name in "abc" for n in range(5)
    }
    git.run("fsck", "--strict", "--full")


def write_many():
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi()
    api.create_repo("local/busy", exist_ok=True)
    for number in range(5):
        name = f"{os.environ['WRITER']}{number}"
        api.create_commit("local/busy", [CommitOperationAdd(f"{name}.txt", b"x")], commit_message=name)


def test_one_server_a_root(own_server):
    with pytest.raises(HubError, match=f"already served at {own_server.endpoint}"):
        serve(own_server.root, port=0)
    with EmbeddedHub(own_server.root) as hub:
        assert (hub.endpoint, hub.token) == (own_server.endpoint, own_server.token)
    assert running_endpoint(own_server.root) == own_server.endpoint, "a server that was only borrowed was stopped"


def test_starting_at_once_gives_one_server(tmp_path):
    together = threading.Barrier(4)

    def use() -> str:
        with EmbeddedHub(tmp_path) as hub:
            together.wait(30)
            return hub.endpoint

    with ThreadPoolExecutor(4) as pool:
        uses = [pool.submit(use) for _ in range(4)]
        assert len({it.result() for it in uses}) == 1
    give_up = time.monotonic() + 30  # it ends by itself, after the last of them
    while running_endpoint(tmp_path) is not None and time.monotonic() < give_up:
        time.sleep(0.05)
    assert running_endpoint(tmp_path) is None


@pytest.mark.parametrize("killed", [False, True])
def test_a_server_lives_as_long_as_anybody_uses_it(tmp_path, killed):
    code = (
        "import sys; from pathlib import Path; from plum_hub.hubs.embedded import EmbeddedHub\n"
        "with EmbeddedHub(Path(sys.argv[1])) as hub: print(hub.endpoint, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as first:
        endpoint = first.stdout.readline().strip()
        with EmbeddedHub(tmp_path) as hub:
            assert hub.endpoint == endpoint
            with pytest.raises(HubError, match=f"{endpoint}, but only until the commands that use it have ended"):
                serve(tmp_path, port=0)
            if killed:
                first.kill()
            first.stdin.close()
            assert first.wait(60) == (-signal.SIGKILL if killed else 0)
            threading.Event().wait(1)
            assert running_endpoint(tmp_path) == endpoint
    with EmbeddedHub(tmp_path) as hub:  # waits until the first one has ended, or takes it over
        assert running_endpoint(tmp_path) == hub.endpoint
    for _ in range(100):
        if running_endpoint(tmp_path) is None:
            break
        threading.Event().wait(0.1)
    assert running_endpoint(tmp_path) is None


def test_a_server_that_was_killed_is_not_believed(own_server):
    own_server.kill()
    assert (own_server.root / "server.json").exists()
    assert running_endpoint(own_server.root) is None
    with EmbeddedHub(own_server.root) as hub:
        assert hub.token == own_server.token
        assert running_endpoint(own_server.root) == hub.endpoint
    assert running_endpoint(own_server.root) is None


@pytest.mark.parametrize("stopped", [False, True])
def test_a_server_ends_with_its_parent(tmp_path, stopped):
    code = (
        "import json, os, signal, sys; from pathlib import Path; from plum_hub.hubs.embedded import EmbeddedHub\n"
        "root = Path(sys.argv[1]); EmbeddedHub(root).__enter__()\n"
        "if sys.argv[2] == 'True': os.kill(json.loads((root / 'server.json').read_text())['pid'], signal.SIGSTOP)\n"
        "os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path), str(stopped)], cwd=REPOSITORY, check=False)
    assert done.returncode == 9
    for _ in range(100):
        if running_endpoint(tmp_path) is None:
            break
        threading.Event().wait(0.1)
    assert running_endpoint(tmp_path) is None
    with EmbeddedHub(tmp_path) as hub:  # nobody holds its lock
        assert running_endpoint(tmp_path) == hub.endpoint


def test_a_taken_port_is_told(server, tmp_path):
    port = int(server.endpoint.rpartition(":")[2])
    with pytest.raises(HubError, match=f"port {port} of 127.0.0.1 is taken; choose another with --port"):
        serve(tmp_path / "other", port=port)
    with pytest.raises(HubError, match="is taken"), EmbeddedHub(tmp_path / "other", port):
        pass


def test_a_root_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HubError, match="PLUM_HUB_HOME"), EmbeddedHub(tmp_path / "file" / "hub"):
        pass


def test_only_the_owner_reads_the_tokens(server):
    for name in ("token", "read-token"):
        assert (server.root / name).stat().st_mode & 0o777 == 0o600
    said = json.loads((server.root / "server.json").read_text())
    assert server.token not in json.dumps(said)


def test_a_ref_moves_only_from_where_it_was_seen(tmp_path):
    git = GitRepo.create(tmp_path / "r.git")
    first = git.write_commit(None, "first", "me", [("a", b"1")])
    second = git.write_commit(first, "second", "me", [("a", None), ("b", b"2")])
    git.move_ref(f"{BRANCHES}main", first, ZERO)
    for wrong in (ZERO, second):
        with pytest.raises(RefMoved):
            git.move_ref(f"{BRANCHES}main", second, wrong)
    assert git.commit_of("main") == first
    git.move_ref(f"{BRANCHES}main", second, first)
    assert [it.path for it in git.entries("main")] == ["b"]


def test_a_merge_is_by_files(tmp_path):
    git, index = GitRepo.create(tmp_path / "r.git"), tmp_path / "index"
    first = git.write_commit(None, "first", "me", [("a", b"1"), ("b", b"1"), ("d/c", b"1")])
    ours = git.write_commit(first, "ours", "me", [("a", b"2"), ("new", b"n")])
    theirs = git.write_commit(first, "theirs", "me", [("b", b"2"), ("d/c", None)])
    tree, conflicts = git.merged(ours, theirs, index)
    assert ({it.path: git.blob(it.oid) for it in git.entries(tree)}, conflicts) == (
        {"a": b"2", "b": b"2", "new": b"n"}, [],
    )  # fmt: skip
    both = git.write_commit(theirs, "both", "me", [("a", b"3")])
    assert git.merged(ours, both, index) == ("", ["a"])
    assert not index.exists()
    unrelated = git.write_tree_commit(git.tree_of(ours), "squashed", "me")
    assert git.merged(unrelated, ours, index) == (git.tree_of(ours), [])
    assert git.diff(unrelated, ours).count("+++ ") == 4, "without a common commit all files are new"


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("hub.test", False)],
)
def test_which_addresses_only_this_machine_reaches(host, expected):
    assert is_loopback(host) == expected


@pytest.mark.parametrize(
    ("name", "allowed"),
    [("v1.0.0", True), ("a/b", True), ("a..b", False), ("-a", False), ("a.lock", False), ("a b", False), ("", False),
     ("a@{1}", False), ("/a", False), ("a/", False), ("a//b", False), ("a/.b", False), ("é", True), ("a~1", False)],
)  # fmt: skip
def test_ref_names_are_those_of_git(name, allowed):
    assert is_ref_name(name) == allowed
    checked = subprocess.run(["git", "check-ref-format", f"refs/tags/{name}"], check=False)
    assert (checked.returncode == 0) == allowed or name == "-a"  # git forbids the dash in its commands only


def test_paths_stay_inside_the_repository():
    assert is_file_path("a/b.txt")
    for path in ("", "/a", "a//b", "../a", "a/./b", ".git/config", "x/.GIT", "a\nb", "a\0b"):
        assert not is_file_path(path)


def test_repositories_are_kept_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PLUM_HUB_HOME", "~/kept")
    assert default_root() == tmp_path / "kept" / "hub"
