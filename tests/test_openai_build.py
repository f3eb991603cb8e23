"""A whole build by a `/v1` server, by single requests and by batches: disturbed, it ends as an undisturbed one."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from plum_hub.engines import ScriptedConfig
from tests.engines.proxy import CHAT, FaultProxy
from tests.engines.server import LoopbackServer
from tests.rehearsal import command, plum_hub, rows, write_rehearsal

TASKS = 3
KINDS = ["instructions", "responses", "suites", "samples", "verdicts", "preferences", "dropped"]
PATIENCE = 120.0
BATCH = ("--set", "policy.batch=true", "--set", "policy.batch_poll_seconds=0.05")


@dataclass
class Served:
    """A policy behind a server with a proxy before it, and an undisturbed run by it."""

    folder: Path
    server: LoopbackServer
    proxy: FaultProxy

    def command(self, run: str, *options: str) -> list[str]:
        arguments = command(self.folder, *options, run=run)
        arguments[arguments.index("--model") + 1] = f"openai:tiny@{self.proxy.url}/v1"
        quick = {"first_wait_seconds": 0.01, "concurrency": 4, "attempts": 5, "timeout_seconds": 60.0}
        prices = {"usd_per_million_input": 1000.0, "usd_per_million_output": 2000.0}
        prices["usd_per_million_cached_input"] = 100.0
        settings = {**quick, **prices}
        return [*arguments, *(part for key, value in settings.items() for part in ("--set", f"policy.{key}={value}"))]

    def build(self, run: str, *options: str) -> "subprocess.CompletedProcess[str]":
        return plum_hub(self.command(run, *options), PLUM_HUB_HOME=str(self.folder / "home"))

    def killed_after(self, run: str, kind: str, count: int, *options: str) -> None:
        """Start a build, and kill -9 once it has so many rows of a kind."""
        with subprocess.Popen(self.command(run, *options), stdout=subprocess.DEVNULL) as process:
            file = self.folder / run / "shards" / "00000" / f"{kind}.jsonl"
            self._wait(lambda: file.exists() and file.read_bytes().count(b"\n") == count)
            process.kill()

    def killed_in_a_batch(self, run: str, batches: int, *options: str) -> None:
        """Start a build, and kill -9 once it has the id of so many batches, of which the last has not ended."""
        with subprocess.Popen(self.command(run, *options), stdout=subprocess.DEVNULL) as process:
            records = self.folder / run / "batches"
            self._wait(lambda: sum('"batch": "batch' in one.read_text() for one in records.glob("*.json")) == batches)
            process.kill()

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def as_undisturbed(self, run: str) -> None:
        for kind in KINDS:
            one, other = (
                sorted(json.dumps(row, sort_keys=True) for row in rows(self.folder / name, kind))
                for name in ("whole", run)
            )
            assert one == other, kind
        answers = sum(len(rows(self.folder / run, kind)) for kind in ("responses", "samples"))
        assert len(self.server.answered) == answers
        assert set(self.server.answered.values()) == {1}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    write_rehearsal(folder, tasks=TASKS)
    with (
        ScriptedConfig(model=str(folder / "answers.jsonl")).open() as script,
        LoopbackServer(folder=folder / "batches", script=script) as server,
        FaultProxy(server.url) as proxy,
    ):
        server.cached_share = 0.5
        served = Served(folder, server, proxy)
        done = served.build("whole", "--json")
        assert done.returncode == 0, done.stderr
        (folder / "whole.json").write_text(done.stdout)
        served.as_undisturbed("whole")
        yield served


@pytest.fixture
def served(undisturbed: Served) -> Iterator[Served]:
    undisturbed.server.answered.clear()
    yield undisturbed
    undisturbed.proxy.faults, undisturbed.proxy.down = [], None


def test_single_requests_through_faults_an_outage_and_a_kill(served: Served) -> None:
    proxy = served.proxy
    proxy.faults = [
        (CHAT, fault)
        for fault in ((429, {"retry-after": "0.1"}), (500, {}), "reset", "reset_body", "truncated", (503, {}))
    ]
    proxy.down, proxy.passes = "reset", 5
    done = served.build("single", "-q")
    assert done.returncode == 6, done.stderr
    assert "when it is up again, run the same command; nothing answered is asked again" in done.stderr
    assert "Traceback" not in done.stderr
    assert proxy.faults == []
    assert len(rows(served.folder / "single", "responses")) == 5
    proxy.down, proxy.passes = "drip", 4
    served.killed_after("single", "responses", 9, "-q")
    proxy.down, proxy.passes = "drip", 7
    served.killed_after("single", "samples", 4, "-q")
    proxy.down = None
    done = served.build("single", "-q")
    assert done.returncode == 0, done.stderr
    served.as_undisturbed("single")


def test_batches_make_the_same_rows_for_half_the_price_through_kills_and_an_expired_batch(served: Served) -> None:
    store = served.server.batches
    assert store is not None
    store.looks = 1_000_000
    served.killed_in_a_batch("batch", 1, "-q", *BATCH)
    store.looks = 2
    store.fates.append("expire")  # the first batch of the samples
    assert len(store.all()) == 1
    done = served.build("batch", "--json", *BATCH)
    assert done.returncode == 0, done.stderr
    assert len(store.all()) == 3
    served.as_undisturbed("batch")
    spent, full = (
        {stage["stage"]: stage for stage in json.loads(text)["spending"]}
        for text in (done.stdout, (served.folder / "whole.json").read_text())
    )
    for stage in ("responses", "samples"):
        tokens = full[stage]["prompt_tokens"], full[stage]["cached_tokens"], full[stage]["completion_tokens"]
        assert 0 < tokens[1] < tokens[0]
        assert full[stage]["usd"] == pytest.approx(
            ((tokens[0] - tokens[1]) * 1000 + tokens[1] * 100 + tokens[2] * 2000) / 1e6
        )
        assert spent[stage]["usd"] == pytest.approx(full[stage]["usd"] / 2)
        assert spent[stage]["cached_tokens"] == tokens[1]


def test_a_batch_under_a_budget_is_not_paid_twice(served: Served) -> None:
    total = sum(stage["usd"] for stage in json.loads((served.folder / "whole.json").read_text())["spending"]) / 2
    done = served.build("limited", "-q", "--budget", f"{total * 0.9:.4f}", *BATCH)
    assert done.returncode == 15, done.stderr
    done = served.build("limited", "-q", "--budget", f"{total * 3:.4f}", *BATCH)
    assert done.returncode == 0, done.stderr
    served.as_undisturbed("limited")


def test_a_wrong_model_or_a_server_without_batches_is_told_before_a_run_is_made(served: Served) -> None:
    arguments = served.command("wrong", "-q")
    where = arguments.index("--model") + 1
    arguments[where] = arguments[where].replace("tiny", "huge")
    done = plum_hub(arguments)
    assert done.returncode == 6, done.stderr
    assert "no model 'huge': name one it has (tiny)" in done.stderr
    served.proxy.faults = [("/v1/batches", (404, {}))]
    done = served.build("wrong", "-q", *BATCH)
    assert done.returncode == 6, done.stderr
    assert "no Batch API (status 404): unset generator.batch (policy.batch for the policy)" in done.stderr
    assert not (served.folder / "wrong").exists()
    assert not served.server.answered


def test_an_estimate_halves_the_price_of_a_batch_and_names_the_keys_of_an_unknown_one(served: Served) -> None:
    single, batch = (
        [step["usd"] for step in json.loads(served.build("new", "--dry-run", "--json", *options).stdout)["steps"]]
        for options in ((), BATCH)
    )
    assert batch == pytest.approx([usd / 2 for usd in single], rel=1e-3)
    assert min(batch) > 0
    said = plum_hub(served.command("new", "--dry-run", *BATCH), COLUMNS="200").stdout
    assert said.count("within 24 hours") == 2
    unknown = command(served.folder, "--dry-run", run="new")
    unknown[unknown.index("--model") + 1] = f"openai:tiny@{served.proxy.url}/v1"
    said = plum_hub(unknown, COLUMNS="200").stdout
    for role in ("generator", "policy"):
        assert f"set {role}.usd_per_million_input and {role}.usd_per_million_output" in said


def test_a_time_limit_and_batches_contradict_each_other(served: Served) -> None:
    done = served.build("late", "-q", "--set", "budget.minutes=5", *BATCH)
    assert done.returncode != 0
    assert "budget.minutes cannot be kept by batches" in done.stderr
    assert "Traceback" not in done.stderr
