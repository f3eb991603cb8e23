"""Builds on a Ray cluster of two nodes on this machine: the rows of a local run, through the loss of a node."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import pytest

from plum_hub.records import Response, Sample, Verdict
from plum_hub.run import Run
from tests.rehearsal import command, plum_hub, write_rehearsal
from tests.test_shards import content, facts, sharded
from tests.test_workers import is_alive

if find_spec("ray") is None:
    pytest.skip("Ray is not installed: pip install 'plum-hub[ray]'", allow_module_level=True)
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own
LOOPBACK = "127.0.0.2"
"""Where the nodes listen: for 127.0.0.1, Ray dials the address of the machine's network card."""


@dataclass
class Machines:
    """A cluster on the loopback interface, whose head does no work."""

    folder: Path
    logs: Path
    """Ray's own files; the path is short, since there are sockets in it."""
    address: str = ""
    nodes: list[Any] = field(default_factory=list)
    _cluster: Any = None

    def start(self) -> None:
        from ray.cluster_utils import Cluster

        Path(gettempdir(), "ray").mkdir(exist_ok=True)  # where it notes its address
        self._cluster = Cluster(shutdown_at_exit=False)
        self._cluster.add_node(
            num_cpus=0, object_store_memory=80 << 20, node_ip_address=LOOPBACK, include_dashboard=False,
            temp_dir=str(self.logs),
        )  # fmt: skip
        self.address = self._cluster.address
        self.nodes = [self.join() for _ in range(2)]

    def join(self, **resources: int) -> Any:
        return self._cluster.add_node(
            **{"num_cpus": 1, **resources}, object_store_memory=80 << 20, node_ip_address=LOOPBACK
        )

    def kill(self, node: Any) -> None:
        """End all processes of a node, as a machine that is switched off."""
        self._cluster.remove_node(node, allow_graceful=False)

    def wait(self) -> None:
        """Wait until the cluster knows which of its nodes are left."""
        self._cluster.wait_for_nodes()

    def stop(self) -> None:
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("RAY_ADDRESS", "HF_TOKEN"):
            patch.delenv(variable, raising=False)
        folder = tmp_path_factory.mktemp("ray")
        patch.setenv("PLUM_TEST_FOLDER", str(folder))
        write_rehearsal(folder, 9)
        done = plum_hub(command(folder, "--quiet", run="alone"))
        assert done.returncode == 0, done.stderr
        with TemporaryDirectory(prefix="ray") as logs:
            found = Machines(folder, Path(logs))
            try:
                found.start()
                yield found
            finally:
                found.stop()


def on_cluster(machines: Machines, name: str, *options: str, delay: float = 0.0, workers: str = "ray") -> list[str]:
    given = ["--workers", workers, "--address", machines.address, *options]
    return sharded(3, command(machines.folder, *given, run=name, delay=delay))


def same_as_alone(machines: Machines, name: str) -> None:
    assert facts(machines.folder / name) == facts(machines.folder / "alone")
    assert content(machines.folder / name) == content(machines.folder / "alone")


def until_rows(process: "subprocess.Popen[str]", run: Path, kind: type, rows: int) -> None:
    """Wait until a run has so many rows of a kind."""
    while True:
        assert process.poll() is None, process.communicate()
        if (run / "recipe.yaml").exists():
            paths = [shard.path(kind) for shard in Run.open(run).shards]
            if sum(path.read_bytes().count(b"\n") for path in paths if path.exists()) >= rows:
                return
        time.sleep(0.02)


