"""Which model exactly: local folders by their contents, Hub models by their commit."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from plum_hub.engines import ScriptedConfig, VllmConfig, parse_engine
from plum_hub.engines.names import REPO
from plum_hub.engines.revision import exact_revision
from plum_hub.errors import EngineError
from plum_hub.hubs.embedded import EmbeddedHub

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def _folder(path: Path) -> Path:
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(b"weights")
    return path


def test_a_folder_is_named_by_what_decides_its_answers(tmp_path: Path) -> None:
    here, there = _folder(tmp_path / "here"), _folder(tmp_path / "there")
    found = exact_revision(str(here), None)
    assert found.startswith("sha256:")
    (there / "README.md").write_text("says nothing")
    (there / "plum-weights.json").write_text("{}")
    assert exact_revision(str(there), found) == found
    (there / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(EngineError, match="has changed since this run began"):
        exact_revision(str(there), found)


@pytest.mark.parametrize("revision", ["main", "v1.0", COMMIT])
def test_a_folder_has_no_revisions(tmp_path: Path, revision: str) -> None:
    folder = _folder(tmp_path / "here")
    for text in (f"vllm:{folder}@{revision}", f"transformers:{folder}@{revision}"):
        with pytest.raises(EngineError, match=f"is a folder, and folders have no revisions such as {revision}:"):
            parse_engine(text).pin()


def test_a_file_is_not_a_model(tmp_path: Path) -> None:
    _folder(tmp_path / "here")
    with pytest.raises(EngineError, match=r"model\.safetensors is a file: name the folder that holds"):
        exact_revision(str(tmp_path / "here" / "model.safetensors"), None)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"no config\.json"):
        exact_revision(str(tmp_path), None)


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no such folder"):
        exact_revision(str(tmp_path / "none" / "at" / "all"), None)


@pytest.mark.parametrize(
    "model", ["./policy", "../policy", ".policy", "runs/policy.", "a--b", "me/x.git", "\u00fc/model"]
)
def test_a_path_that_no_repository_can_have_asks_no_hub(model: str) -> None:
    with pytest.raises(EngineError, match="there is no such folder, and it is not a Hub repository's name"):
        exact_revision(model, None)


NAMES = "x org/model Org.x/Model-1.5_b _a/_b a/b/c -a/b a-/b a/b- a./b a/ /a a..b a.git git/a a/x.gitt org/m\u00f6del"


@pytest.mark.parametrize("name", [*NAMES.split(), "a b", "a/" + "n" * 96, "a/" + "n" * 97])
def test_names_of_repositories_are_those_that_the_hubs_client_takes(name: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        assert not REPO.fullmatch(name)
    else:
        assert REPO.fullmatch(name) or not name.isascii()


def test_a_commit_is_taken_at_its_word() -> None:
    assert exact_revision("org/model", COMMIT) == COMMIT


def test_no_hub_is_told_with_the_ways_out(tmp_path: Path) -> None:
    code = (
        "from plum_hub.engines import VllmConfig\nfrom plum_hub.errors import EngineError\n"
        "try: VllmConfig(model='org/model').pin()\nexcept EngineError as error: print(error)"
    )
    environment = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "org/model: no such folder, no Hub answers" in done.stdout
    assert "scripts/fetch-model" in done.stdout
    assert done.stdout.count("\n") == 1


def test_a_token_that_the_hub_refuses_is_told_as_such(tmp_path: Path) -> None:
    code = (
        "from plum_hub.engines import VllmConfig\nfrom plum_hub.errors import EngineError\n"
        "try: VllmConfig(model='org/model').pin()\nexcept EngineError as error: print(error)"
    )
    environment = {"HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "hf_stale", "PYTHONPATH": ":".join(sys.path)}
    with EmbeddedHub(tmp_path / "hub") as hub:
        environment["HF_ENDPOINT"] = hub.endpoint
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "org/model: the Hub refuses the token" in done.stdout
    assert done.stdout.endswith("log in with  hf auth login, or unset HF_TOKEN\n")
    assert done.stdout.count("\n") == 1


class _HubWithoutCommits(BaseHTTPRequestHandler):
    """Knows every model, and no commit of any."""

    def do_GET(self) -> None:
        body = json.dumps({"id": "org/model", "modelId": "org/model", "siblings": [], "tags": []}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_hub_that_names_no_commit_pins_none(tmp_path: Path) -> None:
    code = (
        "from plum_hub.engines import VllmConfig\nfrom plum_hub.errors import EngineError\n"
        "try: print(VllmConfig(model='org/model').pin())\nexcept EngineError as error: print(error)"
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), _HubWithoutCommits) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path)}
        environment["PYTHONPATH"] = ":".join(sys.path)
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        server.shutdown()
    assert "the Hub names no commit of it: name one as  org/model@COMMIT" in done.stdout


@pytest.mark.parametrize("where", ["{folder}", "{folder}/", "a/mine", "./a/mine", "."])
def test_a_folder_is_published_without_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    (tmp_path / "a").mkdir()
    folder = _folder(tmp_path / "a" / "mine")
    monkeypatch.chdir(folder if where == "." else tmp_path)
    config = VllmConfig(model=where.format(folder=folder))
    assert config.public().model == "mine"
    pinned = config.pin()
    monkeypatch.chdir(folder if where == "." else "/")
    assert pinned.public() == pinned.model_copy(update={"model": "mine"})  # its revision says that it is no repository


def test_a_repository_is_published_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert VllmConfig(model="org/model").public().model == "org/model"
    (tmp_path / "org" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert VllmConfig(model="org/model", revision=COMMIT).public().model == "org/model"


def test_a_file_of_answers_is_published_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"texts": ["a"]}\n')
    assert ScriptedConfig(model=str(path)).pin().public().model == "answers.jsonl"
