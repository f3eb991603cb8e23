"""Whatever goes wrong at whichever request of a release: the same again makes one complete tagged release."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from plum_hub.hubs.git import GitRepo
from tests.hubs.conftest import REPOSITORY, Server, client_environment
from tests.hubs.faults import FAULTS, PATIENCE, Proxy

MUST_HAVE = (
    "repos/create",
    "preupload",
    "objects/batch",
    "PUT ",
    "/commit/main",
    "/resolve/",
    "/tag/",
    "/tree/",
    "refs",
)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    (folder / "kto").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A release\n")
    return folder


class Client:
    """Publishes one folder through a proxy."""

    def __init__(self, server: Server, release: Path, proxy: Proxy, home: Path, patience: int) -> None:
        self._server, self._release, self._proxy = server, release, proxy
        names = ("PATIENCE", "HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT")
        patient = dict.fromkeys(names, str(patience))
        environment = client_environment(server, home) | {"HF_ENDPOINT": proxy.endpoint}
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from tests.hubs.faults import attempts; attempts()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, env=environment | patient,
        )  # fmt: skip

    def publish(self, name: str, fault: str = "", at: int = 0) -> dict[str, Any]:
        """One attempt."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._proxy.arm(fault, at)
        (self._release / "kto" / "train.parquet").write_bytes(name.encode() + bytes(range(256)))  # new to the Hub
        request = {"folder": str(self._release), "repo": f"local/{name}", "tag": "v1.0.0", "message": "Release v1.0.0"}
        self._process.stdin.write(json.dumps(request | {"private": False, "branch": "main", "create_pr": False}) + "\n")
        self._process.stdin.flush()
        self._proxy.begin(int(self._process.stdout.readline()))
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def check(self, name: str) -> str:
        """The commit of the release, where there is one; it is the only one, and complete."""
        git = GitRepo(self._server.root / "repos" / "datasets" / "local" / f"{name}.git")
        if not git.folder.exists() or not (tags := [ref for ref in git.refs() if ref.startswith("refs/tags/")]):
            return ""
        assert tags == ["refs/tags/v1.0.0"]
        commit = git.commit_of("v1.0.0")
        there = {
            entry.path: git.blob(entry.oid) for entry in git.entries(commit, recursive=True) if entry.kind == "blob"
        }
        sent = {path.relative_to(self._release).as_posix(): path for path in self._release.rglob("*.*")}
        assert there.keys() == {*sent, ".gitattributes"}
        assert there["README.md"] == sent["README.md"].read_bytes()
        digest = hashlib.sha256(sent["kto/train.parquet"].read_bytes()).hexdigest()
        assert digest.encode() in there["kto/train.parquet"], "what stands in git for the large file"
        assert [it.title for it in git.log("main")] == ["Release v1.0.0", "initial commit"]
        return commit

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


@contextmanager
def client(server: Server, release: Path, home: Path, patience: int) -> Iterator[tuple[Client, Proxy]]:
    with Proxy(server.endpoint) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        made = Client(server, release, proxy, home, patience)
        try:
            yield made, proxy
        finally:
            made.close()
            proxy.shutdown()
            thread.join()


def _is_tried(requests: list[str], fault: str, at: int) -> bool:
    """Each fault at the commit and the tag, and at every seventh of the other requests, so that each of these meets one
    fault; all at all with `EVERY_FAULT`."""
    decides = any(part in requests[at - 1] for part in ("/commit/main", "/tag/"))
    return decides or "EVERY_FAULT" in os.environ or (at + FAULTS.index(fault)) % len(FAULTS) == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_request_leaves_one_complete_release(
    server: Server, release: Path, tmp_path: Path, fault: str
) -> None:
    patience = PATIENCE if fault == "timeout" else 300  # a slow machine is no fault
    with client(server, release, tmp_path / "home", patience) as (publisher, proxy):
        whole = publisher.publish(f"whole-{fault}")
        assert "result" in whole, whole
        requests = list(proxy.seen)
        assert all(any(part in request for request in requests) for part in MUST_HAVE), requests
        failed = []
        for at in filter(partial(_is_tried, requests, fault), range(1, len(requests) + 1)):
            name = f"{fault}-at-{at}"
            answer = publisher.publish(name, fault, at)
            standing = publisher.check(name)
            if "error" in answer:
                failed.append(requests[at - 1])
                assert "Traceback" not in answer["error"]
                answer = publisher.publish(name)
            assert "result" in answer, (requests[at - 1], answer)
            commit = publisher.check(name)
            assert commit == answer["result"]["commit"]
            assert standing in ("", commit), "a tag never moves"
        assert any("/commit/main" in request for request in failed), failed


_ASKED = """
import json, os
from pathlib import Path
from plum_hub.hubs import hub_worker
from plum_hub.hubs.client import Action, PublishRequest
from plum_hub.patience import set_patience

set_patience(0.5)
request = PublishRequest(folder=Path(os.environ["RELEASE"]), repo="a/b", tag="v1.0.0", message="m")
asked = {
    "whoami": (), "account": (), "tags": (), "history": ("main",), "fetch": ("v1.0.0", None),
    "fetch_file": ("v1.0.0", "README.md"), "publish": (request,),
}
print(json.dumps({name: str(hub_worker.carry_out(Action(name, given, "a/b"))) for name, given in asked.items()}))
"""


def test_a_hub_that_stays_silent_is_given_up_whatever_it_is_asked(release: Path, tmp_path: Path) -> None:
    """Each by the total of its silence: `huggingface_hub` waits for ever for a list, and repeats what had no answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:  # its connections are accepted by the kernel, and not read
        there = {
            "HF_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "HF_HOME": str(tmp_path),
            "HF_TOKEN": "hf_a",
        }
        done = subprocess.run(
            [sys.executable, "-c", _ASKED], capture_output=True, text=True, cwd=REPOSITORY, timeout=90,
            env=os.environ | there | {"RELEASE": str(release)}, check=True,
        )  # fmt: skip
    said = json.loads(done.stdout)
    assert len(said) == 7
    assert [one for one in said.values() if "cannot be reached (no answer for " not in one] == []
