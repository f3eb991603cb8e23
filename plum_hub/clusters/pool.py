"""The build's side of a Ray cluster: it deals tasks, one a shard and stage, and appends the rows that come back."""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from multiprocessing import connection
from pathlib import Path
from typing import IO, Any

from plum_hub import errors
from plum_hub.clusters.node import DONOR, RUN
from plum_hub.clusters.options import ClusterOptions, gpus_of
from plum_hub.clusters.slots import ENGINE, JUDGE
from plum_hub.errors import BudgetError, MissingExtraError, PlumError, RunError
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.build import STAGES
from plum_hub.pipeline.published import GENERATE
from plum_hub.pipeline.samples import run_samples, run_sampling, run_verdicts
from plum_hub.pipeline.shards import RunProgress, of_shard, over_shards, weights
from plum_hub.pipeline.suites import run_responses, run_suites
from plum_hub.pipeline.worker import ROW
from plum_hub.pipeline.workers import ATTEMPTS, receive
from plum_hub.progress import Progress
from plum_hub.recipe import Recipe
from plum_hub.run import Run

_CHILD = "from plum_hub.clusters.bridge import main; main()"
_CONNECT_SECONDS = 60.0
"""How long the bridge may take to connect: Ray itself waits for minutes where something else listens."""
_STOP_SECONDS = 15.0
"""How long the bridge may take to end all actors."""
_RECIPE_FILES = ("recipe.yaml", "recipe.sha256", "moved.json", "environments.jsonl")


class Bridge:
    """The process that holds the connection to Ray, as this side sees it. Close it at the end, whatever happened.

    Args:
        options: The cluster.
        gpus_each: GPUs of an engine.
    """

    def __init__(self, options: ClusterOptions, gpus_each: int) -> None:
        ours, theirs = connection.Pipe()
        self._address, self._pipe = options.address, ours
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(theirs.fileno())], pass_fds=(theirs.fileno(),), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._said,
        )  # fmt: skip
        theirs.close()
        self.send({"address": options.address, "actors": options.actors, "gpus_each": gpus_each})

    def send(self, message: Any) -> None:
        """Send a message.

        Args:
            message: A value that can be pickled. If the bridge has ended, that is seen at the next `receive`.
        """
        with suppress(OSError):
            self._pipe.send(message)

    def ready(self) -> tuple[int, int]:
        """Wait until the cluster is connected.

        Returns:
            How many engines run at a time, and the number of nodes.

        Raises:
            PlumError: It cannot be used, or does not answer in time.
        """
        if not self._pipe.poll(_CONNECT_SECONDS):
            self._process.kill()  # it waits inside Ray, and would not see the pipe close
            raise RunError(
                f"{self._address}: what listens there does not answer as a Ray cluster within {_CONNECT_SECONDS:.0f} "
                "s; give the address that  ray start --head  printed, with --address HOST:PORT"
            )
        _, engines, nodes = self.receive()
        return engines, nodes

    def receive(self) -> tuple[Any, ...]:
        """Wait for a message.

        Returns:
            Its kind and its values.

        Raises:
            PlumError: The bridge has given up, or Ray has ended it because the cluster was lost.
        """
        try:
            message: tuple[Any, ...] = self._pipe.recv()
        except (EOFError, OSError):
            raise RunError(
                f"{self._address}: the Ray cluster was lost{self._last_words()}; all rows are kept: run the same "
                "command again when it is back"
            ) from None
        if message[0] == "failed":
            _, kind, text = message
            raise getattr(errors, kind, PlumError)(text)
        return message

    def close(self) -> None:
        """End the process and all actors, and wait for it."""
        self._pipe.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
        self._process.kill()
        self._process.wait()
        self._said.close()

    def _last_words(self) -> str:
        self._process.wait()
        self._said.seek(0)
        lines = [line.strip() for line in self._said.read().decode(errors="replace").split("\n") if line.strip()]
        return f" ({lines[-1][:300]})" if lines else ""


@dataclass(frozen=True)
class _Step:
    """What one task does, and what kind of actor it needs."""

    stage: str
    needs: str


