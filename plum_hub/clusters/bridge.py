"""The process that holds the connection to Ray. If the cluster is lost, Ray ends this process and not the build.

One thread serves each actor: it sends a task with its shard, and passes on what the worker makes. It asks for the next
messages only when the build has taken the last ones, so that as many are on their way as there are actors.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import chdir
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from plum_hub.clusters.node import BATCH_BYTES, NodeWorker
from plum_hub.clusters.slots import ENGINE, JUDGE, Slot, SlotPlan
from plum_hub.environment import installed_versions
from plum_hub.errors import PlumError, RunError

_CONNECT_SECONDS = 5.0
_NODES_SECONDS = 2.0
"""How often the bridge looks for nodes that have joined or are free again."""
_LOST_SECONDS = 120.0
"""How long a cluster may have no node that works."""
_FAILURES = 3
"""How many actors of a node may be lost, one after the other, before the node gets no more."""
_STOP_SECONDS = 8.0
_ENDS = (b'{"event": "done"', b'{"event": "failed"', b'{"event": "died"')


def main() -> None:
    """Serve the build, which is at the other end of the pipe whose file descriptor is the argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the build decides when to end
    pipe: Connection[Any, Any] = Connection(int(sys.argv[1]))
    asked = pipe.recv()
    try:
        _connect(asked["address"])
        server = ActorServer(pipe, asked)
    except PlumError as error:
        pipe.send(("failed", type(error).__name__, str(error)))
        return
    server.serve()


def _connect(address: str) -> None:
    """Connect to the cluster; without its logs, which are not ours and may hold anything."""
    import ray

    mend = "start it with  ray start --head , or name another with --address HOST:PORT"
    host, _, port = address.rpartition(":")
    if address != "auto":
        try:
            socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
        except (OSError, ValueError, OverflowError) as error:
            raise RunError(f"{address}: no Ray cluster answers there ({error}); {mend}") from error
    try:
        with chdir("/"):  # Ray has all nodes look for packages in this folder first, whatever they have installed
            ray.init(address=address, logging_level="CRITICAL", log_to_driver=False, namespace="plum-hub")
    except (ConnectionError, RuntimeError, ValueError, OSError, AssertionError) as error:
        text = str(error).strip()
        if "ersion mismatch" in text:
            more = "install the same versions of Python and Ray on both, then run the same command again"
        elif address == "auto":
            more = mend
        else:
            more = (
                "run the command on a machine of the cluster:  ray start --address HOST:PORT --num-cpus 0  makes it one"
            )
        raise RunError(f"{address}: the Ray cluster cannot be used ({' '.join(text.split())[:400]}); {more}") from error


@dataclass(eq=False)
class _Placed:
    number: int
    node: str
    """Its id."""
    name: str
    """Its address, for people."""
    slot: Slot
    tasks: "SimpleQueue[tuple[Any, ...]]" = field(default_factory=SimpleQueue)
    handle: Any = None
    thread: threading.Thread | None = None


