"""The parts of `plum_hub.clusters` that need no Ray: options, actors of nodes, and the worker below an actor."""

import json
import os
import shlex
import signal
import threading
from collections import Counter
from collections.abc import Callable
from multiprocessing import connection
from pathlib import Path
from typing import Any

import pytest
import yaml

from plum_hub.api.composition import RecipeArguments
from plum_hub.cli.build_dataset import build_dataset
from plum_hub.clusters.bridge import ActorServer, _Placed, lacking_of
from plum_hub.clusters.node import BATCH_BYTES, DONOR, RUN, NodeWorker
from plum_hub.clusters.options import ClusterOptions
from plum_hub.clusters.pool import _recipe_of
from plum_hub.clusters.slots import ENGINE, JUDGE, Slot, SlotPlan
from plum_hub.errors import RunError, UsageError
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.build import prepare, run_instructions
from plum_hub.records import Response, Sample, TestSuite, Verdict
from plum_hub.run import Run
from tests.rehearsal import write_rehearsal

EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "examples"
SETTINGS = [
    "instructions.near_duplicates=1.0", "samples.per_instruction=6", "suites.responses=4",
    "decontamination.benchmarks=[]", "verdicts.mypy_codes=[]",
]  # fmt: skip


class FailingNodes(ActorServer):
    """A server whose nodes raise an error, without a cluster."""

    def __init__(self, error: BaseException) -> None:
        self.said, self._pipe = connection.Pipe()
        self._sending, self._failures, self._error = threading.Lock(), Counter[str](), error
        self.lost = _Placed(7, "id", "10.0.0.1", Slot(frozenset((ENGINE, JUDGE)), 1, 0))
        self._actors = {7: self.lost}

    def _start(self, _: _Placed) -> None:
        raise self._error


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), EOFError("x"), RunError("y")], ids=repr)
def test_an_error_of_a_node_is_not_taken_for_the_end_of_the_build(error: Exception) -> None:
    """Its actor was gone, nobody was told, and the build waited for ever."""
    exceptions = pytest.importorskip("ray.exceptions")
    server = FailingNodes(exceptions.RayTaskError("put", f"Traceback\n{error!r}", error).as_instanceof_cause())
    server._run(server.lost)
    assert server.said.poll(5)
    kind, number, how = server.said.recv()
    assert (kind, number, server._actors) == ("gone", 7, {})
    assert how.startswith("of node 10.0.0.1 failed (")
    assert server._failures == {"id": 1}


def test_a_closed_pipe_is_the_end_of_the_build() -> None:
    server = FailingNodes(OSError(9, "Bad file descriptor"))
    server._run(server.lost)
    assert not server.said.poll()


@pytest.mark.parametrize(
    ("does", "lacks"),
    [
        ([], "no node"),
        ([ENGINE], "no node that judges"),
        ([JUDGE, JUDGE], "no node with a GPU"),
        ([ENGINE, JUDGE], None),
    ],
    ids=["nothing", "engine", "judges", "both"],
)
def test_a_cluster_needs_actors_for_every_kind_of_task(does: list[str], lacks: str | None) -> None:
    assert lacking_of(Slot(frozenset((kind,)), 1, 0) for kind in does) == lacks


