"""Datasets from a Hub: a real server on loopback, each client in its own process (the endpoint is read at import)."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.instructions.reading import ADD, JOIN, LAST

CLOSED = "http://127.0.0.1:9"

PUBLISH = """
import json, sys
from huggingface_hub import CommitOperationAdd, HfApi
api, (repo, tag, files) = HfApi(), json.load(sys.stdin)
api.create_repo(repo, repo_type="dataset", exist_ok=True)
added = [CommitOperationAdd(path, text.encode()) for path, text in files.items()]
commit = api.create_commit(repo, added, commit_message="rows", repo_type="dataset").oid
api.create_tag(repo, tag=tag, revision=commit, repo_type="dataset")
print(json.dumps(commit))
"""

LOAD = """
import json, sys
from plum_hub.errors import InstructionsError
from plum_hub.instructions import InstructionsConfig, load

def result(config):
    try:
        loaded = load(InstructionsConfig(**config))
        texts = [row.text for row in loaded.rows if hasattr(row, "text")]
        return {"revision": loaded.revision, "license": loaded.license, "texts": texts}
    except InstructionsError as error:
        return {"error": str(error)}

print(json.dumps([result(config) for config in json.load(sys.stdin)]))
"""

FETCH = """
import json, sys
from plum_hub.errors import InstructionsError
from plum_hub.instructions.files import read_rows
from plum_hub.instructions.hub import fetch_file
repo, commit, files = json.load(sys.stdin)
texts = [row["task"] for _, row in read_rows(fetch_file(repo, commit, files[0]))]
try:
    fetch_file(repo, commit, files[1])
except InstructionsError as error:
    print(json.dumps([texts, str(error)]))
