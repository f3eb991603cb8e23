"""`vllm serve` with the real small model, as generator and as policy, with a proxy before it that fails on demand."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from plum_hub.engines.dtype import cpu_dtype
from plum_hub.engines.weights import is_whole
from tests.engines.proxy import CHAT, Fault, FaultProxy
from tests.rehearsal import plum_hub, rows
from tests.test_real_model import MODEL, SUITE, TASK

PATIENCE = 600.0
"""Seconds until the server answers: it loads the model, on a slow machine beside other tests."""
NAME = "small"
FAULTS: tuple[Fault, ...] = ((429, {"retry-after": "0.2"}), (500, {}), "reset", "reset_body", "truncated", "garbage")

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not is_whole(MODEL), reason="the 0.5B model is not here: scripts/fetch-model 0.5b"),
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed: scripts/setup cpu"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the server, without a path."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(MODEL), "--host", "127.0.0.1",
        "--port", str(port), "--served-model-name", NAME, "--dtype", cpu_dtype(), "--max-model-len", "2048",
        "--max-num-seqs", "8", "--enforce-eager", "--disable-uvicorn-access-log",
    ]  # fmt: skip
    log = tmp_path_factory.mktemp("vllm") / "log.txt"
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file, env=environment) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(address, process, log)
            yield address
        finally:
            process.terminate()


def _wait(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None, log.read_text()[-4000:]
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        try:
            with urlopen(f"{address}/health", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.5)


def answered(address: str) -> int:
    """Answers that the server has computed to their end, as its own metrics count them."""
    with urlopen(f"{address}/metrics", timeout=30) as page:
        lines = page.read().decode().splitlines()
    return int(sum(float(line.split()[-1]) for line in lines if line.startswith("vllm:request_success_total{")))


def build(folder: Path, address: str, *more: str, generates: bool) -> "subprocess.CompletedProcess[str]":
    """Build a dataset of one task: the server writes the suites, or answers a suite that is scripted."""
    (folder / "tasks.jsonl").write_text(json.dumps({"instruction": TASK}) + "\n")
    (folder / "suites.jsonl").write_text(json.dumps({"texts": [SUITE]}) + "\n")
    served, scripted = f"openai:{NAME}@{address}/v1", f"scripted:{folder / 'suites.jsonl'}"
    role = "generator" if generates else "policy"
    settings = [
        "suites.responses=3", "suites.max_tokens=256", "samples.per_instruction=6", "samples.temperature=0.5",
        "samples.max_tokens=96", "decontamination.benchmarks=[]", f"{role}.first_wait_seconds=0.05",
        f"{role}.attempts=5", f"{role}.concurrency=3", f"{role}.timeout_seconds=300",
        f"{role}.usd_per_million_input=1", f"{role}.usd_per_million_output=2", *more,
    ]  # fmt: skip
    return plum_hub(
        [
            sys.executable, "-m", "plum_hub", "build-dataset", "--generator", served if generates else scripted,
            "--model", scripted if generates else served, "--instructions", str(folder / "tasks.jsonl"),
            "--run", str(folder / "run"), "--hub", "none", "-q",
            *[part for setting in settings for part in ("--set", setting)],
        ],
        OPENAI_API_KEY="",
    )  # fmt: skip


@pytest.mark.parametrize(("role", "kind", "count"), [("generator", "responses", 3), ("policy", "samples", 6)])
def test_no_answer_is_lost_or_paid_twice(server: str, tmp_path: Path, role: str, kind: str, count: int) -> None:
    before = answered(server)
    with FaultProxy(server) as proxy:
        proxy.faults = [(CHAT, fault) for fault in FAULTS]
        proxy.down, proxy.passes = "reset", 2
        done = build(tmp_path, proxy.url, generates=role == "generator")
        assert done.returncode == 6, done.stderr
        assert "when it is up again, run the same command; nothing answered is asked again" in done.stderr
        assert "Traceback" not in done.stderr
        assert len(rows(tmp_path / "run", kind)) == answered(server) - before == 2
        assert proxy.met == list(FAULTS)
        proxy.down = None
        done = build(tmp_path, proxy.url, generates=role == "generator")
    assert "Traceback" not in done.stderr
    assert len(rows(tmp_path / "run", kind)) == answered(server) - before == count
    if role == "policy":
        assert done.returncode == 0, done.stderr
        texts = [str(row["text"]) for row in rows(tmp_path / "run", "samples")]
        assert all("def garden_area" in text for text in texts)
        assert len(set(texts)) > 1  # each sample has its own seed
        assert all(row["completion_tokens"] for row in rows(tmp_path / "run", "samples"))


def test_a_model_that_the_server_does_not_serve_is_told_with_those_that_it_does(server: str, tmp_path: Path) -> None:
    (tmp_path / "tasks.jsonl").write_text(json.dumps({"instruction": TASK}) + "\n")
    done = plum_hub(
        [
            sys.executable, "-m", "plum_hub", "build-dataset", "--model", f"openai:other@{server}/v1", "--instructions",
            str(tmp_path / "tasks.jsonl"), "--run", str(tmp_path / "run"), "--hub", "none", "-q",
        ],
        OPENAI_API_KEY="",
    )  # fmt: skip
    assert done.returncode == 6, done.stderr
    assert NAME in done.stderr
    assert "Traceback" not in done.stderr


def test_answers_follow_the_schema_and_one_cut_in_the_middle_is_counted(server: str, tmp_path: Path) -> None:
    """The first build has room for whole answers, the second one has not."""
    outcomes = {}
    for tokens in (512, 24):
        folder = tmp_path / str(tokens)
        folder.mkdir()
        limits = [f"suites.max_tokens={tokens}", "suites.responses=2", "suites.temperature=0.2"]
        done = build(folder, server, "suites.structured=auto", *limits, generates=True)
        assert "Traceback" not in done.stderr
        assert "structured: true" in (folder / "run" / "recipe.yaml").read_text()
        responses = rows(folder / "run", "responses")
        assert len(responses) == 2
        outcomes[tokens] = [str(row["reason"]) for row in rows(folder / "run", "dropped") if row["stage"] == "suites"]
        for row in responses:
            assert str(row["text"]).lstrip().startswith("{")
            if row["finish_reason"] == "stop":
                answer = json.loads(str(row["text"]))
                assert list(answer) == ["starter_code", "solution", "cases"]
                assert all(list(case) == ["role", "call", "expected"] for case in answer["cases"])
        kept = len(rows(folder / "run", "suites"))
        assert len(outcomes[tokens]) + kept == 2
        assert len(rows(folder / "run", "roles")) == kept
    assert outcomes[24] == ["syntax_error"] * 2
    finished = [row for row in rows(tmp_path / "512" / "run", "responses") if row["finish_reason"] == "stop"]
    assert finished
