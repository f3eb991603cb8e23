"""A file of verdicts over any programs and suites, with no run folder: the library behind `plum-hub judge`.

The file is one JSON object a line, in the order in which the verdicts became known:

    id                              digest of sample, code, suite and harness: the same inputs, the same id
    sample_id, instruction_id       as in the samples
    status                          what happened: passed, failed, timed_out, ... (ARCHITECTURE.md, chapter 4)
    cases                           {outcome, detail, judged} of each case, in the suite's order
    detail, output                  the first thing that went wrong; the end of what the program printed
    cpu_seconds, peak_memory_mb     null for a program that was not run
    harness                         versions of sandbox and static check, and the limits
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from plum_hub.errors import RunError, UsageError
from plum_hub.execution import Judge
from plum_hub.execution.base import SandboxName
from plum_hub.files import locked, writing
from plum_hub.judging.cases import limits_of
from plum_hub.judging.inputs import SubmittedProgram, SubmittedSuite, read_candidates, read_suites
from plum_hub.judging.stream import Judgement, Submission, judged
from plum_hub.lines import appending, object_of, whole_lines
from plum_hub.progress import Progress
from plum_hub.recipe import VerdictsConfig
from plum_hub.records import digest
from plum_hub.static import checker_version

_BEGINNING = b'{"id":"'
"""How a row begins; a torn line that begins otherwise is somebody else's and is not cut off."""
_OTHERS = "{where}: is no verdict of plum-hub judge: name another file with --out; this one was not touched"


@dataclass(frozen=True, kw_only=True)
class JudgeOptions:
    """What to judge by what, how, and where the verdicts go."""

    samples: Path
    suites: Path
    out: Path
    settings: VerdictsConfig
    workers: int | None = None
    sandbox: SandboxName = "auto"
    numpy: bool = False


@dataclass
class VerdictCount:
    """What the file of verdicts holds now, and what this call added to it in so many seconds."""

    harness: dict[str, Any]
    statuses: Counter[str] = field(default_factory=Counter)
    fresh: int = 0
    seconds: float = 0.0

    @property
    def per_second(self) -> float | None:
        """Programs a second of this call; None when nothing was owed."""
        return round(self.fresh / self.seconds, 1) if self.fresh else None


def judge_file(order: JudgeOptions, progress: Progress) -> VerdictCount:
    """Judge every sample that has no verdict in the file, each appended as soon as it is known.

    Raises:
        UsageError: the samples or the suites cannot be read.
        RunError: the file holds something else, another process writes it, or it cannot be written.
        SandboxError: programs cannot be run here, or the sandbox broke; no verdict is made of that.
        StaticCheckError: the same for mypy.
    """
    _refuse_an_input(order)
    suites = read_suites(order.suites)
    contents = [_content(one, suites) for one in read_candidates(order.samples, suites)]
    limits, codes = limits_of(order.settings), frozenset(order.settings.mypy_codes)
    with Judge(order.workers, sandbox=order.sandbox, numpy=order.numpy) as judge, _locked(order.out):
        count = VerdictCount(
            harness={
                "sandbox": judge.harness_version,
                "static_check": checker_version(codes),
                "limits": asdict(limits),
            }
        )
        wanted = {_name(content, count.harness) for content in contents}
        done = _done(order, wanted, count)
        pending: dict[str, SubmittedProgram] = {}
        progress.begin("judge", len(wanted), len(done))
        with appending(order.out) as append:
            began = time.monotonic()
            owed = _owed(order.samples, suites, lambda content: _name(content, count.harness), done, pending)
            for judgement in judged(owed, judge, limits, codes):
                append(_row(pending.pop(judgement.id), judgement, count.harness))
                count.statuses[judgement.status] += 1
                count.fresh += 1
                progress.advance()
            count.seconds = time.monotonic() - began
        progress.end()
    return count


def _refuse_an_input(order: JudgeOptions) -> None:
    for given in (order.samples, order.suites):
        if order.out.exists() and given.exists() and order.out.samefile(given):
            raise UsageError(f"--out {order.out} is the file {given} that is read: name another")
    if order.out.exists() and not order.out.is_file():
        raise UsageError(f"--out {order.out} is no plain file, and could not be gone on with: name one")
    if order.out.suffix in (".gz", ".parquet"):
        raise UsageError(f"--out {order.out}: verdicts are written as JSON lines: name a .jsonl file")


def _content(one: SubmittedProgram, suites: dict[str, SubmittedSuite]) -> str:
    return digest(one.sample_id, one.instruction_id, one.code, suites[one.instruction_id].id)


def _name(content: str, harness: dict[str, Any]) -> str:
    return digest(content, harness)


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Hold the file of verdicts for this process."""
    busy = RunError(f"{out}: another plum-hub process is writing to it; wait for it, or name another file")
    with ExitStack() as held:
        with writing(out):
            held.enter_context(locked(out, lambda: busy))
        yield


def _done(order: JudgeOptions, wanted: set[str], count: VerdictCount) -> set[str]:
    """The ids that the file holds, all of them wanted; their statuses are counted."""
    done: set[str] = set()
    whole = 0
    for number, line in whole_lines(order.out):
        where = f"{order.out}:{number}"
        whole += len(line)
        try:
            row = object_of(line)
            name, sample, status, harness = (row[key] for key in ("id", "sample_id", "status", "harness"))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            if number > 1 and done:
                raise RunError(f"{where}: is damaged: delete this line to have its verdict made again") from error
            raise RunError(_OTHERS.format(where=where)) from error
        if name not in wanted:
            raise RunError(
                f"{where}: was made {_difference(sample, harness, count.harness)}, and such verdicts are never mixed: "
                "name another file with --out, or delete this one to judge anew"
            )
        if name not in done:
            count.statuses[status] += 1
        done.add(name)
    with order.out.open("rb") as file:
        file.seek(whole)
        torn = file.read(len(_BEGINNING))
    if not _BEGINNING.startswith(torn):
        raise RunError(_OTHERS.format(where=order.out))
    return done


def _difference(sample: object, before: object, now: dict[str, Any]) -> str:
    """Why a verdict is none that this call would make."""
    if before == now or not isinstance(before, dict):
        return f"of sample {sample!r}, which has changed since, or its suite has, or it is gone"
    old, new = ({**harness, **harness.get("limits", {}), "limits": None} for harness in (before, now))
    return "with " + ", ".join(f"{key} {old.get(key)}, not {new[key]}" for key in new if old.get(key) != new[key])


def _owed(
    samples: Path,
    suites: dict[str, SubmittedSuite],
    name_of: Callable[[str], str],
    done: set[str],
    pending: dict[str, SubmittedProgram],
) -> Iterator[Submission]:
    """The programs that have no verdict, one at a time; each is in `pending` until it has one."""
    for one in read_candidates(samples, suites):
        suite = suites[one.instruction_id]
        name = name_of(_content(one, suites))
        if name not in done:
            pending[name] = one
            yield Submission(
                id=name, code=one.code, suite_id=suite.id, entry_point=suite.entry_point, cases=suite.cases
            )


def _row(one: SubmittedProgram, judgement: Judgement, harness: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": judgement.id,
        "sample_id": one.sample_id,
        "instruction_id": one.instruction_id,
        "status": judgement.status,
        "cases": [asdict(case) for case in judgement.cases],
        "detail": judgement.detail,
        "output": judgement.output,
        "cpu_seconds": judgement.cpu_seconds,
        "peak_memory_mb": judgement.peak_memory_mb,
        "harness": harness,
    }