"""


class Client:
    """Runs scripts against one Hub, each in a fresh process, with a cache of its own."""

    def __init__(self, endpoint: str, token: str, home: Path) -> None:
        self.settings = {
            "HF_ENDPOINT": endpoint, "HF_TOKEN": token, "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
        }  # fmt: skip

    def run(self, script: str, given: object, **settings: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-c", script],
            input=json.dumps(given),
            env={**os.environ, **self.settings, **settings},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def load(self, *configs: dict[str, Any], **settings: str) -> list[dict[str, Any]]:
        """What each configuration gives: revision, license and texts, or the error. One process loads them all."""
        results = self.run(LOAD, configs, **settings)
        assert isinstance(results, list)
        return results


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    root = tmp_path_factory.mktemp("hub")
    command = [sys.executable, "-m", "plum_hub.hubs.server", "--root", str(root), "--port", "0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin and server.stdout
        endpoint = json.loads(server.stdout.readline())["endpoint"]
        yield Client(endpoint, (root / "token").read_text().strip(), tmp_path_factory.mktemp("home"))
        server.stdin.close()  # ends it


def lines(*texts: str) -> str:
    return "".join(json.dumps({"task": text, "note": "a"}) + "\n" for text in texts)


@pytest.fixture(scope="module")
def commits(client: Client) -> list[str]:
    """Two versions of one dataset: v1 with one row, v2 with two."""
    card = "---\nlicense: cc-by-4.0\n---\n# Tasks\n"
    first = client.run(PUBLISH, ["local/tasks", "v1", {"README.md": card, "train.jsonl": lines(ADD)}])
    return [first, client.run(PUBLISH, ["local/tasks", "v2", {"train.jsonl": lines(ADD, JOIN)}])]


def test_a_tag_a_commit_and_the_latest(client: Client, commits: list[str]) -> None:
    v1 = {"revision": commits[0], "license": "cc-by-4.0", "texts": [ADD]}
    v2 = {"revision": commits[1], "license": "cc-by-4.0", "texts": [ADD, JOIN]}
    asked = [
        {"source": "local/tasks@v1:task"},
        {"source": "local/tasks:task"},
        {"source": "local/tasks", "column": "task", "revision": commits[0]},
        {"source": "local/tasks@v2:task", "revision": commits[0]},  # the key wins: it is where a run seals a commit
    ]
    assert client.load(*asked) == [v1, v2, v1, v1]


def test_a_sealed_commit_is_loaded_again_without_a_hub_and_another_is_not(
    client: Client, commits: list[str], tmp_path: Path
) -> None:
    v1, v2 = ({"source": "local/tasks:task", "revision": commit} for commit in commits)
    [before] = client.load(v1, HF_HOME=str(tmp_path))
    again, refused = client.load(v1, v2, HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1")
    assert again == before
    assert "could not be fetched" in refused["error"] and "--instructions starter" in refused["error"]


def test_one_file_of_a_dataset_at_a_commit(client: Client, commits: list[str]) -> None:
    texts, error = client.run(FETCH, ["local/tasks", commits[0], ["train.jsonl", "nowhere.json"]])
    assert texts == [ADD]
    assert "has no such revision or file" in error


def test_the_data_files_are_those_that_the_card_names(client: Client) -> None:
    card = "---\nconfigs:\n- config_name: default\n  data_files: data/*.jsonl\n---\n"
    files = {"README.md": card, "data/a.jsonl": lines(ADD), "data/b.jsonl": lines(JOIN), "other.jsonl": lines(LAST)}
    client.run(PUBLISH, ["local/shards", "v1", files])
    assert client.load({"source": "local/shards:task"})[0]["texts"] == [ADD, JOIN]


def test_a_dataset_that_would_be_read_in_part_is_refused_as_a_folder_is(client: Client) -> None:
    files = {"data/a.jsonl": lines(ADD), "data/b.csv": f"task\n{json.dumps(JOIN)}\n", "stats.txt": "no rows"}
    client.run(PUBLISH, ["local/formats", "v1", files])
    one, other = "hf://datasets/local/formats/data/*.jsonl", "hf://datasets/local/formats/data/*.csv"
    whole, *parts = client.load(*({"source": f"{source}:task"} for source in ("local/formats", one, other)))
    assert "local/formats: data/b.csv would not be read beside data/a.jsonl" in whole["error"]
    assert whole["error"].endswith(f"as in  '{other}'  or  '{one}'")
    assert [part["texts"] for part in parts] == [[ADD], [JOIN]]


def test_splits_are_read_in_the_order_asked_for(client: Client) -> None:
    card = (
        "---\nconfigs:\n- config_name: full\n  default: true\n  data_files:\n"
        "  - {split: train, path: full/train.jsonl}\n  - {split: test, path: full/test.jsonl}\n"
        "  - {split: validation, path: full/validation.jsonl}\n"
        "- config_name: small\n  data_files: small.jsonl\n---\n"
    )
    rows = {"full/train.jsonl": lines(ADD), "full/test.jsonl": lines("no"), "full/validation.jsonl": lines(JOIN)}
    client.run(PUBLISH, ["local/parts", "v1", {"README.md": card, "small.jsonl": lines(LAST), **rows}])
    source = {"source": "local/parts:task"}
    both, back, absent = client.load(
        *({**source, "splits": splits} for splits in (["train", "validation"], ["validation", "train"], ["dev"]))
    )
    assert (both["texts"], back["texts"]) == ([ADD, JOIN], [JOIN, ADD])
    assert (
        "has no split `dev`, only train, test, validation: name it, as in  'local/parts?split=train'" in absent["error"]
    )
    shown = f"{client.settings['HF_ENDPOINT']}/datasets/local/parts/viewer"
    viewed, small, other = client.load(
        *({"source": f"{source}:task"} for source in (f"{shown}/full/validation", f"{shown}/small", f"{shown}/none"))
    )
    assert (viewed["texts"], small["texts"]) == ([JOIN], [LAST])
    assert "has no config `none`, only full, small: name one, as in  'local/parts?config=full'" in other["error"]


def test_a_config_has_to_be_named_where_none_is_the_default(client: Client) -> None:
    card = "---\nconfigs:\n- config_name: one\n  data_files: a.jsonl\n- config_name: two\n  data_files: b.jsonl\n---\n"
    client.run(PUBLISH, ["local/two", "v1", {"README.md": card, "a.jsonl": lines(ADD), "b.jsonl": lines(JOIN)}])
    neither, two = client.load({"source": "local/two:task"}, {"source": "local/two?config=two:task"})
    assert "has the configs one, two: name one, as in  'local/two?config=one'" in neither["error"]
    assert two["texts"] == [JOIN]


@pytest.mark.usefixtures("commits")
def test_what_a_hub_has_not_is_one_clear_line(client: Client) -> None:
    client.run(PUBLISH, ["local/bare", "v1", {"notes.bin": "nothing"}])
    messages = {
        "local/tasks": "has no known task column; its columns: note, task.",
        "local/tasks:goal": "has no column 'goal'; its columns: note, task.",
        "local/tasks@v9:task": "the dataset local/tasks at v9 has no such revision",
        "local/nowhere:task": "no dataset local/nowhere on this Hub, or it is private",
        "local/bare:task": "the dataset local/bare cannot be read",
        "oss-instruct": "no dataset ise-uiuc/Magicoder-OSS-Instruct-75K on this Hub",
    }
    errors = [result["error"] for result in client.load(*({"source": source} for source in messages))]
    for error, message in zip(errors, messages.values(), strict=True):
        assert message in error
        assert "\n" not in error


def test_a_hub_that_does_not_answer_points_to_the_starter_set(client: Client, tmp_path: Path) -> None:
    asked = ({"source": source} for source in ("oss-instruct", "evol-instruct-code", "some/repo@main:text"))
    for result in client.load(*asked, HF_ENDPOINT=CLOSED, HF_HOME=str(tmp_path)):
        assert "could not be fetched" in result["error"] and "--instructions starter" in result["error"]


def test_a_hub_that_stays_silent_is_given_up(client: Client, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # its connections are accepted by the kernel, and not read
        there = {"HF_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}", "HF_HOME": str(tmp_path)}
        script = f"from plum_hub import patience\npatience.PATIENCE = 0.5\n{LOAD}"
        known = {"source": "some/repo:text", "revision": "0" * 40}
        for result in client.run(script, [{"source": "some/repo:text"}, known, {"source": "oss-instruct"}], **there):
            assert "could not be fetched (" in result["error"]


def test_addresses_that_are_copied_from_a_browser(client: Client, commits: list[str]) -> None:
    """A dataset, one file of it, a folder of it, at its revision; a CSV of a Hub is read as a local one is."""
    extra = {"more/a.csv": f"id,task\n007,{json.dumps(LAST)}\n", "more/b.jsonl.gz": "no"}
    commit = client.run(PUBLISH, ["local/tasks", "v3", extra])
    endpoint = client.settings["HF_ENDPOINT"]
    texts = {
        f"{endpoint}/datasets/local/tasks/tree/v1:task": (commits[0], [ADD]),
        "hf://datasets/local/tasks@v2:task": (commits[1], [ADD, JOIN]),
        "https://huggingface.co/datasets/local/tasks/blob/v2/train.jsonl:task": (commits[1], [ADD, JOIN]),
        f"{endpoint}/datasets/local/tasks/resolve/v3/more/a.csv?download=true:task": (commit, [LAST]),
        "datasets/local/tasks@v3/more/a.csv:task": (commit, [LAST]),
    }
    results = client.load(*({"source": source} for source in texts))
    assert [(result.get("revision"), result.get("texts")) for result in results] == list(texts.values())
    assert {result["license"] for result in results} == {"cc-by-4.0"}
    absent, folder = client.load(
        {"source": "hf://datasets/local/tasks@v3/more/none.csv:task"}, {"source": "hf://datasets/local/tasks@v3/more"}
    )
    assert "more/none.csv does not exist" in absent["error"]
    assert "would not be read beside" in folder["error"]


def test_a_csv_of_a_hub_is_text_unless_its_card_says_how_it_is_read(client: Client) -> None:
    rows = f"id;task;n\n007;{json.dumps(ADD)};NA\n"
    client.run(PUBLISH, ["local/table", "v1", {"train.csv": rows}])
    card = "---\nconfigs:\n- config_name: default\n  data_files: train.csv\n  sep: ';'\n  skiprows: 1\n---\n"
    client.run(PUBLISH, ["local/skipping", "v1", {"README.md": card, "train.csv": f"# note\n{rows}"}])
    found = client.load({"source": "local/table:task"}, {"source": "local/skipping:task"})
    assert [result.get("texts") for result in found] == [[ADD], [ADD]]
    assert client.load({"source": "local/table:n", "min_characters": 1})[0]["texts"] == ["NA"]


TRAIN = """
import json, sys
from plum_hub.errors import PlumError
from plum_hub.training.data import read_data

