"""Several processes on this machine that share the shards of a run (`--workers N`), each with an engine of its own.

The parent deals one shard of a stage at a time; a worker appends to the files of that shard alone. A worker that dies
is replaced, and its shard is dealt again: what it had appended is kept, as after any kill. Workers end when their pipe
to the parent closes, however the parent ends, and the next build waits until they have.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import connection
from typing import Any

from plum_hub import errors
from plum_hub.errors import BudgetError, PlumError, RunError, UsageError
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.shards import RunProgress, weights
from plum_hub.progress import Progress

_CHILD = "from plum_hub.pipeline.worker import main; main()"
ATTEMPTS = 3
"""How many workers may die of one shard in one stage."""
_STOP_SECONDS = 5.0
"""How long a worker may take to end by itself."""


@dataclass
class _Worker:
    number: int
    process: "subprocess.Popen[bytes]"
    pipe: "connection.Connection[Any, Any]"
    shard: str = ""
    """The shard that it works on; "" if it has none."""


@dataclass
class WorkerPool:
    """Processes that work on the shards of a build. Close it at the end, whatever happened."""

    context: Context
    count: int
    lock: int
    """File descriptor of the lock that the workers keep while they live."""
    _workers: list[_Worker] = field(default_factory=list)

    def run(self, stage: str) -> None:
        """Run a stage on all shards.

        Args:
            stage: Name of the stage's function.

        Raises:
            PlumError: The stage failed in a worker, or workers died again and again. All rows that were made are kept.
        """
        shards = self.context.run.shards
        view = RunProgress(self.context.progress, weights(shards))
        owed = [shard.names[0] for shard in shards]
        died: Counter[str] = Counter()
        stop: BudgetError | None = None
        while len(self._workers) < self.count:
            self._workers.append(self._started(len(self._workers)))
        while owed or any(worker.shard for worker in self._workers):
            for worker in self._workers:
                if owed and not worker.shard:
                    worker.shard = owed.pop(0)
                    self._send(worker, {"stage": stage, "shard": worker.shard})
            for worker in self._with_news():
                try:
                    message = json.loads(worker.pipe.recv_bytes())
                except (EOFError, OSError):
                    if stop is not None:
                        worker.shard = ""
                        continue
                    died[worker.shard] += 1
                    owed.insert(0, worker.shard)
                    self._replace(worker, stage, died[worker.shard])
                    continue
                try:
                    is_done = receive(message, view.of(worker.shard), self.context)
                except BudgetError as error:  # the others get the answers that they have asked for
                    stop, is_done = stop or error, True
                    owed.clear()
                if is_done:
                    worker.shard = ""
        if stop is not None:
            raise stop
        view.finish()

    def _with_news(self) -> list[_Worker]:
        """Wait until a worker that has a shard has sent something or died; return all of these."""
        busy = [worker for worker in self._workers if worker.shard]
        ready = connection.wait([worker.pipe for worker in busy])
        return [worker for worker in busy if worker.pipe in ready]

    def close(self) -> None:
        """End all workers, and wait for them."""
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(_STOP_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(worker.process.pid, signal.SIGKILL)  # what it may have left
            worker.process.wait()
        self._workers.clear()

    def _replace(self, worker: _Worker, stage: str, times: int) -> None:
        """Report a worker that has died, and start another one in its place."""
        worker.pipe.close()
        code = worker.process.wait()
        with suppress(ProcessLookupError):
            os.killpg(worker.process.pid, signal.SIGKILL)
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        what = f"worker {worker.number} {how} during {stage.removeprefix('run_')} of shard {worker.shard}"
        if times >= ATTEMPTS:
            raise RunError(
                f"{self.context.run.folder}: {what}, as {times - 1} others before it; all rows are kept: look above "
                "for its error, or for lack of memory with fewer --workers, and run the same command again"
            )
        self.context.progress.say(f"{what}; another one does the rest of it")
        self._workers[worker.number] = self._started(worker.number)

    def _started(self, number: int) -> _Worker:
        ours, theirs = connection.Pipe()
        command = [sys.executable, "-c", _CHILD, str(theirs.fileno()), str(self.lock)]
        process = subprocess.Popen(
            command, pass_fds=(theirs.fileno(), self.lock), start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=2, env=os.environ | _own_gpus(number, self.count),
        )  # fmt: skip
        theirs.close()
        worker = _Worker(number, process, ours)
        context = self.context
        self._send(worker, {
            "run": str(context.run.folder),
            "donor": None if context.donor is None else str(context.donor.folder),
            "benchmark_data": None if context.benchmark_data is None else str(context.benchmark_data),
            "limit": context.limit.shared(context.run, self.count, number),
            "cores": own_cores(number, self.count),
        })  # fmt: skip
        return worker

    def _send(self, worker: _Worker, message: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # it has died, which is seen when its answer is awaited
            worker.pipe.send_bytes(json.dumps(message).encode())


def receive(message: dict[str, Any], progress: Progress, context: Context) -> bool:
    """Show what a worker reports of its shard.

    Args:
        message: What it has sent: its `event`, and what belongs to that.
        progress: Reporter of the shard.
        context: The build.

    Returns:
        Whether the worker is done with the shard.

    Raises:
        PlumError: The stage failed in the worker.
    """
    shown = progress.beside() if message.pop("beside", False) else progress
    match message.pop("event"):
        case "begin":
            shown.begin(**message)
        case "advance":
            shown.advance(**message)
        case "wrote":
            shown.wrote(**message)
        case "expect":
            shown.expect(**message)
        case "say":
            if context.engines.is_new_note(message["text"]):  # every worker says the same
                shown.say(**message)
        case "failed":
            kind = getattr(errors, message["kind"], PlumError)
            raise kind(message["text"])
        case "done":
            return True
    return False


@contextmanager
def working(context: Context, lock: int) -> Iterator[Callable[[str], None]]:
    """Start workers for the time of the block.

    Args:
        context: The build, whose instructions are complete.
        lock: File descriptor of the lock that the workers keep while they live.

    Yields:
        A function that runs a stage, given by the name of its function.

    Raises:
        UsageError: There are fewer GPUs than workers.
    """
    shards = len(context.run.names)
    count = min(context.workers, shards)
    if count < context.workers:
        context.progress.say(f"--workers {context.workers}: the run has {shards} shards, so {count} work on it")
    pool = WorkerPool(context, count, lock)
    try:
        yield pool.run
    finally:
        pool.close()


def own_cores(number: int, count: int) -> list[int]:
    """Share the cores of this machine out.

    Args:
        number: Number of a worker, from 0.
        count: Workers on this machine.

    Returns:
        The cores of the worker, at least one.
    """
    cores = sorted(os.sched_getaffinity(0))
    return cores[number::count] or [cores[number % len(cores)]]


def _own_gpus(number: int, count: int) -> dict[str, str]:
    """Return the environment in which a worker sees its own GPUs; empty on a machine without any."""
    gpus = visible_gpus()
    if not gpus:
        return {}
    if len(gpus) < count:
        raise UsageError(f"--workers {count}: each needs a GPU, and this machine has {len(gpus)}: give --workers fewer")
    each = len(gpus) // count
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpus[number * each : (number + 1) * each])}


def visible_gpus() -> Sequence[str]:
    """List the NVIDIA GPUs that this process may use.

    Returns:
        Their names as in `CUDA_VISIBLE_DEVICES`, which limits them; else their numbers.
    """
    limited = os.environ.get("CUDA_VISIBLE_DEVICES")
    if limited is not None:
        return [name for name in limited.split(",") if name.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout
    return [str(number) for number, line in enumerate(listed.splitlines()) if line.startswith("GPU ")]
