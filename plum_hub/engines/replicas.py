"""Several copies of a model on one machine ("data parallel"): each is a process with GPUs or cores of its own.

vLLM's own data parallelism keeps its ranks in step, for models whose experts are spread over them, and has no offline
form in one process. Independent processes need no step in common, and one that dies is seen at once.

Parent and replica exchange lines of JSON by pipes (`replica.py` is the other end):

    to the replica      its settings and cores; then `requests`, or `stop` to break off
    from the replica    `ready`; then `tokens`, `completion`, `error` and, at the end of the requests, `done`
"""

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from plum_hub.engines.base import Completion, Engine, EngineIdentity, Request
from plum_hub.engines.dtype import gpus
from plum_hub.errors import EngineError
from plum_hub.threads import shared_threads

if TYPE_CHECKING:
    from plum_hub.engines.vllm import VllmConfig

_CLOSING_SECONDS = 20.0


@dataclass(frozen=True)
class Place:
    """Where a replica computes.

    Attributes:
        name: For messages, such as `GPU 3`.
        environment: Environment variables that keep it there.
        cores: CPUs to run on; empty for all.
    """

    name: str
    environment: Mapping[str, str]
    cores: tuple[int, ...] = ()


def places(replicas: int, gpus_each: int, gpus: Sequence[str], cores: Sequence[int]) -> list[Place]:
    """Divide a machine among replicas.

    Args:
        replicas: Number of replicas.
        gpus_each: GPUs of each replica.
        gpus: Names of the GPUs for CUDA_VISIBLE_DEVICES; empty on a machine without one.
        cores: CPUs that this process may use, which the replicas share on a machine without a GPU.

    Returns:
        One place for each replica.

    Raises:
        EngineError: The machine has too few GPUs or cores.
    """
    if gpus:
        needed = replicas * gpus_each
        if needed > len(gpus):
            raise EngineError(
                f"data_parallel={replicas} with tensor_parallel_size={gpus_each} needs {needed} GPUs, and this machine "
                f"has {len(gpus)}: set data_parallel={max(1, len(gpus) // gpus_each)} for this model"
            )
        shares = [gpus[at : at + gpus_each] for at in range(0, needed, gpus_each)]
        return [Place("GPU " + " ".join(share), {"CUDA_VISIBLE_DEVICES": ",".join(share)}, ()) for share in shares]
    if replicas > len(cores):
        raise EngineError(
            f"data_parallel={replicas} needs a core for each replica, and this machine has {len(cores)}: "
            f"set data_parallel={len(cores)} or less"
        )
    bounds = [len(cores) * number // replicas for number in range(replicas + 1)]
    slices = [tuple(cores[start:end]) for start, end in pairwise(bounds)]
    names = [f"core {share[0]}" if len(share) == 1 else f"cores {share[0]}-{share[-1]}" for share in slices]
    return [Place(name, shared_threads(replicas), share) for name, share in zip(names, slices, strict=True)]


def check_gpus(replicas: int, gpus_each: int) -> list[Place]:
    """Divide this machine among replicas.

    Args:
        replicas: Number of replicas.
        gpus_each: GPUs of each replica.

    Returns:
        One place for each replica.

    Raises:
        EngineError: It has too few GPUs, or too few cores where it has no GPU.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return places(replicas, gpus_each, gpus(), cores)


def deal(requests: Sequence[Request], shares: int) -> list[list[Request]]:
    """Distribute requests so that equal prompts stay together, whose tokens a replica then computes once.

    Args:
        requests: The requests.
        shares: Number of replicas.

    Returns:
        The requests of each replica. A prompt with more requests than a fair share is divided.
    """
    groups: dict[str, list[Request]] = {}
    for request in requests:
        groups.setdefault(json.dumps(request.prompt), []).append(request)
    fair = max(1, math.ceil(len(requests) / shares))
    pieces = [group[at : at + fair] for group in groups.values() for at in range(0, len(group), fair)]
    dealt: list[list[Request]] = [[] for _ in range(shares)]
    loads = [0] * shares
    for piece in pieces:
        to = loads.index(min(loads))
        dealt[to] += piece
        loads[to] += sum(request.sampling.max_tokens for request in piece)
    return dealt


class _Replica:
    """The parent's end of one replica."""

    def __init__(self, number: int, config: "VllmConfig", place: Place, inbox: "SimpleQueue[tuple[int, Any]]") -> None:
        self.place = place
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the replica
        command = [sys.executable, "-m", "plum_hub.engines.replica", str(os.getpid())]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **place.environment},
            start_new_session=True,  # so that it can be killed with all that it started
        )
        self.tell({"config": config.model_dump(mode="json"), "cores": place.cores})
        Thread(target=self._listen, args=(number, inbox), daemon=True).start()

    def tell(self, message: object) -> None:
        """Send a message; a dead replica is noticed by its listener."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()

    def _listen(self, number: int, inbox: "SimpleQueue[tuple[int, Any]]") -> None:
        assert self.process.stdout is not None
        with suppress(OSError, ValueError):  # a line that is cut off, or a pipe that is closed meanwhile
            for line in self.process.stdout:
                inbox.put((number, json.loads(line)))
        inbox.put((number, None))

    def obituary(self) -> str:
        """Return how it ended, and the last line that it wrote."""
        code = self.process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it wrote nothing")
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"{how}: {last[:300]}"

    def kill(self) -> None:
        """End it and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self._errors):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()


