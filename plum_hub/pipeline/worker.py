"""The process of one worker: it runs stages on the shards that its parent deals (`plum_hub.pipeline.workers`).

On another machine (`plum_hub.clusters`) it works on a copy of a shard, and also sends each row that it makes.
"""

import ctypes
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from typing_extensions import override

from plum_hub.errors import PlumError
from plum_hub.execution import Call, Limits, Program
from plum_hub.judging.cases import judge_of
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.build import STAGES
from plum_hub.pipeline.ledger import Ledger, SpendingAccount, SpendingLimit
from plum_hub.pipeline.samples import run_sampling, run_verdicts
from plum_hub.pipeline.shards import of_shard
from plum_hub.progress import Progress
from plum_hub.run import Run
from plum_hub.threads import prepare_threads

ROW = b"R"
"""How a message begins that is a row; the others are JSON objects."""
_STOP_SECONDS = 4.0
"""How long the work may take to stop when the parent is gone; then the process is killed with all below it."""


def main() -> None:
    """Work until the parent closes the pipe, whose file descriptor is the first argument.

    The second is that of the lock; on another machine there is none.
    """
    # One that somebody stopped (SIGSTOP) wakes when its parent dies, and ends: the next build waits for its lock.
    ctypes.CDLL(None).prctl(1, signal.SIGCONT)  # 1: PR_SET_PDEATHSIG
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored
    for lock in sys.argv[2:]:
        os.set_inheritable(int(lock), False)  # held by this process alone, not by the programs that it starts
    with suppress(KeyboardInterrupt):  # the parent is gone, or has closed the pipe
        _work(ParentLink(Connection(int(sys.argv[1]))))


def _work(link: "ParentLink") -> None:
    """Run the stages that the parent deals, and tell it of an error that ends them."""
    try:
        given = link.next()
        os.sched_setaffinity(0, given["cores"])
        prepare_threads()
        context = _context(given)
        if given.get("relay"):
            context.run.echo = link.row
            if context.limit.is_set:
                context.limit.ledger = RelayedLedger(link)
            if given["judges"]:
                check_isolation(context)
            link.send("ready")
        try:
            while True:
                task = link.next()
                stage = next(one for one in (*STAGES, run_sampling, run_verdicts) if one.__name__ == task["stage"])
                stage(of_shard(context, context.run.limited([task["shard"]]), RelayedProgress(link)))
                if given.get("relay"):
                    context.donor_places.clear()  # of the shards that this task came with
                link.send("done")
        finally:
            context.engines.close()
            if given.get("relay"):
                shutil.rmtree(given["run"], ignore_errors=True)  # a copy, whose rows the parent has
    except PlumError as error:
        link.send("failed", kind=type(error).__name__, text=str(error))


def check_isolation(context: Context) -> None:
    """Prove that this machine isolates programs as the recipe demands, before any work depends on it.

    Args:
        context: The run.

    Raises:
        SandboxError: It does not.
    """
    program = Program(
        id="node", code="def same(x):\n    return x\n", entry_point="same",
        cases=(Call(expression="same(1)", expected="1"),), limits=Limits(),
    )  # fmt: skip
    with judge_of(context.run.recipe.verdicts, 1) as judge:
        for _ in judge.run([program]):
            pass


def _context(given: dict[str, Any]) -> Context:
    return Context(
        run=Run.open(Path(given["run"])),
        donor=None if given["donor"] is None else Run.donor(Path(given["donor"])),
        benchmark_data=None if given["benchmark_data"] is None else Path(given["benchmark_data"]),
        limit=SpendingLimit.of_shared(given["limit"]),
    )


class ParentLink:
    """The pipe to the parent. When it closes, the main thread gets a `KeyboardInterrupt`.

    Args:
        pipe: The pipe.
    """

    def __init__(self, pipe: "Connection[Any, Any]") -> None:
        self._pipe = pipe
        self._sending = threading.Lock()  # judging and sampling report at the same time
        self._messages: SimpleQueue[dict[str, Any]] = SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def next(self) -> dict[str, Any]:
        """Wait for the next message.

        Returns:
            Its content.
        """
        return self._messages.get()

    def send(self, event: str, **values: Any) -> None:
        """Send a message.

        Args:
            event: What it is about.
            values: Its content.

        Raises:
            KeyboardInterrupt: The parent is gone.
        """
        with self._sending:
            try:
                self._pipe.send_bytes(json.dumps({"event": event, **values}).encode())
            except OSError:
                raise KeyboardInterrupt from None

    def row(self, name: str, line: bytes) -> None:
        """Send a row.

        Args:
            name: Name of its file.
            line: The line, with its newline.

        Raises:
            KeyboardInterrupt: The parent is gone.
        """
        with self._sending:
            try:
                self._pipe.send_bytes(ROW + name.encode() + b"\n" + line)
            except OSError:
                raise KeyboardInterrupt from None

    def _listen(self) -> None:
        try:
            while True:
                self._messages.put(json.loads(self._pipe.recv_bytes()))
        except (EOFError, OSError):
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(_STOP_SECONDS)
            os.killpg(0, signal.SIGKILL)


class RelayedLedger(Ledger):
    """Has the parent count what all workers spend.

    Args:
        link: The pipe.
    """

    def __init__(self, link: ParentLink) -> None:
        self._link = link

    @override
    def take(self, limit: SpendingLimit, first: int, most: int) -> tuple[int, SpendingAccount]:
        # The parent knows the limit.
        self._link.send("asked", first=first, most=most)
        answer = self._link.next()  # nothing else is sent meanwhile
        return answer["size"], SpendingAccount(**answer["account"])

    @override
    def add(self, tokens: float, usd: float) -> None:
        self._link.send("spent", tokens=tokens, usd=usd)


class RelayedProgress(Progress):
    """Reporter that tells the parent.

    Args:
        link: The pipe.
        beside: Whether it is that of the stage that runs at the same time.
    """

    def __init__(self, link: ParentLink, beside: bool = False) -> None:
        self._link, self._is_beside = link, beside

    @override
    def begin(self, stage: str, total: int, done: int) -> None:
        self._link.send("begin", beside=self._is_beside, stage=stage, total=total, done=done)

    @contextmanager
    @override
    def waiting(self, what: str) -> Iterator[None]:
        self.say(what)
        yield

    @override
    def expect(self, tokens: float) -> None:
        self._link.send("expect", beside=self._is_beside, tokens=tokens)

    @override
    def wrote(self, tokens: int) -> None:
        self._link.send("wrote", beside=self._is_beside, tokens=tokens)

    @override
    def advance(self, rows: int = 1, tokens: int = 0) -> None:
        self._link.send("advance", beside=self._is_beside, rows=rows, tokens=tokens)

    @override
    def say(self, text: str) -> None:
        self._link.send("say", text=text)

    @override
    def beside(self) -> Progress:
        return RelayedProgress(self._link, beside=True)
