"""Samples are judged while the policy still writes: a real build against a loopback `/v1` server that answers one
request after another, and that the test holds back at will."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.rehearsal import command, plum_hub, rows, write_rehearsal

KINDS = ["instructions", "responses", "suites", "samples", "verdicts", "preferences", "dropped"]
SAMPLES = 3 * 6
PATIENCE = 120.0
Gate = Callable[[int], int]


def at_once(_: int) -> int:
    return 200


class Policy:
    """`gate` is called with the number of each request for a text, may wait, and gives the status of the answer."""

    def __init__(self) -> None:
        self.gate: Gate = at_once
        self.asked = 0
        policy = self

        class Handler(BaseHTTPRequestHandler):
            def handle(self) -> None:
                with suppress(ConnectionError):  # a client that was killed
                    super().handle()

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                self._send(200, {"object": "list", "data": [{"id": "tiny", "object": "model", "created": 0}]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                policy.asked += 1
                status = policy.gate(policy.asked)
                self._send(status, answer(body) if status == 200 else {"error": {"message": "on demand"}})

            def _send(self, status: int, body: dict[str, Any]) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True

    def command(self, folder: Path, *options: str, run: str = "run", mypy: bool = False) -> list[str]:
        generator = ("--generator", f"scripted:{folder / 'answers.jsonl'}")
        arguments = command(folder, *generator, *options, run=run, mypy=mypy)
        arguments[arguments.index("--model") + 1] = "openai:tiny"
        settings = {"base_url": f"http://127.0.0.1:{self.http.server_port}/v1", "concurrency": 1, "attempts": 1}
        return [*arguments, *(part for key, value in settings.items() for part in ("--set", f"policy.{key}={value}"))]

    def start(self, folder: Path, mypy: bool = False) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self.command(folder, "-q", mypy=mypy), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )


def answer(body: dict[str, Any]) -> dict[str, Any]:
    """A right program, a wrong one or none, as the seed has it."""
    found = re.search(r"def (\w+_(\d+))\(x", json.dumps(body["messages"]))
    assert found
    programs = [f"return x + {found[2]}", "return x + 99", "return x +", "return undefined_name"]
    text = f"```python\ndef {found[1]}(x: int) -> int:\n    {programs[body['seed'] % 4]}\n```\n"
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {"id": "x", "object": "chat.completion", "created": 0, "model": "tiny", "choices": [choice], "usage": usage}


@pytest.fixture
def policy() -> Iterator[Policy]:
    policy = Policy()
    threading.Thread(target=policy.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield policy
    policy.http.shutdown()
    policy.http.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_rehearsal(tmp_path, tasks=3)
    return tmp_path


def comes_true(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def count(folder: Path, kind: str) -> int:
    path = folder / "run" / "shards" / "00000" / f"{kind}.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


@contextmanager
def whole_and_once(folder: Path) -> Iterator[None]:
    """Around a second start: it keeps the rows that are there, and leaves one verdict for each sample."""
    file = folder / "run" / "shards" / "00000" / "verdicts.jsonl"
    kept = file.read_bytes()
    yield
    assert file.read_bytes().startswith(kept[: kept.rfind(b"\n") + 1])
    samples = [row["id"] for row in rows(folder / "run", "samples")]
    assert len(samples) == len(set(samples)) == SAMPLES
    verdicts = [row["sample_id"] for row in rows(folder / "run", "verdicts")]
    assert sorted(map(str, verdicts)) == sorted(map(str, samples))


def test_verdicts_are_there_before_the_last_sample(policy: Policy, folder: Path) -> None:
    seen = []

    def gate(number: int) -> int:
        if number in (2, SAMPLES):  # neither the first batch nor a later one waits for the end
            seen.append(comes_true(lambda: count(folder, "verdicts") >= min(number - 1, 2)))
        return 200

    policy.gate = gate
    done = plum_hub(policy.command(folder, "-q", mypy=True))
    assert done.returncode == 0, done.stderr
    assert seen == [True, True]
    marks = {"+ 99": "failed", "x +\n": "syntax_error", "undefined_name": "static_error"}
    texts = {row["id"]: str(row["text"]) for row in rows(folder / "run", "samples")}
    for row in rows(folder / "run", "verdicts"):
        text = texts[row["sample_id"]]
        assert row["status"] == next((status for mark, status in marks.items() if mark in text), "passed"), text


def test_killed_while_both_go_on_and_started_again_gives_the_same_rows(policy: Policy, folder: Path) -> None:
    assert plum_hub(policy.command(folder, "-q", run="whole", mypy=True)).returncode == 0
    process: list[subprocess.Popen[bytes]] = []

    def gate(number: int) -> int:
        if number == SAMPLES + 4:
            assert comes_true(lambda: count(folder, "verdicts") > 0)
            process[0].kill()
        return 200

    policy.gate = gate
    process.append(policy.start(folder, mypy=True))
    process[0].communicate()
    assert process[0].returncode == -signal.SIGKILL
    assert 0 < count(folder, "verdicts") <= count(folder, "samples") == 3
    with whole_and_once(folder):
        done = plum_hub(policy.command(folder, "-q", mypy=True))
        assert done.returncode == 0, done.stderr
    for kind in KINDS:
        mine, wanted = rows(folder / "run", kind), rows(folder / "whole", kind)
        assert sorted(map(json.dumps, mine)) == sorted(map(json.dumps, wanted)), kind


def test_an_engine_that_breaks_leaves_samples_judged_or_owed(policy: Policy, folder: Path) -> None:
    policy.gate = lambda number: 200 if number < 8 else 401
    broken = plum_hub(policy.command(folder, "-q"))
    assert broken.returncode == 6, broken.stderr
    assert count(folder, "samples") == 7
    made = {row["id"] for row in rows(folder / "run", "samples")}
    assert {row["sample_id"] for row in rows(folder / "run", "verdicts")} <= made
    policy.gate = at_once
    with whole_and_once(folder):
        assert plum_hub(policy.command(folder, "-q")).returncode == 0
    assert policy.asked == SAMPLES + 1


def test_ctrl_c_leaves_while_an_answer_is_still_awaited(policy: Policy, folder: Path) -> None:
    process: list[subprocess.Popen[bytes]] = []
    left = []

    def gate(number: int) -> int:
        if number == 3:
            comes_true(lambda: count(folder, "verdicts") > 0)
            process[0].send_signal(signal.SIGINT)
            left.append(comes_true(lambda: process[0].poll() is not None))
        return 200

    policy.gate = gate
    process.append(policy.start(folder))
    _, told = process[0].communicate()
    assert process[0].returncode == 130, told
    assert comes_true(lambda: left == [True])
    assert b"Traceback" not in told
    policy.gate = at_once
    with whole_and_once(folder):
        assert plum_hub(policy.command(folder, "-q")).returncode == 0


@pytest.mark.skipif(os.getuid() != 0 or shutil.which("setpriv") is None, reason="gives up a right that only root has")
def test_a_sandbox_that_breaks_stops_the_policy_and_makes_no_verdict(policy: Policy, folder: Path) -> None:
    policy.gate = lambda _: 401
    assert plum_hub(policy.command(folder, "-q")).returncode == 6  # the suites are there now
    asked = policy.asked

    def gate(number: int) -> int:
        time.sleep(0 if number == asked + 1 else 1)
        return 200

    policy.gate = gate
    without_isolation = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
    broken = plum_hub([*without_isolation, *policy.command(folder, "-q")])
    assert broken.returncode == 7, broken.stderr
    assert "plum-hub doctor" in broken.stderr.strip().splitlines()[-1]
    assert 0 < count(folder, "samples") < SAMPLES
    # What has no program, or none that compiles, is decided before it comes to the sandbox.
    assert {row["status"] for row in rows(folder / "run", "verdicts")} <= {"no_code", "syntax_error"}
    policy.gate = at_once
    with whole_and_once(folder):
        assert plum_hub(policy.command(folder, "-q")).returncode == 0