class ReplicatedEngine(Engine):
    """A vLLM engine in several processes, to which requests are dealt and whose answers are merged."""

    counts_tokens = True
    takes_schema = True

    def __init__(self, config: "VllmConfig") -> None:
        self._inbox: SimpleQueue[tuple[int, Any]] = SimpleQueue()
        self._name = config.public().model
        self._replicas: list[_Replica] = []
        alone = config.model_copy(update={"data_parallel": 1})
        where = check_gpus(config.data_parallel, config.tensor_parallel_size)
        try:
            self._replicas += [_Replica(number, alone, place, self._inbox) for number, place in enumerate(where)]
            ready = [self._next()[1] for _ in self._replicas]
        except BaseException:
            self.close(seconds=0)
            raise
        self._has_chat_template = bool(ready[0]["ready"])
        self.identity = EngineIdentity(**ready[0]["identity"])

    @property
    @override
    def has_chat_template(self) -> bool:
        """Whether the tokenizer has one."""
        return self._has_chat_template

    @override
    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Answer in the order in which answers finish on any replica."""
        self._check(requests)
        if not self._replicas:
            raise EngineError(f"{self._name} is closed, or a replica has died: run the same command again")
        working = set()
        for number, share in enumerate(deal(requests, len(self._replicas))):
            if share:
                self._replicas[number].tell({"requests": [asdict(request) for request in share]})
                working.add(number)
        try:
            while working:
                number, message = self._next()
                if "tokens" in message:
                    self.on_tokens(message["tokens"])
                elif "completion" in message:
                    yield Completion(**message["completion"])
                else:
                    working.remove(number)
        finally:
            self._break_off(working)

    def _next(self) -> tuple[int, Any]:
        """Return the next message of any replica; the death or error of one ends all, and is an `EngineError`."""
        number, message = self._inbox.get()
        if message is not None and "error" not in message:
            return number, message
        which = f"replica {number + 1} of {len(self._replicas)} ({self._replicas[number].place.name})"
        reason = message["error"] if message else self._replicas[number].obituary()
        self.close(seconds=0)
        if message:
            raise EngineError(f"{which}: {reason}")
        raise EngineError(f"{which} of {self._name} {reason}; what it owes is asked again by the same command")

    def _break_off(self, working: set[int]) -> None:
        """Let replicas drop what the caller no longer wants, so that they are free for the next call."""
        for number in working if self._replicas else ():
            self._replicas[number].tell("stop")
        while working and self._replicas:
            number, message = self._next()
            if "done" in message:
                working.discard(number)

    @override
    def close(self, seconds: float = _CLOSING_SECONDS) -> None:
        """End the replicas, and kill those that have not ended after some seconds."""
        replicas, self._replicas = self._replicas, []
        for replica in replicas:
            assert replica.process.stdin is not None
            with suppress(OSError):
                replica.process.stdin.close()
        for replica in replicas:
            with suppress(subprocess.TimeoutExpired):
                if seconds:
                    replica.process.wait(seconds)
            replica.kill()