@dataclass
class _FarWorker:
    number: int
    node: str
    does: frozenset[str]
    shard: str = ""
    """The shard that it works on; "" if it has none."""
    step: int = 0
    opened: ExitStack = field(default_factory=ExitStack)
    accept: Callable[[str, bytes], None] | None = None


@dataclass
class ClusterPool:
    """Runs the stages of a build on the actors."""

    context: Context
    bridge: Bridge
    engines: int
    """Engines that it runs at a time, which share a limit on what is spent."""
    _actors: dict[int, _FarWorker] = field(default_factory=dict)
    _stop: BudgetError | None = None
    """Set when the limit is reached: no more tasks are dealt, and the answers that were asked for arrive."""

    def run(self, stage: str) -> None:
        """Run a stage on all shards. Those that neither ask a model nor judge generated programs run here.

        Args:
            stage: Name of the stage's function.

        Raises:
            PlumError: The stage failed on a node, or the cluster was lost. All rows that were received are kept.
        """
        generated = self.context.run.recipe.suites.source == GENERATE
        away = {run_responses.__name__, run_suites.__name__} if generated else set()
        if stage in away | {run_samples.__name__}:
            self._share(stage)
        else:  # it reads all that a shard has, or sources that only this machine may have, and takes little time
            over_shards(self.context, next(one for one in STAGES if one.__name__ == stage))

    def _share(self, stage: str) -> None:
        shards = {shard.names[0]: shard for shard in self.context.run.shards}
        view = RunProgress(self.context.progress, weights(tuple(shards.values())))
        owed = [(name, 0) for name in shards]
        died: Counter[str] = Counter()
        steps: list[_Step] = []
        try:
            while owed or any(actor.shard for actor in self._actors.values()):
                steps = steps or self._steps(stage)
                self._deal(owed, steps, shards)
                kind, *values = self.bridge.receive()
                if kind == "joined":
                    number, node, does = values
                    self._actors[number] = _FarWorker(number, node, frozenset(does))
                elif kind == "gone":
                    self._give_up(*values, stage=stage, owed=owed, died=died)
                elif kind == "events":
                    number, messages = values
                    self._take(self._actors[number], messages, view, owed, len(steps))
        finally:
            for actor in self._actors.values():
                actor.opened.close()
        if self._stop is not None:
            raise self._stop
        view.finish()

    def _steps(self, stage: str) -> list[_Step]:
        """Return the tasks of a shard, one after the other; none before the first actor has joined."""
        if not self._actors:
            return []
        if stage != run_samples.__name__:
            return [_Step(stage, JUDGE if stage == run_suites.__name__ else ENGINE)]
        if any({ENGINE, JUDGE} <= actor.does for actor in self._actors.values()):
            return [_Step(stage, ENGINE)]  # judged beside
        return [_Step(run_sampling.__name__, ENGINE), _Step(run_verdicts.__name__, JUDGE)]

    def _deal(self, owed: list[tuple[str, int]], steps: list[_Step], shards: dict[str, Run]) -> None:
        """Give each actor that has nothing to do the first task that it can do."""
        for actor in self._actors.values():
            fitting = [task for task in owed if steps[task[1]].needs in actor.does]
            if actor.shard or not fitting:
                continue
            owed.remove(fitting[0])
            actor.shard, actor.step = fitting[0]
            shard = shards[actor.shard]
            actor.opened = ExitStack()
            actor.accept = actor.opened.enter_context(shard.accepting())
            donor = of_shard(self.context, shard, Progress()).donor
            files = [
                (place, one.names[0], str(path))
                for place, run in ((RUN, shard), (DONOR, donor)) if run is not None
                for one in run.shards
                for path in sorted(one.own_folder.glob("*.jsonl"))
            ]  # fmt: skip
            task = json.dumps({"stage": steps[actor.step].stage, "shard": actor.shard}).encode()
            self.bridge.send(("task", actor.number, task, files))

    def _take(
        self, actor: _FarWorker, messages: list[bytes], view: RunProgress, owed: list[tuple[str, int]], steps: int
    ) -> None:
        """Append rows, show what an actor reports, and note what becomes of its task."""
        assert actor.accept is not None
        for message in messages:
            if message.startswith(ROW):
                name, _, line = message[len(ROW) :].partition(b"\n")
                actor.accept(name.decode(), line)
                continue
            content: dict[str, Any] = json.loads(message)
            match content["event"]:
                case "spent":
                    self.context.limit.account.note(actor.number, content["tokens"], content["usd"])
                case "asked":
                    limit = replace(self.context.limit, sharers=self.engines)
                    size = limit.account.take(limit, actor.number, content["first"], content["most"])
                    answer = json.dumps({"size": size, "account": asdict(limit.account)}).encode()
                    self.bridge.send(("tell", actor.number, answer))
                case "failed":
                    content["text"] = f"node {actor.node}: {content['text']}"
                    try:
                        receive(content, view.of(actor.shard), self.context)
                    except BudgetError as error:
                        self._stop = self._stop or error
                        actor.opened.close()
                        actor.shard = ""
                        owed.clear()
                case "died":
                    pass  # the bridge says so as well
                case _:
                    if receive(content, view.of(actor.shard), self.context):
                        actor.opened.close()
                        if actor.step + 1 < steps and self._stop is None:
                            owed.append((actor.shard, actor.step + 1))
                        actor.shard = ""

    def _give_up(self, number: int, how: str, *, stage: str, owed: list[tuple[str, int]], died: Counter[str]) -> None:
        """Report an actor that was lost, and let another one do what it had."""
        actor = self._actors.pop(number, None)
        self.context.limit.account.pending.pop(str(number), None)
        if self._stop is not None:
            if actor is not None:
                actor.opened.close()
            return
        shard = "" if actor is None else actor.shard
        what = f"the worker {how}"
        if actor is not None and shard:
            actor.opened.close()
            owed.insert(0, (shard, actor.step))
            died[shard] += 1
            what += f" during {stage.removeprefix('run_')} of shard {shard}"
            if died[shard] >= ATTEMPTS:
                raise RunError(
                    f"{self.context.run.folder}: {what}, as {ATTEMPTS - 1} others before it; all rows are kept: look "
                    "at the nodes, and run the same command again"
                )
            what += "; another one does the rest of it"
        self.context.progress.say(what)