class ActorServer:
    """Places actors and serves them.

    Args:
        pipe: The pipe to the build.
        asked: `address`, `actors` and `gpus_each`.

    Raises:
        RunError: The cluster lends nothing.
    """

    def __init__(self, pipe: "Connection[Any, Any]", asked: dict[str, Any]) -> None:
        import ray

        self._pipe, self._address = pipe, asked["address"]
        self._sending = threading.Lock()
        self._given: dict[str, Any] | None = None
        self._actors: dict[int, _Placed] = {}
        self._failures: Counter[str] = Counter()
        self._next = 0
        self._seen = self._alive = time.monotonic()
        nodes = [node for node in ray.nodes() if node["Alive"]]
        self._plan = SlotPlan.of(nodes, asked["actors"], asked["gpus_each"])
        slots = [slot for node in nodes for slot in self._plan.slots(node)]
        if not all(any(kind in slot.does for slot in slots) for kind in (ENGINE, JUDGE)):
            raise RunError(
                f"{self._address}: the Ray cluster lends no cores, or fewer GPUs a node than an engine needs "
                f"({len(nodes)} nodes); start nodes with  ray start --address HOST:PORT"
            )
        engines = sum(ENGINE in slot.does for slot in slots)
        self._send(("ready", engines, len(nodes)))

    def serve(self) -> None:
        """Serve until the build closes the pipe."""
        try:
            while True:
                if self._given is not None and time.monotonic() - self._seen > _NODES_SECONDS:
                    self._place()
                if self._pipe.poll(_NODES_SECONDS / 4):
                    self._take(self._pipe.recv())
        except (EOFError, OSError):
            pass  # the build has ended
        except PlumError as error:
            self._send(("failed", type(error).__name__, str(error)))
        self._close()

    def _take(self, message: tuple[Any, ...]) -> None:
        kind, *values = message
        if kind == "begin":
            (self._given,) = values
            self._place()
        else:
            number, *rest = values
            if number in self._actors:
                self._actors[number].tasks.put((kind, *rest))

    def _send(self, message: tuple[Any, ...]) -> None:
        with self._sending:
            self._pipe.send(message)

    def _place(self) -> None:
        """Start the actors that nodes lack: at the beginning, after one was lost, and on nodes that join."""
        import ray

        self._seen = time.monotonic()
        nodes = [node for node in ray.nodes() if node["Alive"] and self._failures[node["NodeID"]] < _FAILURES]
        there = list(self._actors.values())
        for node in nodes:
            held = [actor.slot for actor in there if actor.node == node["NodeID"]]
            for slot in self._plan.slots(node):
                if slot in held:
                    held.remove(slot)
                    continue
                actor = _Placed(self._next, node["NodeID"], node["NodeManagerAddress"], slot)
                self._next += 1
                self._actors[actor.number] = actor
                actor.thread = threading.Thread(target=self._run, args=(actor,), daemon=True)
                actor.thread.start()
        lacking = lacking_of(one.slot for one in self._actors.values())
        if lacking is None:
            self._alive = time.monotonic()
        elif time.monotonic() - self._alive > _LOST_SECONDS:
            raise RunError(
                f"{self._address}: {lacking} of the Ray cluster is left; all rows are kept: run the same command again "
                "when there is one"
            )

    def _run(self, actor: _Placed) -> None:
        """Start an actor and serve it until it is lost."""
        import ray

        try:
            self._start(actor)
            while True:
                self._serve_task(actor, actor.tasks.get())
                self._failures[actor.node] = 0
        except ray.exceptions.RayActorError as error:
            self._lost(actor, str(error), "was lost")
        except ray.exceptions.RayError as error:  # before the others: what a node raises is of its own kind too
            self._lost(actor, str(error))
        except _DiedError as error:
            self._lost(actor, "", str(error))
        except PlumError as error:
            self._send(("failed", type(error).__name__, str(error)))
        except (EOFError, OSError):
            pass  # the build has ended

    def _lost(self, actor: _Placed, why: str, how: str = "") -> None:
        """Give an actor up; Ray's reason is `why`, and people are told `how`."""
        if "No module named 'plum_hub" in why:
            mine = installed_versions()["plum-hub"]
            text = (
                f"node {actor.name}: Ray finds no plum-hub {mine} there; run on it  pip install 'plum-hub[ray]=={mine}'"
            )
            self._send(("failed", "RunError", text))
            return
        self._failures[actor.node] += 1
        self._kill(actor)
        self._actors.pop(actor.number, None)
        self._send(("gone", actor.number, f"of node {actor.name} {how or _last_line(why)}"))

    def _kill(self, actor: _Placed) -> None:
        import ray

        if actor.handle is not None:
            ray.kill(actor.handle)

    def _start(self, actor: _Placed) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        assert self._given is not None
        slot = actor.slot
        actor.handle = ray.remote(NodeWorker).options(
            num_cpus=slot.cpus, num_gpus=slot.gpus, max_restarts=0, max_task_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(actor.node, soft=False),
        ).remote()  # fmt: skip
        theirs, mine = ray.get(actor.handle.identity.remote()), installed_versions()
        for name, mend in (("plum-hub", "pip install 'plum-hub[ray]=={}'"), ("python", "use Python {}")):
            if theirs[name] != mine[name]:
                raise RunError(
                    f"node {actor.name}: has {name} {theirs[name]}, and this machine {mine[name]}, which may make "
                    f"other rows: on the node  {mend.format(mine[name])}"
                )
        gpus = None if slot.gpus or not self._plan.gpus_each else ""
        given = {"share": slot.share, "gpus": gpus, "judges": JUDGE in slot.does}
        ray.get(actor.handle.begin.remote({**self._given, **given}))
        while True:
            for message in ray.get(actor.handle.events.remote()):
                event = json.loads(message)
                if event["event"] == "failed":
                    text = f"node {actor.name}: {event['text']}"
                    self._send(("failed", event["kind"], text))
                elif event["event"] == "died":
                    raise _DiedError(event["how"])
                else:
                    self._send(("joined", actor.number, actor.name, sorted(slot.does)))
                    return

    def _serve_task(self, actor: _Placed, task: tuple[Any, ...]) -> None:
        import ray

        kind, message, files = task
        assert kind == "task"
        handle = actor.handle
        ray.get(handle.clear.remote())
        for place, shard, path in files:
            for piece in _pieces(Path(path)):
                ray.get(handle.put.remote(place, shard, Path(path).name, piece))
        ray.get(handle.deal.remote(message))
        while True:
            found = ray.get(handle.events.remote())
            if found:
                self._send(("events", actor.number, found))
                if found[-1].startswith(_ENDS[2]):
                    raise _DiedError(json.loads(found[-1])["how"])
                if found[-1].startswith(_ENDS):
                    return
                if found[-1].startswith(b'{"event": "asked"'):
                    _, answer = actor.tasks.get()
                    ray.get(handle.deal.remote(answer))

    def _close(self) -> None:
        """End all actors with what they have on their nodes, and the connection."""
        import ray

        ends = [actor.handle.end.remote() for actor in self._actors.values() if actor.handle is not None]
        if ends:
            ray.wait(ends, num_returns=len(ends), timeout=_STOP_SECONDS)
        for actor in self._actors.values():
            self._kill(actor)
        ray.shutdown()
        os._exit(0)  # its threads wait for actors that are gone


class _DiedError(Exception):
    """The worker process of an actor has died, and its node lives."""


def lacking_of(slots: Iterable[Slot]) -> str | None:
    """Say what a cluster lacks to go on: tasks would wait for an actor that nobody starts.

    Args:
        slots: The places of all actors that there are.

    Returns:
        The nodes that it lacks; None if every kind of task has its actor.
    """
    able = {kind for slot in slots for kind in slot.does}
    if able >= {ENGINE, JUDGE}:
        return None
    return "no node" if not able else "no node with a GPU" if JUDGE in able else "no node that judges"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return f"failed ({lines[-1][:300]})" if lines else "was lost"


def _pieces(path: Path) -> Iterator[bytes]:
    """Read the complete lines of a file in pieces; an empty piece if there are none, so that the copy exists."""
    size = path.stat().st_size
    with path.open("rb") as file:
        while True:
            piece = file.read(min(BATCH_BYTES, size))
            size -= len(piece)
            yield piece
            if not piece or size <= 0:
                return
