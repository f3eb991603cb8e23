"""A real embedded Hub on loopback, and unmodified clients of it in processes of their own."""

import hashlib
import http.client
import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from plum_hub.hubs.client import HubTarget

REPOSITORY = Path(__file__).resolve().parents[2]
PART_SIZE = 1_000_000


class Server:
    """The server's process, so that a test can kill it; `EmbeddedHub` has its own tests."""

    def __init__(self, root: Path, *options: str) -> None:
        self.root, self.options = root, options
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "plum_hub.hubs.server", f"--root={self.root}", "--port=0"]
        self.process = subprocess.Popen(
            [*command, f"--part-size={PART_SIZE}", *self.options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
        )
        self.endpoint = json.loads(self.process.stdout.readline())["endpoint"]
        self.token = (self.root / "token").read_text().strip()

    @property
    def target(self) -> HubTarget:
        return HubTarget(self.endpoint, self.token, embedded=True)

    def kill(self) -> None:
        self.process.kill()
        self._closed()

    def stop(self) -> int:
        self.process.stdin.close()
        return self._closed()

    def _closed(self) -> int:
        code = self.process.wait(timeout=20)
        self.process.stdin.close()
        self.process.stdout.close()
        return code


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("hub"))
    yield server
    server.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """One that the test may kill."""
    server = Server(tmp_path / "hub")
    yield server
    if server.process.returncode is None:
        server.stop()


def client_environment(server: Server, home: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    ours = {"HF_ENDPOINT": server.endpoint, "HF_TOKEN": server.token, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(home)}
    ours["READ_TOKEN"] = (server.root / "read-token").read_text().strip()
    return kept | ours | {"NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONWARNINGS": "ignore"}


@pytest.fixture
def client(server: Server, tmp_path: Path) -> Callable[[Callable[[], None]], None]:
    """Runs a function of `battery.py` in a fresh process whose clients see the server as the Hub."""

    def run(function: Callable[[], None]) -> None:
        code = f"from tests.hubs.battery import {function.__name__} as go; go()"
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=REPOSITORY,
            env=client_environment(server, tmp_path),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]

    return run


class Http:
    """Requests that no well-behaved client makes."""

    def __init__(self, server):
        self.server = server

    def __call__(self, method, url, body=None, headers=None, *, owner=True):
        address = urlsplit(self.server.endpoint)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
        token = {"Authorization": f"Bearer {self.server.token}"} if owner else {}
        try:
            connection.request(method, url.removeprefix(self.server.endpoint), body, {**token, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def json(self, method, url, value, **more):
        status, headers, body = self(method, url, json.dumps(value).encode(), **more)
        return status, headers, json.loads(body or b"null")

    def commit(self, repo, *lines, header=None):
        lines = [{"key": "header", "value": {"summary": "s", **(header or {})}}, *lines]
        body = "\n".join(json.dumps(line) for line in lines).encode()
        return self("POST", f"/api/datasets/{repo}/commit/main", body)

    def put_large(self, repo, content):
        """Upload a large file as git-lfs does."""
        pointer = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}
        asked = {"operation": "upload", "objects": [pointer]}
        _, _, answer = self.json("POST", f"/datasets/{repo}.git/info/lfs/objects/batch", asked)
        actions = answer["objects"][0].get("actions")
        if actions:
            assert self("PUT", actions["upload"]["href"], content, owner=False)[0] == 200
            assert self.json("POST", actions["verify"]["href"], pointer)[0] == 200
        return pointer


@pytest.fixture
def http_(server):
    return Http(server)


@pytest.fixture
def repo(http_, request):
    name = request.node.name.split("[")[0].replace("_", "-")[:60]
    assert http_.json("POST", "/api/repos/create", {"name": name, "type": "dataset"})[0] == 200
    return f"local/{name}"


def file(path, content):
    return {"key": "file", "value": {"path": path, "content": b64encode(content).decode(), "encoding": "base64"}}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own client, too, must not touch the user's cache, login or embedded Hub."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    monkeypatch.setenv("PLUM_HUB_HOME", str(tmp_path / "plum"))