def result(source):
    try:
        data = read_data(source, "sft", "auto")
        return [data.name, data.revision, [row["completion"] for row in data.rows]]
    except PlumError as error:
        return str(error)

print(json.dumps([result(source) for source in json.load(sys.stdin)]))
"""


def test_a_training_takes_addresses_too(client: Client) -> None:
    pytest.importorskip("trl")
    card = "---\nconfigs:\n- config_name: default\n  data_files: whole.jsonl\n---\n"
    files = {
        "README.md": card,
        "whole.jsonl": json.dumps({"prompt": "a", "completion": "b"}),
        "data/p.csv": "prompt,completion\n1,02\n",
    }
    commit = client.run(PUBLISH, ["local/sft", "v1", files])
    endpoint = client.settings["HF_ENDPOINT"]
    whole, file = ["local/sft", commit, ["b"]], ["local/sft", commit, ["02"]]
    asked = {
        "local/sft@v1": whole,
        f"{endpoint}/datasets/local/sft/tree/v1": whole,
        "hf://datasets/local/sft": whole,
        "hf://datasets/local/sft@v1/data/p.csv": file,
        "https://huggingface.co/datasets/local/sft/resolve/v1/data/p.csv": file,
        "datasets/local/sft@v1/data": file,
        f"{endpoint}/datasets/local/sft/viewer/default/train": whole,
    }
    *found, absent, typo = client.run(TRAIN, [*asked, "hf://datasets/local/sft/data/q.csv", "local/typo"])
    assert found == list(asked.values())
    assert "data/q.csv does not exist" in absent
    assert "has no dataset local/typo" in typo and "nor is there a run, file or folder local/typo here" in typo