def workers(machines: Machines) -> set[int]:
    """The bridge, and the worker processes below its actors."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line, environment = path.read_bytes(), (path.parent / "environ").read_bytes()
        except OSError:
            continue  # has ended
        ours = str(machines.folder).encode() in environment
        if ours and (b"plum_hub.pipeline.worker" in line or b"plum_hub.clusters.bridge" in line):
            found.add(int(path.parent.name))
    return found


def test_a_cluster_makes_the_rows_of_one_process(machines: Machines) -> None:
    done = plum_hub(on_cluster(machines, "together"))
    assert done.returncode == 0, done.stderr
    run = Run.open(machines.folder / "together")
    assert len(run.names) == 3
    same_as_alone(machines, "together")
    assert len(list(run.environments())) == 1
    assert "3 nodes, engines at a time: 2" in done.stderr
    ends = [line.split("  ")[0] for line in done.stderr.splitlines() if line.startswith(("responses", "suites:"))]
    assert ends == ["responses: 36/36", "suites: 36/36"]  # one view of all
    again = sharded(3, command(machines.folder, "--workers", "ray", "--quiet", run="together"))
    assert plum_hub(again, RAY_ADDRESS=machines.address).returncode == 0  # nothing is owed
    same_as_alone(machines, "together")


def test_a_lost_node_costs_nothing_but_time(machines: Machines) -> None:
    process = subprocess.Popen(on_cluster(machines, "lost", delay=0.1), stderr=subprocess.PIPE, text=True)
    until_rows(process, machines.folder / "lost", Sample, 4)
    machines.kill(machines.nodes.pop())
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert "another one does the rest of it" in said
    same_as_alone(machines, "lost")
    machines.nodes.append(machines.join())
    machines.wait()


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_a_build_that_was_ended_is_resumed(machines: Machines, ending: signal.Signals) -> None:
    name = f"ended-{ending}"
    arguments = on_cluster(machines, name, delay=0.1)
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    until_rows(process, machines.folder / name, Response, 8)
    mine = workers(machines)
    assert mine
    process.send_signal(ending)
    _, said = process.communicate()
    assert process.returncode == (130 if ending == signal.SIGINT else -9), said
    again = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    same_as_alone(machines, name)
    while any(map(is_alive, mine)):  # none outlives its build for long
        time.sleep(0.1)


def test_engines_have_their_gpus_and_judges_the_cores(machines: Machines) -> None:
    node = machines.join(num_cpus=2, num_gpus=1)  # which Ray counts, whether or not there is any
    try:
        done = plum_hub(on_cluster(machines, "apart", "--max-tokens", "1000000"))
    finally:
        machines.kill(node)
        machines.wait()
    assert done.returncode == 0, done.stderr
    assert "engines at a time: 1" in done.stderr
    same_as_alone(machines, "apart")


def test_rows_are_carried_over_and_spending_is_counted_in_one_place(machines: Machines) -> None:
    arguments = on_cluster(machines, "spent", "--max-tokens", "1500")
    done = plum_hub(arguments)
    assert done.returncode == 15, done.stderr
    assert "the limit is reached" in done.stderr.splitlines()[-1]
    rows = Run.open(machines.folder / "spent").rows(Response)
    answers = [row.prompt_tokens + row.completion_tokens for row in rows]
    assert 1500 <= sum(answers) < 1500 + 3 * max(answers)
    carried = on_cluster(machines, "carried", "--quiet", "--carry-over", str(machines.folder / "alone"))
    assert plum_hub(carried).returncode == 0
    times = [
        sorted(Run.open(machines.folder / name).columns(Verdict, "id", "cpu_seconds", "peak_memory_mb"))
        for name in ("alone", "carried")
    ]
    assert times[0] == times[1]  # measured once: none was judged again


def test_a_node_that_isolates_no_programs_ends_the_build(machines: Machines) -> None:
    arguments = on_cluster(machines, "unsafe", "--set", "verdicts.sandbox=docker")
    done = plum_hub(arguments, DOCKER_HOST="unix:///nowhere.sock")
    assert done.returncode == 7, done.stderr
    assert len(done.stderr.strip().splitlines()[-1]) > 0
    run = machines.folder / "unsafe"
    assert not list(run.glob("shards/*/verdicts.jsonl"))


def test_a_cluster_that_cannot_be_had_is_one_line(machines: Machines) -> None:
    with socket.create_server((LOOPBACK, 0)) as other:  # takes connections, and never says a word
        address = "{}:{}".format(*other.getsockname())
        arguments = command(machines.folder, "--workers", "ray", "--address", address, run="none")
        process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
        without_a_cluster(machines)
        _, said = process.communicate()
    assert process.returncode == 4, said
    assert said.splitlines()[-1].startswith(f"plum-hub: {address}: "), said
    assert "--address HOST:PORT" in said.splitlines()[-1]
    assert not (machines.folder / "none").exists()


def without_a_cluster(machines: Machines) -> None:
    for address, why in (("127.0.0.1:1", "no Ray cluster answers there"), ("nonsense", "no Ray cluster answers there")):
        done = plum_hub(command(machines.folder, "--workers", "ray", "--address", address, run="none"))
        assert done.returncode == 4, done.stderr
        assert why in done.stderr.splitlines()[-1]
    missing = "import sys; sys.modules['ray'] = None; from plum_hub.cli import main; main()"
    arguments = [sys.executable, "-c", missing, *command(machines.folder, "--workers", "ray", run="none")[3:]]
    done = plum_hub(arguments)
    assert done.returncode == 10, done.stderr
    assert "plum-hub[ray]" in done.stderr


def test_a_node_with_another_plum_hub_is_refused(machines: Machines, tmp_path: Path) -> None:
    other = tmp_path / "plum_hub-99.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: plum-hub\nVersion: 99.0\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        node = machines.join(num_cpus=2, num_gpus=1)  # which Ray counts: no other one has the build's engine
    try:
        done = plum_hub(on_cluster(machines, "other"))
    finally:
        machines.kill(node)
        machines.wait()
    assert done.returncode == 4, done.stderr
    assert "has plum-hub 99.0" in done.stderr.splitlines()[-1]
    assert "pip install 'plum-hub[ray]==" in done.stderr.splitlines()[-1]