class Node:
    """An actor without Ray, and what it has sent."""

    def __init__(self, run: Run, **limit: int | None) -> None:
        self.run, self.actor, self.said = run, NodeWorker(), [""]
        self.actor.begin({
            RUN: _recipe_of(run), DONOR: None, "share": (0, 1), "gpus": "", "judges": True, "cwd": str(run.folder),
            "limit": {"usd": None, "tokens": None, "ledger": None, **limit},
        })  # fmt: skip

    def copy(self) -> None:
        self.actor.clear()
        for path in sorted(self.run.own_folder.glob("*.jsonl")):
            self.actor.put(RUN, "00000", path.name, path.read_bytes())

    def until(self, end: str, accept: Callable[[str, bytes], None] | None = None) -> dict[str, Any]:
        while True:
            for message in self.actor.events():
                if message.startswith(b"R"):
                    name, _, line = message[1:].partition(b"\n")
                    assert accept is not None
                    accept(name.decode(), line)
                    continue
                event: dict[str, Any] = json.loads(message)
                self.said.append(event["event"])
                if event["event"] == "asked":
                    self.actor.deal(json.dumps({"size": event["most"], "account": {}}).encode())
                if event["event"] in (end, "failed", "died"):
                    return event

    def stage(self, name: str) -> dict[str, Any]:
        self.copy()
        self.actor.deal(json.dumps({"stage": name, "shard": "00000"}).encode())
        with self.run.accepting() as accept:
            return self.until("done", accept)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run that has its instructions."""
    write_rehearsal(tmp_path, 2)
    arguments = RecipeArguments(
        recipe=None, model=f"scripted:{tmp_path / 'answers.jsonl'}", generator=None,
        instructions=str(tmp_path / "tasks.jsonl"), suites=None, hub="none", settings=SETTINGS,
    )  # fmt: skip
    composed, folder = arguments.compose(tmp_path / "run", print)
    opened = prepare(composed, folder)
    run_instructions(Context(run=opened))
    return opened


def test_every_row_of_a_node_comes_back_and_the_node_keeps_none(run: Run) -> None:
    node = Node(run, tokens=100_000)
    assert node.until("ready")["event"] == "ready"
    for stage in ("run_responses", "run_suites", "run_sampling", "run_verdicts"):
        assert node.stage(stage)["event"] == "done"
    assert [sum(1 for _ in run.rows(kind)) for kind in (Response, TestSuite, Sample, Verdict)] == [8, 2, 12, 12]
    assert {"asked", "spent", "begin", "advance"} <= set(node.said)  # one ledger, one view
    assert len(list(run.environments())) == 1
    scratch = node.actor._scratch
    assert scratch.is_dir()
    node.actor.end()
    assert not scratch.exists()


def test_a_worker_that_dies_is_told_of_and_its_rows_are_there(run: Run) -> None:
    node = Node(run)
    node.until("ready")
    assert node.actor._process is not None
    os.kill(node.actor._process.pid, signal.SIGKILL)
    assert node.stage("run_responses") == {"event": "died", "how": "was killed by signal 9"}
    node.actor.end()


def test_a_model_that_a_node_lacks_is_an_error_of_the_build(run: Run) -> None:
    Path(run.recipe.policy.model).unlink()
    node = Node(run)
    node.until("ready")
    failed = node.stage("run_responses")
    assert (failed["event"], failed["kind"]) == ("failed", "EngineError")
    node.actor.end()


def test_a_run_takes_only_its_own_files_from_a_node(run: Run) -> None:
    with run.accepting() as accept, pytest.raises(RunError, match="which no run has"):
        accept("../recipe.yaml", b"{}\n")
    assert BATCH_BYTES < 100 << 20


def test_the_commands_of_the_examples_are_accepted() -> None:
    job = next(one for one in yaml.safe_load_all((EXAMPLES / "kuberay.yaml").read_text()) if one["kind"] == "RayJob")
    script = (EXAMPLES / "ray.sh").read_text().replace("\\\n", " ").splitlines()
    lines = [job["spec"]["entrypoint"], *(line for line in script if "build-dataset" in line)]
    assert len(lines) == 2
    for line in lines:
        words, names = shlex.split(line)[2:], ["-h", "--help"]  # as the group sets them, and the command keeps them
        given = build_dataset.make_context("build-dataset", words, help_option_names=names).params
        assert given["workers"] == "ray"
        assert given["address"]


@pytest.mark.parametrize(
    ("workers", "address", "found"),
    [("4", None, (4, None)), (2, None, (2, None)), ("ray", "a:1", (1, ClusterOptions("a:1"))),
     ("ray:8", None, (1, ClusterOptions("auto", 8)))],
)  # fmt: skip
def test_workers_and_address(workers: int | str, address: str | None, found: object) -> None:
    assert ClusterOptions.chosen(workers, address) == found


@pytest.mark.parametrize(
    ("workers", "address"),
    [("0", None), ("x", None), ("ray:0", None), ("ray8", None), ("ray:", None), (":3", None), ("", None),
     ("2000", None), ("2", "a:1"), ("ray", "ray://a:1")],
)  # fmt: skip
def test_workers_and_address_that_do_not_fit(workers: str, address: str | None) -> None:
    with pytest.raises(UsageError, match="--"):
        ClusterOptions.chosen(workers, address)


def lent(cpus: int, gpus: int = 0) -> dict[str, Any]:
    return {"Alive": True, "Resources": {"CPU": float(cpus), "GPU": float(gpus)}}


@pytest.mark.parametrize(
    ("nodes", "actors", "gpus_each", "found"),
    [
        ([lent(4), lent(0), lent(2)], None, 1, [[("engine judge", 4, 0)], [], [("engine judge", 2, 0)]]),
        ([lent(4), lent(2)], 4, 1, [[("engine judge", 2, 0)] * 2, [("engine judge", 1, 0)] * 2]),
        ([lent(8, 2), lent(16)], None, 1, [[("engine", 1, 1)] * 2 + [("judge", 6, 0)], [("judge", 16, 0)]]),
        ([lent(8, 4)], None, 2, [[("engine", 1, 2)] * 2 + [("judge", 6, 0)]]),
        ([lent(2, 4)], None, 1, [[("engine", 0, 1)] * 4 + [("judge", 2, 0)]]),
        ([lent(8, 8)], 2, 1, [[("engine", 1, 1)] * 2 + [("judge", 6, 0)]]),
    ],
)
def test_actors_of_nodes(
    nodes: list[dict[str, Any]], actors: int | None, gpus_each: int, found: list[list[tuple[str, int, int]]]
) -> None:
    plan = SlotPlan.of(nodes, actors, gpus_each)
    placed = [[(" ".join(sorted(one.does)), one.cpus, one.gpus) for one in plan.slots(node)] for node in nodes]
    assert placed == found