@dataclass(frozen=True)
class RayCluster:
    """A cluster that the build may use."""

    bridge: Bridge
    engines: int
    """Engines that it runs at a time, which decides the size of the shards of a new run."""

    @contextmanager
    def working(self, context: Context) -> Iterator[Callable[[str], None]]:
        """Have the cluster work for the time of the block.

        Args:
            context: The build, whose instructions are complete.

        Yields:
            A function that runs a stage, given by the name of its function.
        """
        limit = context.limit
        self.bridge.send(("begin", {
            RUN: _recipe_of(context.run), DONOR: None if context.donor is None else _recipe_of(context.donor),
            "limit": {"usd": limit.usd, "tokens": limit.tokens, "ledger": None},
            "cwd": str(Path.cwd()),
        }))  # fmt: skip
        yield ClusterPool(context, self.bridge, self.engines).run


@contextmanager
def joined(options: ClusterOptions | None, recipe: Recipe, progress: Progress) -> Iterator[RayCluster | None]:
    """Connect to a cluster for the time of the block. Nothing is started on it before `RayCluster.working`.

    Args:
        options: The cluster; None without one.
        recipe: The recipe, with defaults filled in.
        progress: Is told of the wait and of what was found.

    Yields:
        The cluster; None without one.

    Raises:
        UsageError: The run is one that a cluster cannot make.
        MissingExtraError: Ray is not installed.
        RunError: There is no cluster, it cannot be used from this machine, or it lends nothing.
    """
    if options is None:
        yield None
        return
    options.check(recipe)
    if find_spec("ray") is None:
        raise MissingExtraError("--workers ray", "ray")
    bridge = Bridge(options, gpus_of(recipe))
    try:
        with progress.waiting("connecting to the Ray cluster"):
            engines, nodes = bridge.ready()
        progress.say(f"Ray cluster {options.address}: {nodes} nodes, engines at a time: {engines}")
        yield RayCluster(bridge, engines)
    finally:
        bridge.close()


def _recipe_of(run: Run) -> dict[str, bytes]:
    return {name: path.read_bytes() for name in _RECIPE_FILES if (path := run.folder / name).is_file()}
